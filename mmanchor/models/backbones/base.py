"""What every backbone of ours does: sizes, out_indices, freezing."""

from collections.abc import Iterable, Mapping, Sequence

from mmengine.model import BaseModule
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn

from ..layers.exporting import is_exporting


class BaseBackbone(BaseModule):
    """Freezing, and lookups that give the same errors everywhere.

    A subclass calls :meth:`_init_freezing` at the end of its constructor and
    says by :meth:`_stages` which modules or parameters a stage has.

    Args:
        frozen_stages: Stages 0 to this one are frozen, and stay so after
            ``.train()``; -1 freezes nothing.
        norm_eval: Whether batch normalisations keep their statistics also
            while training.
        init_cfg: MMEngine's initialisation config.
    """

    def __init__(
        self,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | list[dict] | None = None,
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


def lookup_arch(arch: str | Mapping, table: dict[str, dict]) -> dict:
    """Settings of a size, by name or given as a dict with the same keys.

    Args:
        arch: A key of ``table`` or a dict that has all keys of its rows.
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
    """Refuse images that are smaller than one patch.

    Args:
        images: (B, C, H, W).
        patch_size: Side of a patch in pixels.

    Raises:
        ValueError: If H or W is below ``patch_size``.
    """
    height, width = images.shape[2:]
    # An exported graph is told its range of sizes when it is made.
    if not is_exporting() and min(height, width) < patch_size:
        raise ValueError(
            f'images must be at least {patch_size} x {patch_size} pixels, one '
            f'patch, got {height} x {width}'
        )


def is_pretrained(init_cfg: dict | list[dict] | None) -> bool:
    """Whether MMEngine's ``init_cfg`` loads a checkpoint."""
    cfgs = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []
    return any(cfg['type'] == 'Pretrained' for cfg in cfgs)


def normalize_out_indices(
    out_indices: int | Sequence[int], num: int, name: str = 'out_indices'
) -> tuple:
    """``out_indices`` as a tuple of increasing, non-negative ints.

    Args:
        out_indices: One index or several; negative ones count from the end.
        num: How many stages there are to choose from.
        name: What errors call the argument.

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
    if any(a >= b for a, b in zip(out_indices, out_indices[1:])):
        raise ValueError(f'{name} must increase, got {given}')
    return out_indices
