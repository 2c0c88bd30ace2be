"""What a user measures of a model; each name is imported when it is first used."""

from ..utils.lazy import lazy_names

_MODULES = {
    'ENGINES': '.engines',
    'Complexity': '.complexity',
    'Engine': '.engines',
    'LatencyOptions': '.latency',
    'MacCount': '.flops',
    'complexity_of_forms': '.complexity',
    'count_complexity': '.complexity',
    'count_macs': '.flops',
    'interleave': '.timing',
    'peak_memory': '.memory',
    'run_complexity': '.complexity',
    'run_latency': '.latency',
    'summarize': '.timing',
}
__all__ = sorted(_MODULES)
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
