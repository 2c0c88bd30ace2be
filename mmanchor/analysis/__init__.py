"""What a user measures of a model: multiply-adds, parameters, latency, memory."""

from .complexity import Complexity, complexity_of_forms, count_complexity, run_complexity
from .engines import ENGINES, Engine
from .flops import MacCount, count_macs
from .latency import LatencyOptions, run_latency
from .memory import peak_memory
from .timing import interleave, summarize

__all__ = [
    'ENGINES',
    'Complexity',
    'Engine',
    'LatencyOptions',
    'MacCount',
    'complexity_of_forms',
    'count_complexity',
    'count_macs',
    'interleave',
    'peak_memory',
    'run_complexity',
    'run_latency',
    'summarize',
]
