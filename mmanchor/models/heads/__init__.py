"""Heads of classifiers, on those of mmpretrain."""

from .distilled import DistilledDeiTHead, DistilledLeViTHead

__all__ = ['DistilledDeiTHead', 'DistilledLeViTHead']
