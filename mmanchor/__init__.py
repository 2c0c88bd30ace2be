"""Anchor attention for OpenMMLab.

Importing the package makes the installed OpenMMLab stack usable on today's
torch (:mod:`mmanchor.compat`) and does nothing else; models are registered
when a config names one.
"""

from . import compat

__version__ = '0.1.0'

compat.install()
