"""Pickles, read without running what is in them.

``table`` holds every name that a pickle may use, ``unpickler`` reads through
it, ``values`` bounds what comes out, ``plain`` reads a file of plain data.
"""

from .plain import load_plain_pickle
from .table import RefusedError
from .unpickler import DAMAGE, SafeUnpickler, is_users, pickle_module
from .values import Finisher

__all__ = [
    'DAMAGE',
    'Finisher',
    'RefusedError',
    'SafeUnpickler',
    'is_users',
    'load_plain_pickle',
    'pickle_module',
]
