"""The ``mmanchor`` command: a table of sub-commands, one module each."""

import argparse
import importlib
import re
import sys
import tempfile
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NoReturn

from .. import __version__
from ..compat.stack import StackError, require_stack
from ..utils.errors import UserError, in_one_line, innermost_place

TRACEBACK = '--traceback'

# A module below mmanchor.cli gives HELP, add_arguments(parser) and
# run(args) -> exit status; it is imported only when its command is used, so
# that `mmanchor doctor` starts where the rest of the stack does not.
COMMANDS = {
    'train': 'train',
    'test': 'test',
    'predict': 'predict',
    'explain': 'explain',
    'report': 'report',
    'web': 'web',
    'demo': 'demo',
    'make-demo-data': 'make_demo_data',
    'list-configs': 'configs.list_configs',
    'print-config': 'configs.print_config',
    'init-config': 'configs.init_config',
    'check-data': 'check_data',
    'complexity': 'measuring.complexity',
    'benchmark': 'measuring.benchmark',
    'ablation': 'measuring.ablation',
    'export': 'checkpoints.export',
    'fold': 'checkpoints.fold',
    'export-deploy': 'checkpoints.export_deploy',
    'publish': 'checkpoints.publish',
    'convert': 'checkpoints.convert',
    'anchorize': 'checkpoints.anchorize',
    'run': 'run',
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


# What people type for a command, by the names that other tools use.
_OTHER_NAMES = {
    'deploy': 'export',
    'detect': 'predict',
    'eval': 'test',
    'evaluate': 'test',
    'fit': 'train',
    'flops': 'complexity',
    'infer': 'predict',
    'inference': 'predict',
    'val': 'test',
    'validate': 'test',
}


def unknown_command(name: str) -> str:
    """The message for a word that is no command.

    Example:
        >>> unknown_command('eval')
        "there is no command 'eval'; did you mean test? (mmanchor --help lists all)"
    """
    close = [_OTHER_NAMES[name]] if name in _OTHER_NAMES else get_close_matches(name, COMMANDS, 2)
    if close:
        return (
            f'there is no command {name!r}; did you mean {" or ".join(close)}? '
            '(mmanchor --help lists all)'
        )
    return f'there is no command {name!r}; choose one of {", ".join(COMMANDS)}'


class Parser(argparse.ArgumentParser):
    """A parser that names the option that was meant.

    Example:
        >>> parser = Parser(prog='x')
        >>> action = parser.add_argument('--work-dir')
        >>> parser.nearest('unrecognized arguments: --workdir=y')
        'did you mean --work-dir?'
    """

    def error(self, message: str) -> NoReturn:
        """End with the message, and the option that was meant if one is near."""
        super().error('; '.join(filter(None, (message, self.nearest(message)))))

    def nearest(self, message: str) -> str:
        """What an unknown option was meant to be, as a question; empty if nothing is near."""
        options = [option for action in self._actions for option in action.option_strings]
        for word in re.findall(r'(--?[\w-]+)', message.partition('unrecognized arguments: ')[2]):
            close = get_close_matches(word.replace('_', '-').lower(), options, 1, 0.7)
            if close:
                return f'did you mean {close[0]}?'
        return ''


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of one command, which the documentation reads too.

    Args:
        name: A key of :data:`COMMANDS`.

    Returns:
        What parses the words after ``mmanchor NAME``.
    """
    module = importlib.import_module(f'{__package__}.{COMMANDS[name]}')
    parser = Parser(prog=f'mmanchor {name}', description=module.HELP)
    module.add_arguments(parser)
    parser.add_argument(
        TRACEBACK, action='store_true', help='show where an error comes from, in full'
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words after ``mmanchor``; ``None`` takes ``sys.argv``.

    Returns:
        The exit status: 0 is success, 1 an error, 2 bad usage, 130 a run
        stopped by Ctrl+C.
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
        print(f'mmanchor: {unknown_command(name)}', file=sys.stderr)
        return 2
    # Of every command, so that it can simply be added to a line that failed.
    with_traceback = TRACEBACK in rest
    try:
        args = parser_of(name).parse_args([word for word in rest if word != TRACEBACK])
        if name not in NEED_NO_STACK:
            require_stack()
        return importlib.import_module(f'{__package__}.{COMMANDS[name]}').run(args)
    except KeyboardInterrupt:
        print(f'mmanchor {name}: stopped', file=sys.stderr)
        return 130
    # Whatever a config, a file or a library does, the user sees one line.
    except Exception as error:
        if with_traceback:
            traceback.print_exc()
        print(f'mmanchor {name}: {_message(error, with_traceback)}', file=sys.stderr)
        return 1


def _message(error: Exception, with_traceback: bool) -> str:
    """One line about an error, and how to see more of one that was not foreseen."""
    if isinstance(error, (UserError, StackError)):
        return str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f'{error.strerror}: {str(error.filename)[:200]}'
    missing = re.fullmatch(r"'ConfigDict' object has no attribute '(\w+)'", str(error))
    message = f'the config has no {missing[1]}' if missing else in_one_line(error)
    if with_traceback:
        return message
    # A training of days is not repeated for its traceback.
    return f'{message} ({innermost_place(error)}; {_keep_traceback(error)})'


def _keep_traceback(error: Exception) -> str:
    """Write the traceback to a file, and say where it is."""
    text = ''.join(traceback.format_exception(error))
    try:
        handle, path = tempfile.mkstemp('.txt', 'mmanchor-traceback-')
        with open(handle, 'w', encoding='utf-8', errors='replace') as file:
            file.write(text)
    except OSError:
        return f'add {TRACEBACK} to see where it comes from'
    return f'traceback: {path}'
