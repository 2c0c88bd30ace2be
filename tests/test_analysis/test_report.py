"""Files of results."""

import json

import pytest

from mmanchor.analysis.provenance import describe, measured
from mmanchor.analysis.report import markdown_table, write_results
from mmanchor.utils.errors import UserError


def test_results_say_where_they_are_from():
    where = measured(size=[416, 416])
    assert where['size'] == [416, 416]
    for key in ('commit', 'processor', 'threads', 'torch', 'command'):
        assert str(where[key]) in describe(where)


@pytest.mark.parametrize(
    'program, words',
    [('/usr/bin/mmanchor', ['benchmark', 'large']), ('tools/benchmark.py', ['large'])],
)
def test_the_command_is_written_as_mmanchor_takes_it(monkeypatch, program, words):
    monkeypatch.setattr('sys.argv', [program, *words, '--sides', '64'])
    assert measured()['command'] == 'mmanchor benchmark large --sides 64'


def test_files_hold_what_was_measured(tmp_path):
    table = markdown_table(['a', 'b:'], [['x', 1]])
    files = write_results(tmp_path / 'new', 'latency', dict(rows=[1]), table)
    assert [file.name for file in files] == ['latency.json', 'latency.md']
    assert json.loads(files[0].read_text()) == dict(rows=[1])
    assert files[1].read_text() == table


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='--out-dir'):
        write_results(tmp_path / 'file', 'x', {}, '')
