"""What scripts and notebooks call; each name is imported when it is first used."""

from ..utils.lazy import lazy_names

_MODULES = {
    'check_data': '..data_check.check',
    'convert_checkpoint': '.convert',
    'export_deploy': '.export',
    'find_config': '..utils.config',
    'list_configs': '..utils.config',
    'load_config': '..utils.config',
    'predict_files': '..inference.predict',
    'publish_checkpoint': '..engine.publishing',
    'test_model': '.test',
    'train_model': '.train',
}
__all__ = sorted(_MODULES)
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
