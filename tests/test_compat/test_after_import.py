"""Actions run when a module is imported, and leave the module as it was."""

import importlib
import importlib.util
import inspect
import sys

import pytest

from mmanchor.compat.after_import import _FINDER, after_import


@pytest.fixture
def module_name(tmp_path, monkeypatch, request):
    """A module of one line that can be imported, and is forgotten after."""
    name = f'fresh_{abs(hash(request.node.name))}'
    (tmp_path / f'{name}.py').write_text('value = 1\n')
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)
    _FINDER.actions.pop(name, None)


def double(module):
    module.value *= 2


def test_action_runs_once_after_the_module(module_name):
    after_import(module_name, double)
    after_import(module_name, double)
    assert module_name not in sys.modules
    assert importlib.import_module(module_name).value == 2
    assert importlib.import_module(module_name).value == 2


def test_action_runs_at_once_for_an_imported_module(module_name):
    module = importlib.import_module(module_name)
    after_import(module_name, double)
    assert module.value == 2


def add_three(module):
    module.value += 3


@pytest.mark.parametrize('imported_first', [False, True])
def test_all_actions_of_a_module_run_in_order(module_name, imported_first):
    if imported_first:
        importlib.import_module(module_name)
    for action in (double, add_three, double):
        after_import(module_name, action)
    assert importlib.import_module(module_name).value == 1 * 2 + 3


def test_action_runs_again_on_reload(module_name):
    after_import(module_name, double)
    module = importlib.import_module(module_name)
    assert importlib.reload(module).value == 2


def test_module_keeps_its_own_loader_and_source(module_name):
    after_import(module_name, double)
    assert importlib.util.find_spec(module_name).origin.endswith('.py')
    module = importlib.import_module(module_name)
    assert module.__loader__ is module.__spec__.loader
    assert type(module.__loader__).__name__ == 'SourceFileLoader'
    assert inspect.getsource(module) == 'value = 1\n'


def test_missing_module_stays_missing():
    after_import('no_such_module_anywhere', double)
    with pytest.raises(ModuleNotFoundError, match='no_such_module_anywhere'):
        importlib.import_module('no_such_module_anywhere')
    _FINDER.actions.pop('no_such_module_anywhere')
