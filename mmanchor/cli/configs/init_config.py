"""``mmanchor init-config``: a config for a user's own data."""

import argparse

HELP = 'write a config for your own data, from what lies in its folder'
EPILOG = """Detection takes files in COCO's format, one with train in its name
and one with val; segmentation takes a folder of images and one of masks for
each of both, such as images/train and masks/train. Check the settings at the
top of the file, then: mmanchor check-data OUT; mmanchor train OUT."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.epilog = EPILOG
    parser.add_argument('task', choices=('detection', 'segmentation'), help='what to train for')
    parser.add_argument('out', help='file to write, .py')
    parser.add_argument('--data', required=True, metavar='FOLDER', help='folder of the data')


def run(args: argparse.Namespace) -> int:
    """Write the config and print its settings.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from ...apis.config import init_config

    for name, value in init_config(args.task, args.data, args.out).items():
        print(f'{name} = {value!r}')
    print(f'written to {args.out}; next: mmanchor check-data {args.out}')
    return 0
