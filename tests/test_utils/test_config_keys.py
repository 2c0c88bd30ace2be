"""What is typed on the command line has an effect, or is refused."""

import pytest

from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError

CONFIG = """
default_scope = 'mmdet'
img_scale = (64, 48)
note = 'of mine'
empty = None
train_dataloader = dict(dataset=dict(type='A', pipeline=[dict(type='Resize', scale=img_scale)]))
train_cfg = dict(max_epochs=3)
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(CONFIG)
    return path


@pytest.mark.parametrize(
    'option, message',
    [
        ('trian_cfg.max_epochs', "nothing reads 'trian_cfg'; did you mean train_cfg.max_epochs?"),
        ('optim_wraper.optimizer.lr', 'did you mean optim_wrapper.optimizer.lr?'),
        ('log_config.interval', 'a key of mmdet 2.x; use default_hooks.logger'),
        ('something', 'and the config does not have it'),
        (
            'img_scale',
            'would change nothing: img_scale is a variable, .* Set '
            'train_dataloader.dataset.pipeline.0.scale',
        ),
    ],
)
def test_options_that_nothing_reads_are_refused(config, option, message):
    with pytest.raises(UserError, match=f'--cfg-options {option}.*{message}'):
        load_config(config, {option: 1})


def test_a_variable_that_only_code_of_a_user_could_read_is_warned_of(config):
    with pytest.warns(UserWarning, match='--cfg-options note: note is a variable'):
        assert load_config(config, {'note': 7}).note == 7


def test_a_number_that_stands_elsewhere_by_chance_is_no_copy(config):
    config.write_text(CONFIG + 'mine = 3\n')
    with pytest.warns(UserWarning, match='--cfg-options mine: mine is a variable'):
        assert load_config(config, {'mine': 7}).mine == 7


def test_the_test_pipeline_is_read_where_there_is_no_test_data(config):
    config.write_text(CONFIG + 'test_pipeline = [dict(type="A")]\n')
    assert load_config(config, {'test_pipeline': []}).test_pipeline == []


@pytest.mark.parametrize('option', ['train_cfg.max_epochs', 'randomness.seed', 'compile'])
def test_other_options_are_taken(config, option):
    cfg = load_config(config, {option: 7})
    for part in option.split('.'):
        cfg = cfg[part]
    assert cfg == 7


def test_a_checkpoint_in_place_of_the_config_is_named(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    path.write_bytes(b'x')
    with pytest.raises(UserError, match=r'epoch_1.pth. is a checkpoint, and CONFIG comes first'):
        load_config(path)
