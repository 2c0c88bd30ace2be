"""``mmanchor print-config``: a config with everything that it inherits."""

import argparse
from typing import Any

from ..options import add_config_arguments

HELP = 'print a config with everything that it inherits'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    add_config_arguments(parser)
    parser.add_argument(
        '--key', help='print this part only, such as model.backbone or train_dataloader.batch_size'
    )


def run(args: argparse.Namespace) -> int:
    """Print it as Python, which can be saved as a config.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from mmengine.config import Config, ConfigDict

    from ...utils.config import load_config, parse_options

    cfg = load_config(args.config, parse_options(args.cfg_options))
    # Of a run, not of the file.
    for key in ('work_dir', 'launcher'):
        cfg.pop(key, None)
    if args.key is None:
        print(cfg.pretty_text)
        return 0
    part = part_of(cfg, args.key)
    print(Config(part).pretty_text if isinstance(part, ConfigDict) else repr(part))
    return 0


def part_of(cfg: Any, key: str) -> Any:
    """What a dotted key names; numbers count list entries.

    Args:
        cfg: A config, or a part of one.
        key: Such as ``'test_pipeline.0.type'``.

    Raises:
        UserError: If there is none; the message lists the keys at that place.
    """
    from ...utils.errors import UserError

    part, done = cfg, ''
    for word in key.split('.'):
        try:
            part = part[int(word)] if isinstance(part, (list, tuple)) else part[word]
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            keys = ', '.join(part) if hasattr(part, 'keys') else ''
            has = f'it has {keys}' if keys else f'it is {part!r}'
            raise UserError(
                f'--key {key}: there is no {word!r} in {done or "the config"}; {has}'
            ) from error
        done = f'{done}.{word}'.lstrip('.')
    return part
