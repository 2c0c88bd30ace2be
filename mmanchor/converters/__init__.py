"""From foreign state dicts to ours: pure functions, which touch no files."""
from .kind import Kind
from .paddle_files import arrays_of_paddle
from .paddledet import convert_esnet, convert_picodet
from .renaming import Renaming, convert_state_dict
from .report import ConversionReport, first_few
from .torch_files import TRAINING_STATE, arrays_of_torch

KINDS = {
    'paddledet-esnet':
    Kind(convert_esnet, 'paddle', "PaddleDetection's ESNet"),
    'paddledet-picodet':
    Kind(convert_picodet, 'paddle', "PaddleDetection's PicoDet"),
}

__all__ = [
    'ConversionReport', 'KINDS', 'Kind', 'Renaming', 'TRAINING_STATE',
    'arrays_of_paddle', 'arrays_of_torch', 'convert_esnet', 'convert_picodet',
    'convert_state_dict', 'first_few'
]
