"""Small LeViTs whose weights and statistics are not those of a start."""
import torch
from timm.models.levit import LevitDistilled
from torch import nn

# A head, a width and a depth of every kind, and no two alike by accident.
ARCH = dict(
    embed_dims=(16, 24, 32), num_heads=(2, 3, 2), depths=(2, 1, 1), key_dims=8)


@torch.no_grad()
def live(model: nn.Module, size: tuple = (96, 96)) -> nn.Module:
    """Give a model statistics of data, and scales and biases of a training.

    Args:
        model: It takes images; it is changed and left in evaluation mode.
        size: (H, W) of the images.
    """
    for name, param in model.named_parameters():
        if 'bn.weight' in name:
            nn.init.uniform_(param, .5, 1.5)
        elif name.endswith(('bn.bias', 'attention_biases', 'pos_embed')):
            nn.init.normal_(param)
    model.train()
    for _ in range(5):
        model(torch.randn(8, 3, *size))
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
        use_conv=use_conv)
