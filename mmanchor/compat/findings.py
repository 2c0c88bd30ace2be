"""What a check of ``mmanchor doctor`` returns, and the cures of known errors."""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass

OK, WARNING, BROKEN = 'ok', 'warning', 'broken'

OPENCV_CURE = (
    'pip uninstall opencv-python, then pip install --force-reinstall '
    'opencv-python-headless; or apt-get install libgl1 libglib2.0-0'
)
# torch's minor version + 15 is torchvision's, since torch 2.0.
PAIR_CURE = 'install a matching pair, such as pip install torch==2.11.0 torchvision==0.26.0'
NUMPY_CURE = (
    'a compiled package expects another numpy: pip install '
    '--upgrade --force-reinstall torch torchvision pycocotools'
)
# Words of an error -> its cure, for packages that do not start.
CURES = (
    (r'libGL|libgthread|libglib', OPENCV_CURE),
    (r'numpy\.dtype size changed|_ARRAY_API|NumPy 1\.x|multiarray failed', NUMPY_CURE),
    (r'torchvision::nms|torchvision.*undefined symbol', PAIR_CURE),
    (
        r'apply_chunking_to_forward|transformers',
        'pip uninstall transformers: only multimodal models of mmpretrain need '
        'it, in an older version',
    ),
    (
        r'is used but incompatible',
        'the toolbox refuses this version: pip install "mmanchor[openmmlab]"',
    ),
)
# Import name -> what pip calls it, where that is another word or a range.
PIP_NAMES = {'cv2': 'opencv-python-headless', 'torch': '"torch>=2.4"'}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        name: What was looked at.
        status: 'ok', 'warning' (something optional, or odd) or 'broken'.
        value: What was found, such as a version.
        cure: What to do about it; empty where all is well.
    """

    name: str
    status: str
    value: str
    cure: str = ''


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f'{type(error).__name__}: {lines[-1].strip() if lines else ""}'


def _cure_of(error: BaseException, default: str) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        name = error.name.partition('.')[0]
        if not name.startswith('mm'):
            return f'pip install {PIP_NAMES.get(name, name)}'
    found = (cure for words, cure in CURES if re.search(words, str(error)))
    return next(found, default)


def look_at(name: str, check: Callable[[], str], default_cure: str) -> Finding:
    """The finding of a check that returns a value or raises anything."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return Finding(name, OK, check())
    except Exception as error:
        return Finding(name, BROKEN, _last_line(error), _cure_of(error, default_cure))
