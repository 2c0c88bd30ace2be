"""What a resumed checkpoint can do to the run that goes on: nothing but numbers."""

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmanchor.compat import CheckpointError
from mmanchor.compat.resume import Resumed, check_resumed, resuming

from .test_mmengine_patches import make_runner


def checkpoint(**info):
    return dict(
        state_dict={},
        meta=dict(epoch=1, iter=2, seed=0, cfg='text', config='text', experiment_name='a'),
        message_hub=dict(
            log_scalars={'train/loss': HistoryBuffer([1.0], [1])},
            runtime_info=info,
            resumed_keys=dict.fromkeys(info, True),
        ),
    )


def info_after(folder, source='elsewhere/epoch_1.pth', **info):
    run = Resumed(str(folder), [])
    checked = check_resumed(checkpoint(**info), source, run)
    return checked['message_hub']['runtime_info'], run.notes


def test_text_that_the_run_sets_itself_is_left_out(tmp_path):
    own = dict(cfg='__import__("os")', last_ckpt='/etc/passwd', experiment_name='x')
    info, notes = info_after(tmp_path, **own, best_score=0.5, epoch=3)
    assert info == dict(best_score=0.5, epoch=3) and not notes
    checked = check_resumed(checkpoint(**own), 'a.pth', Resumed(str(tmp_path), []))
    assert checked['meta'] == dict(epoch=1, iter=2, seed=0)
    assert checked['message_hub']['resumed_keys'] == {}


def test_other_text_is_left_out_with_a_note(tmp_path):
    info, notes = info_after(tmp_path, mine=[{'path': '/home'}], steps=[1, 2], array=np.ones(2))
    assert list(info) == ['steps', 'array']
    assert notes == ['mine of the resumed checkpoint is text and is not taken over']


def test_best_checkpoint_of_this_folder_is_kept(tmp_path):
    path = tmp_path / 'best_mIoU_iter_12.pth'
    path.touch()
    info, notes = info_after(tmp_path, best_score=0.5, best_ckpt=str(path))
    assert info == dict(best_score=0.5, best_ckpt=str(path)) and not notes


def test_best_checkpoint_of_a_copied_folder_is_the_copy(tmp_path):
    (tmp_path / 'best_mIoU_iter_12.pth').touch()
    info, _ = info_after(tmp_path, best_ckpt='/old/run/best_mIoU_iter_12.pth')
    assert info['best_ckpt'] == str(tmp_path / 'best_mIoU_iter_12.pth')


@pytest.mark.parametrize('key', ['best_ckpt', 'best_ckpt_coco/bbox_mAP'])
@pytest.mark.parametrize(
    'path',
    ['{}/victim', '{}', '{}/best_folder.pth', '{}/best_link.pth', '{}/run/../victim/best_a.pth',
     'victim', '..', '', 'best_\0.pth', 5, None, ['a'], b'best_a.pth'],
)  # fmt: skip
def test_any_other_best_checkpoint_is_left_out_with_its_score(path, key, tmp_path):
    run = tmp_path / 'run'
    run.mkdir()
    (tmp_path / 'victim').mkdir()
    (tmp_path / 'victim' / 'best_a.pth').touch()
    (run / 'best_folder.pth').mkdir()
    (run / 'best_link.pth').symlink_to(tmp_path / 'victim' / 'best_a.pth')
    path = path.format(run) if isinstance(path, str) else path
    score = key.replace('ckpt', 'score')
    info, notes = info_after(run, **{score: 0.5, key: path})
    assert info == {} and len(notes) == 1


@pytest.mark.parametrize('steps', ['12', [1.5], ['../a'], [-1], [True], {1: 2}, [2**70], (1,)])
def test_numbers_of_kept_checkpoints_are_numbers(steps, tmp_path):
    info, notes = info_after(tmp_path, str(tmp_path / 'a.pth'), keep_ckpt_ids=steps)
    assert info == {} and len(notes) == 1


def test_numbers_of_kept_checkpoints_are_of_this_folder(tmp_path):
    assert info_after(tmp_path, str(tmp_path / 'a.pth'), keep_ckpt_ids=[1])[0]
    assert not info_after(tmp_path, str(tmp_path / 'b' / 'a.pth'), keep_ckpt_ids=[1])[0]


