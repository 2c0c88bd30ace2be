"""Sparsifiner: a DeiT whose tokens attend to a few predicted tokens."""

import re
import warnings
from collections.abc import Sequence

import torch
from mmengine.utils import to_2tuple
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.sparse_attention import check_keep_rate, resize_basis_axis
from ..layers.sparse_macs import SparseMacs
from ..layers.sparsifiner_block import SparsifinerBlock
from ..layers.token_pruning import TokenLayout
from .anchorformer import AnchorFormer

# Arguments of AnchorFormer that have no meaning here.
NOT_OURS = ('attention', 'num_anchors', 'deploy', 'chunk_tokens')


@MODELS.register_module()
class Sparsifiner(AnchorFormer):
    """Vision transformer of DeiT's layout with learned sparse attention.

    Sparsifiner (arXiv 2303.13755). Beyond the released code: any image size,
    feature maps, a path that multiplies the kept pairs alone, and pruned
    tokens that are really left out. The predictor of the pairs learns from
    :meth:`auxiliary_losses` alone, which the hook
    ``mmanchor.AuxiliaryLossHook`` adds to the losses of any model.

    Args:
        arch: As :class:`AnchorFormer` has it.
        img_size: Image size in pixels, (H, W) or one side, that
            position-dependent weights are made for; any other resizes them.
        patch_size: Side of a patch in pixels.
        extra_tokens: As :class:`AnchorFormer` has them. Their rows of the
            attention stay dense; pruning needs the class token.
        keep_rates: Share of the tokens that a token attends to, in (0, 1]:
            one for all layers or one for each.
        prune_after: Layers that prune tokens, increasing; they keep the
            patches to which their class token attends most.
        token_keep_rates: Share of all patches that is left after each of
            them, in (0, 1], decreasing. Maps show a pruned patch as it was
            when it was pruned.
        execution: 'masked' or 'gathered', see ``SparsifinerAttention``.
        num_basis: Number of basis vectors; ``None`` takes a sixth of the
            number of tokens.
        num_coefficients: How many of a token's coefficients count.
        basis_threshold: Entries of the basis up to it count as 0.
        reconstruction_weight: Factor on the reconstruction loss.
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
        if isinstance(rates, (int, float)):
            rates = (rates,) * self.num_layers
        if len(rates) != self.num_layers:
            raise ValueError(
                'keep_rates must be one number or one for each '
                f'of {self.num_layers} layers, got {len(rates)}'
            )
        for layer, rate in zip(self.layers, rates):
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
        if any(b <= a for a, b in zip((-1, *layers), layers)) or any(
            layer >= len(self.layers) for layer in layers
        ):
            raise ValueError(
                f'prune_after must increase from 0 to at most {len(self.layers) - 1}, got {layers}'
            )
        if any(b > a for a, b in zip(rates, rates[1:])):
            raise ValueError(
                f'token_keep_rates are shares of all patches and must not increase, got {rates}'
            )
        for layer, rate in zip(layers, rates):
            self.layers[layer].token_keep_rate = check_keep_rate(rate, 'token_keep_rates')

    def forward(self, x: Tensor) -> tuple:
        """As :meth:`AnchorFormer.forward`; it notes losses in training."""
        if self._losses:  # torch 2.4 exports nothing that sets an attribute
            if self.training:
                warnings.warn(
                    'nothing takes the losses by which Sparsifiner '
                    'learns to predict; add '
                    'mmanchor.AuxiliaryLossHook to custom_hooks'
                )
            self._losses = []
        return super().forward(x)

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """Losses of the last forward, which are forgotten by that.

        Returns:
            After a forward in training ``loss_reconstruction``, the mean of
            the layers times ``reconstruction_weight``; else nothing.
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
            For each layer what is executed and what is kept, apart.
        """
        layout = TokenLayout(
            tuple(-(-side // self.patch_size) for side in to_2tuple(size)), len(self.extra_tokens)
        )
        num_left, macs = layout.num_tokens, []
        for layer in self.layers:
            macs.append(layer.attn.macs(layout, num_left))
            num_left = min(num_left, layout.num_extra + layer.num_kept(layout))
        return macs

    def _run_layer(
        self, layer: nn.Module, x: Tensor, layout: TokenLayout | tuple[int, int]
    ) -> tuple:
        if not isinstance(layout, TokenLayout):
            layout = TokenLayout(tuple(layout), len(self.extra_tokens))
        (x, layout, loss), _ = super()._run_layer(layer, x, layout)
        if loss is not None:
            self._losses.append(loss)
        if layer is self.layers[-1] and self._gives_maps(self.out_type):
            # Before the last norm, which pruned patches need too.
            x = layout.restore(x)
            layout = TokenLayout(layout.hw_shape, layout.num_extra)
        return x, layout

    def _format_output(self, x: Tensor, layout: TokenLayout):
        if self._gives_maps(self.out_type):
            x = layout.restore(x)
        return super()._format_output(x, layout.hw_shape)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Fit the checkpoint's weights of tokens to this model first."""
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
        """A checkpoint's (n, k) weights of a predictor as (N, K).

        See :func:`~..layers.sparse_attention.resize_token_axis`, and
        :func:`~..layers.sparse_attention.resize_basis_axis` for K.
        """
        if loaded.dim() != 2 or loaded.shape[0] <= num_extra or (not loaded.shape[1]):
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
