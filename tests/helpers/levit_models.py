"""Small LeViTs whose weights and statistics are not those of a start."""

import torch
from timm.models.levit import LevitDistilled
from torch import nn

# A head, a width and a depth of every kind, and no two alike by accident.
ARCH = dict(embed_dims=(16, 24, 32), num_heads=(2, 3, 2), depths=(2, 1, 1), key_dims=8)


def pictures(num: int, size: tuple = (96, 96)) -> torch.Tensor:
    """Images of a few large patches, whose means differ, (num, 3, H, W)."""
    coarse = nn.functional.interpolate(torch.randn(num, 3, 3, 3), size)
    return coarse + 0.3 * torch.randn(num, 3, *size)


@torch.no_grad()
def live(model: nn.Module, size: tuple = (96, 96)) -> nn.Module:
    """Give a model statistics of data, and scales and biases of a training.

    Args:
        model: It takes images; it is changed and left in evaluation mode.
        size: (H, W) of the images.
    """
    for name, param in model.named_parameters():
        if 'bn.weight' in name:
            # Residual branches, which start as none, stay small, or rounding
            # would grow from each to the next.
            nn.init.uniform_(param, *((0.5, 1.5) if param.any() else (0.1, 0.3)))
        elif name.endswith('bn.bias'):
            nn.init.normal_(param, std=0.3)
        elif name.endswith(('attention_biases', 'pos_embed')):
            nn.init.normal_(param)
        elif name.startswith('head') and param.dim() == 2:
            nn.init.normal_(param, std=0.2)
    norms = [m for m in model.modules() if hasattr(m, 'momentum')]
    model.train()
    for norm in norms:
        norm.momentum = 1.0  # the statistics of these images, no more
    model(pictures(8, size))
    for norm in norms:
        norm.momentum = 0.1
    return model.eval()


def timm_levit(img_size=96, use_conv: bool = False) -> LevitDistilled:
    """timm's LeViT of :data:`ARCH` with ten classes."""
    return LevitDistilled(
        img_size=img_size,
        num_classes=10,
        embed_dim=ARCH['embed_dims'],
        key_dim=ARCH['key_dims'],
        depth=ARCH['depths'],
        num_heads=ARCH['num_heads'],
        use_conv=use_conv,
    )


def classifier_config(attention: str = 'learned', **backbone) -> dict:
    """The ``model`` of a config of a distilled LeViT with ten classes."""
    backbone = (
        dict(
            type='mmanchor.AnchorLeViT',
            arch=ARCH,
            attention=attention,
            num_anchors=6,
            img_size=96,
            out_type='avg_featmap',
        )
        | backbone
    )
    head = dict(
        type='mmanchor.DistilledLeViTHead', num_classes=10, in_channels=ARCH['embed_dims'][-1]
    )
    return dict(type='ImageClassifier', backbone=backbone, head=head)


def names_of_the_authors(state: dict) -> dict:
    """timm's state dict of :data:`ARCH`, named as LeViT's authors name it."""
    prefixes, index = {}, 0
    for stage, depth in enumerate(ARCH['depths']):
        blocks = [f'stages.{stage}.blocks.{i}.' for i in range(depth)]
        parts = [(f'{block}attn.', 'm.') for block in blocks]
        mlps = [f'{block}mlp.' for block in blocks]
        if stage:
            down = f'stages.{stage}.downsample.'
            parts.insert(0, (f'{down}attn_downsample.', ''))
            mlps.insert(0, f'{down}mlp.')
        for (attn, residual), mlp in zip(parts, mlps, strict=True):
            prefixes[attn] = f'blocks.{index}.{residual}'
            prefixes[mlp] = f'blocks.{index + 1}.m.'
            index += 2
    for i in range(4):
        prefixes[f'stem.conv{i + 1}.'] = f'patch_embed.{2 * i}.'
    inside = {
        'qkv.linear.': 'qkv.c.',
        'kv.linear.': 'kv.c.',
        'q.ln.linear.': 'q.1.c.',
        'q.ln.': 'q.1.',
        'proj.ln.linear.': 'proj.1.c.',
        'proj.ln.': 'proj.1.',
        'ln1.linear.': '0.c.',
        'ln1.': '0.',
        'ln2.linear.': '2.c.',
        'ln2.': '2.',
        'linear.': 'c.',
    }
    renamed = {}
    for name, value in state.items():
        if name.startswith('head'):
            renamed[name.replace('.linear.', '.l.')] = value
            continue
        old = next(each for each in prefixes if name.startswith(each))
        rest = name[len(old) :]
        part = next((each for each in inside if rest.startswith(each)), '')
        rest = inside.get(part, '') + rest[len(part) :]
        renamed[prefixes[old] + rest] = value
        if rest == 'attention_biases':
            renamed[f'{prefixes[old]}attention_bias_idxs'] = torch.zeros(2, 2)
    return renamed
