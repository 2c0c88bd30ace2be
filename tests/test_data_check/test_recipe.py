"""A recipe is compared with its data, and its keys with those that are read."""

import pytest
from mmengine.config import Config

from mmanchor.data_check.recipe import check_recipe
from mmanchor.data_check.report import SplitReport
from mmanchor.utils.config import load_config

HEAD = dict(type='UPerHead', norm_cfg=dict(type='BN'))
WARM_UP = dict(type='LinearLR', by_epoch=False, begin=0, end=300)


def recipe(images=100, **cfg):
    base = dict(
        train_dataloader=dict(batch_size=4),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=10),
        optim_wrapper=dict(optimizer=dict(lr=0.4)),
    )
    report = SplitReport(['train'], 'CocoDataset', counts=dict(images=images))
    return check_recipe(Config({**base, **cfg}), [report])


def sliding(**settings):
    settings = {'mode': 'slide', **settings}
    return recipe(model=dict(test_cfg=settings), default_scope='mmseg')


def codes(report):
    return {problem.code: problem for problem in report.problems}


def test_a_fitting_recipe_is_clean():
    report = recipe(auto_scale_lr=dict(base_batch_size=4))
    assert not report.problems and not report.notes


def test_workers_that_stay_must_be_there():
    loader = dict(batch_size=4, num_workers=0, persistent_workers=True)
    assert 'persistent_workers=False' in codes(recipe(train_dataloader=loader))['workers'].message
    loader['num_workers'] = 2
    assert 'workers' not in codes(recipe(train_dataloader=loader))


@pytest.mark.parametrize('name', ['det', 'seg'])
def test_configs_of_a_toolbox_are_clean(tiny, name):
    assert not check_recipe(load_config(tiny / f'{name}.py')).problems


def test_learning_rate_for_another_batch_is_noted_with_the_factor(monkeypatch):
    (note,) = recipe(auto_scale_lr=dict(base_batch_size=320)).notes
    assert 'learning rate 0.4 is for a batch of 320 images, but a step uses 4' in note
    assert '--auto-scale-lr multiplies it by 0.0125, to 0.005' in note
    assert not recipe(auto_scale_lr=dict(base_batch_size=320, enable=True)).notes
    monkeypatch.setenv('WORLD_SIZE', '80')
    assert not recipe(auto_scale_lr=dict(base_batch_size=320), launcher='pytorch').notes


def test_accumulated_iterations_count_as_batch():
    wrapper = dict(optimizer=dict(lr=0.4), accumulative_counts=2)
    assert not recipe(auto_scale_lr=dict(base_batch_size=8), optim_wrapper=wrapper).notes
    scaled = dict(base_batch_size=8, enable=True)
    (note,) = recipe(auto_scale_lr=scaled, optim_wrapper=wrapper).notes
    assert 'multiply it by 2 more' in note


@pytest.mark.parametrize('images, warned', [(40, True), (4000, False)])
def test_warm_up_longer_than_training(images, warned):
    found = codes(recipe(images, param_scheduler=[WARM_UP]))
    assert ('warm_up' in found) is warned
    if warned:
        assert 'takes 300 iterations, and the training 100 (40 images' in found['warm_up'].message


def test_warm_up_by_epochs_and_of_iterations():
    by_epoch = dict(type='LinearLR', end=6)
    assert 'takes 6 epochs' in codes(recipe(param_scheduler=by_epoch))['warm_up'].message
    loop = dict(type='IterBasedTrainLoop', max_iters=400)
    found = codes(recipe(train_cfg=loop, param_scheduler=[WARM_UP]))
    assert 'the training 400' in found['warm_up'].message


@pytest.mark.parametrize('drop_last', [False, True])
def test_fewer_images_than_a_batch(drop_last):
    loader = dict(batch_size=4, drop_last=drop_last)
    problem = codes(recipe(3, train_dataloader=loader))['small_data']
    assert 'has 3 images, fewer than a batch of 4' in problem.message
    assert problem.fatal is drop_last
    loader['dataset'] = dict(type='RepeatDataset', times=2, dataset=dict(type='CocoDataset'))
    assert not recipe(3, train_dataloader=loader).problems


