"""The error that a command shows as one message instead of a traceback."""
from ..compat.errors import UserError

__all__ = ['UserError']
