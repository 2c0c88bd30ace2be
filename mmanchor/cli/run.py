"""``mmanchor run``: another program, with mmanchor's repairs in place."""

import argparse
import os
import runpy
import sys
import traceback
from pathlib import Path

from ..utils.errors import UserError, in_one_line

HELP = "run a Python script, such as mmdet's tools/train.py, with mmanchor imported first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.description += (
        '. Where the import hook of the installation is switched off, this does its work in '
        'one process; processes that the script starts have the hook only.'
    )
    parser.add_argument('script', help='the script')
    parser.add_argument('args', nargs=argparse.REMAINDER, help='what it is given')


def run(args: argparse.Namespace) -> int:
    """Run the script as ``python SCRIPT ARGS`` would.

    Args:
        args: The parsed options.

    Returns:
        0, or 1 after an error of the script, which is shown as Python shows
        it; a script that ends by ``sys.exit`` ends this program too.

    Raises:
        UserError: If there is no such script, or it is not Python.
    """
    script = Path(args.script)
    if not script.is_file():
        raise UserError(f'SCRIPT: there is no file {args.script!r}')
    _require_python(script)
    sys.argv = [args.script, *args.args]
    # Python finds what lies beside a script.
    sys.path.insert(0, str(script.resolve().parent))
    try:
        runpy.run_path(os.path.abspath(script), run_name='__main__')
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def _require_python(script: Path) -> None:
    """Refuse a file that Python cannot read, such as weights given by mistake."""
    try:
        compile(script.read_bytes(), str(script), 'exec', dont_inherit=True)
    except (OSError, SyntaxError, ValueError) as error:
        place = f', line {error.lineno}' if isinstance(error, SyntaxError) and error.lineno else ''
        raise UserError(f'SCRIPT: {script}{place} is not Python: {in_one_line(error)}') from error