def test_batch_norm_of_one_image():
    one = dict(train_dataloader=dict(batch_size=1))
    problem = codes(recipe(model=dict(decode_head=HEAD), **one))['batch_of_one']
    assert problem.fatal and 'UPerHead pools a map to 1 x 1' in problem.message
    (note,) = recipe(model=dict(backbone=dict(norm_cfg=dict(type='BN'))), **one).notes
    assert 'statistics of single images' in note
    assert not recipe(model=dict(backbone=dict(norm_cfg=dict(type='GN'))), **one).notes


@pytest.mark.parametrize('topk, fatal', [((1, 5), True), (5, True), ((1, 3), False), (1, False)])
def test_accuracy_over_more_classes_than_there_are(topk, fatal):
    evaluator = [dict(type='Accuracy', topk=topk)]
    model = dict(head=dict(num_classes=3))
    found = codes(recipe(model=model, val_evaluator=evaluator, default_scope='mmpretrain'))
    assert ('top_k' in found) is fatal
    if fatal:
        assert found['top_k'].fatal
        assert 'which is 3; give --cfg-options val_evaluator.topk=1' in found['top_k'].message


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(crop_size=(8, 8)), 'needs model.test_cfg.stride, two whole numbers'),
        (dict(stride=(8, 8)), 'needs model.test_cfg.crop_size'),
        (dict(crop_size=8, stride=8), 'pixels (height, width), such as (512, 512); got 8'),
        (dict(crop_size=(8, 8), stride=(9, 8)), 'windows would leave gaps'),
    ],
)
def test_sliding_windows_need_size_and_stride(settings, message):
    problem = codes(sliding(**settings))['slide']
    assert problem.fatal and message in problem.message


def test_complete_sliding_windows_and_whole_images_are_fine():
    assert not sliding(crop_size=(8, 8), stride=(6, 6)).problems
    assert not sliding(mode='whole').problems
    assert 'slide' in codes(sliding(mode='hole'))


@pytest.mark.parametrize(
    'key, value, hint',
    [
        ('optim_wraper', dict(optimizer=dict(lr=1)), 'optim_wraper: did you mean optim_wrapper?'),
        ('param_schedulers', [], 'param_schedulers: did you mean param_scheduler?'),
        ('randomness', dict(sed=1), 'randomness.sed: did you mean randomness.seed?'),
        ('train_cfg', dict(max_epoch=1), 'train_cfg.max_epoch: did you mean train_cfg.max_epochs?'),
    ],
)
def test_mistyped_keys_are_named_with_the_nearest(key, value, hint):
    assert codes(recipe(**{key: value}))['unknown_keys'].examples == [hint]


def test_mistyped_keys_of_a_loader_are_fatal():
    problem = codes(recipe(train_dataloader=dict(batchsize=2)))['loader_keys']
    assert problem.fatal
    assert problem.examples == ['train_dataloader.batchsize: did you mean batch_size?']
    problem = codes(recipe(val_dataloader=dict(samples_per_gpu=2)))['loader_keys']
    assert problem.examples == ['val_dataloader.samples_per_gpu: did you mean batch_size?']


@pytest.mark.parametrize(
    'key, value, successor',
    [
        ('total_epochs', 12, 'train_cfg.max_epochs'),
        ('lr_config', dict(policy='step'), 'param_scheduler'),
        ('log_config', dict(interval=1), 'default_hooks.logger'),
        ('data', dict(samples_per_gpu=2), 'train_dataloader'),
    ],
)
def test_keys_of_the_old_mmdet_are_named_with_their_successor(key, value, successor):
    (example,) = codes(recipe(**{key: value}))['old_keys'].examples
    assert example.startswith(f'{key}: use {successor}')


def test_variables_of_configs_are_fine():
    variables = dict(data=dict(type='CocoDataset'), optimizer=dict(lr=1), test_pipeline=[], x=1)
    assert not recipe(**variables).problems


@pytest.mark.parametrize(
    'key', ['optim_wrapper', 'train_cfg', 'model', 'param_scheduler', 'val_evaluator', 'randomness']
)
def test_numbers_in_place_of_sections_are_left_to_the_builder(key):
    recipe(**{key: 5, 'auto_scale_lr': dict(base_batch_size=8), 'default_scope': 'mmseg'})
