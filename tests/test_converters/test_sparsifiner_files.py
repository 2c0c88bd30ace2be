"""A checkpoint with the released Sparsifiner's names gives the same logits."""

import math

import pytest
import torch
from deit_files import TIMM, largest_difference, randomise
from mmengine.registry import MODELS, init_default_scope
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from mmanchor.converters import KINDS, arrays_of_torch, convert_sparsifiner

ARCH = dict(embed_dims=48, num_layers=2, num_heads=3, mlp_ratio=4)


def keep_largest(x, count):
    """``x`` with all but the ``count`` largest of each row set to zero."""
    values, index = x.topk(count)
    return torch.zeros_like(x).scatter(-1, index, values)


class ReleasedAttention(nn.Module):
    """The released attention: its names, and its steps one by one."""

    def __init__(self, width, heads, tokens, rate):
        super().__init__()
        self.heads, self.budget = heads, math.ceil(rate * tokens)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.mask_predictor = nn.Module()
        head = width // heads
        self.mask_predictor.proj_c_q = nn.Linear(head, head // 2)
        self.mask_predictor.proj_c_k = nn.Linear(head, head // 2)
        for name in ('proj_n', 'proj_back_n'):
            param = nn.Parameter(torch.zeros(tokens, tokens // 6))
            self.mask_predictor.register_parameter(name, param)

    def forward(self, x, **_):
        parts = self.mask_predictor
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        compressed = parts.proj_c_k(k).transpose(2, 3) @ parts.proj_n
        weights = (parts.proj_c_q(q) @ compressed * self.heads**-0.5).softmax(dim=-1)
        weights = keep_largest(weights, min(8, weights.shape[-1]))
        scores = weights @ nn.functional.threshold(parts.proj_back_n.abs(), 0.02, 0.0).T
        mask = keep_largest(scores, self.budget) > 0
        mask[:, :, 0] = True
        full = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
        shares = full.masked_fill(~mask, -math.inf).softmax(dim=-1)
        return self.proj((shares @ v).transpose(1, 2).flatten(2))


def released(size=64, rate=0.25):
    model = VisionTransformer(**dict(TIMM, img_size=size)).eval()
    for block in model.blocks:
        block.attn = ReleasedAttention(48, 3, (size // 16) ** 2 + 1, rate)
    randomise(model)
    return model


def classifier(size=64, rate=0.25, num_classes=5):
    init_default_scope('mmpretrain')
    return MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(
                type='mmanchor.Sparsifiner',
                arch=ARCH,
                img_size=size,
                keep_rates=rate,
                extra_tokens=('cls',),
                out_type='tokens',
            ),
            head=dict(type='VisionTransformerClsHead', num_classes=num_classes, in_channels=48),
        )
    ).eval()


def convert(theirs, ours):
    saved = dict(model=theirs.state_dict(), epoch=50)
    return convert_sparsifiner(arrays_of_torch(saved, 'a.pth'), ours.state_dict())


@pytest.mark.parametrize('rate', [0.1, 0.25, 0.5])
def test_the_logits_are_the_same(rate):
    theirs, ours = released(rate=rate), classifier(rate=rate)
    state, report = convert(theirs, ours)
    assert report.is_complete, report.problems()
    assert len(report.converted) == len(theirs.state_dict())
    assert not report.adapted and list(report.skipped) == ['beside the weights: epoch']
    ours.load_state_dict(state)
    assert largest_difference(ours, theirs) < 2e-5


def test_the_keep_rate_is_not_in_the_file():
    theirs, ours = released(rate=0.25), classifier(rate=0.1)
    ours.load_state_dict(convert(theirs, ours)[0])
    assert largest_difference(ours, theirs) > 1e-3


def test_weights_of_positions_are_resized_and_reported():
    theirs, same, ours = released(64), classifier(64), classifier(96)
    before = {k: v.clone() for k, v in theirs.state_dict().items()}
    state, report = convert(theirs, ours)
    assert report.is_complete, report.problems()
    assert report.adapted == {
        'backbone.pos_embed': 'resized from 4 x 4 to 6 x 6',
        **{
            f'backbone.layers.{i}.attn.predictor.{part}': 'resized from 17 x 2 to 37 x 6'
            for i in (0, 1)
            for part in ('compress', 'basis')
        },
    }
    # As a model of that size does that loads a checkpoint of ours.
    same.load_state_dict(convert(theirs, same)[0])
    ours.load_state_dict(same.state_dict())
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(state[name], value)
    after = theirs.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    'name, value, where',
    [
        ('blocks.0.attn.mask_predictor.proj_n', None, 'missing'),
        ('blocks.0.attn.mask_predictor.proj_n', torch.ones(3), 'mismatched'),
        ('blocks.0.attn.mask_predictor.proj_n', torch.ones(7, 2), 'mismatched'),
        ('blocks.0.attn.mask_predictor.proj_n', 'text', 'mismatched'),
        ('blocks.7.attn.mask_predictor.proj_n', torch.ones(17, 2), 'unmatched'),
    ],
)
def test_what_does_not_fit_is_reported(name, value, where):
    entries = {**released().state_dict(), name: value}
    if value is None:
        del entries[name]
    _, report = convert_sparsifiner(entries, classifier().state_dict())
    assert len(getattr(report, where)) == 1 and not report.is_complete


def test_another_number_of_classes_says_what_to_do():
    _, report = convert(released(), classifier(num_classes=7))
    assert 'model.head.num_classes=5' in report.problems()


def test_the_command_knows_it():
    assert KINDS['sparsifiner'].convert is convert_sparsifiner
    assert KINDS['sparsifiner'].reads == 'torch'
