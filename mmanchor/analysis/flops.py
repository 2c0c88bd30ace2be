"""Multiply-adds of a model, counted operator by operator while it runs.

torch's ``FlopCounterMode`` counts matrix products, convolutions and fused
attention. Added here are norms, resizing, products with vectors and a few
operators that it does not know.
"""

import copy
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

aten = torch.ops.aten


@dataclass
class MacCount:
    """Multiply-adds of one run of a model.

    Args:
        by_module: Multiply-adds by the name of the innermost module that ran
            them; '' is the model itself. They sum up to ``total``.
        by_operator: Multiply-adds by the operator's name, such as 'aten.mm'.
        uncounted: Names of operators that multiply, or may multiply because
            they are not torch's own, and for which no formula is known.
    """

    by_module: Counter[str]
    by_operator: dict[str, int]
    uncounted: set[str]

    @property
    def total(self) -> int:
        """Multiply-adds of the whole run."""
        return self.by_module.total()


def count_macs(model: nn.Module, *inputs: Any) -> MacCount:
    """Run a model once and count its multiply-adds.

    The model is copied to the meta device, where tensors have shapes but no
    data, so that a large image costs neither time nor memory. A model with an
    operator that needs data runs as it is, on the device where it lies.

    Args:
        model: Any module; usually in evaluation mode.
        *inputs: Arguments of its forward; tensors are not changed.

    Returns:
        The counts.

    Example:
        >>> attention = nn.MultiheadAttention(8, 2, bias=False)
        >>> x = torch.rand(5, 1, 8)  # 5 tokens
        >>> count_macs(attention, x, x, x).total == 4 * 5 * 8**2 + 2 * 5**2 * 8
        True
    """
    shapes = [x.to('meta') if isinstance(x, Tensor) else x for x in inputs]
    try:
        return _run(meta_copy(model), shapes)
    # An operator that needs data may fail in any way. An error of the model
    # or of its input is raised again by the second run.
    except Exception:
        return _run(model, inputs)


def meta_copy(model: nn.Module) -> nn.Module:
    """Copy a model to the meta device, without copying its data first.

    Args:
        model: Any model; parameters that it shares stay shared.
    """
    empty: dict[int, Any] = {
        id(param): nn.Parameter(param.to('meta'), param.requires_grad)
        for param in model.parameters()
    }
    empty.update((id(buffer), buffer.to('meta')) for buffer in model.buffers())
    # Modules may cache what they derive from parameters while being copied.
    with torch.no_grad():
        return copy.deepcopy(model, empty).train(model.training)


