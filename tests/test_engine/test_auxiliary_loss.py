"""A backbone's own losses train it, whatever the model around it is."""

from typing import ClassVar

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmanchor.models.backbones import Sparsifiner
from mmanchor.utils.errors import UserError


class Part(nn.Module):
    """Its own loss is 3 * weight, after each forward in training."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.losses = {}

    def forward(self, x):
        if self.training:
            self.losses = dict(loss_own=3 * self.weight)
        return x

    def auxiliary_losses(self):
        losses, self.losses = self.losses, {}
        return losses


class Toy(BaseModel):
    """Its loss does not depend on the part's weight."""

    def __init__(self, part):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.backbone = part

    def forward(self, inputs, mode):
        out = self.backbone(torch.stack(inputs))
        return dict(loss_main=self.scale * out.mean(), acc=out.mean())


class Data(list):
    """A data set that mmengine's hooks take."""

    metainfo: ClassVar = dict(classes=('a',))


@pytest.fixture
def runner_of(tmp_path):
    """A runner that trains two steps of two inputs each, with SGD of 0.1."""

    def make(model, inputs):
        return Runner(
            model,
            str(tmp_path),
            train_dataloader=dict(
                dataset=Data(dict(inputs=each) for each in inputs),
                sampler=dict(type='DefaultSampler', shuffle=False),
                batch_size=2,
            ),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            custom_hooks=[dict(type='mmanchor.AuxiliaryLossHook')],
            log_level='ERROR',
            experiment_name=str(tmp_path),
        )

    return make


def test_the_parts_losses_are_added_and_the_model_is_left_as_it_was(runner_of):
    runner = runner_of(Toy(Part()), torch.tensor([1.0, 3.0, 2.0, 2.0]))
    runner.train()
    # Two steps of 0.1, gradients 3 for the part and 2 for the model.
    assert runner.model.backbone.weight.item() == pytest.approx(0.4)
    assert runner.model.scale.item() == pytest.approx(0.6)
    logged = runner.message_hub.log_scalars
    assert logged['train/backbone.loss_own'].current() == pytest.approx(2.1)
    # The second step's: 0.8 * 2 + 0.7 * 3.
    assert logged['train/loss'].current() == pytest.approx(3.7)
    assert 'parse_losses' not in vars(runner.model)
    assert runner.model.backbone.losses == {}


def test_a_model_without_such_losses_is_refused(runner_of):
    runner = runner_of(Toy(nn.Identity()), torch.tensor([1.0, 3.0]))
    with pytest.raises(UserError, match='no part of the Toy has auxiliary'):
        runner.train()


def test_it_trains_the_predictor_of_sparsifiner(runner_of):
    backbone = Sparsifiner(
        dict(embed_dims=8, num_layers=2, num_heads=2, mlp_ratio=2),
        img_size=32,
        out_type='avg_featmap',
    )
    toy = Toy(nn.Sequential(backbone))
    toy.backbone.forward = lambda x: backbone(x)[0]
    before = backbone.layers[0].attn.predictor.basis.clone()
    runner_of(toy, torch.rand(2, 3, 32, 32)).train()
    after = backbone.layers[0].attn.predictor.basis
    assert (before != after).any() and after.isfinite().all()


def test_losses_that_nobody_takes_are_noticed():
    backbone = Sparsifiner(
        dict(embed_dims=8, num_layers=1, num_heads=2, mlp_ratio=2), img_size=32
    ).train()
    backbone(torch.rand(1, 3, 32, 32))
    with pytest.warns(UserWarning, match='mmanchor.AuxiliaryLossHook'):
        backbone(torch.rand(1, 3, 32, 32))
