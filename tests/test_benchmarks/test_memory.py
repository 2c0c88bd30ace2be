"""What systems report of their memory."""

import importlib.util
import os
import sys
from types import SimpleNamespace

import pytest

from mmanchor.utils.errors import UserError
from tools.benchmarks import memory
from tools.benchmarks.memory import machine_memory, process_peak


@pytest.fixture
def no_proc(monkeypatch):
    """A system without /proc."""

    def no_file(self):
        raise FileNotFoundError(str(self))

    monkeypatch.setattr(memory.Path, 'read_text', no_file)


def test_windows_has_no_resource(monkeypatch, no_proc):
    monkeypatch.setitem(sys.modules, 'resource', None)
    spec = importlib.util.find_spec('tools.benchmarks.memory')
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    with pytest.raises(UserError, match='peak memory of a process'):
        process_peak()


@pytest.mark.parametrize('system, unit', [('linux', 1024), ('darwin', 1)])
def test_systems_count_the_peak_in_units_of_their_own(monkeypatch, no_proc, system, unit):
    monkeypatch.setattr(memory.sys, 'platform', system)
    monkeypatch.setitem(
        sys.modules,
        'resource',
        SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda _: SimpleNamespace(ru_maxrss=7)),
    )
    assert process_peak() == 7 * unit


@pytest.mark.parametrize(
    'texts, most',
    [
        (('max\n', None), 4000),
        (('300\n', None), 300),
        ((None, '200\n'), 200),
        ((None, '9223372036854771712\n'), 4000),
        ((None, None), 4000),
    ],
)
def test_a_container_may_use_less_than_there_is(monkeypatch, tmp_path, texts, most):
    files = [tmp_path / 'of-v2', tmp_path / 'of-v1']
    for file, text in zip(files, texts, strict=True):
        if text is not None:
            file.write_text(text)
    monkeypatch.setattr(memory, '_LIMITS', files)
    monkeypatch.setattr(os, 'sysconf', dict(SC_PAGE_SIZE=4, SC_PHYS_PAGES=1000).get)
    assert machine_memory() == most


def test_a_system_that_does_not_report_its_memory_needs_the_option(monkeypatch):
    monkeypatch.delattr(os, 'sysconf')
    with pytest.raises(UserError, match='give --max-memory'):
        machine_memory()
