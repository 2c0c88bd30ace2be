"""What a model of any supported library wants its images to be."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

# Of ImageNet, on values from 0 to 255, RGB.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
# Where the libraries keep the size that a network was built for.
SIZE_NAMES = ('img_size', 'image_size')


def image_size_of(model: nn.Module) -> tuple[int, int]:
    """(H, W) in pixels that the position embedding of a model is for.

    Args:
        model: A network of mmanchor, mmpretrain, timm or torchvision, maybe
            inside of a larger one.

    Returns:
        The size; (224, 224) if none is found.

    Example:
        >>> from mmanchor.models import AnchorFormer
        >>> image_size_of(AnchorFormer('tiny', img_size=(32, 64)))
        (32, 64)
    """
    for module in model.modules():
        if hasattr(module, 'grid') and hasattr(module, 'patch_size'):
            return tuple(side * module.patch_size for side in module.grid)
        for name in SIZE_NAMES:
            size = getattr(module, name, None)
            if isinstance(size, int):
                return size, size
            if isinstance(size, (tuple, list)) and len(size) == 2:
                return int(size[0]), int(size[1])
    return 224, 224


def preparation_for(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """A function from images (B, 3, H, W) uint8, RGB, to the inputs of a model.

    Args:
        model: The model, on its device.

    Returns:
        The function. It moves images to the device of the model, and
        normalizes them as the model says, or else by ImageNet's mean and
        standard deviation.
    """
    given, bgr = _own_normalization(model)
    param = next(model.parameters())
    mean, std = (
        torch.as_tensor(each, dtype=torch.float32).reshape(1, 3, 1, 1).to(param.device)
        for each in given
    )

    def prepare(images: Tensor) -> Tensor:
        images = images.to(param.device, non_blocking=True).float()
        images = images.flip(1) if bgr else images
        return ((images - mean) / std).to(param.dtype)

    return prepare


def _own_normalization(model: nn.Module) -> tuple[tuple[Any, Any], bool]:
    """Mean and standard deviation, and whether the channels are BGR."""
    preprocessor = getattr(model, 'data_preprocessor', None)
    if getattr(preprocessor, '_enable_normalize', False):
        bgr = not getattr(preprocessor, 'to_rgb', getattr(preprocessor, 'channel_conversion', True))
        return (preprocessor.mean, preprocessor.std), bgr
    cfg = getattr(model, 'pretrained_cfg', None)
    if isinstance(cfg, dict) and 'mean' in cfg and 'std' in cfg:
        return tuple([255 * each for each in cfg[key]] for key in ('mean', 'std')), False
    return (MEAN, STD), False
