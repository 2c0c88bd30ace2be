"""AnchorFormer in MAE and SimMIM of mmpretrain."""

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample
from torch import nn

from mmanchor.models import AnchorFormer, MAEAnchorFormer, SimMIMAnchorFormer

ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, mlp_ratio=2)
PLAIN = dict(arch=ARCH, img_size=64, num_anchors=3)
LOSS = dict(type='PixelReconstructionLoss', criterion='L2')
MAE = dict(
    type='MAE',
    backbone=dict(type='mmanchor.MAEAnchorFormer', **PLAIN),
    neck=dict(
        type='MAEPretrainDecoder',
        num_patches=16,
        embed_dim=32,
        decoder_embed_dim=16,
        decoder_depth=1,
        decoder_num_heads=2,
    ),
    head=dict(type='MAEPretrainHead', norm_pix=True, loss=LOSS),
)
SIMMIM = dict(
    type='SimMIM',
    backbone=dict(type='mmanchor.SimMIMAnchorFormer', **PLAIN),
    neck=dict(type='SimMIMLinearDecoder', in_channels=32, encoder_stride=16),
    head=dict(type='SimMIMHead', patch_size=16, loss=dict(LOSS, channel=3)),
)


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 64)


@pytest.fixture
def mae():
    return MAEAnchorFormer(**PLAIN).eval()


def test_mae_leaves_out_the_share_it_says(mae, images):
    tokens, mask, restore = mae(images)
    assert tokens.shape == (2, 1 + 4, 32) and mask.shape == restore.shape == (2, 16)
    assert mask.sum(dim=1).tolist() == [12, 12]
    assert torch.equal(mask == 0, restore < 4)


def test_what_mae_leaves_out_has_no_influence(mae, images):
    torch.manual_seed(1)
    tokens, mask, _ = mae(images)
    noise = mask.view(2, 1, 4, 4).repeat_interleave(16, 2).repeat_interleave(16, 3)
    torch.manual_seed(1)
    assert torch.equal(mae(images + noise)[0], tokens)


def test_tokens_of_mae_are_where_restore_says(mae, images):
    # Without layers and norm, they are the patches with their positions.
    mae.layers, mae.norm = nn.ModuleList(), nn.Identity()
    nn.init.normal_(mae.pos_embed)
    tokens, mask, restore = mae(images)
    patches = mae.patch_embed(images)[0] + mae.pos_embed[:, 1:]
    for image in range(2):
        for place in (mask[image] == 0).nonzero().flatten():
            kept = tokens[image, 1 + restore[image, place]]
            torch.testing.assert_close(kept, patches[image, place])


@pytest.mark.parametrize('cls', [MAEAnchorFormer, SimMIMAnchorFormer])
def test_without_a_mask_it_is_an_anchorformer(cls, images):
    masked = cls(**PLAIN, extra_tokens=('cls',)).eval()
    plain = AnchorFormer(**PLAIN, extra_tokens=('cls',)).eval()
    plain.load_state_dict(masked.state_dict(), strict=False)
    assert torch.equal(masked(images, mask=None)[0], plain(images)[0])


def test_hidden_patches_of_simmim_have_no_influence(images):
    model = SimMIMAnchorFormer(**PLAIN).eval()
    mask = torch.zeros(2, 4, 4)
    mask[:, 1, 2] = 1
    (before,) = model(images, mask)
    images[:, :, 16:32, 32:48] = 9
    assert torch.equal(model(images, mask)[0], before)


def test_masks_of_another_size_are_named(images):
    with pytest.raises(ValueError, match=r'4 x 4 patches, got \(16, 16\).*model_patch_size=16'):
        SimMIMAnchorFormer(**PLAIN)(images, torch.zeros(2, 16, 16))


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(mask_ratio=1.0), r'mask_ratio must be in \(0, 1\) .* got 1.0'),
        (dict(mask_ratio=0.99), 'leave at least one of 16 patches'),
        (dict(extra_tokens=('cls', 'dist')), r"extra_tokens must be \('cls',\)"),
        (dict(img_size=(64, 96)), 'square, got a grid of 4 x 6'),
        (dict(out_indices=0), 'leave out_indices at -1'),
        (
            dict(attention=dict(type='mmanchor.LearnedAnchorAttention', depthwise=True)),
            'use SimMIM',
        ),
    ],
)
def test_what_mae_cannot_do_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MAEAnchorFormer(**{**PLAIN, **options})


@pytest.mark.parametrize('cfg', [MAE, SIMMIM], ids=['mae', 'simmim'])
def test_one_iteration_trains_and_the_backbone_loads(cfg, images, tmp_path):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg)
        model.init_weights()
        mask = torch.zeros(4, 4)
        mask[:2] = 1
        samples = [DataSample(mask=mask) for _ in images]
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        loss = model(images, samples, mode='loss')['loss']
        loss.backward()
        without = [
            name
            for name, param in model.named_parameters()
            if param.requires_grad and (param.grad is None or not param.grad.isfinite().all())
        ]
        assert not without
        optimizer.step()
        torch.save(dict(state_dict=model.state_dict()), tmp_path / 'epoch_1.pth')
        init = dict(type='Pretrained', checkpoint=str(tmp_path / 'epoch_1.pth'), prefix='backbone.')
        plain = AnchorFormer(**PLAIN, extra_tokens=model.backbone.extra_tokens, init_cfg=init)
        plain.init_weights()
    trained = model.backbone.state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in plain.state_dict().items())


def test_positions_of_mae_are_waves():
    model = MAEAnchorFormer(**PLAIN)
    model.init_weights()
    assert not model.pos_embed.requires_grad and not model.pos_embed[0, 0].any()
    # Half of the embedding says the row, the other half the column.
    grid = model.pos_embed[0, 1:].view(4, 4, 32)
    torch.testing.assert_close(grid[:, 0, :16], grid[:, 3, :16])
    torch.testing.assert_close(grid[0, :, 16:], grid[3, :, 16:])
