import re

import pytest

from mmanchor.apis.opening import opening
from mmanchor.apis.train import train_model
from mmanchor.cli.main import main
from mmanchor.engine.runner import build_runner
from mmanchor.utils.config import load_config

pytestmark = pytest.mark.usefixtures('plain_configs')


@pytest.fixture
def lines(tiny, tmp_path):
    def lines(name, **options):
        cfg = load_config(tiny / f'{name}.py', options, tmp_path)
        runner = build_runner(cfg)
        runner.logger.handlers.clear()
        return opening(runner, cfg)

    return lines


def test_model_data_and_folder_come_first(lines, tmp_path):
    model, train, val, folder = lines('seg')
    assert re.match(r'model: EncoderDecoder with MixVisionTransformer, 0\.\d\d M parameters', model)
    assert train == 'training: 6 images of 4 classes, batch 2, size 32 x 32; 4 iterations'
    assert val == 'validation: 2 images of 4 classes, size 32 x 32'
    assert folder.startswith(f'work folder: {tmp_path}; config and all messages: {tmp_path}/')


def test_sizes_that_change_are_said(lines):
    assert 'sizes 64 to 128; 2 epochs of 3 iterations' in lines('picodet')[1]


def test_a_start_is_said(lines):
    assert 'weights from x.pth' in lines('seg', load_from='x.pth')


def test_warnings_follow_the_opening(tiny, tmp_path, capsys):
    cfg = load_config(
        tiny / 'seg.py',
        {'train_cfg.max_iters': 1, 'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None}
        | {'auto_scale_lr': dict(base_batch_size=64)},
        tmp_path,
    )
    runner = train_model(cfg)
    runner.logger.handlers.clear()
    said = capsys.readouterr().out
    model, warning, progress = (
        said.index(text) for text in ('model: Enc', 'the learning rate', 'Iter(train)')
    )
    assert model < warning < progress
    # Nor is the file without them.
    assert 'the learning rate' in next(tmp_path.glob('*/*.log')).read_text()


def test_a_seed_is_taken(tiny, tmp_path, monkeypatch):
    seeds = []
    monkeypatch.setattr(
        'mmanchor.apis.train.train_model', lambda cfg, *_: seeds.append(cfg.randomness) or 1 / 0
    )
    main(['train', str(tiny / 'seg.py'), '--work-dir', str(tmp_path), '--seed', '7'])
    assert seeds[0]['seed'] == 7


@pytest.mark.parametrize('seed', ['-1', 'x', '4294967296'])
def test_a_seed_is_a_whole_number(tiny, seed, capsys):
    with pytest.raises(SystemExit):
        main(['train', str(tiny / 'seg.py'), f'--seed={seed}'])
    assert f'whole number from 0 to 2**32 - 1, got {seed!r}' in capsys.readouterr().err
