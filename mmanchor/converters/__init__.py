"""From foreign state dicts to ours: pure functions, which touch no files."""
from .paddle_files import arrays_of_paddle
from .paddledet import convert_esnet, convert_picodet
from .renaming import Renaming, convert_state_dict
from .report import ConversionReport, first_few

# (entries of the file, state dict of the model) -> (what has found its
# place, what became of everything).
KINDS = {
    'paddledet-esnet': convert_esnet,
    'paddledet-picodet': convert_picodet,
}

__all__ = [
    'ConversionReport', 'KINDS', 'Renaming', 'arrays_of_paddle',
    'convert_esnet', 'convert_picodet', 'convert_state_dict', 'first_few'
]
