"""What is exported: a model from images to results, as one flat module."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ..utils.errors import UserError, in_one_line

# --with of each task; the first is the default.
RESULTS = {
    'detection': ('nms', 'decode', 'raw'),
    'segmentation': ('labels', 'logits'),
    'classification': ('logits',),
}


class Preprocessing(nn.Module):
    """The data preprocessor of a model, from uint8 images on.

    Args:
        preprocessor: Of mmdet, mmseg or mmpretrain.

    Attributes:
        flips: Whether the order of the channels is turned around.
        divisor: Images are padded at the right and the bottom to multiples of
            this many pixels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessor: nn.Module) -> None:
        super().__init__()
        names = ('_channel_conversion', 'channel_conversion', 'to_rgb')
        self.flips = any(bool(getattr(preprocessor, name, False)) for name in names)
        mean = getattr(preprocessor, 'mean', None)
        std = getattr(preprocessor, 'std', None)
        mean = torch.zeros(3, 1, 1) if mean is None else mean.detach().cpu().float()
        std = torch.ones(3, 1, 1) if std is None else std.detach().cpu().float()
        self.register_buffer('mean', mean.view(-1, 1, 1))
        self.register_buffer('std', std.view(-1, 1, 1))
        test_cfg = getattr(preprocessor, 'test_cfg', None) or {}
        divisor = test_cfg.get('size_divisor') or getattr(preprocessor, 'pad_size_divisor', 1)
        self.divisor = int(divisor or 1)
        # mmdet's name and mmseg's.
        values = (getattr(preprocessor, name, None) for name in ('pad_value', 'pad_val'))
        self.pad_value = float(next((value for value in values if value), 0))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), uint8 -> normalized and padded, float32."""
        return self.pad(self.normalize(images))

    def normalize(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), uint8 -> normalized, float32."""
        x = images.float()
        if self.flips:
            x = x[:, [2, 1, 0]]
        return (x - self.mean) / self.std

    def pad(self, x: Tensor) -> Tensor:
        """Pad normalized images to multiples of the divisor."""
        if self.divisor > 1:
            rows, columns = (-side % self.divisor for side in x.shape[2:])
            x = F.pad(x, (0, columns, 0, rows), value=self.pad_value)
        return x


class Graph(nn.Module):
    """A model with its preprocessing, and named outputs.

    Args:
        model: A detector, segmentor or classifier, in evaluation mode.
        uint8: Whether images come as uint8 in the order of the loader, and are
            normalized inside; or normalized, as float32.

    Attributes:
        outputs: Names of what ``forward`` returns, in order.
        dtype: Of the weights; outputs are float32 whatever it is.
    """

    outputs: tuple[str, ...] = ()
    dtype = torch.float32
    # Modules of toolboxes have attributes that nn.Module does not know.
    model: Any
    preprocessing: Preprocessing

    def __init__(self, model: nn.Module, uint8: bool = True) -> None:
        super().__init__()
        self.model = model
        self.preprocessing = Preprocessing(self.model.data_preprocessor)
        self.uint8 = uint8

    def normalized(self, images: Tensor) -> Tensor:
        """uint8 images as a graph takes them that does not normalize."""
        return self.preprocessing.normalize(images)

    def prepare(self, images: Tensor) -> Tensor:
        """Normalized and padded images."""
        images = self.preprocessing(images) if self.uint8 else self.preprocessing.pad(images)
        return images.to(self.dtype)


class ClassifierGraph(Graph):
    """A classifier of mmpretrain; gives logits, (B, classes)."""

    outputs = ('logits',)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> logits."""
        return (self.model(self.prepare(images), mode='tensor').float(),)


class SegmentorGraph(Graph):
    """A segmentor of mmseg, at the size of its input.

    Args:
        model: An ``EncoderDecoder``.
        uint8: See :class:`Graph`.
        labels: Whether the likeliest class of each pixel is given,
            (B, H, W), uint8 (int32 beyond 256 classes); or logits,
            (B, classes, H, W).
    """

    def __init__(self, model: nn.Module, uint8: bool = True, labels: bool = True) -> None:
        super().__init__(model, uint8)
        self.labels = labels
        self.outputs = ('labels' if labels else 'logits',)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> labels or logits."""
        x = self.prepare(images)
        logits = self.model(x, mode='tensor').float()
        logits = F.interpolate(
            logits, x.shape[2:], mode='bilinear', align_corners=self.model.align_corners
        )
        # Padding goes again, as mmseg's `postprocess_result` has it.
        logits = logits[:, :, : images.shape[2], : images.shape[3]]
        if not self.labels:
            return (logits,)
        head = self.model.decode_head
        if head.out_channels == 1:
            mask = (logits.sigmoid() > head.threshold)[:, 0]
        else:
            mask = logits.argmax(1)
        return (mask.to(torch.uint8 if head.num_classes <= 256 else torch.int32),)


