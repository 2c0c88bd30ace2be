"""Images that were replaced are counted over the epoch."""

from types import SimpleNamespace

import pytest
from mmengine.dataset import BaseDataset, ConcatDataset
from mmengine.registry import HOOKS
from mmengine.structures import BaseDataElement

from mmanchor.engine.hooks import SkippedImagesHook
from mmanchor.engine.hooks import skipped_images as module


@pytest.fixture
def run():
    """Train on samples, given by the files that they replace."""

    def epoch(*batches):
        warnings = []
        runner = SimpleNamespace(
            epoch=2, _train_loop=None, logger=SimpleNamespace(warning=warnings.append)
        )
        hook = SkippedImagesHook()
        hook.before_train_epoch(runner)
        for batch in batches:
            samples = [
                BaseDataElement(metainfo=dict(skipped_files=files) if files else {})
                for files in batch
            ]
            hook.after_train_iter(runner, 0, dict(data_samples=samples))
        hook.after_train_epoch(runner)
        return warnings

    return epoch


def test_nothing_is_said_of_whole_images(run):
    assert run([(), ()], [()]) == []


def test_files_are_counted_once(run):
    assert run([(), ('b.jpg',)], [('a.jpg', 'b.jpg'), ()]) == [
        '2 of 4 images of epoch 3 were skipped, because they or their masks '
        'cannot be read: b.jpg, a.jpg'
    ]


def test_long_lists_are_cut(run):
    (warning,) = run([(f'{index}.jpg',) for index in range(60)])
    assert warning.endswith('48.jpg, 49.jpg and 10 more')
    assert warning.startswith('60 of 60 ')


def test_other_processes_count_too(run, monkeypatch):
    monkeypatch.setattr(module, 'all_gather_object', lambda mine: [mine, (7, ['a.jpg', 'z.jpg'])])
    (warning,) = run([('a.jpg',)])
    assert warning.startswith('2 of 8 ') and warning.endswith('a.jpg, z.jpg')


def test_name_of_earlier_configs_is_registered():
    assert HOOKS.get('mmanchor.SkippedPicturesHook') is SkippedImagesHook


@pytest.mark.parametrize('stage, skips', [('train', True), ('val', False), ('test', False)])
def test_only_training_skips(stage, skips):
    dataset = BaseDataset(lazy_init=True)
    loader = SimpleNamespace(dataset=ConcatDataset([dataset], lazy_init=True))
    runner = SimpleNamespace(model=SimpleNamespace(), **{f'{stage}_dataloader': loader})
    getattr(SkippedImagesHook(), f'before_{stage}')(runner)
    assert dataset.prepare_data.skip is skips
