"""Heads with a second classifier that learns from a teacher.

mmpretrain's heads of DeiT and LeViT have both classifiers but cannot be
trained. These heads can, and their weights have the same names.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmpretrain.models.heads import DeiTClsHead, LeViTClsHead
from torch import Tensor

from ...registry import MODELS


class TwoScoresMixin:
    """Train two classifiers, and return the mean of their scores.

    A subclass defines ``token_scores``. Without a teacher (see
    :class:`mmanchor.DistilledClassifier`) both learn the labels.
    """

    _get_loss: Callable[..., dict[str, Tensor]]  # of mmpretrain's heads

    def token_scores(self, feats: tuple) -> tuple[Tensor, Tensor]:
        """Scores of the classifiers for labels and teacher, (B, K) each."""
        raise NotImplementedError

    def forward(self, feats: tuple) -> Tensor:
        """The mean of both scores, (B, K)."""
        labelled, distilled = self.token_scores(feats)
        return (labelled + distilled) / 2

    def loss(self, feats: tuple, data_samples: Sequence, **kwargs: Any) -> dict[str, Tensor]:
        """The mean loss of both classifiers against the labels.

        Args:
            feats: Features of the backbone or the neck.
            data_samples: Labels, as mmpretrain's heads take them.
            **kwargs: Further arguments of the loss.
        """
        first, second = (
            self._get_loss(scores, data_samples, **kwargs) for scores in self.token_scores(feats)
        )
        return {name: (first[name] + second[name]) / 2 for name in first}


@MODELS.register_module()
class DistilledDeiTHead(TwoScoresMixin, DeiTClsHead):
    """A classifier on each of the tokens cls and dist (arXiv 2012.12877).

    Args:
        num_classes, in_channels, **kwargs: As in mmpretrain's ``DeiTClsHead``.
    """

    def token_scores(self, feats: tuple) -> tuple[Tensor, Tensor]:
        """Scores of both tokens.

        Args:
            feats: The last element is (cls, dist), (B, C) each.

        Returns:
            Scores of cls and of dist, (B, num_classes) each.
        """
        cls_token, dist_token = self.pre_logits(feats)
        return self.layers.head(cls_token), self.layers.head_dist(dist_token)


@MODELS.register_module()
class DistilledLeViTHead(TwoScoresMixin, LeViTClsHead):
    """Two classifiers with a batch normalization each, on the mean of the map.

    The head of LeViT (arXiv 2104.01136).

    Args:
        num_classes, in_channels, **kwargs: As in mmpretrain's
            ``LeViTClsHead``.
        deploy: Build the form without normalizations (see
            :meth:`switch_to_deploy`); it loads training checkpoints, too.

    Raises:
        ValueError: If ``distillation`` is False.
    """

    def __init__(self, *args, deploy: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if not self.distillation:
            raise ValueError(
                "distillation must be True, got False; mmpretrain's LeViTClsHead has one classifier"
            )
        if deploy:
            self.switch_to_deploy()

    def token_scores(self, feats: tuple) -> tuple[Tensor, Tensor]:
        """Scores of both classifiers.

        Args:
            feats: The last element is (B, C).

        Returns:
            Scores for the labels and for the teacher, (B, num_classes) each.
        """
        x = self.pre_logits(feats)
        return self.head(x), self.head_dist(x)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Let the deploy form load a checkpoint of the training form."""
        if self.deploy and f'{prefix}head.bn.weight' in state_dict:
            for name in ('head', 'head_dist'):
                _fold_loaded(state_dict, f'{prefix}{name}.', self.head)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _fold_loaded(state_dict: dict, prefix: str, like: torch.nn.Linear) -> None:
    """Replace the entries of a normalization and a linear layer by fused ones."""
    whole = LeViTClsHead(like.out_features, False, like.in_features).head
    whole = whole.to(state_dict[f'{prefix}linear.weight'])
    names = [f'{prefix}{name}' for name in whole.state_dict()]
    if any(name not in state_dict for name in names):
        return  # torch reports what is missing
    whole.load_state_dict({name: state_dict.pop(f'{prefix}{name}') for name in whole.state_dict()})
    for name, value in whole.fuse().state_dict().items():
        state_dict[f'{prefix}{name}'] = value
