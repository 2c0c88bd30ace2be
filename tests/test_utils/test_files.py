import json
import os
import subprocess
import sys

import numpy as np
import pytest

from mmanchor.utils.errors import UserError
from mmanchor.utils.files import (
    make_folder,
    remove_leftovers,
    replacing,
    require_config_path,
    write_json,
)


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


def test_a_written_config_replaces_only_one_of_an_earlier_run(tmp_path):
    weights, config = tmp_path / 'train.pth', tmp_path / 'train.py'
    assert require_config_path(weights) == config
    config.write_text('print("mine")')
    with pytest.raises(UserError, match=r'would replace .*train\.py'):
        require_config_path(weights)
    weights.write_text('')
    assert require_config_path(weights) == config
    with pytest.raises(UserError, match='give OUT another name'):
        require_config_path(weights, config)


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


def test_half_checkpoints_of_killed_runs_go_and_nothing_else(tmp_path):
    gone = subprocess.Popen([sys.executable, '-c', ''])
    gone.wait()
    left = [f'.iter_3.{gone.pid}.pth', f'.best_mIoU_iter_3.{gone.pid}.pth']
    kept = [f'.iter_4.{os.getpid()}.pth', 'iter_4.pth', f'.notes.{gone.pid}.txt', '.iter_3.pth']
    for name in (*left, *kept):
        (tmp_path / name).touch()
    assert sorted(path.name for path in remove_leftovers(tmp_path)) == sorted(left)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
    assert remove_leftovers(tmp_path / 'absent') == []
