"""Values of the wrong type are found at once, by their keys."""

import pytest
from mmengine.config import Config

from mmanchor.utils.config import list_configs, load_config
from mmanchor.utils.config_types import require_types
from mmanchor.utils.errors import UserError

WRONG = {
    'model': [5, 'a', [], True],
    'model.backbone': [5, 'ResNet', True],
    'model.data_preprocessor': [5, 'a', [1]],
    'model.decode_head.norm_cfg': [5, 'BN'],
    'train_dataloader': [5, 'a', []],
    'train_dataloader.dataset': [5, None, 'ADE', {}, dict(type=None)],
    'train_dataloader.dataset.pipeline': [5, None, 'a', [5], ['LoadImageFromFile'], [None]],
    'train_dataloader.dataset.data_root': [5, [], ['a'], {}],
    'train_dataloader.dataset.data_prefix': [5, ['a']],
    'train_dataloader.dataset.metainfo': [5, 'a', []],
    'train_dataloader.dataset.metainfo.classes': [5, [5], [None]],
    'train_dataloader.dataset.dataset.pipeline': [5],
    'train_dataloader.batch_size': [0, -1, 'abc', 1.5, None, True],
    'train_dataloader.num_workers': [-1, 'a', None],
    'val_evaluator': [5, 'mIoU', [5]],
    'custom_hooks': [5, [5], 'a', {}],
    'default_hooks': [5, []],
    'default_hooks.checkpoint': [5, 'a'],
    'default_hooks.checkpoint.save_begin': ['a', -1],
    'log_processor.window_size': ['a', 0],
    'default_hooks.checkpoint.interval': ['a', None, 0.5],
    'optim_wrapper': [5, []],
    'optim_wrapper.optimizer': [5, None, 'SGD', {}],
    'optim_wrapper.optimizer.lr': ['a', -1, None, float('nan')],
    'optim_wrapper.clip_grad.max_norm': ['a', -1],
    'param_scheduler': [5, [5], 'a'],
    'train_cfg': [5, []],
    'train_cfg.max_iters': ['abc', -1, None, float('nan')],
    'train_cfg.val_interval': [0, 'a'],
    'randomness.seed': ['a', -1],
    'visualizer.vis_backends': [5, 'LocalVisBackend', ["dict(type='LocalVisBackend')"]],
    'work_dir': [5, []],
    'resume': ['abc', 5],
}

NEED_A_TYPE = (
    'optim_wrapper.optimizer',
    'train_dataloader.dataset',
    'train_dataloader.dataset.dataset',
)


@pytest.mark.parametrize(
    'key, value', [(key, each) for key, all_ in WRONG.items() for each in all_]
)
def test_wrong_type_is_named_with_its_key(key, value):
    cfg = Config()
    cfg.merge_from_dict({f'{each}.type': 'A' for each in NEED_A_TYPE if key.startswith(f'{each}.')})
    cfg.merge_from_dict({key: value})
    with pytest.raises(UserError, match=rf'^{key}(\.0)? of None must be .*, got '):
        require_types(cfg)


@pytest.mark.parametrize('key', ['begin', 'end'])
def test_times_of_a_schedule_are_numbers(key):
    require_types(Config(dict(param_scheduler=[{key: 5}, {key: 1e4}, {key: None}])))
    with pytest.raises(UserError, match=rf'^param_scheduler\.1\.{key} of .* must be a number'):
        require_types(Config(dict(param_scheduler=[{key: 5}, {key: 'a'}])))


@pytest.mark.parametrize(
    'values',
    [
        dict(model=None, custom_hooks=(), default_hooks=dict(checkpoint=None)),
        dict(train_cfg=dict(max_iters=1e4, val_interval=1000.0)),
        dict(train_dataloader=dict(dataset=object(), batch_size=1, num_workers=0)),
        dict(test_pipeline=[dict(type='TestTimeAug', transforms=[[], []]), print]),
        dict(pipeline=5, classes=5, data_root=5),
    ],
)
def test_objects_whole_floats_and_variables_may_stay(values):
    require_types(Config(values))


@pytest.mark.parametrize('name', [each for each in list_configs() if '/' in each][::6])
def test_our_configs_pass(name):
    load_config(name)