class DetectorGraph(Graph):
    """A detector of mmdet to the raw maps of its head.

    Args:
        model: A detector whose ``mode='tensor'`` gives maps.
        uint8: See :class:`Graph`.
    """

    def __init__(self, model: nn.Module, uint8: bool = True) -> None:
        super().__init__(model, uint8)
        self.outputs = _names_of_maps(model)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> logits of classes and boxes of each level."""
        maps = tree_leaves(self.model(self.prepare(images), mode='tensor'))
        return tuple(each.float() for each in maps)


@torch.no_grad()
def _names_of_maps(model: nn.Module) -> tuple[str, ...]:
    """What a detector's head gives, by its strides; by number where it has none.

    Raises:
        UserError: If the detector gives no maps, as those of two stages.
    """
    try:
        maps = tree_leaves(model(torch.zeros(1, 3, 64, 64), mode='tensor'))
    # Detectors raise anything where they need boxes or queries to start from.
    except Exception as error:
        raise UserError(
            f"{type(model).__name__} cannot be exported: its mode='tensor' gives no maps for an "
            f'image alone ({in_one_line(error)}); detectors of one stage do'
        ) from error
    generator = getattr(getattr(model, 'bbox_head', None), 'prior_generator', None)
    strides = _strides(model) if hasattr(generator, 'strides') else []
    # YOLOX and FCOS give a third map.
    names = ('scores', 'boxes', 'objectness')
    if strides and len(maps) in (2 * len(strides), 3 * len(strides)):
        groups = names[: len(maps) // len(strides)]
        return tuple(f'{name}_{stride}' for name in groups for stride in strides)
    return tuple(f'map_{i}' for i in range(len(maps)))


class PicoDetGraph(Graph):
    """PicoDet to boxes and scores of every prior, without NMS.

    No TopK, no NMS, no control flow: what accelerators run as it is.

    Args:
        model: A detector with ``PicoDetHead``.
        uint8: See :class:`Graph`.
    """

    outputs = ('boxes', 'scores')

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Boxes and scores.

        Args:
            images: (B, 3, H, W).

        Returns:
            Boxes (B, P, 4), corners in pixels of the input, cut at its border;
            and scores (B, classes, P) in [0, 1].
        """
        head = self.model.bbox_head
        x = self.prepare(images)
        maps, bins = self.model(x, mode='tensor')
        strides = _strides(self.model)
        scores = torch.cat([level.flatten(2) for level in maps], dim=2).float().sigmoid()
        num_bins = head.reg_max + 1
        bins = torch.cat([level.flatten(2) for level in bins], dim=2).float()
        bins = bins.unflatten(1, (4, num_bins)).softmax(2)
        steps = torch.arange(num_bins, dtype=torch.float32, device=bins.device)
        sides = (bins * steps[:, None]).sum(2).transpose(1, 2)  # (B, P, 4), in strides
        centers, scale = grid_centers(maps, strides)
        sides = sides * scale
        limits = [images.shape[3], images.shape[2]] * 2
        corners = torch.cat((centers - sides[..., :2], centers + sides[..., 2:]), dim=2)
        columns = [corners[..., i].clamp(min=0, max=limits[i]) for i in range(4)]
        return torch.stack(columns, dim=2), scores


def grid_centers(maps: Sequence[Tensor], strides: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Centers of all priors, (P, 2) in pixels, and their strides, (P, 1).

    Args:
        maps: A map per level, (B, C, H, W).
        strides: Of each level, in pixels.

    Example:
        >>> grid_centers([torch.zeros(1, 1, 1, 2)], (8,))[0]
        tensor([[ 4.,  4.],
                [12.,  4.]])
    """
    centers, scales = [], []
    for level, stride in zip(maps, strides, strict=True):
        rows, columns = (
            (torch.arange(side, device=level.device, dtype=torch.float32) + 0.5) * stride
            for side in level.shape[2:]
        )
        grid = torch.stack(torch.meshgrid(columns, rows, indexing='xy'), dim=-1).flatten(0, 1)
        centers.append(grid)
        scales.append(torch.full_like(grid[:, :1], stride))
    return torch.cat(centers), torch.cat(scales)


def _strides(model: Any) -> list[int]:
    strides = model.bbox_head.prior_generator.strides
    return [stride[0] if isinstance(stride, tuple) else stride for stride in strides]


def in_half(graph: Graph) -> Graph:
    """A copy whose network computes in float16; boxes are decoded in float32."""
    half = copy.deepcopy(graph)
    half.model.half()
    half.dtype = torch.float16
    return half


def has_picodet_head(model: nn.Module) -> bool:
    """Whether a detector's boxes can be decoded in a graph of our own."""
    from ..models import PicoDetHead

    return isinstance(getattr(model, 'bbox_head', None), PicoDetHead)


def _require_exportable(model: nn.Module) -> None:
    """Refuse models that predict in a way which no exported file does."""
    test_cfg = getattr(model, 'test_cfg', None) or {}
    if test_cfg.get('mode') == 'slide':
        raise UserError(
            "test_cfg.mode='slide' moves a window over the image, which no exported file does; "
            'give --cfg-options model.test_cfg.mode=whole'
        )
    head = type(getattr(model, 'head', None)).__name__
    if head.startswith('MultiLabel') or head.startswith('CSRA'):
        raise UserError(f'{head} gives several labels an image, which cannot be exported')


def build_graph(model: nn.Module, task: str, results: str, uint8: bool = True) -> Graph:
    """The module that is exported.

    Args:
        model: In evaluation mode, fused for deployment.
        task: ``'detection'``, ``'segmentation'`` or ``'classification'``.
        results: One of :data:`RESULTS` of the task. NMS is not part of the
            module, see :mod:`.suppression`.
        uint8: See :class:`Graph`.

    Raises:
        UserError: If this model cannot give these results.
    """
    if results not in RESULTS[task]:
        raise UserError(f'--with {results} is not for {task}; choose {" or ".join(RESULTS[task])}')
    _require_exportable(model)
    if task == 'classification':
        return ClassifierGraph(model, uint8)
    if task == 'segmentation':
        return SegmentorGraph(model, uint8, labels=results == 'labels')
    if results == 'raw':
        return DetectorGraph(model, uint8)
    if not has_picodet_head(model):
        head = type(getattr(model, 'bbox_head', model)).__name__
        raise UserError(
            f'--with {results} decodes the boxes of PicoDetHead, and this detector has {head}; '
            'use --with raw, which gives the maps of its head'
        )
    return PicoDetGraph(model, uint8)
