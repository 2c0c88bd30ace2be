"""PaddleDetection's PicoDet of 2021 by its names, in plain torch functions.

Written out from the names, shapes and order of its modules, and sharing
nothing with our models or with the table of the converter. Weights are drawn
when the forward pass first asks for their names.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

RATIOS = dict(
    s=(0.875, 0.5, 0.5, 0.5, 0.625, 0.5, 0.625, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5),
    m=(0.875, 0.5, 1, 0.625, 0.5, 0.75, 0.625, 0.625, 0.5, 0.625, 1, 0.625, 0.75),
)


def make_divisible(value: float, divisor: int) -> int:
    new = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return new + divisor if new < 0.9 * value else new


class PaddlePicoDet:
    """A PicoDet whose ``arrays`` are named and shaped as Paddle's.

    Args:
        scale, ratios: Of ESNet.
        width: Of the neck and the towers.
        num_convs: Of a tower.
        num_classes: Number of classes.
    """

    def __init__(
        self,
        scale: float = 0.25,
        ratios: Sequence[float] = RATIOS['s'],
        width: int = 16,
        num_convs: int = 2,
        num_classes: int = 80,
    ) -> None:
        self.scale = scale
        self.ratios = ratios
        self.width = width
        self.num_convs = num_convs
        self.num_classes = num_classes
        self.arrays: dict[str, np.ndarray] = {}
        self.random = np.random.default_rng(0)
        self.maps = self(torch.rand(1, 3, 64, 64))
        for level in range(3, 7):
            self.arrays[f'head.p{level}_feat.scale_reg'] = np.ones(1, np.float32)
        self.arrays['head.distribution_project.project'] = np.arange(8, dtype=np.float32)

    def saved(self) -> dict:
        """What ``paddle.save`` writes for the state dict."""
        names = {name: f'param_{i}.w_0' for i, name in enumerate(self.arrays)}
        return {**self.arrays, 'StructuredToParameterName@@': names}

    def classifier(self) -> dict:
        """A file of the backbone alone, with a classifier on top."""
        state = {
            name[len('backbone.') :]: array
            for name, array in self.arrays.items()
            if name.startswith('backbone.')
        }
        state['_last_conv._conv.weight'] = np.ones((8, 4, 1, 1), np.float32)
        state['_fc.weight'] = np.ones((8, 10), np.float32)
        state['_fc.bias'] = np.ones(10, np.float32)
        return {**state, 'StructuredToParameterName@@': {}}

    @torch.no_grad()
    def __call__(self, image: Tensor) -> tuple[list[Tensor], ...]:
        """Maps of the backbone and the neck, and logits of each level."""
        features = self.backbone(image)
        levels = self.neck(features)
        return features, levels, self.head(levels)

    def draw(self, name: str, *shape: int, low: float = -0.5) -> Tensor:
        if name not in self.arrays:
            values = self.random.uniform(low, low + 1, shape)
            if len(shape) == 4:
                values *= (6 / np.prod(shape[1:])) ** 0.5
            self.arrays[name] = values.astype(np.float32)
        assert self.arrays[name].shape == shape
        return torch.from_numpy(self.arrays[name])

    def conv(
        self,
        x: Tensor,
        name: str,
        bn: str,
        out: int = 0,
        kernel: int = 1,
        stride: int = 1,
        act: bool = True,
    ) -> Tensor:
        """Convolution and norm; depth-wise without ``out``."""
        width = x.shape[1]
        weight = self.draw(f'{name}.weight', out or width, width if out else 1, kernel, kernel)
        x = F.conv2d(x, weight, None, stride, kernel // 2, 1, 1 if out else width)
        width = x.shape[1]
        x = F.batch_norm(
            x,
            self.draw(f'{bn}._mean', width),
            self.draw(f'{bn}._variance', width, low=0.5),
            self.draw(f'{bn}.weight', width, low=0.5),
            self.draw(f'{bn}.bias', width),
            eps=1e-5,
        )
        return F.hardswish(x) if act else x

    def backbone(self, x: Tensor) -> list[Tensor]:

        def unit(x: Tensor, name: str, *args: int, **kwargs: int) -> Tensor:
            return self.conv(x, f'{name}._conv', f'{name}._batch_norm', *args, **kwargs)

        widths = [make_divisible(c * self.scale, 16) for c in (128, 256, 512)]
        x = unit(x, 'backbone._conv1', 24, 3, 2)
        x = F.max_pool2d(x, 3, 2, 1)
        ratios = iter(self.ratios)
        outs = []
        for stage, (depth, width) in enumerate(zip((3, 7, 3), widths, strict=True)):
            for block in range(depth):
                name = f'backbone.{stage + 2}_{block + 1}'
                mid = make_divisible(int(width * next(ratios)), 8)
                if block:
                    x = self.block(x, name, mid, width, unit)
                else:
                    x = self.down(x, name, mid, width, unit)
            outs.append(x)
        return outs

    def down(self, x, name, mid, width, unit) -> Tensor:
        a = unit(x, f'{name}._conv_dw_1', 0, 3, 2, False)
        a = unit(a, f'{name}._conv_linear_1', width // 2)
        b = unit(x, f'{name}._conv_pw_2', mid // 2)
        b = unit(b, f'{name}._conv_dw_2', 0, 3, 2, False)
        b = self.squeeze(b, f'{name}._se')
        b = unit(b, f'{name}._conv_linear_2', width // 2)
        x = unit(torch.cat((a, b), 1), f'{name}._conv_dw_mv1', 0, 3)
        return unit(x, f'{name}._conv_pw_mv1', width)

    def block(self, x, name, mid, width, unit) -> Tensor:
        kept, x = x.split(width // 2, 1)
        x = unit(x, f'{name}._conv_pw', mid // 2)
        y = unit(x, f'{name}._conv_dw', 0, 3, 1, False)
        x = self.squeeze(torch.cat((x, y), 1), f'{name}._se')
        x = unit(x, f'{name}._conv_linear', width // 2)
        # Interleave the halves.
        return torch.stack((kept, x), 2).flatten(1, 2)

    def squeeze(self, x: Tensor, name: str) -> Tensor:
        width = x.shape[1]
        weight = x.mean((2, 3), keepdim=True)
        for i, act in enumerate((lambda y: y, F.relu), 1):
            out, size = (width // 4, width) if i == 1 else (width, width // 4)
            weight = F.conv2d(
                act(weight),
                self.draw(f'{name}.conv{i}.weight', out, size, 1, 1),
                self.draw(f'{name}.conv{i}.bias', out),
            )
        return x * (weight / 6 + 0.5).clamp(0, 1)

    def separable(self, x: Tensor, name: str, stride: int) -> Tensor:
        x = self.conv(x, f'{name}.dwconv', f'{name}.bn1', 0, 5, stride)
        return self.conv(x, f'{name}.pwconv', f'{name}.bn2', self.width)

    def merge(self, x: Tensor, name: str) -> Tensor:

        def unit(x: Tensor, part: str, out: int) -> Tensor:
            return self.conv(x, f'{name}.{part}.conv', f'{name}.{part}.bn', out)

        half = self.width // 2
        short = unit(x, 'short_conv', half)
        x = unit(unit(x, 'main_conv', half), 'blocks.0.conv1', half)
        part = f'{name}.blocks.0.conv2'
        x = self.conv(x, f'{part}.dwconv', f'{part}.bn1', 0, 5)
        x = self.conv(x, f'{part}.pwconv', f'{part}.bn2', half)
        return unit(torch.cat((x, short), 1), 'final_conv', self.width)

    def neck(self, features: list[Tensor]) -> list[Tensor]:
        c3, c4, c5 = (
            self.conv(x, f'neck.conv_t.convs.{i}.conv', f'neck.conv_t.convs.{i}.bn', self.width)
            for i, x in enumerate(features)
        )

        def up(x: Tensor) -> Tensor:
            return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

        m4 = self.merge(torch.cat((up(c5), c4), 1), 'neck.top_down_blocks.0')
        p3 = self.merge(torch.cat((up(m4), c3), 1), 'neck.top_down_blocks.1')
        down = self.separable(p3, 'neck.downsamples.0', 2)
        p4 = self.merge(torch.cat((down, m4), 1), 'neck.bottom_up_blocks.0')
        down = self.separable(p4, 'neck.downsamples.1', 2)
        p5 = self.merge(torch.cat((down, c5), 1), 'neck.bottom_up_blocks.1')
        p6 = self.separable(c5, 'neck.first_top_conv', 2)
        return [p3, p4, p5, p6 + self.separable(p5, 'neck.second_top_conv', 2)]

    def head(self, levels: list[Tensor]) -> list[Tensor]:
        outs = []
        for i, x in enumerate(levels):
            for j in range(self.num_convs):
                for kind, out, kernel in ('dw', 0, 5), ('pw', self.width, 1):
                    name = f'head.conv_feat.cls_conv_{kind}{i}.{j}'
                    x = self.conv(x, f'{name}.conv', f'{name}.norm', out, kernel)
            out = self.num_classes + 32
            name = f'head.head_cls{i}'
            outs.append(
                F.conv2d(
                    x,
                    self.draw(f'{name}.weight', out, self.width, 1, 1),
                    self.draw(f'{name}.bias', out),
                )
            )
        return outs
