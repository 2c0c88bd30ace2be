"""Exporting the deploy form."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmanchor.apis.export import export_deploy
from mmanchor.cli.main import main
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError

NAME = 'upernet_anchorformer-demo_1xb8-1100_demo-128'


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A config, its model with random weights, and its checkpoint."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(load_config(NAME).model).eval()
    path = tmp_path_factory.mktemp('trained') / 'iter_1.pth'
    meta = dict(dataset_meta=dict(classes=('a', 'b')))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return model, path


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_the_exported_files_build_the_same_model(trained, tmp_path, suffix):
    model, path = trained
    out = tmp_path / f'deploy{suffix}'
    report = export_deploy(load_config(NAME), path, out)
    assert report.params_after < report.params_before
    assert report.difference < 1e-5
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([out.name, 'deploy.py'])

    from mmengine.runner import load_checkpoint

    cfg = Config.fromfile(str(report.config))
    assert cfg.model.backbone.deploy is True
    with DefaultScope.overwrite_default_scope('mmseg'):
        other = MODELS.build(cfg.model).eval()
    loaded = load_checkpoint(other, str(out), strict=True)
    assert tuple(loaded['meta']['dataset_meta']['classes']) == ('a', 'b')
    x = torch.rand(1, 3, 96, 64)
    torch.testing.assert_close(other(x), model(x), rtol=1e-4, atol=1e-5)


def test_the_command_says_what_changed(trained, tmp_path, capsys):
    status = main(['fold', NAME, str(trained[1]), str(tmp_path / 'out.pth')])
    printed = capsys.readouterr().out
    assert status == 0
    assert 'fewer' in printed and 'out.py' in printed


@pytest.mark.parametrize(
    'out, message',
    [
        ('out.onnx', 'must end in .pth or .safetensors'),
        ('iter_1.pth', 'is the file to read itself'),
    ],
)
def test_bad_names_are_refused(trained, out, message):
    with pytest.raises(UserError, match=message):
        export_deploy(load_config(NAME), trained[1], trained[1].parent / out)
    assert len(list(trained[1].parent.iterdir())) == 1


def test_a_checkpoint_of_another_model_leaves_nothing(trained, tmp_path):
    cfg = load_config(NAME, {'model.backbone.num_anchors': 5})
    with pytest.raises(UserError, match='is not of this model'):
        export_deploy(cfg, trained[1], tmp_path / 'out.pth')
    assert not list(tmp_path.iterdir())


def test_a_deploy_checkpoint_is_refused_by_the_training_form(trained, tmp_path):
    out = tmp_path / 'deploy.pth'
    export_deploy(load_config(NAME), trained[1], out)
    with pytest.raises(UserError, match=r'is not of this model.*anchors'):
        export_deploy(load_config(NAME), out, tmp_path / 'again.pth')


def test_weights_that_are_nan_are_not_exported(trained, tmp_path):
    content = torch.load(trained[1], weights_only=False)
    content['state_dict'] = dict(content['state_dict'])
    for name, value in content['state_dict'].items():
        if name.startswith('backbone') and value.is_floating_point():
            content['state_dict'][name] = torch.full_like(value, float('nan'))
            break
    broken = tmp_path / 'nan.pth'
    torch.save(content, broken)
    with pytest.raises(UserError, match=r'gives nan .* nothing was written'):
        export_deploy(load_config(NAME), broken, tmp_path / 'out.pth')
    assert [path.name for path in tmp_path.iterdir()] == ['nan.pth']


def test_a_difference_that_is_nan_does_not_pass(trained, tmp_path, monkeypatch):
    def spoil(model):
        with torch.no_grad():
            next(model.backbone.parameters()).fill_(float('nan'))

    monkeypatch.setattr('mmanchor.apis.export.switch_to_deploy', spoil)
    with pytest.raises(UserError, match=r'the deploy form differs by nan .* nothing was written'):
        export_deploy(load_config(NAME), trained[1], tmp_path / 'out.pth')


def test_the_exported_config_keeps_nothing_of_the_run(trained, tmp_path):
    cfg = load_config(NAME, {'load_from': 'x.pth', 'resume': True}, tmp_path / 'work')
    export_deploy(cfg, trained[1], tmp_path / 'out.pth')
    exported = Config.fromfile(str(tmp_path / 'out.py'))
    assert not {'work_dir', 'launcher', 'load_from', 'resume'} & exported.keys()
    assert cfg.work_dir == str(tmp_path / 'work')


@pytest.mark.parametrize('out', ['folder.pth', 'file/out.pth'])
def test_a_place_that_cannot_be_written_to(trained, tmp_path, out):
    (tmp_path / 'folder.pth').mkdir()
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='OUT'):
        export_deploy(load_config(NAME), trained[1], tmp_path / out)
