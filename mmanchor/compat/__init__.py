"""What makes today's OpenMMLab stacks work; installed by ``import mmanchor``.

One file per repair: ``stack`` finds out which mm* distributions are installed,
``mmcv_ops`` supplies ``mmcv._ext`` where mmcv has no compiled operators, and
``checkpoints`` keeps checkpoint loading on an allow-list.
"""


def install() -> None:
    """Check the stack and make the repairs; calling it again is harmless."""
