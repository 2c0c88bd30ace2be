"""Every route by which a user loads a checkpoint ends in the allow-list."""

import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from mmengine.model import BaseModel, BaseModule
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint, save_checkpoint
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner._flexible_runner import FlexibleRunner
from torch.utils.data import Dataset

from mmanchor.compat import CheckpointError, UnsafeCheckpointError, install, trust_checkpoint
from mmanchor.compat import load_checkpoint as load_checkpoint_file

refused = pytest.raises(UnsafeCheckpointError, match=r'posix.system')


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)

    def forward(self, inputs, mode='tensor'):
        out = self.linear(inputs)
        return {'loss': (out**2).sum()} if mode == 'loss' else out


class Points(Dataset):
    METAINFO: ClassVar = dict(classes=('a', 'b'))
    metainfo = METAINFO

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {'inputs': torch.tensor([index, 1.0])}


def make_runner(work_dir, epochs, kind=Runner, **kwargs):
    torch.manual_seed(0)
    return kind(
        model=Net(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=Points(),
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
            batch_size=2,
            num_workers=0,
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        param_scheduler=dict(type='LinearLR', begin=0, end=4),
        randomness=dict(seed=0),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        experiment_name=f'{work_dir.name}-{epochs}-{len(kwargs)}',
        log_level='WARNING',
        **kwargs,
    )


@pytest.mark.smoke
def test_training_resumes_with_optimizer_and_history(tmp_path):
    whole = make_runner(tmp_path / 'whole', 2)
    whole.train()
    make_runner(tmp_path / 'part', 1).train()
    part = make_runner(tmp_path / 'part', 2, resume=True)
    part.train()
    assert part.epoch == whole.epoch == 2 and part.iter == whole.iter == 4
    for name, value in whole.model.state_dict().items():
        assert torch.equal(part.model.state_dict()[name], value)
    losses = [r.message_hub.get_scalar('train/loss') for r in (whole, part)]
    assert len(losses[0].data[0]) == 4
    assert list(losses[0].data[0]) == list(losses[1].data[0])


@pytest.mark.smoke
def test_resume_refuses_a_malicious_file(tmp_path, bad):
    with refused:
        make_runner(tmp_path / 'run', 2, load_from=bad, resume=True).train()


def test_load_from_refuses_a_malicious_file(tmp_path, bad):
    with refused:
        make_runner(tmp_path / 'run', 1, load_from=bad).train()


@pytest.mark.parametrize('kind', [Runner, FlexibleRunner])
def test_resume_does_not_run_the_config_in_a_checkpoint(kind, tmp_path, marker):
    make_runner(tmp_path / 'run', 1, kind).train()
    path = tmp_path / 'run' / 'epoch_1.pth'
    checkpoint = torch.load(path, weights_only=False)
    checkpoint['meta']['config'] = f'import os\nos.system("touch {marker}")'
    torch.save(checkpoint, path)
    runner = make_runner(tmp_path / 'run', 2, kind, resume=True)
    runner.train()
    assert runner.epoch == 2


def test_resume_from_weights_alone_says_what_to_do(tmp_path):
    path = str(tmp_path / 'weights.safetensors')
    save_checkpoint({'state_dict': Net().state_dict()}, path)
    runner = make_runner(tmp_path / 'run', 1, load_from=path, resume=True)
    with pytest.raises(CheckpointError, match='load_from'):
        runner.train()


@pytest.mark.smoke
@pytest.mark.parametrize('name', ['weights.safetensors', 'weights.pth'])
def test_weights_load_from_what_was_saved(name, tmp_path):
    path = str(tmp_path / name)
    meta = dict(dataset_meta=dict(classes=['a', 'b']))
    before, after = Net(), Net()
    torch.nn.init.constant_(before.linear.weight, 3)
    save_checkpoint({'state_dict': before.state_dict(), 'meta': meta}, path)
    checkpoint = load_checkpoint(after, path, strict=True)
    assert after.linear.weight.tolist() == [[3, 3]]
    assert checkpoint['meta']['dataset_meta'] == meta['dataset_meta']
    assert os.listdir(tmp_path) == [name]


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'weights.pth'
    save_checkpoint({'epoch': 1}, str(path))

    def put_half(data, name):
        with open(name, 'wb') as file:
            file.write(data[: len(data) // 2])
        raise OSError('disk full')

    monkeypatch.setattr(
        mmengine_checkpoint, 'get_file_backend', lambda *a, **k: types.SimpleNamespace(put=put_half)
    )
    with pytest.raises(OSError, match='disk full'):
        save_checkpoint({'epoch': 2}, str(path))
    assert load_checkpoint_file(path)['epoch'] == 1
    assert os.listdir(tmp_path) == ['weights.pth']


@pytest.mark.smoke
def test_local_file_is_refused(bad):
    with refused:
        load_checkpoint(Net(), bad)
    with refused:
        CheckpointLoader.load_checkpoint(bad, map_location='cpu')
    with refused:
        mmengine_checkpoint._load_checkpoint_with_prefix('linear', bad)
    with refused:
        mmengine_checkpoint.load_from_local(bad, 'cpu')


def test_trusted_file_loads(touch, tmp_path):
    ran = tmp_path / 'ran'
    path = str(tmp_path / 'mine.pth')
    torch.save({'state_dict': {}, 'meta': touch(ran)}, path)
    with trust_checkpoint(path):
        load_checkpoint(Net(), path)
    assert ran.exists()


def pretend_download(monkeypatch, file, tmp_path):
    monkeypatch.setattr(
        torch.hub, 'download_url_to_file', lambda url, to, *a, **k: shutil.copy(file, to)
    )
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))


@pytest.mark.parametrize(
    'url',
    [
        'http://host.invalid/a.pth',
        'https://host.invalid/b.pth',
        'torchvision://resnet50',
        'modelzoo://resnet50',
        'mmcls://vgg11',
        'open-mmlab://contrib/resnet50_gn',
    ],
)
def test_download_is_refused_and_named(url, bad, tmp_path, monkeypatch):
    pretend_download(monkeypatch, bad, tmp_path)
    with refused as error:
        CheckpointLoader.load_checkpoint(url)
    assert url in str(error.value)


def test_download_of_good_weights_loads(tmp_path, monkeypatch):
    path = tmp_path / 'good.pth'
    torch.save({'w': torch.ones(1)}, path)
    pretend_download(monkeypatch, path, tmp_path)
    for _ in range(2):
        loaded = CheckpointLoader.load_checkpoint('https://host.invalid/a.pth')
        assert loaded['w'].item() == 1
        path.unlink(missing_ok=True)  # The second time it is on disk.


def test_trusted_url_loads(touch, tmp_path, monkeypatch):
    path, ran = tmp_path / 'mine.pth', tmp_path / 'ran'
    torch.save(touch(ran), path)
    pretend_download(monkeypatch, path, tmp_path)
    with trust_checkpoint('https://host.invalid/a.pth'):
        CheckpointLoader.load_checkpoint('https://host.invalid/a.pth')
    assert ran.exists()


def test_local_zoo_file_is_refused(bad, tmp_path, monkeypatch):
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))
    with open(tmp_path / 'open_mmlab.json', 'w') as file:
        json.dump({'mine': 'bad.pth'}, file)
    with refused:
        CheckpointLoader.load_checkpoint('openmmlab://mine')