@pytest.mark.parametrize('name', ['a' * 201, 'a\nb', '\x1b[2J', 5, b'a'])
def test_names_that_are_no_plain_text_are_left_out(name, tmp_path):
    given = checkpoint()
    given['message_hub']['log_scalars'] = {name: HistoryBuffer([1.0], [1])}
    given['message_hub']['runtime_info'] = {name: 1}
    hub = check_resumed(given, 'a.pth', Resumed(str(tmp_path), []))['message_hub']
    assert hub == dict(log_scalars={}, runtime_info={}, resumed_keys={})


@pytest.mark.parametrize(
    'change, reason',
    [
        (dict(meta=None), 'epoch and iter'),
        (dict(meta='x'), 'epoch and iter'),
        (dict(meta=dict(epoch='1', iter=1)), 'epoch and iter'),
        (dict(meta=dict(epoch=1, iter=-1)), 'epoch and iter'),
        (dict(state_dict=None), 'state_dict'),
        (dict(state_dict=[1]), 'state_dict'),
        (dict(message_hub=None), 'message_hub'),
        (dict(message_hub=dict(log_scalars={})), 'message_hub'),
    ],
)
def test_what_lacks_the_state_of_a_run_cannot_be_resumed(change, reason, tmp_path):
    with pytest.raises(CheckpointError, match=f'resume from a.pth.*{reason}.*load_from'):
        check_resumed({**checkpoint(), **change}, 'a.pth', Resumed(str(tmp_path), []))
    with pytest.raises(CheckpointError, match='Tensor, not a dict'):
        check_resumed(torch.ones(2), 'a.pth', Resumed(str(tmp_path), []))


def test_nothing_is_checked_outside_of_resuming(tmp_path):
    from mmanchor.compat import load_checkpoint

    path = tmp_path / 'a.pth'
    torch.save(checkpoint(cfg='text'), path)
    assert load_checkpoint(path)['message_hub']['runtime_info']['cfg'] == 'text'
    with resuming(str(tmp_path)):
        assert load_checkpoint(path)['message_hub']['runtime_info'] == {}


def resumed_elsewhere(tmp_path, **info):
    """Train one epoch in A, change its checkpoint, resume it in B."""
    make_runner(tmp_path / 'A', 1).train()
    path = tmp_path / 'A' / 'epoch_1.pth'
    saved = torch.load(path, weights_only=False)
    saved['message_hub']['runtime_info'].update(info)
    saved['message_hub']['resumed_keys'].update(dict.fromkeys(info, True))
    torch.save(saved, path)
    runner = make_runner(tmp_path / 'B', 2, load_from=str(path), resume=True)
    hook = next(each for each in runner.hooks if type(each).__name__ == 'CheckpointHook')
    return runner, hook


def test_a_better_score_deletes_nothing_outside_the_work_folder(tmp_path):
    victim = tmp_path / 'victim' / 'folder' / 'file'
    victim.parent.mkdir(parents=True)
    victim.touch()
    runner, hook = resumed_elsewhere(tmp_path, best_ckpt=str(tmp_path / 'victim'), best_score=-1)
    hook.save_best, hook.is_better_than, hook.best_ckpt_path = 'score', {}, None
    hook._init_rule(['greater'], ['score'])
    runner.train()
    hook.after_val_epoch(runner, {'score': 1.0})
    assert victim.exists() and hook.best_ckpt_path == str(tmp_path / 'B' / 'best_score_epoch_2.pth')


def test_no_text_of_the_file_reaches_the_runs_own_checkpoints(tmp_path):
    make_runner(tmp_path / 'A', 1).train()
    path = tmp_path / 'A' / 'epoch_1.pth'
    saved = torch.load(path, weights_only=False)
    evil = 'planted text'
    saved['message_hub']['runtime_info'].update(cfg=evil, other=evil, best_ckpt=evil)
    saved['message_hub']['resumed_keys'].update(cfg=True, other=True, best_ckpt=True)
    saved['meta'].update(cfg=evil, config=evil, experiment_name=evil, own=evil)
    torch.save(saved, path)
    make_runner(tmp_path / 'B', 2, load_from=str(path), resume=True).train()
    own = torch.load(tmp_path / 'B' / 'epoch_2.pth', weights_only=False)
    assert evil not in str(own)
    assert own['message_hub']['runtime_info']['cfg'] == own['meta']['cfg']
