"""Measures how close converted anchors are to softmax: the table in conversion.md.

usage: python -m tools.studies.anchorize_digits    (needs scikit-learn; about 8 minutes)
"""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from mmanchor.anchorization import anchorize, find_softmax, kmeans
from mmanchor.models import AnchorFormer

IMAGES, LABELS = map(torch.tensor, load_digits(return_X_y=True))
IMAGES = IMAGES.float().view(-1, 1, 8, 8) / 8 - 1
HELD_OUT = torch.arange(len(LABELS)) % 4 == 0


class Classifier(nn.Module):
    """Four layers of softmax attention over 64 pixels and a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = AnchorFormer(
            dict(embed_dims=64, num_layers=4, num_heads=2, mlp_ratio=2),
            img_size=8,
            patch_size=1,
            in_channels=1,
            attention=dict(type='mmanchor.SoftmaxAttention', qkv_bias=True),
            extra_tokens=('cls',),
            out_type='tokens',
        )
        self.head = nn.Linear(64, 10)
        for param in self.parameters():
            if param.dim() == 2:
                nn.init.xavier_uniform_(param)
        nn.init.normal_(self.backbone.pos_embed)

    def forward(self, x: Tensor) -> Tensor:
        """Scores, (B, 10)."""
        return self.head(self.backbone(x)[0])


def train(model: nn.Module, epochs: int, rate: float, seed: int = 0) -> list[float]:
    """Train, and return the held-out accuracy after each epoch."""
    torch.manual_seed(seed)
    images, labels = IMAGES[~HELD_OUT], LABELS[~HELD_OUT]
    num_batches = len(labels) // 32
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs * num_batches)
    accuracies = []
    for _ in range(epochs):
        order = torch.randperm(len(labels))
        for index in order.split(32)[:num_batches]:
            shift = torch.randint(-1, 2, (2,)).tolist()
            scores = model(images[index].roll(shift, (2, 3)))
            loss = F.cross_entropy(scores, labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        accuracies.append(accuracy(model))
    return accuracies


@torch.no_grad()
def accuracy(model: nn.Module) -> float:
    """Accuracy on the held-out images, in percent."""
    right = model(IMAGES[HELD_OUT]).argmax(1) == LABELS[HELD_OUT]
    return 100 * float(right.float().mean())


def error(new: Tensor, old: Tensor) -> float:
    """Relative error of all numbers together, by Euclidean norm."""
    return float((new - old).norm() / old.norm())


@torch.no_grad()
def attention_outputs(
    model: nn.Module, images: Tensor
) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
    """Scores of images; inputs and outputs of every attention."""
    watched = {}
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda _, args, out, name=name: watched.update({name: (args[0], out)})
        )
        for name in find_softmax(model)
    ]
    scores = model(images)
    for hook in hooks:
        hook.remove()
    return scores, watched


def symmetric(weights: Tensor) -> Tensor:
    """The nearest symmetric matrix."""
    return (weights + weights.mT) / 2


def semidefinite(weights: Tensor) -> Tensor:
    """The nearest symmetric matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(symmetric(weights))
    return vectors * values.clamp_min(0).unsqueeze(-2) @ vectors.mT


@torch.no_grad()
def with_weights(model: nn.Module, change: Callable, scores: Tensor) -> tuple[float, float]:
    """Error of the scores, and accuracy, if attention weights are changed.

    ``change`` gets the true weights of every image. What it returns is the
    best approximation of its kind (such as symmetric) for one layer.
    """
    model = copy.deepcopy(model)
    for name in find_softmax(model):
        attention = model.get_submodule(name)

        def mix(x: Tensor, _: tuple, attention: nn.Module = attention):
            queries, keys, values = attention._split_heads(attention.in_proj(x))
            weights = queries @ keys.mT * keys.shape[-1] ** -0.5
            return change(weights.softmax(-1)) @ values, values

        attention.mix = mix
    return error(model(IMAGES[HELD_OUT]), scores), accuracy(model)


def main() -> None:
    """Train with softmax, then measure and fine-tune with anchors."""
    torch.manual_seed(0)
    model = Classifier()
    print(f'softmax: {train(model, 40, 2e-3)[-1]:.1f} %')
    scores, watched = attention_outputs(model, IMAGES[HELD_OUT])
    for change in (symmetric, semidefinite):
        last, right = with_weights(model, change, scores)
        print(f'{change.__name__}: error of scores {last:.2f}, {right:.1f} %')
    print('M, anchors, errors of attention and of scores, accuracy after 0, 1 and 3 epochs')
    sample = IMAGES[~HELD_OUT][:64]
    for num_anchors in (10, 30, 50, 100):
        for source in ('random', 'drawn', 'keys', 'queries', 'both'):
            new = anchorized(model, num_anchors, source, sample)
            row = compare(new, watched, scores)
            runs = [train(copy.deepcopy(new), 3, 1e-3, seed) for seed in range(3)]
            after = torch.tensor(runs).mean(0)
            row += f' {accuracy(new):5.1f} {after[0]:.1f} {after[2]:.1f}'
            print(f'{num_anchors:3} {source:8} {row}', flush=True)


@torch.no_grad()
def anchorized(model: nn.Module, num_anchors: int, source: str, sample: Tensor) -> nn.Module:
    """A copy of the model with anchors from one of several sources."""
    _, watched = attention_outputs(model, sample)
    new = anchorize(copy.deepcopy(model), num_anchors, [sample] if source == 'both' else None)
    for name, softmax in find_softmax(model).items():
        anchors = new.get_submodule(name).anchors
        if source == 'random':
            nn.init.normal_(anchors)
        elif source in ('queries', 'keys'):
            points = softmax.queries_and_keys(watched[name][0].flatten(0, 1))
            half = points.chunk(2, dim=1)[source == 'keys']
            anchors.data.copy_(kmeans(half, num_anchors))
    return new


@torch.no_grad()
def compare(new: nn.Module, watched: dict[str, tuple[Tensor, Tensor]], scores: Tensor) -> str:
    """Mean error of the attention outputs, given true inputs; error of the scores."""
    errors = [
        error(new.get_submodule(name)(tokens), out) for name, (tokens, out) in watched.items()
    ]
    last = error(new(IMAGES[HELD_OUT]), scores)
    return f'{sum(errors) / len(errors):.2f} {last:.2f}'


if __name__ == '__main__':
    main()
