"""Training hooks."""
from .exact_resume import ExactResumeHook
from .progress import ProgressHook

__all__ = ['ExactResumeHook', 'ProgressHook']
