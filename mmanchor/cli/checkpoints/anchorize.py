"""``mmanchor anchorize``: a pretrained ViT becomes an AnchorFormer."""

import argparse
import os
import sys
import time
from typing import Any

from ..options import quiet_toolboxes

HELP = 'turn a pretrained ViT into an AnchorFormer, by unlabeled images'
EPILOG = """SOURCE is a file of weights of a plain ViT (of timm, DeiT, DINOv2, torchvision,
mmpretrain or mmanchor, .pth or .safetensors), or a name of timm with --weights FILE. OUT and a
config beside it, OUT with .py, go to mmanchor test, predict and train. A run that was stopped
continues when it is started again with --resume. Under torchrun several processes train
together, with --batch-size images each."""
# Seconds between two lines of progress.
EVERY = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.epilog = EPILOG
    parser.add_argument('source', metavar='SOURCE', help='file of weights, or name of timm')
    parser.add_argument(
        '--images',
        required=True,
        nargs='+',
        metavar='FOLDER',
        help='unlabeled images to learn from',
    )
    parser.add_argument('--out', required=True, help='file to write, .safetensors or .pth')
    parser.add_argument('--weights', metavar='FILE', help='weights of a name of timm')
    parser.add_argument('--heads', type=int, help='heads of an attention (default: width / 64)')
    parser.add_argument(
        '--normalization',
        choices=('imagenet', 'half'),
        help="of the images; 'half' is that of Google's ViTs (default: timm's, or imagenet)",
    )
    parser.add_argument(
        '--anchors', type=int, default=64, help='anchors of each head (default: %(default)s)'
    )
    parser.add_argument(
        '--layers',
        help='attentions to replace, from 0, both ends included, such as 0-7 (default: all)',
    )
    parser.add_argument(
        '--local',
        choices=('depthwise', 'none'),
        default='depthwise',
        help='a convolution of the values beside the anchors (default: %(default)s)',
    )
    parser.add_argument(
        '--align-steps', type=int, help='steps of each layer for itself (default: 300)'
    )
    parser.add_argument(
        '--distill-steps', type=int, help='steps of the whole network (default: 300)'
    )
    parser.add_argument('--align-lr', type=float, help='highest learning rate (default: 2e-3)')
    parser.add_argument('--lr', type=float, help='that of --distill-steps (default: 5e-5)')
    parser.add_argument('--batch-size', type=int, default=16, help='(default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the views (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=0, help='processes that read images')
    parser.add_argument('--amp', action='store_true', help='compute in bfloat16')
    parser.add_argument('--device', help='such as cuda:1 or cpu (default: a GPU if any)')
    parser.add_argument('--resume', action='store_true', help='continue a run that was stopped')


def run(args: argparse.Namespace) -> int:
    """Convert, train, and say what error is left in each layer.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from rich.console import Console
    from rich.table import Table

    from ...anchorization import Recipe
    from ...apis.anchorizing import anchorize_checkpoint
    from ...utils.errors import UserError
    from ...utils.files import require_weights_path

    quiet_toolboxes()
    rank = _join_processes()
    state = require_weights_path(args.out, 'OUT').with_suffix('.state.pth')
    if state.exists() and not args.resume:
        raise UserError(f'{state} is of a run that was stopped: continue by --resume, or remove it')
    result = anchorize_checkpoint(
        args.source,
        args.images,
        args.out,
        num_anchors=args.anchors,
        layers=args.layers,
        local=args.local,
        align=_options(steps=args.align_steps, lr=args.align_lr),
        distill=_options(steps=args.distill_steps, lr=args.lr),
        recipe=Recipe(args.batch_size, args.seed, args.amp, args.workers, state),
        weights=args.weights,
        num_heads=args.heads,
        normalization=args.normalization,
        device=args.device or _own_device(),
        after=[] if rank else [_Lines()],
    )
    if rank:
        return 0
    table = Table('attention')
    table.add_column('relative error left', justify='right')
    for name, error in result.errors.items():
        table.add_row(name, f'{error:.3f}')
    Console().print(table)
    print(f'{result.weights}: weights; {result.config}: their config')
    return 0


def _options(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _join_processes() -> int:
    """Join the processes that torchrun started; the rank of this one."""
    if int(os.environ.get('WORLD_SIZE', 1)) < 2:
        return 0
    import torch
    import torch.distributed as dist

    dist.init_process_group('nccl' if torch.cuda.is_available() else 'gloo')
    return dist.get_rank()


def _own_device() -> str | None:
    local = os.environ.get('LOCAL_RANK')
    if local is None:
        return None
    import torch

    return f'cuda:{local}' if torch.cuda.is_available() else 'cpu'


class _Lines:
    """Prints a line about the steps now and then, to stderr."""

    def __init__(self) -> None:
        self.name, self.start, self.first, self.printed = '', 0.0, 0, 0.0

    def __call__(self, stage: Any, step: int, errors: dict[str, float]) -> None:
        now = time.monotonic()
        if stage.name != self.name:
            self.name, self.start, self.first, self.printed = stage.name, now, step, 0.0
        done = step == stage.steps
        if not done and now - self.printed < EVERY:
            return
        self.printed = now
        mean = sum(errors.values()) / len(errors)
        what = f'mean error {mean:.3f}'
        if stage.name == 'distill':
            what = ', '.join(f'{name} {error:.3f}' for name, error in errors.items())
        left = ''
        if step > self.first:
            seconds = (now - self.start) / (step - self.first) * (stage.steps - step)
            left = f', {seconds / 60:.0f} min left' if seconds >= 90 else f', {seconds:.0f} s left'
        print(f'{stage.name} {step}/{stage.steps}: {what}{left}', file=sys.stderr, flush=True)
