"""`_base_ = 'mmanchor::...'`, which MMEngine alone does not resolve."""

import pytest
from mmengine.config import Config

from mmanchor.utils import config_files


@pytest.fixture
def configs(tmp_path, monkeypatch):
    """A folder that stands in for ours, with one config in it."""
    folder = tmp_path / 'configs'
    (folder / 'upernet').mkdir(parents=True)
    (folder / 'upernet' / 'one.py').write_text(
        "default_scope = 'mmseg'\nmodel = dict(type='EncoderDecoder', a=1)\n"
    )
    monkeypatch.setattr(config_files, 'config_root', lambda: folder)
    return folder


def load(folder, text):
    path = folder / 'mine.py'
    path.write_text(text)
    return Config.fromfile(str(path))


def test_base_by_package_name_is_inherited_and_overridden(configs, tmp_path):
    config = load(tmp_path, "_base_ = 'mmanchor::upernet/one.py'\nmodel = dict(b=2)\n")
    assert config.model == dict(type='EncoderDecoder', a=1, b=2)


def test_inherited_model_keeps_the_scope_of_its_toolbox(configs, tmp_path):
    config = load(tmp_path, "_base_ = ['mmanchor::upernet/one.py']\n")
    assert '_scope_' not in config.model
    assert config.default_scope == 'mmseg'


def test_a_config_outside_any_folder_resolves(configs, tmp_path):
    (configs / 'entry.py').write_text("_base_ = './upernet/one.py'\n")
    config = load(tmp_path, "_base_ = 'mmanchor::entry.py'\n")
    assert config.model.a == 1


def test_base_variable_of_our_config_is_readable(configs, tmp_path):
    config = load(
        tmp_path,
        "_base_ = 'mmanchor::upernet/one.py'\n"
        'number = {{_base_.model.a}}\nscope = _base_.default_scope\n',
    )
    assert (config.number, config.scope) == (1, 'mmseg')


def test_missing_config_is_named_with_the_folder(configs, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'upernet/two.py.*below'):
        load(tmp_path, "_base_ = 'mmanchor::upernet/two.py'\n")


def test_relative_bases_and_other_packages_go_the_usual_way(tmp_path):
    (tmp_path / 'base.py').write_text('a = 1\n')
    assert load(tmp_path, "_base_ = './base.py'\n").a == 1
    with pytest.raises(AssertionError, match='nobody'):
        load(tmp_path, "_base_ = 'nobody::folder/one.py'\n")
