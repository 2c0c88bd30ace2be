"""Sparsifiner: its attention, the predictor of pairs, and its block."""

from .attention import EXECUTIONS, SparsifinerAttention, check_keep_rate
from .block import BlockOutput, SparsifinerBlock
from .macs import SparseMacs
from .predictor import ConnectivityPredictor, resize_basis_axis, resize_token_axis

__all__ = [
    'EXECUTIONS',
    'BlockOutput',
    'ConnectivityPredictor',
    'SparseMacs',
    'SparsifinerAttention',
    'SparsifinerBlock',
    'check_keep_rate',
    'resize_basis_axis',
    'resize_token_axis',
]
