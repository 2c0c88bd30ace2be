"""A backbone's own losses join those of any model around it."""

import copy

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mmanchor.models import Sparsifiner
from mmanchor.registry import MODELS
from mmanchor.utils.auxiliary_losses import add_auxiliary_losses

ARCH = dict(embed_dims=8, num_layers=2, num_heads=2, mlp_ratio=2)


class Toy(BaseModel):
    """A model that knows nothing of its backbone's losses."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, inputs, mode):
        out = self.backbone(inputs)[0]
        return dict(loss_main=out.square().mean()) if mode == 'loss' else out


def toy():
    torch.manual_seed(0)
    return Toy(Sparsifiner(ARCH, img_size=32, keep_rates=0.5)).train()


def test_the_losses_are_added_under_the_parts_name():
    model, x = toy(), torch.rand(2, 3, 32, 32)
    expected = model(x, mode='loss')['loss_main'], model.backbone.auxiliary_losses()
    add_auxiliary_losses(model)
    losses = model(x, mode='loss')
    assert losses['loss_main'] == expected[0]
    assert losses['backbone.loss_reconstruction'] == expected[1]['loss_reconstruction']
    assert len(losses) == 2
    assert isinstance(model(x, mode='tensor'), torch.Tensor)
    assert list(model.eval()(x, mode='loss')) == ['loss_main']


def test_a_removed_handle_ends_it():
    model = toy()
    add_auxiliary_losses(model).remove()
    assert list(model(torch.rand(1, 3, 32, 32), mode='loss')) == ['loss_main']


def test_a_copy_adds_the_losses_of_its_own_backbone():
    model = toy()
    add_auxiliary_losses(model)
    twin = copy.deepcopy(model)
    losses = twin(torch.rand(1, 3, 32, 32), mode='loss')
    losses['backbone.loss_reconstruction'].backward()
    basis = 'layers.0.attn.predictor.basis'
    assert twin.backbone.get_parameter(basis).grad.any()
    assert model.backbone.get_parameter(basis).grad is None


def test_a_model_without_such_losses_is_refused():
    with pytest.raises(ValueError, match='no part of the Toy has auxiliary_losses'):
        add_auxiliary_losses(Toy(nn.Identity()))


def segmentor(model_type):
    return dict(
        **model_type,
        backbone=dict(
            type='mmanchor.Sparsifiner',
            arch=ARCH,
            img_size=32,
            patch_size=8,
            norm_cfg=dict(type='LN'),
        ),
        decode_head=dict(
            type='FCNHead', in_channels=8, channels=8, num_convs=1, num_classes=3, in_index=0
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )


def detector(model_type):
    return dict(
        **model_type,
        backbone=dict(type='mmanchor.Sparsifiner', arch=ARCH, img_size=32, patch_size=8),
        bbox_head=dict(
            type='FCOSHead',
            num_classes=3,
            in_channels=8,
            feat_channels=8,
            strides=[8],
            regress_ranges=((-1, 1e8),),
            norm_cfg=dict(type='BN'),
        ),
        train_cfg=dict(),
        test_cfg=dict(),
    )


def classifier(model_type):
    return dict(
        **model_type,
        backbone=dict(type='mmanchor.Sparsifiner', arch=ARCH, img_size=32, out_type='avg_featmap'),
        head=dict(type='LinearClsHead', in_channels=8, num_classes=3),
    )


def data_for(scope):
    image = torch.rand(2, 3, 32, 32)
    if scope == 'mmpretrain':
        from mmpretrain.structures import DataSample

        return image, [DataSample().set_gt_label(i) for i in range(2)]
    if scope == 'mmseg':
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        label = torch.zeros(1, 32, 32, dtype=torch.long)
        return image, [SegDataSample(gt_sem_seg=PixelData(data=label)) for _ in range(2)]
    from mmdet.testing import demo_mm_inputs

    samples = demo_mm_inputs(2, [(3, 32, 32)] * 2, num_classes=3)['data_samples']
    return image, samples


@pytest.mark.parametrize(
    'scope, name, config',
    [
        ('mmseg', 'EncoderDecoder', segmentor),
        ('mmdet', 'SingleStageDetector', detector),
        ('mmpretrain', 'ImageClassifier', classifier),
    ],
)
def test_models_of_all_toolboxes_train_the_predictor(scope, name, config):
    if scope == 'mmseg':
        import mmseg.models  # noqa: F401
    with DefaultScope.overwrite_default_scope(scope):
        plain = MODELS.build(config(dict(type=name)))
        model = MODELS.build(config(dict(type='mmanchor.WithAuxiliaryLosses', model_type=name)))
        assert type(model) is type(plain)
        assert list(model.state_dict()) == list(plain.state_dict())
        images, samples = data_for(scope)
        model.data_preprocessor.forward = lambda data, training: data
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
        before = {key: param.clone() for key, param in model.named_parameters()}
        logged = model.train().train_step(dict(inputs=images, data_samples=samples), wrapper)
    assert logged['backbone.loss_reconstruction'] > 0
    for key, param in model.named_parameters():
        if key.endswith('predictor.basis'):
            assert (param != before[key]).any() and param.isfinite().all(), key


@pytest.fixture
def one_process(tmp_path):
    distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


@pytest.mark.filterwarnings('ignore:nothing collects')
def test_ddp_trains_a_model_that_ignores_the_losses(one_process):
    # It raises in the second step if a parameter has no gradient.
    model = DistributedDataParallel(toy())
    for _ in range(2):
        model(torch.rand(1, 3, 32, 32), mode='loss')['loss_main'].backward()
    predictor = model.module.backbone.layers[0].attn.predictor
    assert not predictor.basis.grad.any()


def test_ddp_trains_the_predictor(one_process):
    model = toy()
    add_auxiliary_losses(model)
    model = DistributedDataParallel(model)
    for _ in range(2):
        sum(model(torch.rand(1, 3, 32, 32), mode='loss').values()).backward()
    assert model.module.backbone.layers[0].attn.predictor.basis.grad.any()
