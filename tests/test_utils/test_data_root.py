"""Another folder of data: all splits and scores follow."""

import pytest
from config_files import ENTRY_POINTS, ROOT, by_stem
from mmengine.config import Config

from mmanchor.utils.config import load_config
from mmanchor.utils.data_root import set_data_root
from mmanchor.utils.errors import UserError

DATA_KEYS = ('data_root', 'train_dataloader', 'val_dataloader', 'test_dataloader')
DATA_KEYS += ('val_evaluator', 'test_evaluator')


def strings(node):
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        return [text for each in node for text in strings(each)]
    return [node] if isinstance(node, str) else []


def data_strings(cfg):
    return [text for key in DATA_KEYS for text in strings(cfg.get(key))]


@by_stem(ENTRY_POINTS)
def test_every_path_of_a_config_moves(path):
    old = load_config(path).data_root.rstrip('/')
    cfg = load_config(path, data_root='/mine/')
    roots = {cfg[f'{split}_dataloader'].dataset.data_root for split in ('train', 'val', 'test')}
    assert roots == {'/mine'}
    assert not [text for text in data_strings(cfg) if text.startswith(old)]
    if cfg.default_scope == 'mmdet':
        ann_file = '/mine/annotations/instances_val2017.json'
        assert cfg.val_evaluator.ann_file == cfg.test_evaluator.ann_file == ann_file


@by_stem(ENTRY_POINTS[:2])
def test_the_variable_among_the_options_does_the_same(path):
    options = {'data_root': '/mine', 'val_dataloader.dataset.data_root': '/other'}
    cfg = load_config(path, options)
    assert cfg.train_dataloader.dataset.data_root == '/mine'
    # More exact options win.
    assert cfg.val_dataloader.dataset.data_root == '/other'
    del options['val_dataloader.dataset.data_root']
    assert load_config(path, options).to_dict() == load_config(path, data_root='/mine').to_dict()


def test_wrapped_data_sets_and_paths_below_the_old_folder_move():
    leaf = dict(type='CocoDataset', data_root='data/coco/', ann_file='data/coco/a.json')
    other = dict(type='CocoDataset', data_root='data/coco', ann_file='data/coco2/b.json')
    datasets = dict(type='RepeatDataset', dataset=dict(type='Concat', datasets=[leaf, other]))
    cfg = Config(dict(train_dataloader=dict(dataset=datasets), val_dataloader=None))
    cfg.val_evaluator = [dict(type='A', ann_file='data/coco/a.json'), dict(type='B', topk=(1, 5))]
    set_data_root(cfg, '/mine')
    first, second = cfg.train_dataloader.dataset.dataset.datasets
    assert (first.data_root, first.ann_file) == ('/mine', '/mine/a.json')
    # Not below the folder, though its name begins alike.
    assert (second.data_root, second.ann_file) == ('/mine', 'data/coco2/b.json')
    assert cfg.val_evaluator[0].ann_file == '/mine/a.json'
    assert cfg.val_evaluator[1].topk == (1, 5)


@pytest.mark.parametrize('form', ['data_root', 'cfg_options'])
def test_data_sets_without_a_folder_are_an_error(form):
    (path,) = ROOT.glob('digits/*-w64_*.py')
    given = {form: 'here' if form == 'data_root' else dict(data_root='here')}
    with pytest.raises(UserError, match=r"'here'.*has none.*train_dataloader.dataset.data_root="):
        load_config(path, **given)


def test_several_folders_are_an_error_that_lists_them():
    cfg = Config(dict(train_dataloader=dict(dataset=dict(data_root='a/'))))
    cfg.val_dataloader = dict(dataset=dict(data_root='b'))
    with pytest.raises(UserError, match=r"'c'.*has several: a, b\. .*--cfg-options"):
        set_data_root(cfg, 'c')
