"""Small classifiers of ours, and those of others that convert to them."""

from functools import partial

import torch
from mmengine.registry import MODELS, init_default_scope
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import nn

ARCH = dict(embed_dims=48, num_layers=2, num_heads=3, mlp_ratio=4)
SOFTMAX = dict(type='mmanchor.SoftmaxAttention', qkv_bias=True)
TIMM = dict(img_size=64, patch_size=16, embed_dim=48, depth=2, num_heads=3, num_classes=5)


def timm_vit(distilled=False, **kwargs):
    """timm's, with every number random: none of its zeros hide anything."""
    kind = VisionTransformerDistilled if distilled else VisionTransformer
    model = kind(**{**TIMM, **kwargs}).eval()
    randomise(model)
    return model


def randomise(model):
    """Give every parameter numbers that keep outputs of a size of one."""
    for name, param in model.named_parameters():
        std = param.shape[-1] ** -0.5 if param.dim() == 2 else 0.3
        offset = 1.0 if name.endswith('weight') and param.dim() == 1 else 0.0
        nn.init.normal_(param, offset, std)


def classifier_config(attention='learned', distilled=False, num_classes=5, **backbone):
    """The ``model`` of a config."""
    tokens = ('cls', 'dist') if distilled else ('cls',)
    head = 'mmanchor.DistilledDeiTHead' if distilled else 'VisionTransformerClsHead'
    arch = backbone.setdefault('arch', ARCH)
    width = (
        dict(tiny=192, small=384, base=768).get(arch)
        if isinstance(arch, str)
        else arch['embed_dims']
    )
    return dict(
        type='ImageClassifier',
        backbone=dict(
            dict(
                type='mmanchor.AnchorFormer',
                img_size=64,
                attention=attention,
                extra_tokens=tokens,
                out_type='tokens',
            ),
            **backbone,
        ),
        head=dict(type=head, num_classes=num_classes, in_channels=width),
    )


def classifier(*args, **kwargs):
    """A classifier of :func:`classifier_config`."""
    init_default_scope('mmpretrain')
    return MODELS.build(classifier_config(*args, **kwargs)).eval()


class AnchorAttention(nn.Module):
    """The released attention: its names, and Eq. 11 to 13 in plain steps."""

    def __init__(self, width, heads, anchors):
        super().__init__()
        self.heads = heads
        self.x_to_emb = nn.Linear(width, 2 * width, bias=False)
        self.dist_anchor_B = nn.Linear(width // heads, anchors, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width), nn.Dropout(0.0))

    def forward(self, x, **_):
        heads = self.x_to_emb(x).unflatten(2, (2 * self.heads, -1))
        keys, values = heads.transpose(1, 2).chunk(2, dim=1)
        scores = self.dist_anchor_B(keys) * keys.shape[-1] ** -0.5
        assign = scores.softmax(dim=-1)
        means = assign.transpose(2, 3) @ values
        means = means / assign.sum(dim=2).unsqueeze(-1)
        return self.to_out((assign @ means).transpose(1, 2).flatten(2))


def released_anchor_deit(anchors=30, **kwargs):
    """A classifier with the entries and the forward of the released one."""
    settings = {**TIMM, **kwargs}
    model = VisionTransformerDistilled(
        **settings, norm_layer=partial(nn.LayerNorm, eps=1e-6)
    ).eval()
    for block in model.blocks:
        block.attn = AnchorAttention(settings['embed_dim'], settings['num_heads'], anchors)
    randomise(model)
    return model


@torch.no_grad()
def largest_difference(ours, theirs, size=64):
    """Of the logits, over the largest of them."""
    image = torch.rand(2, 3, size, size)
    wanted = theirs(image)
    return float((ours(image) - wanted).abs().max() / wanted.abs().max())
