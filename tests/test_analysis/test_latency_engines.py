import sys

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from mmanchor.analysis import engines
from mmanchor.analysis.engines import (
    ENGINES,
    Engine,
    EngineError,
    find_engines,
    relative_difference,
    start_engine,
)
from mmanchor.utils.errors import UserError


class Halves(nn.Module):
    """A convolution, and both halves of its output."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images):
        return self.conv(images).relu().chunk(2, dim=1)


@pytest.fixture
def network():
    return Halves().eval()


@pytest.mark.parametrize(
    'engine',
    [
        'eager',
        pytest.param('compile', marks=pytest.mark.slow),
        pytest.param('onnxruntime', marks=pytest.mark.slow),
    ],
)
def test_engines_agree(engine, network):
    if engine == 'onnxruntime':
        for name in ('onnx', 'onnxscript', 'onnxruntime'):
            pytest.importorskip(name)
    images = torch.randn(2, 3, 9, 7)
    call, difference = start_engine(ENGINES[engine], network, images)
    assert difference < 1e-5
    for _ in range(2):
        first, second = call()
        assert torch.allclose(first, network(images)[0], atol=1e-5)
        assert torch.allclose(second, network(images)[1], atol=1e-5)
        assert not first.requires_grad


def test_an_engine_gives_the_versions_of_its_packages():
    onnxruntime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    found = ENGINES['onnxruntime'].versions()
    assert found['onnxruntime'] == onnxruntime.__version__
    assert set(found) == {'onnx', 'onnxscript', 'onnxruntime'}


@pytest.mark.slow
def test_compiled_networks_do_not_drive_each_other_out():
    """More versions of one function than the compiler would keep."""
    sizes = range(8, 18)
    counters.clear()
    for size in sizes:
        start_engine(ENGINES['compile'], Halves().eval(), torch.randn(1, 3, 8, size))
    assert counters['stats']['unique_graphs'] == len(sizes)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs CUDA')
def test_what_is_recorded_on_a_gpu_replays_as_it_ran(network):
    images = torch.randn(2, 3, 9, 7, device='cuda')
    call = engines._eager(network.cuda(), images)
    replay = engines.graphed(call)
    for _ in range(2):
        images.normal_()  # it reads what is there by then
        assert relative_difference(replay(), call()) < 1e-5


def test_wrong_outputs_are_refused(network):
    def wrong(network, images):
        return lambda: [x + 1 for x in network(images)]

    with pytest.raises(EngineError, match='differ from eager ones by'):
        start_engine(Engine('x', wrong), network, torch.randn(1, 3, 8, 8))


def test_outputs_that_are_no_numbers_are_refused(network):
    def broken(network, images):
        return lambda: [x * float('nan') for x in network(images)]

    with pytest.raises(EngineError, match='nan'):
        start_engine(Engine('x', broken), network, torch.randn(1, 3, 8, 8))


def test_what_an_engine_raises_becomes_the_reason(network):
    def broken(network, images):
        raise NotImplementedError('no such operator\nand a long trace')

    with pytest.raises(EngineError, match=r'^NotImplementedError: no such operator$'):
        start_engine(Engine('x', broken), network, torch.randn(1, 3, 8, 8))


def test_missing_outputs_are_refused():
    one = torch.ones(2)
    with pytest.raises(EngineError, match='shapes'):
        relative_difference([one], [one, one])


def test_difference_is_relative_to_the_largest_output():
    wanted = [torch.tensor([1.0, -8.0]), torch.tensor([2.0])]
    outputs = [torch.tensor([1.0, -8.0]), torch.tensor([4.0])]
    assert relative_difference(outputs, wanted) == 0.25
    assert relative_difference(wanted, outputs) == 0.25


def test_difference_of_zeros_is_none_and_from_zeros_endless():
    zeros, ones = [torch.zeros(3)], [torch.ones(3)]
    assert relative_difference(zeros, zeros) == 0
    assert relative_difference(ones, zeros) == float('inf')


def test_unknown_engine_is_named():
    with pytest.raises(UserError, match="'tensorrt'; choose from eager, "):
        find_engines(['eager', 'tensorrt'])


def test_absent_onnxruntime_names_the_extra(monkeypatch):
    monkeypatch.setattr(
        engines.importlib.util, 'find_spec', lambda name: None if name == 'onnxruntime' else sys
    )
    find_engines(['eager', 'compile'])
    with pytest.raises(UserError, match=r"needs onnxruntime: .*'mmanchor\[onnx\]'"):
        find_engines(['onnxruntime'])
