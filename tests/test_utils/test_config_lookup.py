from pathlib import Path

import pytest

from mmanchor.utils import config as config_module
from mmanchor.utils.config import find_config, list_configs, load_config, parse_options, toolbox
from mmanchor.utils.errors import UserError


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder of configs in the place of ours."""
    for name in ('entry', 'seg/unet_a', 'seg/unet_b', 'x/same', 'y/same', '_base_/hidden'):
        path = tmp_path / 'configs' / f'{name}.py'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("default_scope = 'mmseg'\nvalue = 1\n")
    monkeypatch.setattr(config_module, 'config_root', lambda: tmp_path / 'configs')
    return tmp_path / 'configs'


@pytest.mark.parametrize(
    'name',
    [
        'unet_a',
        'unet_a.py',
        'seg/unet_a',
        'seg/unet_a.py',
        'mmanchor::unet_a',
        'mmanchor::seg/unet_a.py',
    ],
)
def test_name_finds_the_file(root, name):
    assert find_config(name) == root / 'seg' / 'unet_a.py'


def test_path_comes_before_names(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('entry').write_text('')
    assert find_config('entry') == Path('entry')


def test_bases_are_no_configs(root):
    assert list_configs() == ['entry', 'seg/unet_a', 'seg/unet_b', 'x/same', 'y/same']
    with pytest.raises(UserError, match='hidden'):
        find_config('hidden')


@pytest.mark.parametrize(
    'name, message',
    [
        ('same', 'several configs; choose one of x/same, y/same'),
        ('unet_c', 'did you mean seg/unet_'),
        ('far/off.py', "no config file 'far/off.py'.* did you mean entry"),
    ],
)
def test_wrong_name_gives_a_choice(root, name, message):
    with pytest.raises(UserError, match=message):
        find_config(name)


def test_ours_are_found_by_name():
    assert find_config('upernet_anchorformer_ade').is_file()


def test_configs_of_the_toolboxes_are_found_too():
    name = 'rtmdet/rtmdet_tiny_8xb32-300e_coco'
    path = find_config(f'mmdet::{name}.py')
    assert path == find_config(f'mmdet::{name}')
    assert path.as_posix().endswith(f'mmdet/.mim/configs/{name}.py')


@pytest.mark.parametrize(
    'name, message',
    [
        (
            'mmdet::rtmdet/rtmdet_tini_8xb32-300e_coco.py',
            'mmdet came with no config .* did you mean rtmdet/rtmdet_tiny_8xb32',
        ),
        ('nobody::x/y.py', "the package 'nobody', which is not installed"),
    ],
)
def test_wrong_config_of_a_toolbox_is_named(name, message):
    with pytest.raises(UserError, match=message):
        find_config(name)


@pytest.mark.parametrize('end', ['raise SystemExit(3)', 'import sys; sys.exit("no GPU")'])
def test_a_config_that_ends_the_program_is_named(root, end):
    (root / 'entry.py').write_text(f'{end}\n')
    with pytest.raises(UserError, match=r'cannot read the config \S+entry\.py: SystemExit: (3|no)'):
        load_config('entry')


def test_options_then_flags_override_the_config(root):
    cfg = load_config('entry', dict(value=2, work_dir='a'), work_dir='b')
    assert (cfg.value, cfg.work_dir, cfg.launcher) == (2, 'b', 'none')
    assert load_config('entry', dict(work_dir='a')).work_dir == 'a'
    assert load_config('entry').work_dir == str(Path('work_dirs/entry'))


def test_options_stay_as_they_are(root):
    # MMEngine takes `_delete_` out of what it merges.
    (root / 'entry.py').write_text("""
default_scope = 'mmseg'
optim = dict(momentum=.9)
""")
    options = dict(optim=dict(_delete_=True, lr=1))
    for _ in range(2):
        assert load_config('entry', options).optim == dict(lr=1)
    assert options == dict(optim=dict(_delete_=True, lr=1))


def test_options_are_read_as_openmmlab_reads_them():
    words = ['a.b=1', 'c=x,y', 'd=[(1,2)]', 'e=None', 'f=k=v']
    assert parse_options(words) == {'a.b': 1, 'c': ['x', 'y'], 'd': [(1, 2)], 'e': None, 'f': 'k=v'}
    assert parse_options(None) == {}


@pytest.mark.parametrize('words', [['a'], ['a=[1,(2'], ['--a=1', 'b']])
def test_options_that_are_no_pairs(words):
    with pytest.raises(UserError, match='--cfg-options'):
        parse_options(words)


@pytest.mark.parametrize(
    'text, message',
    [
        ('a = (', 'SyntaxError'),
        ("_base_ = 'nowhere.py'", 'FileNotFoundError'),
        ('a = undefined', 'NameError'),
        ("custom_imports = dict(imports=['nowhere'])", 'ImportError'),
    ],
)
def test_config_that_cannot_be_read(tmp_path, text, message):
    path = tmp_path / 'broken.py'
    path.write_text(text)
    with pytest.raises(UserError, match=f'{path}.*{message}'):
        load_config(path)


def test_option_that_does_not_fit(tmp_path):
    path = tmp_path / 'list.py'
    path.write_text('steps = [1, 2]')
    with pytest.raises(UserError, match='--cfg-options do not fit'):
        load_config(path, {'steps.5': 1})


def test_toolbox_is_the_default_scope(root, tmp_path):
    assert toolbox(load_config('entry')) == 'mmseg'
    path = tmp_path / 'none.py'
    path.write_text('a = 1')
    with pytest.raises(UserError, match='default_scope'):
        toolbox(load_config(path))
