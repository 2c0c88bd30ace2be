"""Published files hold the weights, nothing else, under a name that says so."""

import hashlib
import re

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.model import BaseModel
from mmengine.runner import Runner, load_checkpoint

from mmanchor.compat import load_checkpoint as load_file
from mmanchor.engine.publishing import publish_checkpoint
from mmanchor.utils.errors import UserError


class Net(BaseModel):
    """One weight, which a step of SGD moves by -1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([2.0]))

    def forward(self, inputs, data_samples=None, mode='loss'):
        return dict(loss=self.weight.sum())


@pytest.fixture
def checkpoint(tmp_path):
    """What a training run saves, with class names and secrets."""
    path = tmp_path / 'epoch_3.pth'
    meta = dict(
        dataset_meta=dict(classes=('a', 'b')), epoch=3, cfg='data_root = "/home/me"', seed=5
    )
    weights = dict(weight=torch.arange(100.0)[:2], steps=torch.tensor(3))
    torch.save(dict(meta=meta, state_dict=weights, optimizer=dict(lr=1), message_hub={}), path)
    return path


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_weights_and_class_names_are_all_it_holds(checkpoint, tmp_path, suffix):
    path = publish_checkpoint(checkpoint, tmp_path / 'out' / f'net{suffix}')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path == tmp_path / 'out' / f'net-{digest[:8]}{suffix}'
    published = load_file(path)
    assert set(published) == {'meta', 'state_dict'}
    assert list(published['meta']['dataset_meta']['classes']) == ['a', 'b']
    assert b'/home/me' not in path.read_bytes()
    assert torch.equal(published['state_dict']['weight'], torch.tensor([0.0, 1.0]))
    assert published['state_dict']['steps'] == 3
    assert list(path.parent.iterdir()) == [path]


def test_view_leaves_the_memory_around_it_behind(checkpoint, tmp_path):
    path = publish_checkpoint(checkpoint, tmp_path / 'net.pth')
    assert load_file(path)['state_dict']['weight'].untyped_storage().nbytes() == 8


def test_same_weights_have_the_same_name(checkpoint, tmp_path):
    first = publish_checkpoint(checkpoint, tmp_path / 'net.pth')
    assert publish_checkpoint(checkpoint, tmp_path / 'net.pth') == first


def test_other_file_of_that_name_stays(checkpoint, tmp_path):
    path = publish_checkpoint(checkpoint, tmp_path / 'net.pth')
    path.write_bytes(b'mine')
    with pytest.raises(UserError, match=re.escape(f'{path} exists and is another file')):
        publish_checkpoint(checkpoint, tmp_path / 'net.pth')
    assert path.read_bytes() == b'mine'


def test_torch_hub_accepts_the_name(checkpoint, tmp_path):
    path = publish_checkpoint(checkpoint, tmp_path / 'net.pth')
    prefix = torch.hub.HASH_REGEX.search(path.name)[1]
    torch.hub.download_url_to_file(path.as_uri(), str(tmp_path / 'copy'), prefix, False)


def test_bad_arguments_are_named(checkpoint, tmp_path):
    with pytest.raises(UserError, match=r'OUT must end in \.pth or \.safetensors.*net\.pt'):
        publish_checkpoint(checkpoint, tmp_path / 'net.pt')
    with pytest.raises(UserError, match='CHECKPOINT: there is no checkpoint'):
        publish_checkpoint(tmp_path / 'gone.pth', tmp_path / 'net.pth')
    torch.save(dict(state_dict={}), checkpoint)
    with pytest.raises(UserError, match='no weights to publish'):
        publish_checkpoint(checkpoint, tmp_path / 'net.pth')


def test_averaged_weights_are_published(tmp_path):
    runner = Runner(
        Net(),
        str(tmp_path / 'run'),
        train_dataloader=dict(
            dataset=[torch.zeros(1)] * 2, sampler=dict(type='DefaultSampler', shuffle=False)
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0)),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        custom_hooks=[dict(type=EMAHook, momentum=0.5)],
        default_hooks=dict(logger=None),
        experiment_name='averaged',
    )
    runner.train()
    assert runner.model.weight.item() == 0
    path = publish_checkpoint(tmp_path / 'run' / 'epoch_1.pth', tmp_path / 'net.pth')
    net = Net()
    load_checkpoint(net, str(path))
    averaged = next(hook for hook in runner.hooks if isinstance(hook, EMAHook))
    assert net.weight.item() == averaged.ema_model.module.weight.item() != 0
