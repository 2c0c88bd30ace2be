"""The classifiers' recipe on small data, by our commands and mmpretrain's."""

import json
import pickle

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain import ImageClassificationInferencer, get_model
from PIL import Image
from tiny_project import CLASSIFICATION, COLORS, make_folders, write_config

from mmanchor.apis.export import export_deploy
from mmanchor.apis.test import test_model as score
from mmanchor.apis.train import train_model
from mmanchor.cli.main import main
from mmanchor.data_check.check import check_data
from mmanchor.inference.files import PredictOptions, predict_files
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError

pytestmark = pytest.mark.usefixtures('plain_configs')


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp('classification')
    data = make_folders(folder / 'data')
    return write_config(folder, CLASSIFICATION, data, 'tiny')


@pytest.fixture(scope='module')
def checkpoint(project):
    work_dir = project.parent / 'trained'
    train_model(load_config(project, dict(log_level='ERROR'), work_dir))
    return work_dir / 'epoch_2.pth'


@pytest.fixture
def image(project):
    return project.parent / 'data' / 'val' / 'red' / '0.JPEG'


def test_the_recipe_trains_and_keeps_the_classes(checkpoint):
    content = torch.load(checkpoint, weights_only=False)
    assert tuple(content['meta']['dataset_meta']['classes']) == COLORS
    assert 'ema_state_dict' in content
    kept = {path.name for path in checkpoint.parent.glob('best_*.pth')}
    assert len(kept) == 1 and 'top1' in kept.pop()


def test_scores_and_predictions_are_written(project, checkpoint, tmp_path):
    cfg = load_config(project, {}, tmp_path / 'work')
    out = tmp_path / 'out' / 'scores.pkl'
    metrics = score(cfg, checkpoint, out, show_dir=tmp_path / 'drawn')
    assert 0 <= metrics['accuracy/top1'] <= 100
    samples = pickle.loads(out.read_bytes())
    assert len(samples) == 12
    truth = [int(sample['gt_label']) for sample in samples]
    right = [int(sample['pred_label']) for sample in samples]
    accuracy = 100 * np.mean(np.equal(truth, right))
    assert metrics['accuracy/top1'] == pytest.approx(accuracy, abs=1e-3)
    assert list((tmp_path / 'drawn').rglob('*.png'))


def test_views_are_averaged(project, checkpoint, tmp_path):
    cfg = load_config(project, {}, tmp_path)
    assert 'accuracy/top1' in score(cfg, checkpoint, tta=True)


def test_more_best_classes_than_there_are_stop_before_testing(project, checkpoint, tmp_path):
    cfg = load_config(project, {'test_evaluator.topk': (1, 5)}, tmp_path)
    with pytest.raises(UserError, match=r'topk=\(1, 5\) asks for more classes .*which is 3'):
        score(cfg, checkpoint)


def test_predictions_go_to_a_folder_of_masks_nowhere(project, checkpoint, tmp_path):
    cfg = load_config(project, {}, tmp_path)
    with pytest.raises(UserError, match=r'must be a \.pkl file'):
        score(cfg, checkpoint, out=tmp_path / 'masks')


def test_predict_names_the_likeliest_classes(project, checkpoint, tmp_path, capsys):
    cfg = load_config(project)
    source = project.parent / 'data' / 'val' / 'red'
    summary = predict_files(
        cfg, checkpoint, str(source), tmp_path, device='cpu', options=PredictOptions(batch_size=2)
    )
    assert summary.done == 4
    assert 'Inference' not in capsys.readouterr().out  # a bar for each batch
    results = json.loads((tmp_path / 'predictions.json').read_text())
    assert [each['file'] for each in results] == [f'{i}.JPEG' for i in range(4)]
    for each in results:
        found = each['predictions']
        assert {one['class'] for one in found} == set(COLORS)
        scores = [one['score'] for one in found]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1, abs=1e-4)
        assert all(COLORS[one['label']] == one['class'] for one in found)
    drawn = Image.open(tmp_path / 'overlays' / '0.png')
    assert drawn.size == Image.open(source / '0.JPEG').size