def pretend_storage(monkeypatch, path):
    backend = types.SimpleNamespace(get=lambda name: Path(path).read_bytes())
    monkeypatch.setattr(mmengine_checkpoint, 'get_file_backend', lambda *args, **kwargs: backend)


def test_object_storage_is_refused(bad, monkeypatch):
    pretend_storage(monkeypatch, bad)
    with refused as error:
        CheckpointLoader.load_checkpoint('s3://bucket/a.pth')
    assert 's3://bucket/a.pth' in str(error.value)


def test_weights_load_from_object_storage(tmp_path, monkeypatch):
    path = str(tmp_path / 'weights.safetensors')
    save_checkpoint({'state_dict': {'w': torch.ones(1)}}, path)
    pretend_storage(monkeypatch, path)
    loaded = CheckpointLoader.load_checkpoint('petrel://a/w.safetensors')
    assert loaded['state_dict']['w'].item() == 1


def test_pavi_is_refused(bad, monkeypatch):
    model = types.SimpleNamespace(name='a.pth', download=lambda to: shutil.copy(bad, to))
    cloud = types.SimpleNamespace(get=lambda path: model)
    monkeypatch.setitem(sys.modules, 'pavi', types.SimpleNamespace(modelcloud=cloud))
    with refused:
        CheckpointLoader.load_checkpoint('pavi://a.pth')


@pytest.mark.parametrize('prefix', [None, 'linear'])
def test_pretrained_init_is_refused(prefix, bad):

    class Block(BaseModule):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.linear = torch.nn.Linear(2, 1)

    init = dict(type='Pretrained', checkpoint=bad)
    if prefix:
        init['prefix'] = prefix
    with refused:
        Block(init_cfg=init).init_weights()


def test_mmengine_sees_the_torch_of_all_others():
    assert mmengine_checkpoint.torch.Tensor is torch.Tensor
    assert mmengine_checkpoint.torch is torch


def test_installing_again_changes_nothing():
    before = (CheckpointLoader.load_checkpoint, Runner.resume, save_checkpoint)
    install()
    assert before == (
        CheckpointLoader.load_checkpoint,
        Runner.resume,
        mmengine_checkpoint.save_checkpoint,
    )


@pytest.mark.slow
def test_mmengine_imported_first_is_guarded_too(tmp_path, bad):
    code = f"""
import mmengine.runner, mmengine.infer
from mmengine.runner import save_checkpoint
import mmanchor
try:
    mmengine.runner.load_checkpoint(None, {bad!r})
except mmanchor.compat.UnsafeCheckpointError:
    print('refused')
assert mmengine.runner.runner.save_checkpoint is not save_checkpoint
mmengine.runner.save_checkpoint({{'state_dict': {{}}}}, 'a.safetensors')
mmengine.runner.load_checkpoint(None, 'a.safetensors')
"""
    # The hook of an installation would import mmanchor first.
    environment = {**os.environ, 'MMANCHOR_NO_HOOK': '1'}
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert 'refused' in result.stdout, result.stderr
    assert "'NoneType' object has no attribute" in result.stderr


@pytest.mark.parametrize(
    'url, words',
    [
        ('http://127.0.0.1:1/x.pth', 'cannot be downloaded .*refused'),
        ('open-mmlab://nosuch', 'cannot be loaded: KeyError'),
        ('torchvision://nosuch', 'cannot be loaded: KeyError'),
        ('s3://b/x.pth', 'cannot be loaded: ImportError'),
    ],
)
def test_address_that_does_not_answer_is_one_line(url, words, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    with pytest.raises(CheckpointError, match=words):
        CheckpointLoader.load_checkpoint(url)
