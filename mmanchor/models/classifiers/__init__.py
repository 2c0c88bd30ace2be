"""Classifiers that extend those of mmpretrain."""

from .distilled import DistilledClassifier

__all__ = ['DistilledClassifier']
