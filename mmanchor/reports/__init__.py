"""Reports of a test as a page: what a model gets right and wrong, and two models side by side."""

from ..utils.lazy import lazy_names

_MODULES = {
    'Record': '.records',
    'analyze': '.analysis',
    'compare_reports': '.compare',
    'load_record': '.records',
    'record_of_coco': '.coco_files',
    'recorder_of': '.recording',
    'write_report': '.page',
}
__all__ = sorted(_MODULES)
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
