"""What all backbones share: sizes, out_indices, freezing."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from mmengine.model import BaseModule
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn

from ..layers.exporting import is_exporting

# What MMEngine takes as `init_cfg`.
InitCfg = dict[str, Any] | list[dict[str, Any]] | None


class BaseBackbone(BaseModule):
    """A backbone whose first stages can be frozen.

    A subclass calls :meth:`_init_freezing` at the end of its constructor, and
    its :meth:`_stages` returns the modules and parameters of each stage.

    Args:
        frozen_stages: Stages 0 to this one are frozen, and stay frozen after
            ``.train()``; -1 freezes nothing.
        norm_eval: Whether batch normalizations keep their statistics in
            training.
        init_cfg: MMEngine's initialization config.
    """

    def __init__(
        self, frozen_stages: int = -1, norm_eval: bool = False, init_cfg: InitCfg = None
    ) -> None:
        super().__init__(init_cfg)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval

    def _stages(self) -> list[Iterable[nn.Module | nn.Parameter]]:
        """The modules and parameters of each stage, in order of depth."""
        raise NotImplementedError

    def _init_freezing(self) -> None:
        num_stages = len(self._stages())
        if not -1 <= self.frozen_stages < num_stages:
            raise ValueError(
                f'frozen_stages must be -1 (nothing) to {num_stages - 1}, got {self.frozen_stages}'
            )
        self._freeze()

    def _freeze(self) -> None:
        for stage in self._stages()[: self.frozen_stages + 1]:
            for part in stage:
                part.requires_grad_(False)
                if isinstance(part, nn.Module):
                    part.eval()

    def train(self, mode: bool = True) -> 'BaseBackbone':
        """Set the training mode; frozen stages stay in evaluation mode."""
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def lookup_arch(
    arch: str | Mapping[str, Any], table: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """Look up the settings of a size.

    Args:
        arch: A name in ``table``, or a dict with the same keys as its values.
        table: Settings by name.

    Returns:
        A new dict.

    Raises:
        ValueError: If the name is unknown, or a key is missing or unknown.

    Example:
        >>> lookup_arch('s', dict(s=dict(depth=2)))
        {'depth': 2}
    """
    if isinstance(arch, str):
        if arch not in table:
            raise ValueError(f'arch must be one of {sorted(table)} or a dict, got {arch!r}')
        return dict(table[arch])
    wanted = set(next(iter(table.values())))
    if set(arch) != wanted:
        raise ValueError(
            f'arch must have the keys {sorted(wanted)}; missing: '
            f'{sorted(wanted - set(arch))}, unknown: '
            f'{sorted(set(arch) - wanted)}'
        )
    return dict(arch)


def require_patch(images: Tensor, patch_size: int) -> None:
    """Raise an error if images are smaller than one patch.

    Args:
        images: (B, C, H, W).
        patch_size: Side of a patch in pixels.

    Raises:
        ValueError: If H or W is below ``patch_size``.
    """
    height, width = images.shape[2:]
    # The range of sizes of an exported graph is fixed when it is exported.
    if not is_exporting() and min(height, width) < patch_size:
        raise ValueError(
            f'images must be at least {patch_size} x {patch_size} pixels (one '
            f'patch), got {height} x {width}'
        )


def is_pretrained(init_cfg: InitCfg) -> bool:
    """Whether MMEngine's ``init_cfg`` loads a checkpoint."""
    cfgs = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []
    return any(cfg['type'] == 'Pretrained' for cfg in cfgs)


def normalize_out_indices(
    out_indices: int | Sequence[int], num: int, name: str = 'out_indices'
) -> tuple[int, ...]:
    """``out_indices`` as a tuple of increasing, non-negative ints.

    Args:
        out_indices: One index or several; negative ones count from the end.
        num: Number of stages to choose from.
        name: Name of the argument in error messages.

    Raises:
        ValueError: If one is out of range, or they do not increase.

    Example:
        >>> normalize_out_indices((3, -1), 12)
        (3, 11)
    """
    given = out_indices
    if isinstance(out_indices, int):
        out_indices = (out_indices,)
    out_indices = tuple(i + num if i < 0 else i for i in out_indices)
    if not out_indices or any(not 0 <= i < num for i in out_indices):
        raise ValueError(f'{name} must be within {-num} and {num - 1}, got {given}')
    if any(a >= b for a, b in pairwise(out_indices)):
        raise ValueError(f'{name} must increase, got {given}')
    return out_indices
