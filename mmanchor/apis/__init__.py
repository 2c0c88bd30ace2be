"""What scripts and notebooks call; each name is imported when it is first used."""

from ..compat.stack import require_stack
from ..utils.lazy import lazy_names

require_stack()

_MODULES = {
    'anchorize_checkpoint': '.anchorizing',
    'check_data': '..data_check.check',
    'convert': '.conversion',
    'convert_checkpoint': '.conversion',
    'export_deploy': '.export',
    'export_model': '..export.model',
    'find_config': '..utils.config',
    'init_config': '.config',
    'list_configs': '..utils.config',
    'load': '..inference.loading',
    'load_config': '..utils.config',
    'predict': '..inference.loading',
    'predict_files': '..inference.files',
    'publish_checkpoint': '..engine.publishing',
    'test_model': '.test',
    'train_model': '.train',
}
__all__ = sorted(_MODULES)
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
