import logging

import pytest
from mmengine.logging import print_log

from mmanchor.engine.runner import build_runner
from mmanchor.utils.config import load_config

pytestmark = pytest.mark.usefixtures('plain_configs')


@pytest.mark.parametrize('verbose', [False, True])
def test_the_console_is_short_and_the_file_has_everything(tiny, tmp_path, capsys, verbose):
    runner = build_runner(load_config(tiny / 'seg.py', work_dir=tmp_path), verbose)
    print_log('paramwise_options -- backbone.x:lr=1', 'current')
    print_log('mind the gap', 'current', logging.WARNING)
    console = capsys.readouterr().out
    file = next(tmp_path.glob('*/*.log')).read_text()
    for text in ('System environment', 'Config:', 'Hooks will be', 'paramwise_options'):
        assert text in file
        assert (text in console) == verbose
    assert 'mind the gap' in console and 'mind the gap' in file
    runner.logger.handlers.clear()