@pytest.mark.parametrize(
    'options, message',
    [
        (
            dict(ann_file='x.json'),
            '--ann-file is for detection, and .* is a config of classification',
        ),
        (dict(masks=True), '--masks is for segmentation'),
        (dict(opacity=0.5), '--opacity is for segmentation'),
        (dict(color_masks=True), '--color-masks is for segmentation'),
    ],
)
def test_options_of_other_tasks_are_refused(project, checkpoint, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        predict_files(
            load_config(project),
            checkpoint,
            str(project.parent / 'data' / 'val' / 'red'),
            tmp_path,
            options=PredictOptions(**options),
        )


def test_mmpretrains_interfaces_take_config_and_checkpoint(project, checkpoint, image):
    model = get_model(str(project), pretrained=str(checkpoint), device='cpu')
    (one,) = ImageClassificationInferencer(model)(str(image))
    inferencer = ImageClassificationInferencer(
        str(project), pretrained=str(checkpoint), device='cpu'
    )
    (two,) = inferencer(str(image))
    assert one['pred_class'] == two['pred_class']
    assert two['pred_class'] in COLORS
    np.testing.assert_allclose(one['pred_scores'], two['pred_scores'])


def test_the_deploy_form_gives_the_same_scores(project, checkpoint, image, tmp_path):
    out = tmp_path / 'deploy.pth'
    report = export_deploy(load_config(project), checkpoint, out)
    assert report.params_after != report.params_before
    both = [
        ImageClassificationInferencer(str(config), pretrained=str(weights), device='cpu')(
            str(image)
        )[0]['pred_scores']
        for config, weights in ((project, checkpoint), (report.config, out))
    ]
    np.testing.assert_allclose(*both, atol=1e-5)


@pytest.mark.parametrize('name', ['anchorformer-t-distilled_8xb128-300e_in1k-224'])
def test_other_classifiers_deploy_too(name, tmp_path):
    cfg = load_config(name, {'model.head.num_classes': 3})
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        state = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'trained.pth')
    report = export_deploy(cfg, tmp_path / 'trained.pth', tmp_path / 'deploy.safetensors')
    deployed = load_config(report.config)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(deployed.model)
    assert sum(p.numel() for p in model.parameters()) == report.params_after


@pytest.mark.parametrize(
    'name, options, message',
    [
        ('sparsifiner-t_8xb128-300e_in1k-224', {}, 'has no deploy form'),
        ('deit-t_8xb128-300e_in1k-224', {}, 'has no deploy form'),
        (
            'levit-128s_8xb256-1000e_in1k-224',
            {'model.head.type': 'LeViTClsHead'},
            'cannot be built: .*LeViTClsHead',
        ),
    ],
)
def test_what_has_no_deploy_form_writes_nothing(name, options, message, tmp_path):
    cfg = load_config(name, {**options, 'model.head.num_classes': 3})
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        state = MODELS.build(cfg.model).state_dict()
    path = tmp_path / 'trained.pth'
    torch.save(dict(state_dict=state), path)
    with pytest.raises(UserError, match=message):
        export_deploy(cfg, path, tmp_path / 'deploy.pth')
    assert list(tmp_path.iterdir()) == [path]


def test_missing_images_are_named(project, tmp_path, capsys):
    wrong = f'train_dataloader.dataset.data_root={tmp_path}/none'
    assert main(['train', str(project), '--work-dir', str(tmp_path), '--cfg-options', wrong]) != 0
    error = capsys.readouterr().err
    assert f'{tmp_path}/none' in error and 'Traceback' not in error


def test_a_batch_of_a_class_too_many_is_refused(project, tmp_path):
    options = {'model.head.num_classes': 2, 'log_level': 'ERROR'}
    cfg = load_config(project, options, tmp_path)
    with pytest.raises(UserError, match='num_classes'):
        train_model(cfg)


def test_good_data_pass_the_check(project):
    train, val = check_data(load_config(project))
    assert not train.problems and not val.problems
    assert train.counts == {'images': 12, 'classes': 3, 'files read': 12}
    assert train.per_class == {name: dict(images=4) for name in COLORS}
    assert (train.splits, val.splits) == (['train'], ['val', 'test'])


def test_torn_images_and_empty_classes_are_found(tmp_path):
    data = make_folders(tmp_path / 'data')
    torn = data / 'train' / 'red' / '1.JPEG'
    torn.write_bytes(torn.read_bytes()[:-200])
    for path in (data / 'val' / 'blue').iterdir():
        path.unlink()
    cfg = load_config(write_config(tmp_path, CLASSIFICATION, data))
    train, val = check_data(cfg)
    (problem,) = train.problems
    assert problem.code == 'unreadable_image' and str(torn) in problem.examples[0]
    # mmpretrain itself refuses a folder without images, or counts none.
    assert [problem.code for problem in val.problems] == ['empty_class']
    assert val.problems[0].examples == ['blue']


def test_classes_in_another_order_than_the_folders_are_found(project):
    cfg = load_config(project)
    swapped = tuple(reversed(COLORS))
    cfg.train_dataloader.dataset.metainfo.classes = swapped
    (report,) = check_data(cfg, ['train'])
    assert [problem.code for problem in report.problems] == ['class_order']
    assert str(COLORS) in report.problems[0].message


def test_more_folders_than_classes_are_named_before_training(project, tmp_path):
    key = 'train_dataloader.dataset.metainfo.classes'
    cfg = load_config(project, {key: list(COLORS[:-1])}, tmp_path)
    with pytest.raises(
        UserError,
        match=rf'train has {len(COLORS)} folders .*there are '
        rf'{len(COLORS) - 1} classes.*model.head.num_classes',
    ):
        train_model(cfg)


def test_missing_images_are_named_with_their_layout(project, tmp_path):
    key = 'train_dataloader.dataset.data_root'
    cfg = load_config(project, {key: str(tmp_path / 'none')}, tmp_path)
    with pytest.raises(UserError) as error:
        train_model(cfg)
    assert 'train/CLASS/    images of one class' in str(error.value)
    assert 'mmanchor ablation' in str(error.value)
