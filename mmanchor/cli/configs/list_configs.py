"""``mmanchor list-configs``: names of our configs."""

import argparse
from fnmatch import fnmatch

HELP = 'list the configs that come with mmanchor'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument(
        'pattern',
        nargs='?',
        default='*',
        help="part of a name, or a pattern such as 'picodet*416' (default: all)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the names, one a line.

    Args:
        args: The parsed options.

    Returns:
        0; 1 if there is none.
    """
    from ...utils.config import list_configs

    names = matching(list_configs(), args.pattern)
    for name in names:
        print(name)
    return 0 if names else 1


def matching(names: list[str], pattern: str) -> list[str]:
    """Names that a pattern matches, with or without their folder.

    Example:
        >>> matching(['picodet/a-320', 'picodet/a-416', 'b'], '416')
        ['picodet/a-416']
        >>> matching(['picodet/a-320', 'picodet/a-416', 'b'], 'a*')
        ['picodet/a-320', 'picodet/a-416']
    """
    if not any(letter in pattern for letter in '*?['):
        pattern = f'*{pattern}*'
    return [
        name for name in names if fnmatch(name, pattern) or fnmatch(name.rsplit('/')[-1], pattern)
    ]
