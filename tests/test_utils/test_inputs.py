from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmanchor.utils.errors import UserError
from mmanchor.utils.inputs import distinct_names, open_input


@pytest.fixture
def folder(tmp_path):
    for name in ('one/a.png', 'one/b.jpg', 'two/a.png'):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new('RGB', (4, 4)).save(path)
    return tmp_path


def names(source, **options):
    return [frame.name for frame in open_input(source, **options)]


def test_folders_patterns_and_files(folder):
    assert names(folder) == ['one/a', 'one/b', 'two/a']
    assert names(str(folder / 'one' / '*.jpg')) == ['b']
    assert names(str(folder / '*' / 'a.png')) == ['one/a', 'two/a']
    assert names(str(folder / '**' / '*.png')) == ['one/a', 'two/a']
    assert names([folder / 'one', folder / 'two' / 'a.png']) == ['one/a', 'one/b', 'two/a']


def test_a_file_of_two_patterns_counts_once(folder):
    source = [str(folder / 'one' / '*'), str(folder / 'one' / 'a*')]
    assert names(source) == ['a', 'b']


def test_files_that_are_named_keep_their_order_and_number(folder):
    a, b = folder / 'one/a.png', folder / 'one/b.jpg'
    assert names([b, a, b]) == ['b.jpg', 'a', 'b.jpg-2']
    array = np.zeros((4, 4, 3), np.uint8)
    assert names([array, a, array]) == ['000000', 'a', '000002']


def test_relative_and_absolute_paths_meet(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert names(['one/a.png', str(folder / 'two/a.png')]) == ['one/a', 'two/a']


@pytest.mark.parametrize(
    'files',
    [
        ['a.jpg', 'a.png', 'a.jpg.bmp'],
        ['a.jpg.bmp', 'a.png', 'a.jpg', 'a.jpg.bmp.png'],
        ['x/a.png', 'x/a.PNG', 'a.png'],
        ['a.png', 'a.png', 'a.png'],
    ],
)
def test_no_two_results_have_the_same_name(files):
    assert len(set(distinct_names(files))) == len(files)


def test_nothing_is_refused():
    for source in ('', [], [''], 'gone/*.png'):
        with pytest.raises(UserError, match=r'no image|nothing'):
            open_input(source)


def test_an_earlier_runs_results_are_passed_over(folder):
    assert names(folder, skip=folder / 'one') == ['two/a']
    assert names(Path(folder / 'one'), skip=folder / 'one') == ['a', 'b']
