"""Counts multiply-adds of a model while it runs, module by module."""

import copy
from collections import Counter
from collections import Counter as Counts
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from .operator_macs import HANDLERS, UNCOUNTED

# Operators of these count as free if they have no handler and are not known to
# multiply; any other may multiply unseen.
_KNOWN = ('aten', 'prim', 'prims', 'profiler')


@dataclass
class MacCount:
    """Multiply-adds of one run of a model.

    Args:
        by_module: By the name of the innermost module that ran the operator;
            '' is the model itself. The sum is the total.
        by_operator: By the operator's name, without the ``_`` of those in
            place.
        uncounted: Names of operators that multiply, or that may as they are
            not torch's own, and of which nobody told how much.
    """

    by_module: Counts[str] = field(default_factory=Counter)
    by_operator: Counts[str] = field(default_factory=Counter)
    uncounted: set[str] = field(default_factory=set)

    @property
    def total(self) -> int:
        """Multiply-adds of the whole run."""
        return self.by_module.total()


def count_macs(model: nn.Module, *inputs: Any) -> MacCount:
    """Run a model and count the multiply-adds of what it executes.

    Where all of its operators know how, it runs on tensors that have shapes
    but no numbers, so that size costs neither time nor memory; else as it is.
    Matrix products, convolutions, attention, norms and resizing are counted,
    whatever function or module calls them.

    Args:
        model: A model in evaluation mode, or any other module.
        *inputs: What it takes; tensors stay as they are.

    Returns:
        The counts.

    Example:
        >>> attention = nn.MultiheadAttention(8, 2, bias=False)
        >>> x = torch.rand(5, 1, 8)  # 5 tokens
        >>> count_macs(attention, x, x, x).total == 4 * 5 * 8**2 + 2 * 5**2 * 8
        True
    """
    try:
        return _run(
            without_numbers(model),
            [each.to('meta') if isinstance(each, Tensor) else each for each in inputs],
        )
    # An operator that needs numbers may fail in any way; what is wrong with
    # the model or its input fails again below, and says so.
    except Exception:
        return _run(model, inputs)


def without_numbers(model: nn.Module) -> nn.Module:
    """A copy of a model whose tensors have shapes only.

    Args:
        model: Any model; parameters that it shares stay shared.
    """
    empty = {id(each): nn.Parameter(each.to('meta'), each.requires_grad)
             for each in model.parameters()}  # yapf: disable
    empty.update((id(each), each.to('meta')) for each in model.buffers())
    # Modules may keep what they derive from parameters, and do it anew here.
    with torch.no_grad():
        return copy.deepcopy(model, empty).train(model.training)


def _run(model: nn.Module, inputs: Any) -> MacCount:
    counter = _Counter()
    with (
        counter.following(model),
        _plain_attention(),
        torch.inference_mode(False),
        torch.no_grad(),
        counter,
    ):
        model(*inputs)
    return counter.count


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Keep torch's attention modules from running as one opaque operator."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class _Counter(TorchDispatchMode):
    """Sees every operator that runs, below autograd."""

    def __init__(self) -> None:
        super().__init__()
        self.count = MacCount()
        self._running: list[str] = ['']

    @contextmanager
    def following(self, model: nn.Module) -> Iterator[None]:
        """Notice which of a model's modules runs."""

        def entering(name: str):
            return lambda module, args: self._running.append(name)

        def leaving(module: nn.Module, args: Any, out: Any) -> None:
            self._running.pop()

        with ExitStack() as hooks:
            for name, module in model.named_modules():
                hooks.enter_context(module.register_forward_pre_hook(entering(name)))
                hooks.enter_context(module.register_forward_hook(leaving))
            yield

    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> Any:
        out = func(*args, **(kwargs or {}))
        operator = func.name().split('.')[0]
        plain = operator.removesuffix('_')  # in place it multiplies as much
        handler = HANDLERS.get(plain)
        if handler is not None:
            macs = handler(_positional(func, args, kwargs or {}), out)
            self.count.by_module[self._running[-1]] += macs
            self.count.by_operator[plain] += macs
        elif func.namespace not in _KNOWN or plain in UNCOUNTED:
            self.count.uncounted.add(operator)
        return out


def _positional(func: Any, args: tuple, kwargs: dict) -> list:
    """All arguments of a call in their order, defaults filled in."""
    rest = func._schema.arguments[len(args) :]
    return [*args, *(kwargs.get(each.name, each.default_value) for each in rest)]
