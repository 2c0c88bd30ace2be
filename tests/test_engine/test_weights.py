from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmanchor.engine import checkpoints
from mmanchor.engine.checkpoints import (
    latest_checkpoint,
    load_weights,
    plain_weights,
    read_checkpoint,
    require_checkpoint,
)
from mmanchor.engine.hooks import StartWeightsHook, WeightsGuard
from mmanchor.models import PicoDetHead
from mmanchor.utils.errors import UserError


def save(path, **state):
    torch.save(dict(state_dict=state), path)
    return path


def test_newest_whole_checkpoint_is_taken(tmp_path):
    for number in (2, 4, 10):
        save(tmp_path / f'iter_{number}.pth', a=torch.zeros(1))
    save(tmp_path / 'best_mIoU_iter_99.pth', a=torch.zeros(1))
    assert latest_checkpoint(tmp_path) == str(tmp_path / 'iter_10.pth')
    whole = (tmp_path / 'iter_10.pth').read_bytes()
    (tmp_path / 'iter_10.pth').write_bytes(whole[: len(whole) // 2])
    assert latest_checkpoint(tmp_path) == str(tmp_path / 'iter_4.pth')


def test_pointer_of_a_copied_folder_or_an_older_run_counts_nothing(tmp_path):
    for number in (2, 4):
        save(tmp_path / f'iter_{number}.pth', a=torch.zeros(1))
    other = save(tmp_path / 'other.pth', a=torch.zeros(1))
    for text in (b'iter_2.pth', str(other).encode(), b'\377\376\0', b'a' * 5000, b'/' + b'a' * 300):
        (tmp_path / 'last_checkpoint').write_bytes(text)
        assert latest_checkpoint(tmp_path) == str(tmp_path / 'iter_4.pth')


def damaged(data):
    """Ways in which a power cut or a disk damages a file."""
    half = len(data) // 2
    return dict(
        empty=b'',
        one_byte=data[:1],
        cut=data[:half],
        zeros=bytes(len(data)),
        first_kilobyte=bytes(1024) + data[1024:],
        middle=data[: half - 64] + bytes(128) + data[half + 64 :],
        a_flipped_bit=data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :],
        text=b'no checkpoint',
    )


@pytest.mark.parametrize('kind', damaged(b' '))
def test_damaged_newest_checkpoint_falls_back_to_the_one_before(kind, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(checkpoints, 'print_log', lambda text, *_: told.append(text))
    for number in (2, 4):
        save(tmp_path / f'iter_{number}.pth', a=torch.arange(1000.0))
    newest = tmp_path / 'iter_4.pth'
    newest.write_bytes(damaged(newest.read_bytes())[kind])
    (tmp_path / 'last_checkpoint').write_text(str(newest))
    assert latest_checkpoint(tmp_path) == str(tmp_path / 'iter_2.pth')
    assert len(told) == 1 and 'iter_4.pth is damaged' in told[0]


def test_nothing_to_resume(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / 'absent') is None


def test_missing_checkpoint_names_those_that_are_there(tmp_path):
    save(tmp_path / 'iter_2.pth')
    with pytest.raises(UserError, match=r'--resume: .*iter_3.* iter_2.pth'):
        require_checkpoint(tmp_path / 'iter_3.pth', '--resume')
    assert require_checkpoint('https://a/b.pth', 'x') == 'https://a/b.pth'
    with pytest.raises(UserError, match='no storage is known for foo://'):
        require_checkpoint('foo://b.pth', 'x')


def test_file_that_is_no_checkpoint(tmp_path):
    (tmp_path / 'a.pth').write_text('no pickle')
    with pytest.raises(UserError, match=r'a.pth'):
        read_checkpoint(str(tmp_path / 'a.pth'))
    torch.save([1, 2], tmp_path / 'b.pth')
    with pytest.raises(UserError, match=r'b.pth.* list'):
        read_checkpoint(str(tmp_path / 'b.pth'))


def test_plain_weights_are_a_checkpoint(tmp_path):
    torch.save(dict(a=torch.ones(1)), tmp_path / 'a.pth')
    checkpoint = read_checkpoint(str(tmp_path / 'a.pth'))
    assert checkpoint['state_dict']['a'] == 1 and checkpoint['meta'] == {}


def test_weights_are_loaded_and_unknown_ones_told():
    model = nn.Linear(1, 1)
    state = {
        'module.weight': torch.full((1, 1), 7.0),
        'bias': torch.zeros(1),
        'extra': torch.zeros(1),
    }
    assert load_weights(model, dict(state_dict=state), 'x') == ['extra']
    assert model.weight.item() == 7


@pytest.mark.parametrize(
    'state, message',
    [
        (dict(weight=torch.zeros(1, 1)), r'2 weights, 1 are missing \(bias\)'),
        (
            dict(weight=torch.zeros(2, 1), bias=torch.zeros(1)),
            r'0 are missing and 1 have another shape \(weight\)',
        ),
        (dict(other=torch.zeros(1)), r'2 are missing .* 1 are unknown.* \(other'),
    ],
)
def test_weights_of_another_model_are_refused(state, message):
    with pytest.raises(UserError, match=message):
        load_weights(nn.Linear(1, 1), dict(state_dict=state), 'x')


def test_optional_weights_may_be_missing():
    model = nn.ModuleDict(dict(head=nn.Linear(1, 1), aux=nn.BatchNorm1d(1)))
    state = nn.ModuleDict(dict(head=nn.Linear(1, 1))).state_dict()
    assert load_weights(model, dict(state_dict=state), 'x', ['aux.']) == []


@pytest.mark.parametrize(
    'state, message',
    [
        (None, 'NoneType'),
        ([1], 'list'),
        ({1: torch.ones(1)}, 'named weights'),
        (dict(a=torch.ones(1).to_sparse()), 'holds a as a tensor without plain values'),
        (dict(a=torch.ones(1, device='meta')), 'holds a as a tensor without plain values'),
    ],
)
def test_odd_weights_are_named(state, message):
    with pytest.raises(UserError, match=message):
        plain_weights(state, 'x.pth')


@pytest.mark.parametrize(
    'meta', [None, 'x', [1], dict(dataset_meta='x'), dict(dataset_meta=dict(classes=5))]
)
def test_odd_meta_is_left_out(meta, tmp_path):
    torch.save(dict(state_dict=dict(a=torch.ones(1)), meta=meta), tmp_path / 'a.pth')
    assert 'dataset_meta' not in read_checkpoint(str(tmp_path / 'a.pth'))['meta']


def test_class_names_and_colors_are_kept(tmp_path):
    data = dict(classes=('a', 'b'), palette=[(1, 2, 3), (4, 5, 6)])
    torch.save(dict(state_dict={}, meta=dict(dataset_meta=data)), tmp_path / 'a.pth')
    assert read_checkpoint(str(tmp_path / 'a.pth'))['meta']['dataset_meta'] == data
    data['palette'] = 'red'
    torch.save(dict(state_dict={}, meta=dict(dataset_meta=data)), tmp_path / 'a.pth')
    kept = read_checkpoint(str(tmp_path / 'a.pth'))['meta']['dataset_meta']
    assert kept == dict(classes=('a', 'b'))


@pytest.mark.parametrize('held', [None, 5, torch.ones(2), [1]])
@pytest.mark.parametrize('hook', [WeightsGuard, StartWeightsHook])
def test_runs_refuse_what_is_no_dict(hook, held):
    with pytest.raises(UserError, match='not a dict of weights; it is no checkpoint'):
        hook('x.pth').after_load_checkpoint(None, held)


@pytest.mark.parametrize('classes', (2, 80))
def test_other_classes_keep_the_boxes(classes):
    model = nn.ModuleDict(dict(bbox_head=PicoDetHead(2, in_channels=8, feat_channels=8)))
    head = PicoDetHead(classes, in_channels=8, feat_channels=8)
    for param in head.parameters():
        nn.init.normal_(param)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    checkpoint = dict(
        state_dict={f'bbox_head.{name}': value for name, value in head.state_dict().items()}
    )
    lines = []
    runner = SimpleNamespace(model=model, logger=SimpleNamespace(info=lines.append))
    StartWeightsHook('x.pth').after_load_checkpoint(runner, checkpoint)
    model.load_state_dict(checkpoint['state_dict'])
    assert ('other classes, new, and box channels, kept: 8' in lines[0]) == (classes == 80)
    for level in range(4):
        for part in ('weight', 'bias'):
            name = f'preds.{level}.{part}'
            new, given = model.state_dict()[f'bbox_head.{name}'], head.state_dict()[name]
            assert torch.equal(new[2:], given[classes:])
            wanted = given if classes == 2 else before[f'bbox_head.{name}']
            assert torch.equal(new[:2], wanted[:2])


def test_boxes_of_another_width_are_not_kept():
    head = PicoDetHead(2, in_channels=8, feat_channels=8)
    own = head.preds[0].weight
    assert head.keep_boxes('preds.0.weight', torch.ones(112, 16, 1, 1), own) is None
    assert head.keep_boxes('towers.0.weight', torch.ones(112, 8, 1, 1), own) is None
    assert head.keep_boxes('preds.0.weight', torch.ones(20, 8, 1, 1), own) is None
