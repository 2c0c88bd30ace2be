"""The ``mmanchor`` command: a table of sub-commands, one module each."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from .. import __version__
from ..utils.errors import UserError

# A module below mmanchor.cli gives HELP, add_arguments(parser) and
# run(args) -> exit status; it is imported only when its command is used, so
# that `mmanchor doctor` starts where the rest of the stack does not.
COMMANDS = {
    'train': 'train',
    'test': 'test',
    'predict': 'predict',
    'demo': 'demo',
    'make-demo-data': 'make_demo_data',
    'check-data': 'check_data',
    'complexity': 'complexity',
    'benchmark': 'benchmark',
    'ablation': 'ablation',
    'export': 'export',
    'export-deploy': 'export_deploy',
    'convert': 'convert',
    'doctor': 'doctor',
}


def usage() -> str:
    """The list of commands, each with the first line of its help."""
    lines = [
        f'usage: mmanchor COMMAND [options]    (mmanchor {__version__})',
        '',
        'commands (each has --help):',
    ]
    for name, module in COMMANDS.items():
        help_text = importlib.import_module(f'{__package__}.{module}').HELP
        lines.append(f'  {name:<16} {help_text}')
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words after ``mmanchor``; ``None`` takes ``sys.argv``.

    Returns:
        The exit status: 0 is success, 1 a mistake of the user's, 2 bad
        usage, 130 a run stopped by Ctrl+C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ('-h', '--help'):
        print(usage())
        return 0
    if argv[0] == '--version':
        print(__version__)
        return 0
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        print(
            f'mmanchor: there is no command {name!r}; choose one of {", ".join(COMMANDS)}',
            file=sys.stderr,
        )
        return 2
    module = importlib.import_module(f'{__package__}.{COMMANDS[name]}')
    parser = argparse.ArgumentParser(prog=f'mmanchor {name}', description=module.HELP)
    module.add_arguments(parser)
    args = parser.parse_args(rest)
    try:
        return module.run(args)
    except UserError as error:
        print(f'mmanchor {name}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'mmanchor {name}: stopped', file=sys.stderr)
        return 130
