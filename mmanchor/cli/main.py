"""The ``mmanchor`` command: a table of sub-commands, one module each."""

import argparse
import importlib
import re
import sys
import traceback
from collections.abc import Sequence

from .. import __version__
from ..compat.stack import StackError, require_stack
from ..utils.errors import UserError, in_one_line

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
    'export-deploy': 'export_deploy',
    'convert': 'convert',
    'doctor': 'doctor',
}

# It says what is wrong where the stack is broken.
NEED_NO_STACK = ('doctor',)


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
    parser.add_argument(
        '--traceback', action='store_true', help='show where an error came from, line by line'
    )
    args = parser.parse_args(rest)
    try:
        if name not in NEED_NO_STACK:
            require_stack()
        return module.run(args)
    except KeyboardInterrupt:
        print(f'mmanchor {name}: stopped', file=sys.stderr)
        return 130
    # What users give reaches code of many packages: no error of theirs is a page long.
    except Exception as error:
        if args.traceback:
            traceback.print_exception(error)
        print(f'mmanchor {name}: {explain(error)}', file=sys.stderr)
        return 1


def explain(error: Exception) -> str:
    """The message that a command shows for an error.

    Args:
        error: What a command raised.

    Returns:
        Our own message, or one line with the place where other code failed.
    """
    if isinstance(error, (UserError, StackError)):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    missing = re.fullmatch(r"'ConfigDict' object has no attribute '(\w+)'", str(error))
    if missing:
        return f'the config has no {missing[1]} (wanted by {frame.filename}, line {frame.lineno})'
    return (
        f'{in_one_line(error)} ({frame.filename}, line {frame.lineno}); --traceback shows where '
        'it came from'
    )
