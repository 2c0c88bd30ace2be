"""Peak memory of calls whose peak is known, and what systems report."""

import importlib.util
import os
import sys
from types import SimpleNamespace

import pytest
import torch

from mmanchor.analysis import memory
from mmanchor.analysis.memory import machine_memory, peak_memory, process_peak
from mmanchor.utils.errors import UserError


def test_what_is_released_no_longer_counts():

    def call():
        first = torch.zeros(1000)
        second = first + 1
        del first
        return second.double()  # 4 kB beside 8 kB

    assert peak_memory(call) == 12_000


def test_what_was_held_before_does_not_count():
    held = torch.zeros(100_000)
    assert peak_memory(lambda: held[:10].clone()) == 40


def test_softmax_attention_holds_its_scores_and_anchors_hold_theirs():
    from mmanchor.ops import anchor_attention

    tokens, width, anchors = 256, 16, 4
    q = torch.rand(1, 1, tokens, width)
    eager = peak_memory(lambda: (q @ q.transpose(-2, -1)).softmax(-1) @ q)
    assert eager >= 2 * 4 * tokens**2
    few = torch.rand(anchors, width)
    assert peak_memory(lambda: anchor_attention(q, q, few)) < eager / 10


@pytest.fixture
def no_proc(monkeypatch):
    """A system without /proc."""

    def no_file(self):
        raise FileNotFoundError(str(self))

    monkeypatch.setattr(memory.Path, 'read_text', no_file)


def test_windows_has_no_resource(monkeypatch, no_proc):
    monkeypatch.setitem(sys.modules, 'resource', None)
    spec = importlib.util.find_spec('mmanchor.analysis.memory')
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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs CUDA')
def test_the_peak_on_a_gpu():

    def call():
        return torch.zeros(1 << 20, device='cuda') + 1

    assert peak_memory(call, 'cuda') == 2 * 4 << 20
