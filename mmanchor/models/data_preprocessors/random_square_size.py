"""Resize each batch to a random square size."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.logging import MessageHub
from torch import Tensor, nn

from ...registry import MODELS
from ...utils.seeding import mix_seed


@MODELS.register_module()
class RandomSquareSize(nn.Module):
    """Resize every batch to a square whose size is drawn in each iteration.

    It is used in ``batch_augments`` of mmdet's ``DetDataPreprocessor``. Unlike
    mmdet's ``BatchSyncRandomResize`` it has no state: the size depends only
    on the seed of the run and the iteration. A resumed run therefore sees the
    same sizes as an uninterrupted one, and all processes agree without
    communication.

    Args:
        sizes: Sides of the squares to draw from, in pixels.

    Raises:
        ValueError: If ``sizes`` is empty or a side is below 1.

    Example:
        >>> from mmdet.testing import demo_mm_inputs
        >>> data = demo_mm_inputs(1, [(3, 64, 64)])
        >>> images, _ = RandomSquareSize([96])(
        ...     data['inputs'][0][None].float(), data['data_samples']
        ... )
        >>> tuple(images.shape)
        (1, 3, 96, 96)
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        if not sizes or min(sizes) < 1:
            raise ValueError(f'sizes must be one or more sides of at least 1 pixel, got {sizes}')
        self.sizes = tuple(sizes)

    def forward(
        self, inputs: Tensor, data_samples: list[DetDataSample]
    ) -> tuple[Tensor, list[DetDataSample]]:
        """Resize a batch and its boxes.

        Args:
            inputs: Images, (B, 3, H, W).
            data_samples: Their annotations, with boxes in pixels as tensors;
                modified in place.

        Returns:
            Resized images, (B, 3, size, size), and annotations.
        """
        side = self._draw()
        height, width = inputs.shape[-2:]
        if (height, width) == (side, side):
            return inputs, data_samples
        inputs = F.interpolate(inputs, size=(side, side), mode='bilinear', align_corners=False)
        scale = inputs.new_tensor((side / width, side / height) * 2)
        for sample in data_samples:
            sample.set_metainfo(
                dict(
                    batch_input_shape=(side, side),
                    img_shape=_resized(sample.img_shape, scale),
                    pad_shape=(side, side),
                )
            )
            sample.gt_instances.bboxes = sample.gt_instances.bboxes * scale
            if 'ignored_instances' in sample:
                ignored = sample.ignored_instances
                ignored.bboxes = ignored.bboxes * scale
        return inputs, data_samples

    def _draw(self) -> int:
        """The size of this iteration."""
        hub = MessageHub.get_current_instance()
        seed = mix_seed(hub.get_info('seed') or 0, hub.get_info('iter', 0), 2)
        return self.sizes[seed % len(self.sizes)]


def _resized(shape: Sequence[int], scale: Tensor) -> tuple[int, int]:
    """Height and width of an image after resizing."""
    across, down = scale[:2].tolist()
    return round(shape[0] * down), round(shape[1] * across)
