"""The detectors' recipe, run on small data, good and bad."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.fileio import load
from mmengine.registry import MODELS, DefaultScope
from tiny_project import PICODET, make_data, write_config

from mmanchor.apis.export import export_deploy
from mmanchor.apis.test import test_model as score
from mmanchor.apis.train import train_model
from mmanchor.cli.main import main
from mmanchor.data_check.check import check_data
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError

pytestmark = pytest.mark.usefixtures('plain_configs')
UNSCORED = dict(val_cfg=None, val_dataloader=None, val_evaluator=None)
UNSCORED['default_hooks.checkpoint.save_best'] = None


@pytest.fixture
def project(tmp_path):
    """The recipe on data of its own, to be spoiled."""
    data = make_data(tmp_path / 'data', num_train=8)
    return write_config(tmp_path, PICODET, data, 'picodet')


def config(path, work_dir, **options):
    options = {key.replace('__', '.'): v for key, v in options.items()}
    return load_config(path, options, work_dir)


def log_of(work_dir):
    return '\n'.join(path.read_text() for path in work_dir.rglob('*.log'))


def checkpoint_of(path, work_dir, epochs, resume=None):
    """Train without scoring; returns the last checkpoint's content."""
    options = dict(UNSCORED, log_level='ERROR')
    options['train_cfg.max_epochs'] = epochs
    train_model(load_config(path, options, work_dir), resume)
    return torch.load(work_dir / f'epoch_{epochs}.pth', weights_only=False)


def same(first, second):
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(
            same(value, second[key]) for key, value in first.items()
        )
    if isinstance(first, list):
        return all(map(same, first, second))
    return first == second


def spoil(project):
    """Tear an image; take the boxes of one away, make one a crowd."""
    data = project.parent / 'data'
    torn = data / 'images' / 'training' / 'train_004.jpg'
    torn.write_bytes(torn.read_bytes()[:-100])
    path = data / 'annotations' / 'instances_train.json'
    content = json.loads(path.read_text())
    content['annotations'][1]['iscrowd'] = 1
    content['annotations'][2]['bbox'] = [-9, -9, 60, 70]
    content['annotations'].pop(0)
    path.write_text(json.dumps(content))
    return torn


@pytest.mark.slow
def test_a_resumed_run_equals_a_whole_one(project, tmp_path):
    # One image is torn: the one in its place has to be the same, too.
    spoil(project)
    whole = checkpoint_of(project, tmp_path / 'a', 3)
    checkpoint_of(project, tmp_path / 'b', 2)
    torch.manual_seed(99)
    resumed = checkpoint_of(project, tmp_path / 'b', 3, 'auto')
    for key in ('state_dict', 'ema_state_dict', 'optimizer'):
        assert same(whole[key], resumed[key]), key
    # The average was restarted with the last epoch of three iterations.
    assert whole['ema_state_dict']['steps'] == 3


@pytest.mark.slow
def test_bad_data_do_not_stop_the_training(project, tmp_path):
    torn = spoil(project)
    cfg = config(
        project,
        tmp_path / 'work',
        train_dataloader__dataset__filter_cfg__filter_empty_gt=False,
        train_dataloader__num_workers=1,
        train_cfg__max_epochs=1,
        **UNSCORED,
    )
    runner = train_model(cfg)
    assert runner.iter == 4
    log = log_of(tmp_path / 'work')
    assert (
        log.count(
            f'WARNING - 1 of 8 images of epoch 1 were skipped, because they or their masks '
            f'cannot be read: {torn}\n'
        )
        == 1
    )
    assert f'{torn} is a JPEG that ends too early' in log


def test_a_torn_image_is_not_scored(project, tmp_path):
    torn = spoil(project)
    model = tmp_path / 'random.pth'
    cfg = config(project, tmp_path / 'work', log_level='ERROR')
    from mmdet.apis import init_detector

    torch.save(
        dict(meta={}, state_dict=init_detector(str(project), None, 'random', 'cpu').state_dict()),
        model,
    )
    with pytest.raises(UserError, match=f'{torn} is a JPEG that ends'):
        score(cfg, model)


