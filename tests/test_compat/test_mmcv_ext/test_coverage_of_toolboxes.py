"""Every operator that a model of the toolboxes uses has a stand-in."""

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path

import mmdet
import mmpretrain
import mmseg
import pytest

from mmanchor.compat.mmcv_ext import stand_in

IMPORT = re.compile(r'from (mmcv\.ops[\w.]*) import (?:\(([^)]*)\)|([^\n(]*))')


def imported_from_operators(package) -> set[tuple[str, str]]:
    """Modules below ``mmcv.ops`` and the names that a toolbox takes from them."""
    found = set()
    for path in Path(package.__file__).parent.rglob('*.py'):
        if '.mim' not in path.parts:
            for module, *groups in IMPORT.findall(path.read_text(encoding='utf-8')):
                names = (re.split(r'\s+as\s+', n.strip())[0] for n in ''.join(groups).split(','))
                found |= {(module, name) for name in names if name}
    return found


def looked_up(name: str, module: str = 'mmcv.ops') -> set[str]:
    """Names that the module of a class or function looks up in the extension."""
    item = getattr(import_module(module), name)
    # Of what autograd makes, the class knows its module.
    source = inspect.getsource(sys.modules[getattr(item, '__self__', item).__module__])
    lists = re.findall(r"load_ext\(\s*'_ext',\s*\[([^\]]*)\]", source)
    return {name for text in lists for name in re.findall(r"'(\w+)'", text)}


@pytest.mark.parametrize('package', [mmdet, mmseg, mmpretrain], ids=lambda p: p.__name__)
def test_operators_of_the_toolboxes_are_served(package):
    missing = {
        name: looked_up(name, module) - set(stand_in.__all__)
        for module, name in imported_from_operators(package)
    }
    assert not {name: lost for name, lost in missing.items() if lost}


def test_lookup_finds_what_an_operator_needs():
    assert looked_up('RoIAlign') == {'roi_align_forward', 'roi_align_backward'}
    assert looked_up('deform_conv2d') >= {'deform_conv_forward'}
    assert 'border_align_forward' in looked_up('BorderAlign')
