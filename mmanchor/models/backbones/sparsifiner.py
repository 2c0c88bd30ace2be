"""Sparsifiner: a DeiT whose tokens attend to a few predicted tokens."""

import re
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from mmengine.utils import to_2tuple
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.sparsifiner import SparseMacs, SparsifinerBlock, check_keep_rate, resize_basis_axis
from ..layers.token_layout import TokenLayout
from .anchorformer import TOKEN_TYPES, AnchorFormer

# Arguments of AnchorFormer that do not apply here.
NOT_OURS = ('attention', 'num_anchors', 'deploy', 'chunk_tokens')


@MODELS.register_module()
class Sparsifiner(AnchorFormer):
    """Vision transformer in the layout of DeiT with learned sparse attention.

    Sparsifiner (arXiv 2303.13755). Beyond the released code: images of any
    size, feature maps, an execution that computes only the kept pairs, and
    pruned tokens that are left out instead of zeroed.

    The predictor of the pairs is trained by :meth:`auxiliary_losses` alone.
    In a config of any toolbox, either the hook ``mmanchor.AuxiliaryLossHook``
    or the model type :func:`mmanchor.WithAuxiliaryLosses` adds them to the
    losses of the model. Without, the predictor stays random, and a warning
    says so.

    Args:
        arch: As in :class:`AnchorFormer`.
        img_size: Image size in pixels, (H, W) or one side, that
            position-dependent weights are made for; for images of another
            size they are resized.
        patch_size: Side of a patch in pixels.
        extra_tokens: As in :class:`AnchorFormer`. Their rows of the attention
            stay dense; pruning needs the class token.
        keep_rates: Share of the tokens that a token attends to, in (0, 1],
            for all layers or one for each.
        prune_after: Layers that prune tokens, increasing. They keep the
            patches that their class token attends to most.
        token_keep_rates: Share of all patches that is left after each of
            these layers, in (0, 1], decreasing. In feature maps a pruned patch
            has the features it was pruned with.
        execution: 'masked' or 'gathered', see ``SparsifinerAttention``.
        num_basis: Number of basis vectors; ``None`` takes a sixth of the
            number of tokens.
        num_coefficients: How many of a token's coefficients are used, the
            largest ones.
        basis_threshold: Entries of the basis up to this value count as 0.
        reconstruction_weight: Weight of the reconstruction loss.
        **kwargs: Other arguments of :class:`AnchorFormer`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> model = Sparsifiner('tiny', img_size=64, keep_rates=0.5)
        >>> [tuple(x.shape) for x in model(torch.rand(1, 3, 64, 96))]
        [(1, 192, 4, 6)]
    """

    block_type = SparsifinerBlock

    def __init__(
        self,
        arch: str | dict = 'small',
        *,
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        extra_tokens: Sequence[str] = (),
        keep_rates: float | Sequence[float] = 0.25,
        prune_after: Sequence[int] = (),
        token_keep_rates: Sequence[float] = (),
        execution: str = 'masked',
        num_basis: int | None = None,
        num_coefficients: int = 8,
        basis_threshold: float = 0.02,
        reconstruction_weight: float = 1.0,
        **kwargs,
    ) -> None:
        unknown = sorted(set(kwargs).intersection(NOT_OURS))
        if unknown:
            raise TypeError(f'Sparsifiner has no arguments {unknown}')
        attention = dict(
            type='mmanchor.SparsifinerAttention',
            grid=tuple(-(-side // patch_size) for side in to_2tuple(img_size)),
            num_extra=len(extra_tokens),
            execution=execution,
            num_basis=num_basis,
            num_coefficients=num_coefficients,
            basis_threshold=basis_threshold,
        )
        super().__init__(
            arch,
            img_size=img_size,
            patch_size=patch_size,
            extra_tokens=extra_tokens,
            attention=attention,
            **kwargs,
        )
        self.reconstruction_weight = reconstruction_weight
        self._losses: list[Tensor] = []
        self._set_keep_rates(keep_rates)
        self._set_pruning(tuple(prune_after), tuple(token_keep_rates))

    def _set_keep_rates(self, rates: float | Sequence[float]) -> None:
        each = rates if isinstance(rates, Sequence) else (rates,) * self.num_layers
        if len(each) != self.num_layers:
            raise ValueError(
                'keep_rates must be one number or one for each '
                f'of {self.num_layers} layers, got {len(each)}'
            )
        # Layers after the last of out_indices are not built.
        for layer, rate in zip(self.layers, each, strict=False):
            layer.attn.keep_rate = check_keep_rate(rate, 'keep_rates')

    def _set_pruning(self, layers: tuple[int, ...], rates: tuple[float, ...]) -> None:
        if len(layers) != len(rates):
            raise ValueError(
                'token_keep_rates must have a rate for each layer of '
                f'prune_after={layers}, got {rates}'
            )
        if layers and not self.extra_tokens:
            raise ValueError(
                "prune_after needs extra_tokens=('cls', ), as the class token chooses, got ()"
            )
        increasing = all(a < b for a, b in pairwise((-1, *layers)))
        if not increasing or (layers and layers[-1] >= len(self.layers)):
            raise ValueError(
                f'prune_after must increase from 0 to at most {len(self.layers) - 1}, got {layers}'
            )
        if any(b > a for a, b in pairwise(rates)):
            raise ValueError(
                f'token_keep_rates are shares of all patches and must not increase, got {rates}'
            )
        for layer, rate in zip(layers, rates, strict=True):
            self.layers[layer].token_keep_rate = check_keep_rate(rate, 'token_keep_rates')

    def forward(self, x: Tensor) -> tuple[Any, ...]:
        """As :meth:`AnchorFormer.forward`; in training it keeps the losses."""
        if self._losses:  # torch 2.4 cannot export a graph that sets an attribute
            if self.training:
                warnings.warn(
                    'nothing collects the losses that train the predictor of Sparsifiner, so '
                    'that it stays random; add mmanchor.AuxiliaryLossHook to custom_hooks, or '
                    "give the model type='mmanchor.WithAuxiliaryLosses'",
                    stacklevel=2,
                )
            self._losses = []
        return super().forward(x)

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """Return the losses of the last forward pass, and forget them.

        Returns:
            ``loss_reconstruction``, the mean over the layers times
            ``reconstruction_weight``, after a forward pass in training; else
            an empty dict.
        """
        losses, self._losses = self._losses, []
        if not losses:
            return {}
        loss = torch.stack(losses).mean() * self.reconstruction_weight
        return dict(loss_reconstruction=loss)

    def attention_macs(self, size: int | tuple[int, int]) -> list[SparseMacs]:
        """Multiply-adds of each layer's attention for one image.

        Args:
            size: (H, W) of the image or one side, in pixels.

        Returns:
            For each layer those that are executed and those that are kept.
        """
        height, width = (-(-side // self.patch_size) for side in to_2tuple(size))
        layout = TokenLayout((height, width), len(self.extra_tokens))
        num_left, macs = layout.num_tokens, []
        for layer in self.layers:
            macs.append(layer.attn.macs(layout, num_left))
            num_left = min(num_left, layout.num_extra + layer.num_kept(layout))
        return macs

    def _run_layer(
        self, layer: nn.Module, x: Tensor, layout: TokenLayout
    ) -> tuple[Tensor, TokenLayout]:
        x, layout, loss = self._call_layer(layer, x, layout)
        if loss is not None:
            self._losses.append(loss)
            x = _InGraph.apply(x, loss)
        if layer is self.layers[-1] and self.out_type not in TOKEN_TYPES:
            # Before the last normalization, which pruned patches need, too.
            x = layout.restore(x)
            layout = TokenLayout(layout.hw_shape, layout.num_extra)
        return x, layout

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Resize the checkpoint's per-token weights if needed."""
        num_extra = sum(f'{prefix}{token}_token' in state_dict for token in ('cls', 'dist'))
        own = dict(self.named_parameters())
        for name in list(state_dict):
            ours = name[len(prefix) :]
            if (
                name.startswith(prefix)
                and ours in own
                and re.search(r'\.predictor\.(compress|basis)$', ours)
            ):
                state_dict[name] = self._fit_predictor(
                    state_dict[name], own[ours], num_extra, ours.endswith('basis')
                )
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @torch.no_grad()
    def _fit_predictor(self, loaded: Tensor, own: Tensor, num_extra: int, is_basis: bool) -> Tensor:
        """Resize a predictor's (n, k) weights to (N, K).

        See :func:`~..layers.sparsifiner.resize_token_axis`, and
        :func:`~..layers.sparsifiner.resize_basis_axis` for K.
        """
        if loaded.dim() != 2 or loaded.shape[0] <= num_extra or not loaded.shape[1]:
            return loaded  # torch reports the sizes, as for any parameter
        if loaded.shape[1] != own.shape[1]:
            loaded = resize_basis_axis(loaded, own.shape[1])
        num_patches = loaded.shape[0] - num_extra
        fitted = self._fit_tokens(loaded[None], own[None], num_extra)[0]
        own_extra = len(self.extra_tokens)
        if not is_basis and fitted.shape == own.shape:
            ratio = num_patches / (len(own) - own_extra)
            fitted = torch.cat((fitted[:own_extra], fitted[own_extra:] * ratio))
        return fitted


class _InGraph(torch.autograd.Function):
    """Give a loss a zero gradient from tokens, which it does not change.

    The parameters behind the loss then have a gradient in every training step,
    as DistributedDataParallel requires, also if nothing collects the loss.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, loss: Tensor) -> Tensor:
        ctx.loss_like = loss.new_zeros(())
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        return grad, ctx.loss_like
