"""Multiply-adds of torch's operators, from the shapes that they get.

Names are those of operators below autograd: there ``matmul``, ``einsum`` and
``linear`` have become ``mm``, ``bmm`` or ``addmm``, whichever way a model
calls them. What is not listed counts as free: it adds, compares or moves
numbers, or multiplies them one by one. Names in ``UNCOUNTED`` do more, and
nothing here tells how much.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

# Positional arguments of the operator, and what it returned.
Handler = Callable[[Sequence[Any], Any], int]


def _product(first: int) -> Handler:
    """Of a product of matrices whose left one is argument ``first``."""

    def count(args: Sequence[Any], out: Any) -> int:
        return out.numel() * args[first].shape[-1]

    return count


def _summed_product(args: Sequence[Any], out: Any) -> int:
    """Of a batch of products that are added up."""
    return args[1].numel() * args[2].shape[-1]


def _matrix_vector(first: int) -> Handler:
    """Of a product with a vector: one for each number of the matrix."""

    def count(args: Sequence[Any], out: Any) -> int:
        return args[first].numel()

    return count


def _convolution(args: Sequence[Any], out: Any) -> int:
    """A kernel at every output; transposed, at every input."""
    image, kernel, transposed, groups = args[0], args[1], args[6], args[8]
    fits = kernel.shape[0] if transposed else kernel.shape[1] * groups
    if image.shape[1 - kernel.dim()] != fits:
        # Tensors without numbers pass through all the same.
        raise ValueError(
            f'a convolution takes {fits} channels, got {image.shape[1 - kernel.dim()]}'
        )
    places = image if transposed else out
    return places.numel() * math.prod(kernel.shape[1:])


def _attention(args: Sequence[Any], out: Any) -> int:
    """Q K^T and its product with V, of all pairs, masked ones too."""
    query, key, mixed = args[0], args[1], out[0]
    pairs = math.prod(mixed.shape[:-1]) * key.shape[-2]
    return pairs * (query.shape[-1] + mixed.shape[-1])


def _weighted_bags(args: Sequence[Any], out: Any) -> int:
    """Sums of a table's rows, if weighted; else they only add."""
    weights = args[6] if len(args) > 6 else None
    return 0 if weights is None else weights.numel() * args[0].shape[-1]


def _sampled_product(args: Sequence[Any], out: Any) -> int:
    """Those entries of a product of matrices that a pattern keeps."""
    return out.values().numel() * args[1].shape[-1]


def _batch_norm(args: Sequence[Any], out: Any) -> int:
    """At test time a scale and a shift, which may be learned."""
    if args[5]:
        return _statistics_norm(1)(args, out)
    return _fixed_batch_norm(args, out)


def _fixed_batch_norm(args: Sequence[Any], out: Any) -> int:
    return args[0].numel() * (1 if args[1] is None else 2)


def _statistics_norm(weight: int) -> Handler:
    """Of a norm by the input's own mean and variance.

    Args:
        weight: Position of the learned scale.
    """

    def count(args: Sequence[Any], out: Any) -> int:
        return args[0].numel() * (4 if args[weight] is None else 5)

    return count


def _resize(neighbours: int) -> Handler:
    """Of an output that mixes so many numbers of the input."""

    def count(args: Sequence[Any], out: Any) -> int:
        return out.numel() * neighbours

    return count


HANDLERS: dict[str, Handler] = {
    'aten::mm': _product(0),
    'aten::bmm': _product(0),
    'aten::addmm': _product(1),
    'aten::_addmm_activation': _product(1),
    'aten::baddbmm': _product(1),
    'aten::addbmm': _summed_product,
    'aten::mv': _matrix_vector(0),
    'aten::addmv': _matrix_vector(1),
    'aten::dot': _matrix_vector(0),
    'aten::vdot': _matrix_vector(0),
    'aten::convolution': _convolution,
    'aten::_scaled_dot_product_flash_attention_for_cpu': _attention,
    'aten::_scaled_dot_product_flash_attention': _attention,
    'aten::_scaled_dot_product_efficient_attention': _attention,
    'aten::_scaled_dot_product_cudnn_attention': _attention,
    'aten::_scaled_dot_product_fused_attention_overrideable': _attention,
    'aten::_embedding_bag': _weighted_bags,
    'aten::_embedding_bag_forward_only': _weighted_bags,
    'aten::sparse_sampled_addmm': _sampled_product,
    # Here and below the weights are MMEngine's, so that counts of other
    # models are nearly those that the toolboxes publish. Left out is adaptive
    # average pooling, there 1 for each number of its input: to 1 x 1 it runs
    # as the same operator as a mean, which is free there too.
    'aten::native_batch_norm': _batch_norm,
    'aten::_native_batch_norm_legit': _batch_norm,
    'aten::cudnn_batch_norm': _batch_norm,
    'aten::_native_batch_norm_legit_no_training': _fixed_batch_norm,
    'aten::_batch_norm_no_update': _fixed_batch_norm,
    'aten::native_layer_norm': _statistics_norm(2),
    'aten::native_group_norm': _statistics_norm(1),
    'aten::upsample_nearest2d': _resize(1),
    'aten::upsample_bilinear2d': _resize(4),
    'aten::grid_sampler_2d': _resize(4),
}

