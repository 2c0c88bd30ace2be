"""Commands that exist in a checkout only: the project's benchmarks and studies."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from ...utils.errors import UserError

ROOT = Path(__file__).resolve().parents[3]


def add_checkout_command(parser: argparse.ArgumentParser, module: str) -> bool:
    """Let a parser run a command from a module below ``tools/``.

    Args:
        parser: The command's parser. Without a checkout it accepts any words,
            and running it reports where the command exists.
        module: Dotted name of a module with ``add_arguments`` and ``run``,
            such as ``'tools.benchmarks.commands.scaling'``.

    Returns:
        Whether the module was found.
    """
    if (ROOT / Path(*module.split('.'))).with_suffix('.py').is_file():
        if str(ROOT) not in sys.path:
            sys.path.insert(0, str(ROOT))
        command = importlib.import_module(module)
        command.add_arguments(parser)
        parser.set_defaults(run=command.run)
        return True
    parser.parse_known_args = _accept_any_words  # its options are not known here
    return False


def _accept_any_words(
    args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
) -> tuple[argparse.Namespace, list[str]]:
    return argparse.Namespace(run=_refuse), []


def _refuse(args: argparse.Namespace) -> int:
    raise UserError(
        'this command is not part of the installed package; run it in a clone of the '
        'repository: git clone, pip install -e ., then the same command'
    )
