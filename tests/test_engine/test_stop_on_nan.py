"""A loss that is no number stops training before it does harm."""

from typing import ClassVar

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn

from mmanchor.utils.errors import UserError

NAN, INF = float('nan'), float('inf')


class Toy(BaseModel):
    """The loss is (first + last * input); input 0 has an endless slope."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.ones(2))
        self.last = nn.Parameter(torch.ones(()))

    def forward(self, inputs, data_samples, mode):
        inputs = torch.stack(inputs)
        slope = (self.last * inputs).abs().sqrt().sum()
        return dict(loss_first=[self.first.sum()], loss_last=slope, acc=inputs)


def sample(value, index):
    return dict(
        inputs=torch.tensor(value),
        data_samples=BaseDataElement(metainfo=dict(img_path=f'picture_{index}.jpg')),
    )


class Data(list):
    """A data set that mmengine's hooks take."""

    metainfo: ClassVar = dict(classes=('a',))


@pytest.fixture
def train(tmp_path):
    """Train on some numbers, two in a batch; returns the runner."""

    def run(values, **wrapper):
        runner = Runner(
            Toy(),
            str(tmp_path),
            train_dataloader=dict(
                dataset=Data(map(sample, values, range(len(values)))),
                sampler=dict(type='DefaultSampler', shuffle=False),
                batch_size=2,
            ),
            train_cfg=dict(by_epoch=True, max_epochs=2),
            optim_wrapper={'optimizer': dict(type='SGD', lr=0.1), **wrapper},
            custom_hooks=[dict(type='mmanchor.StopOnNanHook')],
            log_level='ERROR',
            experiment_name=str(tmp_path),
        )
        run.runner = runner
        runner.train()
        return runner

    return run


def test_finite_losses_are_left_alone(train):
    runner = train([1.0, 2.0, 3.0, 4.0])
    assert runner.iter == 4
    assert not runner.model._forward_hooks
    assert 'backward' not in vars(runner.optim_wrapper)


@pytest.mark.parametrize('bad', [NAN, INF])
@pytest.mark.parametrize('counts', [1, 2])
def test_a_loss_that_is_not_finite_stops_it(train, bad, counts):
    with pytest.raises(UserError) as error:
        train([1.0, 2.0, 3.0, bad, 5.0, 6.0], accumulative_counts=counts)
    text = str(error.value)
    assert 'the loss is not finite in iteration 2 (epoch 1)' in text
    assert f'loss_last {bad}' in text and 'loss_first ' in text
    assert 'acc' not in text
    assert 'picture_2.jpg, picture_3.jpg\n' in text
    assert 'picture_1.jpg' not in text and 'none was saved yet' in text
    assert 'of last, the first of 1 parameters (of 2)' in text
    runner = train.runner
    weights = runner.model.state_dict()
    assert all(value.isfinite().all() for value in weights.values())
    # One step was made before; with two batches a step none was.
    assert weights['first'].tolist() == pytest.approx([1 - 0.1 * (counts == 1)] * 2)
    assert not runner.model._forward_hooks
    assert 'backward' not in vars(runner.optim_wrapper)


def test_the_last_good_checkpoint_is_named(train, monkeypatch, tmp_path):
    forward = Toy.forward

    def spoiled(self, **kwargs):
        losses = forward(self, **kwargs)
        if train.runner.epoch == 1:
            losses['loss_last'] *= NAN
        return losses

    monkeypatch.setattr(Toy, 'forward', spoiled)
    with pytest.raises(UserError, match=r'checkpoint: .*epoch_1.pth'):
        train([1.0, 2.0, 3.0, 4.0])
    good = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
    assert all(value.isfinite().all() for value in good['state_dict'].values())


def test_a_gradient_that_is_not_finite_stops_it_too(train):
    with pytest.raises(UserError) as error:
        train([1.0, 2.0, 0.0, 4.0])
    text = str(error.value)
    assert 'the gradient is not finite in iteration 2' in text
    assert 'picture_2.jpg' in text and 'of last' in text


def test_a_loss_scaler_leaves_such_steps_out_itself(train, monkeypatch):
    monkeypatch.setattr(OptimWrapper, 'loss_scaler', None, raising=False)
    monkeypatch.setattr(OptimWrapper, 'step', lambda self: None)
    assert train([1.0, 2.0, 0.0, 4.0]).iter == 4
    with pytest.raises(UserError, match='the loss is not finite'):
        train([1.0, NAN])


def test_the_largest_gradient_is_named_where_all_are_finite(train):
    from mmanchor.engine.hooks.stop_on_nan import _largest_gradient

    model = Toy()
    model.first.grad = torch.tensor([1.0, -3.0])
    model.last.grad = torch.tensor(2.0)
    assert _largest_gradient(model) == '3 of first'
    assert _largest_gradient(Toy()) == 'no parameter has a gradient'
