"""mmdet's COCO data set, strict about annotations and pictures."""

import logging
from typing import Any

import mmcv
from mmdet.datasets import CocoDataset as MMDetCocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmengine.logging import print_log

from ..registry import DATASETS
from ..utils.errors import UserError
from .coco_rules import class_fault, is_box
from .image_files import UnreadablePictureError, picture_fault

# So many unreadable pictures in a row are no accident.
_PATIENCE = 100


@DATASETS.register_module()
class CocoDataset(MMDetCocoDataset):
    """mmdet's ``CocoDataset``, which does not pass over what is wrong.

    - A class list that does not fit the file, and coordinates that are not
      finite, are errors while loading.
    - Boxes are cut at the border of their picture; what is then less than a
      pixel wide or high is left out, as mmdet leaves out such boxes.
    - ``filter_cfg=dict(filter_empty_gt=True)`` also leaves out pictures whose
      boxes are all of crowds or were left out.
    - A picture that is missing, broken or cut off is an error when testing,
      as it would change the scores. When training, another one takes its
      place, drawn from the generator of the sample, so that a seeded run
      stays the same. A warning names the file, and the sample's
      ``skipped_files`` tells
      :class:`~mmanchor.engine.hooks.SkippedPicturesHook`. Whether a JPEG was
      cut off is only seen of local files (no ``backend_args``).

    The arguments are those of mmdet's class.
    """

    def COCOAPI(self, path: str) -> COCO:
        """Read the file and compare its categories with the class list.

        Args:
            path: The annotation file; mmdet calls this to read it.

        Returns:
            The index of the file.

        Raises:
            UserError: If it is not COCO's format or the classes do not fit.
        """
        try:
            coco = COCO(path)
            names = [each['name'] for each in coco.dataset['categories']]
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f'{self.ann_file} is not a JSON file in COCO format: '
                f'{type(error).__name__}: {error}'
            ) from error
        fault = class_fault(self.metainfo['classes'], names)
        if fault:
            raise UserError(f'{self.ann_file}: {fault}')
        return coco

    def parse_data_info(self, raw_data_info: dict) -> dict | list[dict]:
        """Convert the entries of one picture.

        Args:
            raw_data_info: ``raw_img_info`` and ``raw_ann_info`` of the file.

        Returns:
            What mmdet's pipelines take.

        Raises:
            UserError: If a box is not four finite numbers.
        """
        image = raw_data_info['raw_img_info']
        boxes = [
            self._cut(each, image['width'], image['height'])
            for each in raw_data_info['raw_ann_info']
        ]
        return super().parse_data_info(dict(raw_data_info, raw_ann_info=boxes))

    def _cut(self, annotation: dict[str, Any], width: float, height: float) -> dict[str, Any]:
        """The annotation with its box cut at the border of the picture."""
        box = annotation.get('bbox')
        if not is_box(box):
            raise UserError(
                f'{self.ann_file}: annotation {annotation.get("id")}: bbox '
                f'must be four finite numbers x, y, w, h, got {box}'
            )
        left, top, right, bottom = (box[0], box[1], box[0] + box[2], box[1] + box[3])
        if left < 0 or top < 0 or right > width or bottom > height:
            left, top = max(left, 0), max(top, 0)
            right, bottom = min(right, width), min(bottom, height)
            box = [left, top, right - left, bottom - top]
        return {'area': box[2] * box[3], **annotation, 'bbox': box}

    def filter_data(self) -> list[dict]:
        """Choose the pictures, by ``filter_cfg``.

        Returns:
            Those left.

        Raises:
            UserError: If none is left.
        """
        data_list = super().filter_data()
        if not self.test_mode and (self.filter_cfg or {}).get('filter_empty_gt'):
            data_list = [
                data
                for data in data_list
                if not all(each['ignore_flag'] for each in data['instances'])
            ]
        if not data_list:
            raise UserError(
                f'{self.ann_file} holds no picture that filter_cfg={self.filter_cfg} leaves'
            )
        return data_list

    def __getitem__(self, idx: int) -> dict:
        """Load and transform one picture, or another one in its place.

        Args:
            idx: Its number.

        Returns:
            What the pipeline returns.

        Raises:
            UnreadablePictureError: If it cannot be read and this is a test,
                or very many in a row cannot be read.
        """
        self._faults: dict[str, str] = {}
        self._num_faults = 0
        sample = super().__getitem__(idx)
        if self._faults:
            print_log(
                'another picture took the place of one that cannot be read: '
                f'{"; ".join(self._faults.values())}',
                logger='current',
                level=logging.WARNING,
            )
            if isinstance(sample, dict) and 'data_samples' in sample:
                sample['data_samples'].set_metainfo(dict(skipped_files=tuple(self._faults)))
        return sample

    def prepare_data(self, idx: int) -> Any:
        """Load and transform one picture.

        Args:
            idx: Its number.

        Returns:
            What the pipeline returns; ``None`` if another picture should be
            tried.

        Raises:
            UnreadablePictureError: As :meth:`__getitem__`.
        """
        data = self.get_data_info(idx)
        path = data['img_path']
        try:
            return self._read(data)
        except UnreadablePictureError as error:
            self._num_faults += 1
            if self.test_mode:
                raise
            if self._num_faults >= _PATIENCE:
                raise UnreadablePictureError(
                    f'{_PATIENCE} pictures in a row cannot be read, the last '
                    f'one: {error}; `mmanchor check-data` lists them'
                ) from error
            self._faults[path] = str(error)
            return None

    def _read(self, data: dict) -> Any:
        """Apply the pipeline; tell a broken picture from other errors."""
        path = data['img_path']
        fault = None if self.backend_args else picture_fault(path)
        if fault:
            raise UnreadablePictureError(f'{path} {fault}')
        try:
            return self.pipeline(data)
        except Exception:
            fault = self._decoding_fault(path)
            if fault:
                raise UnreadablePictureError(f'{path} {fault}')
            raise

    def _decoding_fault(self, path: str) -> str | None:
        """Why a picture cannot be decoded; ``None`` if it can."""
        try:
            image = mmcv.imread(path, backend_args=self.backend_args)
        # Storage and decoders raise what they like.
        except Exception as error:
            return f'cannot be read: {error}'
        return 'cannot be decoded' if image is None else None
