"""What heads use to make their targets."""

from .varifocal_sim_ota import VarifocalSimOTAAssigner

__all__ = ['VarifocalSimOTAAssigner']
