"""The table of exported files says what the files say of themselves."""

import pytest

pytest.importorskip('onnxruntime')

from exported_files import METADATA, write

from tools.export_table import export_table


def test_a_file_has_a_row(tmp_path):
    metadata = {
        **METADATA,
        'format': 'onnx',
        'config': 'colors.py',
        'verification': dict(difference=2e-6, agreement=0.5, compared=20),
    }
    table = export_table([write(tmp_path / 'colors.onnx', metadata)])
    row = '| colors.onnx | colors.py | 8 x 8 | 0.0 | 2e-06 | 50.0% of 20 top-5 classes |'
    assert table.splitlines()[-1] == row
