"""Masks of segmentation that do not hold class indices."""

from collections.abc import Collection
from typing import Any

import numpy as np
from PIL import Image

# Modes of Pillow with one channel of indices: 8 bits, a palette, 1 bit.
INDEX_MODES = ('L', 'P', '1')
# 16 bits, which mmseg cuts to 8; of 32 bits, Pillow reads some as 'I'.
WIDE_MODES = ('I;16', 'I;16B', 'I;16L', 'I')


def mode_fault(image: Image.Image) -> str | None:
    """Say why an open mask does not hold one class index per pixel.

    Args:
        image: The mask, opened by Pillow.

    Returns:
        The reason and the cure; ``None`` if it may hold class indices.
    """
    if image.mode in INDEX_MODES:
        return None
    if image.mode not in WIDE_MODES:
        return (
            f'has {len(image.getbands())} channels (mode {image.mode}); a mask needs one 8-bit '
            'channel of class indices: replace each color by the index of its class'
        )
    largest = int(np.asarray(image).max())
    if largest <= 255:
        return None
    return (
        f'has 16 bits and labels up to {largest}; mmseg keeps 8 bits, so that '
        f'{largest} would become {largest % 256}: renumber the labels to 0..255'
    )


def label_fault(labels: np.ndarray, num_classes: int, ignored: Collection[int]) -> str | None:
    """Say which labels of a loaded mask belong to no class.

    Args:
        labels: (H, W) uint8, as the pipeline loaded it.
        num_classes: Labels 0 to ``num_classes - 1`` are classes.
        ignored: Labels that the loss ignores.

    Returns:
        The reason and the cure; ``None`` if all labels are allowed.

    Example:
        >>> label_fault(np.array([[0, 3, 255]], np.uint8), 3, {255})[:28]
        'has the labels 3, but 3 clas'
    """
    present = np.flatnonzero(np.bincount(labels.ravel()))
    wrong = [int(label) for label in present if label >= num_classes and label not in ignored]
    if not wrong:
        return None
    shown = ', '.join(map(str, wrong[:8])) + (', ...' if wrong[8:] else '')
    return (
        f'has the labels {shown}, but {num_classes} classes are labels 0 to '
        f'{num_classes - 1} (255 is ignored); correct the mask, metainfo.classes or num_classes'
    )


class MaskCheck:
    """A step of a pipeline, behind ``LoadAnnotations`` of mmseg.

    Args:
        num_classes: Number of classes; ``None`` if it is unknown.
        ignored: Labels that the loss ignores.
    """

    def __init__(self, num_classes: int | None, ignored: Collection[int]) -> None:
        self.num_classes = num_classes
        self.ignored = frozenset(ignored)

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Refuse a mask that does not fit its image or the classes.

        Args:
            results: With ``gt_seg_map`` and ``seg_map_path``.

        Returns:
            The same.

        Raises:
            BadMaskError: If the mask cannot be used.
        """
        mask, size = results['gt_seg_map'], tuple(results.get('ori_shape') or ())
        fault = _file_fault(results['seg_map_path'])
        if fault is None and size and mask.shape != size:
            fault = (
                f'is {mask.shape[1]} x {mask.shape[0]} pixels, but its image is '
                f'{size[1]} x {size[0]} as the pipeline reads it'
            )
        if fault is None and self.num_classes is not None:
            fault = label_fault(mask, self.num_classes, self.ignored)
        if fault is not None:
            raise BadMaskError(fault)
        return results


class BadMaskError(ValueError):
    """A mask was loaded, and must not be used."""


def _file_fault(path: str) -> str | None:
    """:func:`mode_fault` of a local file."""
    try:
        with Image.open(path) as image:
            return mode_fault(image)
    # Not a local file, or not for Pillow: mmseg has read it.
    except Exception:
        return None
