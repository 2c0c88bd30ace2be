"""The data sets of a config, found without building them."""

import inspect
import os.path as osp
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from ..utils.config import toolbox
from ..utils.errors import UserError

SPLITS = ('train', 'val', 'test')


@dataclass(frozen=True)
class DataSource:
    """One data set of one split, without wrappers.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``.
        cls: The registered class.
        cfg: Its config.
        pipeline: Its transforms, or those of the wrapper around it.
    """

    split: str
    cls: type
    cfg: dict[str, Any]
    pipeline: Sequence[dict[str, Any]] = ()

    @property
    def task(self) -> str:
        """``'segmentation'``, ``'detection'``, ``'classification'`` or
        ``'other'``."""
        # By name, so that mmseg is not imported where it is not used.
        names = {base.__name__ for base in self.cls.__mro__}
        if any(base.__module__ == 'mmpretrain.datasets.custom' for base in self.cls.__mro__):
            return 'classification'
        # A class that lists its files in its own way has a format of its own,
        # such as LVIS and COCO's panoptic one.
        for name, task in (('BaseSegDataset', 'segmentation'), ('CocoDataset', 'detection')):
            if name in names:
                base = next(each for each in self.cls.__mro__ if each.__name__ == name)
                own = (
                    getattr(self.cls, method, None) is not getattr(base, method, None)
                    for method in ('load_data_list', 'parse_data_info')
                )
                return 'other' if any(own) else task
        return 'other'

    def get(self, key: str) -> Any:
        """A constructor argument: the config's, else the class's default."""
        if key in self.cfg:
            return self.cfg[key]
        for base in self.cls.__mro__:
            if '__init__' in vars(base):
                found = inspect.signature(base.__init__).parameters.get(key)
                if found and found.default is not inspect.Parameter.empty:
                    return found.default
        return None

    def join(self, path: str | None) -> str | None:
        """``path`` below ``data_root``, as the data set itself joins it."""
        if path is None or osp.isabs(path) or '://' in path:
            return path
        return osp.join(self.get('data_root') or '', path)

    @property
    def prefix(self) -> dict[str, str | None]:
        """``data_prefix``; mmpretrain also takes a string, or a split."""
        prefix = self.get('data_prefix') or {}
        names = {base.__name__ for base in self.cls.__mro__}
        if not prefix and names & {'ImageNet', 'ImageNet21k'}:
            prefix = self.get('split') or ''
        return prefix if isinstance(prefix, dict) else dict(img_path=prefix)

    def folder(self, key: str) -> str | None:
        """The folder of ``data_prefix[key]``; ``None`` if not given."""
        return self.join(self.prefix.get(key))

    @property
    def ann_file(self) -> str | None:
        """The annotation file; ``None`` if there is none."""
        path = self.get('ann_file')
        return self.join(path) if path else None

    @property
    def meta(self) -> dict[str, Any]:
        """The meta information: the class's, overridden by the config's."""
        if issubclass(self.cls, BaseDataset):
            return self.cls._load_metainfo(dict(self.get('metainfo') or {}))
        return {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the labels; empty if unknown."""
        return tuple(self.meta.get('classes') or ())


def data_sources(cfg: Config, splits: Sequence[str] = SPLITS) -> list[DataSource]:
    """Find the data sets that the dataloaders of a config would build.

    Wrappers (RepeatDataset, ConcatDataset, MultiImageMixDataset and others)
    are removed.

    Args:
        cfg: A config.
        splits: Those of interest; one that the config lacks is skipped.

    Returns:
        The data sets, in the order of ``splits``.

    Raises:
        UserError: If a class is not registered.
    """
    sources = []
    for split in splits:
        dataloader = cfg.get(f'{split}_dataloader') or {}
        for leaf, pipeline in _leaves(dataloader.get('dataset')):
            cls = _dataset_class(cfg, split, leaf['type'])
            sources.append(DataSource(split, cls, leaf, pipeline))
    return sources


def _leaves(cfg: Any) -> Iterator[tuple[dict[str, Any], list[dict]]]:
    """Data sets inside wrappers, each with the transforms it goes through."""
    if not isinstance(cfg, dict):
        return
    inner = list(cfg.get('datasets') or ())
    if cfg.get('dataset') is not None:
        inner.append(cfg['dataset'])
    pipeline = list(cfg.get('pipeline') or ())
    if not inner:
        yield cfg, pipeline
    for each in inner:
        for leaf, steps in _leaves(each):
            yield leaf, steps + pipeline


def _dataset_class(cfg: Config, split: str, type_: Any) -> type:
    """The class that ``type`` means under the scope of the config."""
    if isinstance(type_, type):
        return type_
    with DATASETS.switch_scope_and_registry(toolbox(cfg)) as registry:
        cls = registry.get(type_)
    if cls is None:
        raise UserError(
            f'{split}_dataloader.dataset.type {type_!r} is not '
            f'registered in {toolbox(cfg)}; check the name, or '
            'import its module by custom_imports'
        )
    return cls


_ADE20K = (
    'Get ADEChallengeData2016.zip from the MIT scene parsing benchmark '
    '(sceneparsing.csail.mit.edu) and unpack it so that the folders '
    'above exist.'
)
_COCO = (
    'Get the 2017 images and annotations from cocodataset.org '
    '(train2017.zip, val2017.zip, annotations_trainval2017.zip) and '
    'unpack them so that the paths above exist.'
)
_IMAGENET = (
    'Get the ILSVRC2012 images from image-net.org and unpack them '
    'into one folder per class, so that the paths above exist.'
)
_SOURCES = {'ADE20KDataset': _ADE20K, 'CocoDataset': _COCO, 'ImageNet': _IMAGENET}
_DEMO = (
    'To try things out without it: `mmanchor demo`, or `mmanchor '
    'make-demo-data`, which writes small data in the same layout.'
)
_DIGITS = (
    'To try things out without it: `mmanchor ablation` trains on the '
    'digits that come with scikit-learn.'
)


def require_data(cfg: Config, splits: Sequence[str]) -> None:
    """Stop before anything is built if files of the data sets are missing.

    Args:
        cfg: A config.
        splits: Those that will be read.

    Raises:
        UserError: Naming every path looked for, the layout and where to get
            the data.
    """
    for source in data_sources(cfg, splits):
        require_paths(source)
        folder, suffix = source.folder('img_path'), source.get('img_suffix')
        if source.task != 'segmentation' or folder not in _needed(source):
            continue
        if next(Path(folder).rglob(f'*{suffix}'), None) is None:
            raise UserError(
                f'{source.split}_dataloader: the folder {folder} has no image *{suffix}'
                f'{_other_suffix(folder, suffix)}; check data_prefix and img_suffix'
            )


def _other_suffix(folder: str, suffix: str) -> str:
    """A hint at files whose suffix differs by the case of its letters."""
    for path in Path(folder).rglob('*'):
        if path.name.lower().endswith(suffix.lower()):
            return f' (there is {path.name}; the case of letters matters)'
    return ''


def require_paths(source: DataSource) -> None:
    """Stop if the folders and annotation files of a data set are missing.

    Args:
        source: One data set.

    Raises:
        UserError: As :func:`require_data`.
    """
    missing = [path for path in _needed(source) if not osp.exists(path)]
    if missing:
        raise UserError(_missing_message(source, missing))


def _needed(source: DataSource) -> list[str]:
    """Local paths that must exist to read the data set."""
    paths = [source.ann_file]
    paths += [source.folder(key) for key in source.prefix if key != 'ann']
    # Some small data sets download themselves.
    backend = (source.get('backend_args') or {}).get('backend', 'local')
    remote = backend != 'local' or source.get('download')
    return [path for path in paths if path and '://' not in path and not remote]


def _missing_message(source: DataSource, missing: Sequence[str]) -> str:
    """What was looked for, what should be there, and how to get it."""
    lines = [
        f'the data of {source.split}_dataloader is not there. Looked for:',
        *(f'  {path}' for path in missing),
        f'from the folder {Path.cwd()}. The layout should be:',
    ]
    lines += [f'  {path}    {what}' for path, what in _layout(source)]
    name = source.cls.__name__
    own_classes = 'classes' in (source.get('metainfo') or {})
    if name in _SOURCES and not own_classes:
        lines.append(_SOURCES[name])
    lines.append('If the data is in another folder, give it: --data-root FOLDER')
    classifies = source.task == 'classification'
    return '\n'.join([*lines, _DIGITS if classifies else _DEMO])


def _layout(source: DataSource) -> list[tuple[str, str]]:
    """Paths of the data set with a description of each."""
    rows = []
    if source.ann_file:
        what = (
            'COCO annotations' if source.task == 'detection' else 'names of the files, one per line'
        )
        rows.append((source.ann_file, what))
    for key in source.prefix:
        if source.task == 'segmentation' and key == 'seg_map_path':
            path = osp.join(source.folder(key), f'NAME{source.get("seg_map_suffix")}')
            rows.append((path, 'masks: class indices, one 8-bit channel'))
        elif source.task == 'segmentation' and key == 'img_path':
            path = osp.join(source.folder(key), f'NAME{source.get("img_suffix")}')
            rows.append((path, 'images'))
        elif source.task == 'classification' and not source.ann_file:
            path = osp.join(source.folder(key) or '', 'CLASS', '')
            rows.append((path, 'images of one class'))
        else:
            rows.append((osp.join(source.folder(key) or '', ''), 'images'))
    return rows
