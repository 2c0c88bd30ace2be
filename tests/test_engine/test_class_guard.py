"""A checkpoint is not scored on labels that mean other classes."""

from types import SimpleNamespace

import pytest

from mmanchor.engine.hooks.class_guard import ClassGuard
from mmanchor.utils.errors import UserError


def score(trained, scored):
    dataset = SimpleNamespace(metainfo=dict(classes=scored))
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset))
    checkpoint = dict(meta=dict(dataset_meta=trained))
    ClassGuard('a.pth').after_load_checkpoint(runner, checkpoint)


@pytest.mark.parametrize('key', ['classes', 'CLASSES'])
def test_another_order_is_refused(key):
    with pytest.raises(UserError, match=r"'a.pth'.*label 1 is 'dog' .*and 'cow' .*\('cat', 'dog'"):
        score({key: ['cat', 'dog', 'cow']}, ('cat', 'cow', 'dog'))


@pytest.mark.parametrize(
    'trained',
    [
        None,
        'text',
        {},
        dict(classes=5),
        dict(classes=('cat', 'cow')),
        dict(classes=('cat', 'cattle')),
    ],
)
def test_equal_unknown_and_otherwise_spelled_names_pass(trained):
    score(trained, ('cat', 'cow'))
