"""Assigners of targets to predictions."""

from .varifocal_sim_ota import VarifocalSimOTAAssigner

__all__ = ['VarifocalSimOTAAssigner']
