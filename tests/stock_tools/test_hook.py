"""The .pth file brings the repairs where nothing of ours is imported."""

import shutil
from pathlib import Path

import pytest
from fresh_python import run_python

from mmanchor.compat import mmcv_ops

HOOK = Path(__file__).resolve().parents[2] / 'hook'
LOADED = 'print("mmanchor" in sys.modules, "torch" in sys.modules)'
fallback_only = pytest.mark.skipif(
    mmcv_ops.has_compiled_ops(), reason='mmcv has compiled operators here'
)


def package(folder: Path, name: str, text: str = '') -> None:
    """Write a package of one file."""
    (folder / name).mkdir(parents=True)
    (folder / name / '__init__.py').write_text(text)


def test_start_of_python_imports_nothing(run):
    assert run('-c', f'import sys; {LOADED}').stdout.split() == ['False', 'False']


def test_first_import_of_mmengine_brings_mmanchor(run):
    code = f'import sys, mmengine; {LOADED}; print(mmengine.__spec__.name)'
    assert run('-c', code).stdout.split() == ['True', 'False', 'mmengine']


def test_environment_switches_it_off(run):
    code = f'import sys, mmengine; {LOADED}'
    assert run('-c', code, MMANCHOR_NO_HOOK='1').stdout.split()[0] == 'False'
    assert run('-c', code, MMANCHOR_NO_HOOK='0').stdout.split()[0] == 'True'


@fallback_only
@pytest.mark.slow
def test_mmcvs_operators_import_without_a_compiler(run):
    code = 'from mmcv.ops import RoIAlign, nms; print(nms.__name__)'
    assert run('-c', code).stdout == 'nms\n'


def test_configs_inherit_ours(run, tmp_path):
    (tmp_path / 'mine.py').write_text(
        "_base_ = 'mmanchor::picodet/picodet_esnet-s_4xb80-300e_coco-320.py'\n"
    )
    code = "from mmengine import Config; print(Config.fromfile('mine.py').model.type)"
    assert run('-c', code).stdout.split() == ['mmanchor.PicoDet']


def test_it_says_once_what_is_wrong_with_mmanchor(site, tmp_path):
    package(tmp_path / 'here', 'mmanchor', "raise RuntimeError('half an installation')")
    package(tmp_path / 'here', 'mmcv', "name = 'mine'")
    package(tmp_path / 'here', 'mmengine')
    code = 'import mmcv, mmengine; print(mmcv.name)'
    result = run_python(['-c', code], tmp_path, [site, tmp_path / 'here'])
    assert result.stdout == 'mine\n'
    assert result.stderr.count('half an installation') == 1
    assert 'mmanchor doctor' in result.stderr


def test_it_is_silent_where_mmanchor_is_gone(site, tmp_path):
    package(tmp_path / 'here', 'mmcv')
    code = (
        'import sys; sys.path = [p for p in sys.path if "site-packages" not in p];'
        'sys.meta_path = [f for f in sys.meta_path if "editable" not in str(f)]; import mmcv'
    )
    assert run_python(['-c', code], tmp_path, [site, tmp_path / 'here']).stderr == ''


def test_path_file_alone_does_no_harm(tmp_path):
    shutil.copy(HOOK / 'mmanchor_hook.pth', tmp_path)
    code = f'import site, sys; site.addsitedir({str(tmp_path)!r}); {LOADED}'
    assert run_python(['-S', '-c', code], tmp_path).stderr == ''


def test_packages_from_finders_of_their_own_are_found(run):
    code = """if True:
        import sys
        from importlib.machinery import ModuleSpec

        class Late:
            @staticmethod
            def find_spec(name, path=None, target=None):
                return ModuleSpec('mmcv', Late) if name == 'mmcv' else None
            create_module = staticmethod(lambda spec: None)
            exec_module = staticmethod(lambda module: setattr(module, 'name', 'late'))

        sys.meta_path.insert(1, Late)
        import mmcv
        print(mmcv.name, 'mmanchor' in sys.modules)
    """
    assert run('-c', code).stdout == 'late True\n'