def test_wrong_classes_stop_before_the_first_iteration(project, tmp_path):
    cfg = config(
        project,
        tmp_path / 'work',
        train_dataloader__dataset__metainfo=dict(classes=('red', 'grean')),
        log_level='ERROR',
    )
    with pytest.raises(UserError, match=r"grean \(near 'green'\)"):
        train_model(cfg)


def test_divergence_ends_in_one_message(project, tmp_path, capsys):
    words = [
        'train',
        str(project),
        '--work-dir',
        str(tmp_path / 'work'),
        '--cfg-options',
        'optim_wrapper.optimizer.lr=1e30',
        'log_level=ERROR',
    ]
    assert main(words) == 1
    message = capsys.readouterr().err
    message = message[message.index('mmanchor train: ') :]
    assert ' is not finite in iteration ' in message
    assert 'images/training/train_00' in message
    assert 'largest gradient: ' in message
    assert 'Traceback' not in message
    assert not list((tmp_path / 'work').glob('*.pth'))


@pytest.fixture(scope='module')
def trained(tiny, tmp_path_factory):
    """A checkpoint of one epoch, with the averaged weights in it."""
    work = tmp_path_factory.mktemp('trained')
    checkpoint_of(tiny / 'picodet.py', work, 1)
    return work / 'epoch_1.pth'


@pytest.mark.parametrize('tta', [False, True])
def test_it_is_scored_with_and_without_views(tiny, tmp_path, trained, tta):
    cfg = config(tiny / 'picodet.py', tmp_path, log_level='ERROR')
    metrics = score(cfg, trained, tta=tta)
    assert 0 <= metrics['coco/bbox_mAP'] <= 1


def test_results_are_written_as_coco_json(tiny, tmp_path, trained):
    cfg = config(
        tiny / 'picodet.py',
        tmp_path,
        test_evaluator__format_only=True,
        test_evaluator__outfile_prefix=str(tmp_path / 'out'),
        log_level='ERROR',
    )
    score(cfg, trained)
    boxes = load(tmp_path / 'out.bbox.json')
    assert boxes and boxes[0].keys() >= {'image_id', 'category_id', 'bbox', 'score'}


def test_other_commands_know_it(tiny, tmp_path, trained, capsys):
    assert not check_data(load_config(tiny / 'picodet.py'))[0].problems
    predicted = tmp_path / 'predicted'
    assert (
        main(
            [
                'predict',
                str(tiny / 'picodet.py'),
                str(trained),
                str(tiny / 'data/images/validation'),
                '--out-dir',
                str(predicted),
                '--score-thr',
                '0',
            ]
        )
        == 0
    )
    assert (predicted / 'predictions.json').exists()
    assert (
        main(
            [
                'complexity',
                str(tiny / 'picodet.py'),
                '--shape',
                '320',
                '--cfg-options',
                'model.bbox_head.num_classes=7',
            ]
        )
        == 0
    )
    assert '320 x 320' in capsys.readouterr().out


def test_its_backbone_is_folded(tiny, tmp_path):
    cfg = config(tiny / 'picodet.py', tmp_path, model__backbone__type='mmanchor.AnchorESNet')
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
        torch.save(dict(state_dict=model.state_dict()), tmp_path / 'whole.pth')
        report = export_deploy(cfg, tmp_path / 'whole.pth', tmp_path / 'folded.pth')
        assert report.params_after < report.params_before
        folded = MODELS.build(load_config(report.config).model)
        state = torch.load(report.checkpoint, weights_only=True)
        folded.load_state_dict(state['state_dict'])


TRAIN = """
import sys
from mmengine.config import Config
from mmengine.runner import Runner
import mmdet
cfg = Config.fromfile(sys.argv[1])
cfg.work_dir, cfg.train_cfg.max_epochs = sys.argv[2], 1
print('iterations', Runner.from_cfg(cfg).train() and 'done')
"""


@pytest.mark.slow
def test_mmdet_trains_it_by_itself(tiny, tmp_path):
    done = subprocess.run(
        [sys.executable, '-c', 'import mmanchor' + TRAIN, str(tiny / 'picodet.py'), str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert Path(tmp_path, 'epoch_1.pth').exists()
