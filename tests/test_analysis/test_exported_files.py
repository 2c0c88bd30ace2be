"""Exported files are timed beside networks, by the program that they are for."""

import pytest

pytest.importorskip('onnxruntime')

from exported_files import write

from mmanchor.analysis.latency import LatencyOptions, latency_table, run_latency
from mmanchor.utils.errors import UserError


def test_a_file_is_timed_by_its_own_engine(tmp_path):
    path = str(write(tmp_path / 'colors.onnx'))
    results = run_latency([path], LatencyOptions(rounds=2, batches=(1, 3)))
    assert [(row['engine'], row['batch']) for row in results['rows']] == [
        ('onnxruntime', 1),
        ('onnxruntime', 3),
    ]
    assert '8 x 8' in latency_table(results)


def test_a_batch_that_the_file_does_not_take_has_a_reason(tmp_path):
    path = str(write(tmp_path / 'colors.onnx'))
    [row] = run_latency([path], LatencyOptions(rounds=2, size=(9, 9)))['rows']
    assert 'median' not in row and 'reason' in row


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"there is no file 'nowhere\.onnx'"):
        run_latency(['nowhere.onnx'])
