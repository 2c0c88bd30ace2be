"""Wrong usages end in one line that names what is wrong, before the work."""

import re

import pytest

from mmanchor.cli.main import main

pytestmark = pytest.mark.usefixtures('plain_configs')


@pytest.fixture
def places(tiny, seg_checkpoint, det_checkpoint, tmp_path, monkeypatch):
    """Paths by name, for the words below."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    # Loggers of earlier tests hold streams that are closed.
    monkeypatch.setattr('logging.raiseExceptions', False)
    (tmp_path / 'empty.py').write_text("default_scope = 'mmseg'\n")
    (tmp_path / 'file').touch()
    (tmp_path / 'folder.pth').mkdir()
    (tmp_path / 'bad.json').write_text('{')
    (tmp_path / 'object.json').write_text('{}')
    return dict(
        seg=tiny / 'seg.py',
        det=tiny / 'det.py',
        s=seg_checkpoint,
        d=det_checkpoint,
        image=tiny / 'data/images/validation/valid_000.jpg',
    )


CASES = [
    ('predict empty.py {s} {image}', 'empty.py has no model'),
    ('fold empty.py {s} o.pth', 'empty.py has no model'),
    ('convert deit {s} o.pth --config empty.py', 'empty.py has no model'),
    ('test empty.py {s}', 'empty.py has no model'),
    ('predict {seg} {s} {image} --cfg-options model=None', 'has no model'),
    ('predict {seg} {s} {image} --cfg-options model.type=5', 'has no model|cannot be built'),
    ('predict {seg} {s} {image} --cfg-options model.backbone.depth=5', "argument 'depth'"),
    ('predict {seg} {s} {image} --cfg-options default_scope=5', 'default_scope of .* text or None'),
    ('predict {seg} {s} {image} --cfg-options =5', "takes KEY=VALUE pairs, got '=5'"),
    ('predict {seg} {s} {image} --cfg-options model.test_cfg.mode=foo', "'slide' or 'whole'"),
    (
        'predict {seg} {s} {image} --cfg-options test_dataloader=None test_pipeline=5',
        'a list of transforms',
    ),
    ('predict {seg} {s} {image} --device meta', "--device 'meta'"),
    ('predict {seg} {s} {image} --out-dir=', '--out-dir is empty'),
    ('predict {seg} {s} {image} --no-overlays --no-masks', 'nothing to write'),
    ('predict {seg} {s} {image} --score-thr 0.3', '--score-thr is for detection'),
    ('predict {det} {d} {image} --opacity 0.6', '--opacity is for segmentation'),
    ('predict {seg} {s} {image} --tta --cfg-options tta_model=5', 'tta_model of .* must be a dict'),
    ('predict {seg} http://127.0.0.1:1/x.pth {image}', 'x.pth cannot be downloaded'),
    ('predict {seg} latest {image}', "CHECKPOINT 'latest': the work folder .* has no checkpoint"),
    ('test {seg} {s} --checkpoint latest', 'give CHECKPOINT, or --checkpoint'),
    ('test {seg}', 'give CHECKPOINT, or --checkpoint'),
    ('test {seg} http://127.0.0.1:1/x.pth', 'x.pth cannot be downloaded'),
    ('test {seg} foo://x', 'no storage is known for foo'),
    ('test {seg} {s} --cfg-options test_dataloader.batch_size=0', 'batch_size of .* above 0'),
    ('test {seg} {s} --cfg-options test_evaluator.iou_metrics=foo', "metrics .*'foo'"),
    ('test {seg} {s} --cfg-options test_evaluator.type=NoMetric', 'NoMetric is not in the'),
    ('test {det} {d} --cfg-options test_evaluator.ann_file=/no.json', '/no.json'),
    ('test {det} {d} --cfg-options test_evaluator.ann_file=bad.json', 'JSONDecodeError'),
    ('test {det} {d} --cfg-options test_evaluator.ann_file=object.json', 'KeyError|categories'),
    ('test {seg} {s} --cfg-options env_cfg=5', 'env_cfg of .* must be a dict'),
    ('test {seg} {s} --cfg-options custom_hooks=5', 'custom_hooks of .* must be a list'),
    ('fold {seg} {s} folder.pth', 'folder.pth is a folder'),
    ('fold {seg} {s} /proc/self/o.pth', 'the folder of OUT .* cannot|not a folder'),
    ('fold {seg} {s} file/o.pth', 'the folder of OUT'),
]


@pytest.mark.parametrize('words, message', CASES, ids=[words for words, _ in CASES])
def test_a_wrong_usage_is_one_line(places, capsys, words, message):
    assert main(words.format(**places).split()) == 1
    error = capsys.readouterr().err
    assert 'Traceback' not in error
    last = [line for line in error.splitlines() if line.startswith('mmanchor ')]
    assert len(last) == 1

    assert re.search(message, last[0]), last[0]