def _run(model: nn.Module, inputs: Any) -> MacCount:
    seen = _SeenOperators()
    counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)
    by_module: Counter[str] = Counter()
    with (
        _no_fast_path(),
        torch.inference_mode(False),
        torch.no_grad(),
        seen,  # entered first: gets what the counter has decomposed
        counter,
        _shared_out(model, lambda: counter.get_total_flops() // 2, by_module),
    ):
        model(*inputs)
    counts = counter.get_flop_counts().get('Global', {})
    return MacCount(
        by_module,
        {str(operator): flops // 2 for operator, flops in counts.items()},
        {name for packet, name in seen.names.items() if _is_uncounted(packet, counter, name)},
    )


@contextmanager
def _shared_out(
    model: nn.Module, total: Callable[[], int], by_module: Counter[str]
) -> Iterator[None]:
    """Add what ``total`` grows by to the innermost module that runs.

    The counter's own names are not used: it gives a module that is shared by
    two others a single parent.
    """
    running, before = [''], 0

    def add_growth() -> None:
        nonlocal before
        now = total()
        if now > before:
            by_module[running[-1]] += now - before
        before = now

    def entering(name: str) -> Callable:
        def hook(module: nn.Module, args: Any) -> None:
            add_growth()
            running.append(name)

        return hook

    def leaving(module: nn.Module, args: Any, out: Any) -> None:
        add_growth()
        running.pop()

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            hooks.enter_context(module.register_forward_pre_hook(entering(name)))
            hooks.enter_context(module.register_forward_hook(leaving))
        yield


@contextmanager
def _no_fast_path() -> Iterator[None]:
    """Keep torch's attention modules from running as one opaque operator."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class _SeenOperators(TorchDispatchMode):
    """Notes the operators that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[Any, str] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> Any:
        self.names[func._overloadpacket] = func.name().split('.')[0]
        return func(*args, **(kwargs or {}))


# Operators of other namespaces may multiply without being known.
_OF_TORCH = ('aten', 'prim', 'prims', 'profiler')
# Products, convolutions and attention of one library, recurrent layers,
# distances, Fourier transforms, decompositions and antialiased resizing.
_MULTIPLIES = re.compile(
    r'(^|_)mm(_|$)|addmm|bmm|hspmm|matmul|(^|_|tri)linear(_[^1]|$)|conv(_|\d|olution)'
    r'|attention|transformer_encoder|rnn|lstm|gru(_|$)|(_c|_p|euclidean_|^c|^p)dist|_fft_'
    r'|^_?linalg_(?!\w*(norm|cross|_powsum|check))|cholesky|geqrf|ormqr|triangular_solve|spsolve|_aa$'
)


def _is_uncounted(packet: Any, counter: FlopCounterMode, name: str) -> bool:
    if packet in counter.flop_registry:
        return False
    namespace, _, operator = name.partition('::')
    return namespace not in _OF_TORCH or bool(_MULTIPLIES.search(operator))


# Formulas: from an operator's output and arguments to multiply-adds.


def _product(left: int) -> Callable[..., int]:
    """A product of matrices whose left one is argument ``left``."""
    return lambda out, *args: out.numel() * args[left].shape[-1]


def _matrix_vector(matrix: int) -> Callable[..., int]:
    """A product with a vector: one for each number of the matrix."""
    return lambda out, *args: args[matrix].numel()


def _summed_product(out: Tensor, bias: Tensor, left: Tensor, right: Tensor, *rest: Any) -> int:
    """A batch of products that are added up."""
    return left.numel() * right.shape[-1]


def _convolution(out: Tensor, image: Tensor, kernel: Tensor, *rest: Any) -> int:
    """The kernel at every output pixel; transposed, at every input pixel."""
    transposed, groups = rest[4], rest[6]
    channels = kernel.shape[0] if transposed else kernel.shape[1] * groups
    given = image.shape[1 - kernel.dim()]
    if given != channels:  # the meta device does not check it
        raise ValueError(f'a convolution takes {channels} channels, got {given}')
    return (image if transposed else out).numel() * prod(kernel.shape[1:])


def _attention(out: tuple[Tensor, ...], query: Tensor, key: Tensor, *rest: Any) -> int:
    """Q K^T and its product with V, for all pairs, masked ones too."""
    pairs = prod(query.shape[:-1]) * key.shape[-2]
    return pairs * (query.shape[-1] + out[0].shape[-1])


def _embedding_bag(out: tuple[Tensor, ...], table: Tensor, *rest: Any) -> int:
    """Weighted sums of rows; without weights rows are only added."""
    weights = rest[5] if len(rest) > 5 else None
    return 0 if weights is None else weights.numel() * table.shape[-1]


def _sampled_product(out: Tensor, pattern: Tensor, left: Tensor, *rest: Any) -> int:
    """The entries of a product that a sparse pattern keeps."""
    return out.values().numel() * left.shape[-1]


def _fixed_norm(out: tuple[Tensor, ...], x: Tensor, weight: Tensor | None, *rest: Any) -> int:
    """Batch normalization at test time: a scale, and a shift if learned."""
    return x.numel() * (1 if weight is None else 2)


def _batch_norm(
    out: tuple[Tensor, ...], x: Tensor, weight: Tensor | None, bias: Tensor | None, *rest: Any
) -> int:
    training = rest[2]
    return (_norm if training else _fixed_norm)(out, x, weight)


def _norm(out: tuple[Tensor, ...], x: Tensor, weight: Tensor | None, *rest: Any) -> int:
    """A norm by the input's own mean and variance."""
    return x.numel() * (4 if weight is None else 5)


def _layer_norm(out: tuple[Tensor, ...], x: Tensor, shape: Any, weight: Any, *rest: Any) -> int:
    return _norm(out, x, weight)


def _resize(neighbors: int) -> Callable[..., int]:
    """Every output pixel mixes so many input pixels."""
    return lambda out, *args: out.numel() * neighbors


# Norms and resizing weigh as in MMEngine, so that counts are close to those
# that the toolboxes publish; bicubic resizing, which is free there, counts its
# 16 neighbors. Adaptive average pooling is left out: MMEngine takes 1 for each
# number of its input, but pooling to 1 x 1 runs as the same operator as a mean.
_MACS: dict[str, Callable[..., int]] = {
    'addmm_ baddbmm_ _addmm_activation': _product(left=1),
    'addbmm addbmm_': _summed_product,
    'mv dot vdot': _matrix_vector(0),
    'addmv addmv_': _matrix_vector(1),
    'convolution': _convolution,
    '_scaled_dot_product_flash_attention_for_cpu': _attention,
    '_scaled_dot_product_flash_attention': _attention,
    '_scaled_dot_product_efficient_attention': _attention,
    '_scaled_dot_product_cudnn_attention': _attention,
    '_scaled_dot_product_fused_attention_overrideable': _attention,
    '_embedding_bag _embedding_bag_forward_only': _embedding_bag,
    'sparse_sampled_addmm': _sampled_product,
    'native_batch_norm _native_batch_norm_legit cudnn_batch_norm': _batch_norm,
    '_native_batch_norm_legit_no_training _batch_norm_no_update': _fixed_norm,
    'native_layer_norm': _layer_norm,
    'native_group_norm': _norm,
    'upsample_nearest1d upsample_nearest2d upsample_nearest3d': _resize(1),
    '_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d': _resize(1),
    'upsample_linear1d': _resize(2),
    'upsample_bilinear2d grid_sampler_2d': _resize(4),
    'upsample_trilinear3d grid_sampler_3d': _resize(8),
    'upsample_bicubic2d': _resize(16),
}


def _formula(macs: Callable[..., int]) -> Callable[..., int]:
    """As ``FlopCounterMode`` takes it: two operations for a multiply-add."""

    def flops(*args: Any, out_val: Any, **kwargs: Any) -> int:
        return 2 * macs(out_val, *args)

    flops._get_raw = True  # type: ignore[attr-defined]  # tensors, not shapes
    return flops


def _formulas() -> dict[Any, Callable[..., int]]:
    formulas = {}
    for names, macs in _MACS.items():
        for name in names.split():
            packet = getattr(aten, name, None)
            if packet is None:  # not every version of torch has all of them
                continue
            formulas[packet] = _formula(macs)
            # The counter splits an operator into others, such as resizing
            # into indexing, unless the very overload has a formula.
            for overload in packet.overloads():
                formulas[getattr(packet, overload)] = formulas[packet]
    return formulas


FORMULAS = _formulas()
