"""Anchor maps: which parts of an image each anchor gathers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..utils.errors import UserError
from ..utils.files import PathLike, replacing
from .capture import CapturedLayer, capture
from .views import View


@dataclass(frozen=True)
class AnchorLayer:
    """The anchors of one attention, for one image.

    Args:
        captured: Their weights.
        view: The image.
    """

    captured: CapturedLayer
    view: View

    @property
    def name(self) -> str:
        """Name of the attention in the network."""
        return self.captured.name

    @property
    def num_heads(self) -> int:
        """Number of heads."""
        return self.captured.mix.num_heads

    @property
    def share(self) -> np.ndarray:
        """The part of all tokens that each anchor gathers, (heads, M); sums to 1."""
        return self.captured.mix.share.numpy()

    @property
    def in_use(self) -> np.ndarray:
        """How many anchors are in use, (heads,): the exponential of the entropy of ``share``."""
        return self.captured.mix.in_use.numpy()

    @property
    def contrast(self) -> np.ndarray:
        """How clearly the anchors divide the image, (heads,), 0 to log M."""
        return self.captured.mix.contrast.numpy()

    def clearest_head(self) -> int:
        """The head whose anchors divide the image most clearly."""
        return int(self.contrast.argmax())

    def strongest(self, head: int, number: int) -> list[int]:
        """The anchors that gather most, the strongest first."""
        return np.argsort(-self.share[head], kind='stable')[:number].tolist()

    def maps(self, head: int, anchors: Sequence[int] | None = None) -> np.ndarray:
        """How much of each part of the image goes to each anchor.

        Args:
            head: Index of the head.
            anchors: Indices of anchors; ``None`` takes all.

        Returns:
            A at image size, (anchors, H, W) float32, 0 to 1; NaN where the
            network sees nothing. Over all anchors a pixel sums to 1.
        """
        tokens = self._tokens(head)
        tokens = tokens if anchors is None else tokens[..., list(anchors)]
        return np.moveaxis(self.view.to_image(tokens, self.captured.inputs), 2, 0)

    def partition(self, head: int) -> np.ndarray:
        """The anchor that gets most of each pixel, (H, W) int64; -1 where nothing is seen."""
        tokens = self._tokens(head).argmax(axis=2)
        pixels = self.view.to_image(tokens, self.captured.inputs, cv2.INTER_NEAREST)
        return np.nan_to_num(pixels, nan=-1).round().astype(int)

    def mix_at(self, x: float, y: float, head: int) -> tuple[np.ndarray, np.ndarray, float]:
        """What the output of the token at a pixel is composed of.

        Args:
            x: Column of the pixel, from 0.
            y: Row of the pixel, from 0.
            head: Index of the head.

        Returns:
            The weights of the anchors, (M,), which sum to 1; through them the
            weights of all tokens as a map at image size, (H, W) float32, each
            pixel with the weight of its token; and the weight of the extra
            tokens, such as a class token. The weights of the tokens of the map
            and of the extra tokens sum to 1.
        """
        captured = self.captured
        token = self.view.token_at(x, y, captured.outputs)
        weights, row = (each[head].numpy() for each in captured.mix.sources(token))
        where = captured.inputs
        extra, row = float(row[: where.num_extra].sum()), row[where.num_extra :]
        pixels = self.view.to_image(row.reshape(where.height, where.width), where)
        return weights, pixels, extra

    def _tokens(self, head: int) -> np.ndarray:
        """A of the tokens that form the map, (h, w, M)."""
        where = self.captured.inputs
        assign = self.captured.mix.assign[head, where.num_extra :].numpy()
        return assign.reshape(where.height, where.width, -1)


@dataclass(frozen=True)
class AnchorExplanation:
    """What the anchors of a model look at in one image; by :func:`mmanchor.explain`.

    Args:
        layers: The chosen attentions, in order of depth.
        numbers: Their place among all attentions of the model, from 0.
        num_layers: Number of attentions with anchors in the model.
        heads: The head that is drawn in each layer.
        view: The image.
        at: A pixel (x, y) whose output is taken apart; ``None`` for none.
        num_maps: Number of anchors that are drawn.
    """

    layers: Sequence[AnchorLayer]
    numbers: Sequence[int]
    num_layers: int
    heads: Sequence[int]
    view: View
    at: tuple[float, float] | None = None
    num_maps: int = 4

    @property
    def image(self) -> np.ndarray:
        """The image, (H, W, 3) uint8, RGB."""
        return self.view.image

    def draw(self) -> np.ndarray:
        """The sheet, (H, W, 3) uint8, RGB."""
        from .anchor_sheets import draw_anchors

        return draw_anchors(self)

    def save(self, path: PathLike) -> Path:
        """Write the sheet; the suffix chooses the format."""
        return save_image(self.draw(), path)


def explain_anchors(
    view: View,
    captured: Sequence[CapturedLayer],
    layers: Sequence[int] | None = None,
    head: int | None = None,
    at: tuple[float, float] | None = None,
    num_maps: int = 4,
) -> AnchorExplanation:
    """Choose layers and heads.

    Args:
        view: The image.
        captured: The anchors' weights of all layers.
        layers: From 0, negative ones count from the end; ``None`` takes the
            first, the middle and the last.
        head: Index of the head; ``None`` takes in each layer the one whose
            anchors divide the image most clearly.
        at: A pixel (x, y) whose output is taken apart.
        num_maps: Number of anchors that are drawn, the strongest.

    Raises:
        UserError: If there is no such layer, head or pixel.
    """
    count = len(captured)
    if layers is None:
        layers = sorted({0, (count - 1) // 2, count - 1})
    wrong = [number for number in layers if not -count <= number < count]
    if wrong or not layers:
        raise UserError(
            f'--layers {wrong[0] if wrong else "()"} is not there: the model has {count} layers '
            f'with anchors, 0 to {count - 1}'
        )
    if num_maps < 1:
        raise UserError(f'--anchors must be 1 or more, got {num_maps}')
    numbers = sorted({number % count for number in layers})
    chosen = [AnchorLayer(captured[number], view) for number in numbers]
    for layer in chosen:
        if head is not None and not 0 <= head < layer.num_heads:
            raise UserError(
                f'--head {head} is not there: {layer.name} has {layer.num_heads} heads, '
                f'0 to {layer.num_heads - 1}'
            )
        if at is not None:
            view.token_at(*at, layer.captured.outputs)
    heads = [layer.clearest_head() if head is None else head for layer in chosen]
    return AnchorExplanation(chosen, numbers, count, heads, view, at, num_maps)


def save_image(image: np.ndarray, path: PathLike) -> Path:
    """Write an image (H, W, 3) uint8, RGB, whole or not at all."""
    with replacing(path) as part:
        Image.fromarray(image).save(part)
    return Path(path)


__all__ = ['AnchorExplanation', 'AnchorLayer', 'capture', 'explain_anchors', 'save_image']
