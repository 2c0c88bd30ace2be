"""train, test, predict and check-data as they are typed."""

import json
import shutil

import pytest
import torch

from mmanchor.cli.main import main

pytestmark = pytest.mark.usefixtures('plain_configs')


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path):
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_train_then_resume_then_test_then_predict(tiny, tmp_path, capsys):
    short = ['--cfg-options', 'train_cfg.max_iters=2', 'log_level=WARNING']
    assert main(['train', str(tiny / 'seg.py'), *short]) == 0
    work = tmp_path / 'work_dirs' / 'seg'
    assert (work / 'iter_2.pth').is_file()
    short[1] = 'train_cfg.max_iters=4'
    assert main(['train', str(tiny / 'seg.py'), '--resume', *short]) == 0
    state = torch.load(work / 'iter_4.pth', weights_only=False)
    assert state['meta']['iter'] == 4

    capsys.readouterr()
    arguments = [str(tiny / 'seg.py'), str(work / 'iter_4.pth')]
    assert main(['test', *arguments, '--work-dir', 'scores']) == 0
    scores = json.loads((tmp_path / 'scores/test_metrics.json').read_text())
    out = capsys.readouterr().out
    assert f'mIoU                     {scores["metrics"]["mIoU"]}' in out

    image = tiny / 'data/images/validation/valid_000.jpg'
    assert main(['predict', *arguments, str(image), '--device', 'cpu']) == 0
    assert '1 image: results in predictions' in capsys.readouterr().out
    assert (tmp_path / 'predictions/masks/valid_000.png').is_file()


@pytest.mark.parametrize(
    'words, message',
    [
        (['train', 'no-such-config'], "mmanchor train: there is no config file 'no-such-config'"),
        (['train', '{seg}', '--cfg-options', 'x'], 'KEY=VALUE'),
        (['train', '{seg}', '--work-dir', '{file}'], '--work-dir'),
        (['train', '{seg}', '--resume', 'gone.pth'], '--resume'),
        (['test', '{seg}', 'gone.pth'], 'CHECKPOINT'),
        (['predict', '{seg}', '{s}', 'gone.jpg'], 'no image, folder or video'),
        (['predict', '{seg}', '{s}', '{data}', '--opacity', '3'], 'opacity'),
        (['predict', '{seg}', '{s}', '{data}', '--out-dir', '{file}'], '--out-dir'),
        (['predict', '{seg}', '{s}', '{data}', '--device', 'cuda:99'], '--device'),
        (['predict', '{det}', '{s}', '{data}'], 'is not of this model'),
        (['check-data', '{seg}', '--quick', '0'], '--quick'),
    ],
)
def test_mistakes_are_one_message(tiny, seg_checkpoint, tmp_path, capsys, words, message):
    (tmp_path / 'file').write_text('')
    places = dict(
        seg=tiny / 'seg.py',
        det=tiny / 'det.py',
        s=seg_checkpoint,
        data=tiny / 'data' / 'images',
        file=tmp_path / 'file',
    )
    assert main([word.format(**places) for word in words]) == 1
    lines = capsys.readouterr().err.splitlines()
    last = [line for line in lines if line.startswith('mmanchor ')]
    assert len(last) == 1 and message in last[0]


def test_unsafe_checkpoint_runs_only_if_trusted(tiny, tmp_path, capsys):
    marker = tmp_path / 'ran'

    class Payload:
        def __reduce__(self):
            return marker.touch, ()

    torch.save(dict(state_dict={}, payload=Payload()), tmp_path / 'evil.pth')
    words = ['predict', str(tiny / 'seg.py'), 'evil.pth', str(tiny / 'data')]
    assert main(words) == 1
    assert not marker.exists() and 'evil.pth' in capsys.readouterr().err
    # Trusted, it is unpickled, and only then found to be of no model.
    assert main([*words, '--trust-checkpoint']) == 1
    assert marker.exists() and 'not of this model' in capsys.readouterr().err


def test_check_data_shows_in_its_status(tiny, tmp_path, capsys):
    words = ['check-data', str(tiny / 'seg.py'), '--json', 'report.json']
    assert main(words) == 0
    assert 'no problems' in capsys.readouterr().out
    data = tmp_path / 'data'
    shutil.copytree(tiny / 'data', data)
    (data / 'images/training/train_000.jpg').unlink()
    words += ['--splits', 'train', '--cfg-options', f'train_dataloader.dataset.data_root={data}']
    assert main(words) == 1
    out = capsys.readouterr().out
    assert 'PROBLEM mask_without_image: 1' in out and 'train_000' in out
    report, _recipe = json.loads((tmp_path / 'report.json').read_text())
    assert report['problems'][0]['examples'] == ['train_000']


def test_quick_reads_fewer_files(tiny, capsys):
    assert main(['check-data', str(tiny / 'seg.py'), '--quick', '1']) == 0
    assert main(['check-data', str(tiny / 'det.py'), '--quick', '--splits', 'train']) == 0