# By what they are: recurrent layers, attention in one piece, products,
# convolutions of one library, distances, transforms, decompositions.
UNCOUNTED = frozenset(
    f'aten::{name}'
    for name in [
        '_cudnn_rnn',
        '_lstm_mps',
        'gru',
        'lstm',
        'miopen_rnn',
        'mkldnn_rnn_layer',
        'rnn_relu',
        'rnn_tanh',
        '_cudnn_attention_forward',
        '_efficient_attention_forward',
        '_flash_attention_forward',
        '_native_multi_head_attention',
        '_scaled_dot_product_attention_math_for_mps',
        '_transformer_encoder_layer_fwd',
        '_triton_multi_head_attention',
        '_triton_scaled_dot_attention',
        '_cslt_sparse_mm',
        '_dyn_quant_matmul_4bit',
        '_grouped_mm',
        '_int_mm',
        '_mixed_dtypes_linear',
        '_scaled_grouped_mm',
        '_scaled_grouped_mm_v2',
        '_scaled_mm',
        '_scaled_mm_v2',
        '_sparse_addmm',
        '_sparse_mm_reduce_impl',
        '_sparse_semi_structured_addmm',
        '_sparse_semi_structured_linear',
        '_sparse_semi_structured_mm',
        '_sparse_sparse_matmul',
        '_trilinear',
        '_weight_int4pack_mm',
        '_weight_int4pack_mm_for_cpu',
        '_weight_int4pack_mm_with_scales_and_zeros',
        '_weight_int8pack_mm',
        'hspmm',
        'mkldnn_linear',
        '_conv_depthwise2d',
        '_convolution',
        '_mps_convolution',
        '_mps_convolution_transpose',
        '_nnpack_spatial_convolution',
        '_slow_conv2d_forward',
        'conv_depthwise3d',
        'conv_tbc',
        'convolution_overrideable',
        'cudnn_convolution',
        'cudnn_convolution_add_relu',
        'cudnn_convolution_relu',
        'cudnn_convolution_transpose',
        'miopen_convolution',
        'miopen_convolution_add_relu',
        'miopen_convolution_relu',
        'miopen_convolution_transpose',
        'miopen_depthwise_convolution',
        'mkldnn_convolution',
        'slow_conv3d_forward',
        'slow_conv_dilated2d',
        'slow_conv_dilated3d',
        'slow_conv_transpose2d',
        'slow_conv_transpose3d',
        '_cdist_forward',
        '_euclidean_dist',
        '_pdist_forward',
        '_fft_c2c',
        '_fft_c2r',
        '_fft_r2c',
        '_cholesky_solve_helper',
        '_linalg_det',
        '_linalg_eigh',
        '_linalg_eigvals',
        '_linalg_slogdet',
        '_linalg_solve_ex',
        '_linalg_svd',
        '_spsolve',
        'cholesky',
        'cholesky_inverse',
        'cholesky_solve',
        'geqrf',
        'linalg_cholesky_ex',
        'linalg_eig',
        'linalg_householder_product',
        'linalg_inv_ex',
        'linalg_ldl_factor_ex',
        'linalg_ldl_solve',
        'linalg_lstsq',
        'linalg_lu',
        'linalg_lu_factor_ex',
        'linalg_lu_solve',
        'linalg_matrix_exp',
        'linalg_pinv',
        'linalg_qr',
        'linalg_solve_triangular',
        'ormqr',
        'triangular_solve',
    ]
)
