"""Handwritten digits that come with scikit-learn: real data, no download."""

import cv2
import numpy as np
from mmpretrain.datasets import BaseDataset

from ..registry import DATASETS

# Of 1797 images. They are in the order of their writers, so most writers of the
# test images wrote none of the training images.
NUM_TRAIN = 1347
LARGEST_VALUE = 16


@DATASETS.register_module()
class Digits(BaseDataset):
    """scikit-learn's ``load_digits`` in mmpretrain's format.

    1797 images of 8 x 8 pixels in 17 shades, part of UCI's "Optical
    Recognition of Handwritten Digits": the first 1347 for training, the last
    450 for testing.

    Args:
        split: 'train' or 'test'.
        img_size: Side to which the images are enlarged (pixels).
        **kwargs: As mmpretrain's ``BaseDataset`` has them.

    Raises:
        ValueError: If ``split`` is another word, or ``img_size`` is not a size.
        ImportError: If scikit-learn is not installed.

    Example:
        >>> data = Digits(split='test')
        >>> len(data), data[0]['img'].shape, data[0]['gt_label']
        (450, (32, 32, 3), 3)
    """

    METAINFO = dict(classes=tuple('0123456789'))  # noqa: RUF012 (MMEngine's name)

    def __init__(self, split: str = 'train', img_size: int = 32, **kwargs) -> None:
        if split not in ('train', 'test'):
            raise ValueError(f"split must be 'train' or 'test', got {split!r}")
        if not isinstance(img_size, int) or img_size < 1:
            raise ValueError(f'img_size must be a whole number of at least 1, got {img_size!r}')
        self.split = split
        self.img_size = img_size
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the split.

        Returns:
            For each image ``img``, (img_size, img_size, 3) uint8, its
            sizes, and ``gt_label``.
        """
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise ImportError(
                'Digits needs scikit-learn, which contains the images: pip install scikit-learn'
            ) from error
        images, labels = load_digits(return_X_y=True)
        part = slice(NUM_TRAIN) if self.split == 'train' else slice(NUM_TRAIN, None)
        return [
            dict(
                img=self._enlarge(image.reshape(8, 8)),
                img_shape=(self.img_size, self.img_size),
                ori_shape=(self.img_size, self.img_size),
                gt_label=int(label),
            )
            for image, label in zip(images[part], labels[part], strict=True)
        ]

    def _enlarge(self, image: np.ndarray) -> np.ndarray:
        size = (self.img_size, self.img_size)
        shades = image.astype(np.float32) * (255 / LARGEST_VALUE)
        large = cv2.resize(shades, size, interpolation=cv2.INTER_LINEAR)
        return np.repeat(large.round().astype(np.uint8)[..., None], 3, axis=2)
