"""mmdet's COCO data set, strict about annotations and images."""

import logging
from contextlib import redirect_stdout
from typing import Any

from mmdet.datasets import CocoDataset as MMDetCocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmengine.logging import print_log

from ..registry import DATASETS
from ..utils.errors import UserError
from .class_names import class_fault, text_fault
from .coco_file import LOST, MEANINGS, REPAIRED, find_faults, is_number, read_coco, summary
from .reading import GuardedReading

# Below this part of the boxes, training would learn next to nothing.
_LEAST_KEPT = 0.1
# The fewest boxes of which a part says anything.
_FEW_BOXES = 10


@DATASETS.register_module()
class CocoDataset(MMDetCocoDataset):
    """mmdet's ``CocoDataset`` that reports what is wrong with the data.

    - A class list that does not fit the file, entries without ids, sizes or
      names, and coordinates that are not finite are errors while loading.
    - Repeated annotation ids are renumbered with a warning; a missing area
      becomes that of the box, a missing ``iscrowd`` 0.
    - Boxes are clipped to their image; a box that is then less than a pixel
      wide or high is dropped, as mmdet drops such boxes. One line counts the
      boxes that were clipped or dropped and the images without boxes. If
      almost all boxes are lost, that is an error in training.
    - ``filter_cfg=dict(filter_empty_gt=True)`` also leaves out images whose
      boxes are all crowds or were dropped.
    - An image that is missing, broken or truncated is an error in a test; in
      training it is skipped and counted
      (:class:`~mmanchor.datasets.reading.GuardedReading`).

    The arguments are those of mmdet's class.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._clipped = 0
        super().__init__(*args, **kwargs)
        self.prepare_data = GuardedReading(self)

    def COCOAPI(self, path: str) -> COCO:
        """Read the file, repair it and compare its categories with the classes.

        Args:
            path: The annotation file; mmdet calls this to read it.

        Returns:
            The index of the file.

        Raises:
            UserError: If it is not COCO's format or the classes do not fit.
        """
        data = read_coco(path)
        faults = find_faults(data)
        harmless = {*REPAIRED, *LOST, 'zero_id', 'duplicate_file', 'duplicate_category'}
        for code in MEANINGS:
            if code in faults and code not in harmless:
                raise UserError(f'{self.ann_file}: {summary(code, faults[code])}')
        classes = self.metainfo['classes']
        names = [each['name'] for each in data['categories']]
        fault = text_fault(classes) or class_fault(classes, names)
        if fault is None and 'duplicate_category' in faults:
            fault = summary('duplicate_category', faults['duplicate_category'])
        if fault:
            raise UserError(f'{self.ann_file}: {fault}')
        if 'annotation_id' in faults:
            text = summary('annotation_id', faults['annotation_id'])
            print_log(
                f'{self.ann_file}: {text}; they were renumbered for this run',
                logger='current',
                level=logging.WARNING,
            )
            for number, each in enumerate(data['annotations'], 1):
                each['id'] = number
        coco = COCO()
        coco.dataset = data
        with redirect_stdout(None):  # It prints "creating index...".
            coco.createIndex()
        coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs
        return coco

    def load_data_list(self) -> list[dict]:
        """Read the file and count what was clipped, dropped and left empty.

        Returns:
            What mmdet's pipelines take, one dict per image.

        Raises:
            UserError: As :meth:`COCOAPI`; or if this is training data and
                almost no box is left.
        """
        self._clipped = self._num_boxes = 0
        data_list = super().load_data_list()
        kept = sum(len(each['instances']) for each in data_list)
        empty = sum(not each['instances'] for each in data_list)
        dropped = self._num_boxes - kept
        counts = (
            f'{self.ann_file}: {len(data_list)} images, {kept} boxes; {self._clipped} boxes were '
            f'clipped to their image, {dropped} dropped (outside, or smaller than a pixel), '
            f'{empty} images have no box'
        )
        lost = self._num_boxes >= _FEW_BOXES and kept < _LEAST_KEPT * self._num_boxes
        if lost and not self.test_mode:
            raise UserError(
                f'{counts}. Almost nothing is left to train on: bbox must be [x, y, width, height] '
                'in pixels of the image; `mmanchor check-data` shows what is wrong'
            )
        print_log(counts, logger='current')
        return data_list

    def parse_data_info(self, raw_data_info: dict) -> dict | list[dict]:
        """Convert the entries of one image.

        Args:
            raw_data_info: ``raw_img_info`` and ``raw_ann_info`` of the file.

        Returns:
            What mmdet's pipelines take.
        """
        image = raw_data_info['raw_img_info']
        boxes = [
            self._clip(each, image['width'], image['height'])
            for each in raw_data_info['raw_ann_info']
        ]
        self._num_boxes += sum(each.get('category_id') in self.cat2label for each in boxes)
        return super().parse_data_info(dict(raw_data_info, raw_ann_info=boxes))

    def _clip(self, annotation: dict[str, Any], width: float, height: float) -> dict[str, Any]:
        """The annotation with its box clipped to the image, area filled in."""
        box = annotation['bbox']
        left, top, right, bottom = (box[0], box[1], box[0] + box[2], box[1] + box[3])
        if left < 0 or top < 0 or right > width or bottom > height:
            self._clipped += annotation.get('category_id') in self.cat2label
            left, top = max(left, 0), max(top, 0)
            right, bottom = min(right, width), min(bottom, height)
            box = [left, top, right - left, bottom - top]
        area = annotation.get('area')
        if not is_number(area):
            area = box[2] * box[3]
        crowd = annotation.get('iscrowd') in (1, '1')
        return {**annotation, 'bbox': box, 'area': area, 'iscrowd': int(crowd)}

    def filter_data(self) -> list[dict]:
        """Choose the images, by ``filter_cfg``.

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
            raise UserError(f'{self.ann_file} has no image that filter_cfg={self.filter_cfg} keeps')
        return data_list
