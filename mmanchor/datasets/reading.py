"""What a data set does about an image or a mask that cannot be read."""

import logging
from collections.abc import Collection, Iterator
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from ..utils.images import UnreadableImageError
from .image_files import decoding_fault, image_fault
from .mask_files import BadMaskError, MaskCheck

# More unreadable files in a row than single bad files explain.
_PATIENCE = 100


class GuardedReading:
    """Takes the place of ``prepare_data`` of a data set.

    In a validation or test, an image or a mask that cannot be read is an error
    that names the file, because leaving it out would change the scores. In
    training it is skipped: another sample takes its place, drawn from the generator of
    the sample, so that a seeded run stays the same. A warning names the file,
    and ``skipped_files`` of the sample is counted by
    :class:`~mmanchor.engine.hooks.SkippedImagesHook`. Truncated JPEGs are only
    found among local files (no ``backend_args``).

    Args:
        dataset: MMEngine's ``BaseDataset``.
        ignored: Labels of masks that the loss ignores.
        skip: Whether to skip what cannot be read; ``None`` does so unless the
            data set is in test mode.
    """

    def __init__(
        self, dataset: BaseDataset, ignored: Collection[int] = (), skip: bool | None = None
    ) -> None:
        self.dataset = dataset
        self.skip = skip
        self._faults: dict[str, str] = {}
        self._num_faults = 0
        _add_mask_check(dataset, {255, getattr(dataset, 'ignore_index', 255), *ignored})

    def __call__(self, idx: int) -> Any:
        """Load and transform one sample.

        Args:
            idx: Its number.

        Returns:
            What the pipeline returns; ``None`` if another sample should be
            tried.

        Raises:
            UnreadableImageError: If a file cannot be read and is not to be
                skipped, or very many in a row cannot be read.
        """
        data = self.dataset.get_data_info(idx)
        try:
            sample = self._read(data, idx)
        except UnreadableImageError as error:
            skip = not self.dataset.test_mode if self.skip is None else self.skip
            if not skip:
                raise
            self._num_faults += 1
            if self._num_faults >= _PATIENCE:
                raise UnreadableImageError(
                    f'{_PATIENCE} files in a row cannot be read, the last one: '
                    f'{error}; `mmanchor check-data` lists them'
                ) from error
            self._faults[data['img_path']] = str(error)
            return None
        self._num_faults = 0
        if sample is not None and self._faults:
            self._note_skipped(sample)
        return sample

    def _note_skipped(self, sample: Any) -> None:
        """Warn of the skipped files and name them in the sample."""
        print_log(
            f'skipped, another sample takes its place: {"; ".join(self._faults.values())}',
            logger='current',
            level=logging.WARNING,
        )
        if isinstance(sample, dict) and 'data_samples' in sample:
            sample['data_samples'].set_metainfo(dict(skipped_files=tuple(self._faults)))
        self._faults = {}

    def _read(self, data: dict[str, Any], idx: int) -> Any:
        """Apply the pipeline; distinguish broken files from other errors."""
        image, mask = data.get('img_path'), data.get('seg_map_path')
        local = not getattr(self.dataset, 'backend_args', None)
        fault = image_fault(image) if local and isinstance(image, str) else None
        if fault:
            raise UnreadableImageError(f'{image} {fault}')
        try:
            return type(self.dataset).prepare_data(self.dataset, idx)
        except BadMaskError as error:
            raise UnreadableImageError(f'{mask} {error}') from error
        except Exception as error:
            for path, flag, backend in ((image, 'color', None), (mask, 'unchanged', 'pillow')):
                fault = self._decoding_fault(path, flag, backend)
                if fault:
                    raise UnreadableImageError(f'{path} {fault}') from error
            raise

    def _decoding_fault(self, path: Any, flag: str, backend: str | None) -> str | None:
        if not isinstance(path, str):
            return None
        backend_args = getattr(self.dataset, 'backend_args', None)
        return decoding_fault(path, backend_args, flag=flag, backend=backend)


def guard_reading(dataset: Any, ignored: Collection[int] = (), skip: bool | None = None) -> None:
    """Guard the reading of every data set inside wrappers.

    Args:
        dataset: A built data set; MMEngine's ``BaseDataset`` and what wraps
            such (``dataset``, ``datasets``). Others stay as they are.
        ignored: Labels of masks that the loss ignores.
        skip: As :class:`GuardedReading` has it.
    """
    for each in _leaves(dataset):
        if not isinstance(vars(each).get('prepare_data'), GuardedReading):
            each.prepare_data = GuardedReading(each, ignored)
        each.prepare_data.skip = skip


def _leaves(dataset: Any) -> Iterator[BaseDataset]:
    """The data sets inside wrappers."""
    inner = [*(getattr(dataset, 'datasets', None) or ())]
    inner.append(getattr(dataset, 'dataset', None))
    if isinstance(dataset, BaseDataset):
        yield dataset
    for each in inner:
        if each is not None:
            yield from _leaves(each)


def _add_mask_check(dataset: BaseDataset, ignored: Collection[int]) -> None:
    """Put :class:`MaskCheck` behind every step that loads masks."""
    classes = dataset.metainfo.get('classes')
    check = MaskCheck(len(classes) if isinstance(classes, (list, tuple)) else None, ignored)
    pipelines = [getattr(dataset, 'pipeline', None)]
    for pipeline in pipelines:
        steps = getattr(pipeline, 'transforms', None)
        if not isinstance(steps, list):
            continue
        # Test-time augmentation holds pipelines of its own.
        pipelines += [sub for step in steps for sub in getattr(step, 'subroutines', ())]
        for place in reversed(range(len(steps))):
            step = type(steps[place])
            if step.__name__ == 'LoadAnnotations' and step.__module__.startswith('mmseg.'):
                steps.insert(place + 1, check)
