"""Each check finds what it is there to find, and survives it."""

import builtins
import sys
import types

import pytest

from mmanchor.compat import doctor, mmcv_ops, stack
from mmanchor.compat.doctor import BROKEN, OK, WARNING


@pytest.fixture
def missing(monkeypatch):
    """Make imports of some packages fail, with a message if one is given."""

    def pretend(**messages):
        real = builtins.__import__

        def fake(name, *args, **kwargs):
            message = messages.get(name.partition('.')[0])
            if message:
                raise ImportError(message)
            if message is not None:
                raise ModuleNotFoundError(f'No module named {name!r}', name=name)
            return real(name, *args, **kwargs)

        for name in list(sys.modules):
            if name.partition('.')[0] in messages:
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(builtins, '__import__', fake)

    return pretend


@pytest.fixture
def installed(monkeypatch):

    def pretend(versions):
        monkeypatch.setattr(stack, 'distribution_version', versions.get)
        monkeypatch.setattr(stack, 'source_version', lambda module: None)

    return pretend


def broken(findings):
    return [item for item in findings if item.status == BROKEN]


@pytest.mark.smoke
@pytest.mark.parametrize(
    'check', [check for _, check in doctor.CHECKS if 'tool' not in check.__name__]
)
def test_this_environment_is_sound(check):
    findings = check()
    assert not broken(findings), findings


@pytest.mark.slow
def test_toolboxes_of_this_environment_import():
    assert [item.status for item in doctor.check_toolboxes()] == [OK] * 5


@pytest.mark.parametrize('check', [doctor.check_torch, doctor.check_numpy, doctor.check_gpu])
def test_missing_torch_is_a_finding(check, missing):
    missing(torch='')
    findings = broken(check())
    assert findings and 'torch>=2.4' in findings[0].cure


def test_missing_library_of_opencv_has_its_cure(missing):
    missing(cv2='libGL.so.1: cannot open shared object file')
    (finding,) = doctor.check_opencv()
    assert finding.status == BROKEN
    assert 'opencv-python-headless' in finding.cure
    assert 'apt-get install libgl1 libglib2.0-0' in finding.cure


def test_missing_opencv_has_its_cure(missing):
    missing(cv2='')
    (finding,) = doctor.check_opencv()
    assert finding.cure == 'pip install opencv-python-headless'


def test_torchvision_without_its_operators_is_broken(monkeypatch):

    def fail(*args):
        raise RuntimeError('operator torchvision::nms does not exist')

    monkeypatch.setattr('torchvision.ops.nms', fail)
    (finding,) = broken(doctor.check_torch())
    assert finding.name == 'torchvision'
    assert 'torch==2.11.0 torchvision==0.26.0' in finding.cure


def test_torchvision_for_another_torch_is_broken(monkeypatch):
    monkeypatch.setattr(doctor.metadata, 'requires', lambda name: ['numpy', 'torch==2.5.0'])
    (finding,) = broken(doctor.check_torch())
    assert 'built for torch==2.5.0' in finding.value


def test_torch_without_numpy_is_broken(monkeypatch):

    def fail(tensor):
        raise RuntimeError('Numpy is not available')

    monkeypatch.setattr('torch.Tensor.numpy', fail)
    (finding,) = broken(doctor.check_numpy())
    assert finding.name == 'torch to numpy' and 'numpy' in finding.cure


@pytest.mark.parametrize(
    'versions, words',
    [
        ({}, 'mmanchor[openmmlab]'),
        ({'mmengine': '0.10.7', 'onedl-mmcv': '2.3.6'}, 'new environment'),
        ({'mmengine': '0.10.7', 'mmcv': '2.2.0'}, 'mmanchor[openmmlab]'),
    ],
)
def test_wrong_stack_is_broken(installed, versions, words):
    installed({'torch': '2.11.0', 'torchvision': '0.26.0', **versions})
    assert words in broken(doctor.check_stack())[0].cure


def test_two_mmcv_are_broken(installed):
    installed(
        {
            'mmengine': '0.10.7',
            'mmcv': '2.1.0',
            'mmcv-lite': '2.1.0',
            'torch': '2.11.0',
            'torchvision': '0.26.0',
        }
    )
    (finding,) = broken(doctor.check_stack())
    assert finding.cure.startswith('pip uninstall mmcv-lite mmcv')


