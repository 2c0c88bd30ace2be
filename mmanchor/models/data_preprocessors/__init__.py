"""Augmentations of batches in data preprocessors."""

from .random_square_size import RandomSquareSize

__all__ = ['RandomSquareSize']
