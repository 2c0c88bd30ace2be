import json

import numpy as np
import pytest

from mmanchor.utils.errors import UserError
from mmanchor.utils.files import make_folder, replacing, write_json


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with pytest.raises(RuntimeError), replacing(path) as part:
        part.write_text('half')
        raise RuntimeError
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_name_keeps_the_suffix(tmp_path):
    with replacing(tmp_path / 'new' / 'a.png') as part:
        assert part.suffix == '.png' and part.name != 'a.png'
        part.write_text('x')
    assert (tmp_path / 'new' / 'a.png').read_text() == 'x'


def test_json_takes_numpy_numbers(tmp_path):
    write_json(tmp_path / 'a.json', dict(a=np.float32(0.5), b=np.arange(2)))
    assert json.loads((tmp_path / 'a.json').read_text()) == dict(a=0.5, b=[0, 1])


def test_file_in_the_way_of_a_folder(tmp_path):
    (tmp_path / 'file').write_text('')
    for path in (tmp_path / 'file', tmp_path / 'file' / 'below'):
        with pytest.raises(UserError, match=r'--out .*file'):
            make_folder(path, '--out')


def test_nan_and_infinity_become_null(tmp_path):
    path = tmp_path / 'a.json'
    write_json(path, {'nan': float('nan'), 'many': np.array([1.0, np.inf]), 'text': 'NaN'})
    assert json.loads(path.read_text()) == {'nan': None, 'many': [1.0, None], 'text': 'NaN'}