def test_missing_toolbox_is_a_warning(installed):
    installed({'mmengine': '0.10.7', 'mmcv-lite': '2.1.0'})
    findings = {item.name: item for item in doctor.check_toolboxes()}
    assert findings['mmseg'].status == WARNING
    assert 'import mmseg.models' not in findings


def test_toolbox_that_refuses_mmcv_has_its_cure(installed, monkeypatch):
    installed({'mmengine': '0.10.7', 'mmdet': '3.3.0'})

    def fail(name):
        if name == 'mmdet.models':
            raise AssertionError('MMCV==2.2.0 is used but incompatible.')

    monkeypatch.setattr(doctor.importlib, 'import_module', fail)
    (finding,) = broken(doctor.check_toolboxes())
    assert finding.name == 'import mmdet.models'
    assert 'refuses this version' in finding.cure


def test_broken_extension_has_its_cure(installed, monkeypatch):
    installed({'mmcv': '2.1.0'})

    def fail(name):
        raise ImportError('_ext.so: undefined symbol: _ZN3c10')

    monkeypatch.setattr(mmcv_ops, 'has_compiled_ops', lambda: True)
    monkeypatch.setattr(doctor.importlib, 'import_module', fail)
    (finding,) = broken(doctor.check_compiled_ops())
    assert 'rebuild it' in finding.cure and 'mmcv-lite' in finding.cure


def test_missing_pkg_resources_is_a_warning(installed, monkeypatch):
    installed({'mmengine': '0.10.7', 'setuptools': '82.0'})
    monkeypatch.setitem(sys.modules, 'pkg_resources', None)
    (finding,) = doctor.check_pkg_resources()
    assert finding.status == WARNING
    assert finding.cure == 'pip install "setuptools<81"'


def test_fork_needs_no_pkg_resources(installed):
    installed({'onedl-mmengine': '0.10.12'})
    assert doctor.check_pkg_resources() == []


def test_driver_without_torch_support_is_a_warning(monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    monkeypatch.setattr('torch.backends.mps.is_available', lambda: False)
    monkeypatch.setattr(doctor.os.path, 'exists', lambda path: True)
    (finding,) = doctor.check_gpu()
    assert finding.status == WARNING and 'driver' in finding.value


def test_unguarded_loading_is_broken(monkeypatch):
    from mmengine.runner import checkpoint

    monkeypatch.setattr(checkpoint, 'load_from_local', lambda path: None)
    (finding,) = doctor.check_checkpoints()
    assert finding.status == BROKEN


def test_missing_hook_is_a_warning(monkeypatch):
    monkeypatch.delenv('MMANCHOR_NO_HOOK', raising=False)
    monkeypatch.delitem(sys.modules, '_mmanchor_hook', raising=False)
    (finding,) = doctor.check_hook()
    assert finding.status == WARNING and 'mmanchor run' in finding.cure
    monkeypatch.setitem(sys.modules, '_mmanchor_hook', types.ModuleType('_mmanchor_hook'))
    (finding,) = doctor.check_hook()
    assert finding.status == OK and 'registered' in finding.value


def test_hook_may_be_switched_off(monkeypatch):
    monkeypatch.setenv('MMANCHOR_NO_HOOK', '1')
    (finding,) = doctor.check_hook()
    assert finding.status == OK and 'switched off' in finding.value


def test_little_shared_memory_is_a_warning(monkeypatch):
    monkeypatch.setattr(doctor.os.path, 'isdir', lambda path: True)
    monkeypatch.setattr(
        doctor.shutil, 'disk_usage', lambda path: types.SimpleNamespace(total=64 * 2**20)
    )
    (finding,) = doctor.check_shared_memory()
    assert finding.status == WARNING and '64 MiB' in finding.value


def test_missing_requirement_is_broken(monkeypatch):
    monkeypatch.setattr(
        doctor.metadata,
        'requires',
        lambda name: ['no-such-thing>=3', 'packaging', 'ftfy; extra == "openmmlab"'],
    )
    (finding,) = doctor.check_requirements()
    assert finding.cure == 'pip install "no-such-thing>=3"'
