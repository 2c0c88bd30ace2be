"""PicoDet's head: a tower per level, one convolution for class and box."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from mmcv.cnn import DepthwiseSeparableConvModule, Scale
from mmdet.models.dense_heads import GFLHead
from mmdet.models.utils import filter_scores_and_topk
from mmdet.structures.bbox import bbox_overlaps
from mmdet.utils import InstanceList, OptInstanceList, reduce_mean
from mmengine.config import ConfigDict
from mmengine.dist import get_world_size
from mmengine.model import bias_init_with_prob
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ...ops.anchor_attention import at_least_float32
from ...registry import MODELS
from ..backbones.base import is_pretrained
from .integral import PreciseIntegral


@MODELS.register_module()
class PicoDetHead(GFLHead):
    """Generalized focal head with SimOTA (PicoDet, arXiv 2111.00902).

    It differs from mmdet's ``GFLHead`` in its layers (every level has its
    own depth-wise-separable tower, shared by class and box, and one 1 x 1
    convolution predicts both), in its targets (SimOTA on decoded boxes, with
    the IoU as the target of the class score in the varifocal loss), and in
    keeping the ``nms_pre`` best scores per image, not per level. The box
    coder, NMS and the learned scale of each level's box logits are the
    parent's. PicoDet's parameter counts include this scale, but its code does
    not apply it, so it is 1 in converted weights. As in PicoDet, crowd
    regions count as background. Scores and boxes are computed in float32,
    also under autocast.

    Args:
        num_classes: Number of classes, at least 1.
        in_channels: Channels of the input maps.
        feat_channels: Channels of the towers.
        stacked_convs: Number of convolutions in a tower.
        kernel_size: Side of the depth-wise kernels, odd.
        strides: Stride of each input map, in pixels.
        reg_max: Largest distance from the center of a prior to a side of its
            box, in strides; a side has ``reg_max + 1`` bins.
        norm_cfg: Config of the normalization; ``None`` takes BN.
        act_cfg: Config of the activation; ``None`` takes HSwish.
        loss_cls: Config of the classification loss; ``None`` takes
            ``VarifocalLoss``.
        loss_bbox: Config of the loss of decoded boxes, in strides; ``None``
            takes ``GIoULoss`` with weight 2.
        loss_dfl: Config of the loss of the bins; ``None`` takes
            ``DistributionFocalLoss`` with weight 0.25.
        train_cfg: Training config with ``assigner``.
        test_cfg: Test config with ``score_thr``, ``nms_pre`` (per image, -1
            for all), ``nms`` and ``max_per_img``.
        init_cfg: MMEngine's initialization config; ``None`` draws weights
            from a normal distribution (0, 0.01) and starts scores at 0.01.

    Example:
        >>> head = PicoDetHead(80, in_channels=16, feat_channels=16)
        >>> maps = [torch.rand(1, 16, side, side) for side in (8, 4, 2, 1)]
        >>> scores, boxes = head.eval()(maps)
        >>> tuple(scores[0].shape), tuple(boxes[0].shape)
        ((1, 80, 8, 8), (1, 32, 8, 8))
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        feat_channels: int = 96,
        stacked_convs: int = 2,
        kernel_size: int = 5,
        strides: Sequence[int] = (8, 16, 32, 64),
        reg_max: int = 7,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        loss_cls: dict | None = None,
        loss_bbox: dict | None = None,
        loss_dfl: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        self.kernel_size = kernel_size
        self.act_cfg = act_cfg or dict(type='HSwish')
        loss_cls = loss_cls or dict(type='mmdet.VarifocalLoss')
        loss_bbox = loss_bbox or dict(type='mmdet.GIoULoss', loss_weight=2.0)
        loss_dfl = loss_dfl or dict(type='mmdet.DistributionFocalLoss', loss_weight=0.25)
        super().__init__(
            num_classes,
            in_channels,
            stacked_convs=stacked_convs,
            feat_channels=feat_channels,
            norm_cfg=norm_cfg or dict(type='BN'),
            reg_max=reg_max,
            anchor_generator=dict(
                type='mmdet.MlvlPointGenerator', strides=list(strides), offset=0.5
            ),
            bbox_coder=dict(type='mmdet.DistancePointBBoxCoder'),
            loss_cls={'use_sigmoid': True, **loss_cls},
            loss_bbox=loss_bbox,
            loss_dfl=loss_dfl,
            train_cfg=train_cfg,
            test_cfg=test_cfg and ConfigDict(test_cfg),
            init_cfg=init_cfg or dict(type='Normal', layer='Conv2d', std=0.01),
        )
        self.integral = PreciseIntegral(reg_max)

    def _init_layers(self) -> None:
        """Build the towers and the last convolutions."""
        num_outputs = self.cls_out_channels + 4 * (self.reg_max + 1)
        self.towers = nn.ModuleList()
        self.preds = nn.ModuleList()
        for _ in self.prior_generator.strides:
            widths = [self.in_channels]
            widths += [self.feat_channels] * self.stacked_convs
            self.towers.append(
                nn.Sequential(
                    *(
                        DepthwiseSeparableConvModule(
                            before,
                            after,
                            self.kernel_size,
                            padding=self.kernel_size // 2,
                            norm_cfg=self.norm_cfg,
                            act_cfg=self.act_cfg,
                        )
                        for before, after in pairwise(widths)
                    )
                )
            )
            self.preds.append(nn.Conv2d(widths[-1], num_outputs, 1))
        self.scales = nn.ModuleList(Scale(1.0) for _ in self.preds)

    def init_weights(self) -> None:
        """Initialize by ``init_cfg``; scores start at 0.01."""
        super().init_weights()
        if is_pretrained(self.init_cfg):
            return
        for pred in self.preds:
            class_bias = pred.get_parameter('bias')[: self.cls_out_channels]
            nn.init.constant_(class_bias, bias_init_with_prob(0.01))

    def keep_boxes(self, name: str, loaded: Tensor, own: Tensor) -> Tensor | None:
        """A weight for our classes with the box channels of one for others.

        The last convolution of a level holds the channels of classes, then
        those of boxes, which do not depend on the classes.

        Args:
            name: Name in this head.
            loaded: The weight of a checkpoint.
            own: Ours, of another shape.

        Returns:
            The weight; ``None`` if more than the classes differs.

        Example:
            >>> head = PicoDetHead(2, in_channels=16, feat_channels=16)
            >>> bias = head.preds[0].bias.detach()
            >>> kept = head.keep_boxes('preds.0.bias', torch.full((112,), 3.0), bias)
            >>> kept.shape, kept[2:].unique()
            (torch.Size([34]), tensor([3.]))
        """
        boxes = 4 * (self.reg_max + 1)
        fits = loaded.dim() == own.dim() and loaded.shape[1:] == own.shape[1:]
        if not name.startswith('preds.') or not fits or len(loaded) <= boxes:
            return None
        return torch.cat((own[:-boxes], loaded[-boxes:].to(own)))

    def forward(self, x: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Logits of classes and boxes.

        Args:
            x: One map per level, (B, in_channels, H, W).

        Returns:
            Class logits, (B, num_classes, H, W) per level, and box logits,
            (B, 4 * (reg_max + 1), H, W) per level: the bins of the left
            side, then of the top, right and bottom side.

        Raises:
            ValueError: If there are more or fewer maps than strides.
        """
        if len(x) != len(self.preds):
            raise ValueError(
                f'PicoDetHead takes a map for each of its {len(self.preds)} strides, got {len(x)}'
            )
        sizes = (self.cls_out_channels, 4 * (self.reg_max + 1))
        cls_scores, bbox_preds = [], []
        for level, tower, pred, scale in zip(x, self.towers, self.preds, self.scales, strict=True):
            scores, bins = pred(tower(level)).split(sizes, dim=1)
            cls_scores.append(scores)
            bbox_preds.append(scale(bins))
        return cls_scores, bbox_preds

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: OptInstanceList = None,
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            cls_scores, bbox_preds: Outputs of :meth:`forward`.
            batch_gt_instances: ``bboxes`` (G, 4) in pixels and ``labels``
                (G,) per image; G may be 0.
            batch_img_metas: Not used.
            batch_gt_instances_ignore: Not used (see the class).

        Returns:
            ``loss_cls``, ``loss_bbox`` and ``loss_dfl``, scalars.
        """
        logits = self._flatten(cls_scores)  # (B, P, classes)
        bins = self._flatten(bbox_preds)  # (B, P, 4 * bins)
        priors = self._priors(cls_scores, bins)  # (P, 4)
        scores = logits.detach().sigmoid()
        boxes = self._decode(bins.detach(), priors)
        images, indices, truth, labels, num_pos = self._targets(
            scores, boxes, priors, batch_gt_instances
        )

        strides = priors[indices, 2:3]
        centers = priors[indices, :2] / strides
        truth = truth / strides
        bins = bins[images, indices]  # (positives, 4 * bins)
        decoded = self.bbox_coder.decode(centers, self.integral(bins))
        quality = torch.zeros_like(logits)
        quality[images, indices, labels] = bbox_overlaps(decoded.detach(), truth, is_aligned=True)
        weights = scores[images, indices].amax(1)
        num_pos, total = reduce_mean(torch.stack((weights.new_tensor(num_pos), weights.sum())))
        # At least 1 in all processes together, whose gradients are averaged.
        least = 1 / get_world_size()
        loss_cls = self.loss_cls(
            logits.flatten(0, 1), quality.flatten(0, 1), avg_factor=num_pos.clamp(min=least)
        )
        if not len(images):
            # Zero, but in the graph, so that each parameter gets a gradient.
            zero = sum(level.sum() for level in bbox_preds) * 0
            return dict(loss_cls=loss_cls, loss_bbox=zero, loss_dfl=zero)

        total = total.clamp(min=least)
        sides = self.bbox_coder.encode(centers, truth, self.reg_max)
        return dict(
            loss_cls=loss_cls,
            loss_bbox=self.loss_bbox(decoded, truth, weight=weights, avg_factor=total),
            loss_dfl=self.loss_dfl(
                bins.reshape(-1, self.reg_max + 1),
                sides.flatten(),
                weight=weights.repeat_interleave(4),
                avg_factor=4 * total,
            ),
        )

    def _priors(self, maps: list[Tensor], like: Tensor) -> Tensor:
        """Center and twice the stride of every prior, (P, 4), in pixels."""
        sizes = [level.shape[2:] for level in maps]
        priors = self.prior_generator.grid_priors(
            sizes, dtype=like.dtype, device=like.device, with_stride=True
        )
        return torch.cat(priors)

    @staticmethod
    def _flatten(maps: list[Tensor]) -> Tensor:
        """Levels of (B, C, H, W) as (B, P, C), in float32 or float64."""
        flat = torch.cat([level.flatten(2) for level in maps], dim=2)
        return at_least_float32(flat.transpose(1, 2))

    def _decode(self, bins: Tensor, priors: Tensor) -> Tensor:
        """Box logits (B, P, 4 * bins) to boxes in pixels, (B, P, 4)."""
        distances = self.integral(bins).view(*bins.shape[:2], 4)
        return self.bbox_coder.decode(
            priors[:, :2].expand(len(bins), -1, -1), distances * priors[:, 2:3]
        )

    def _targets(
        self, scores: Tensor, boxes: Tensor, priors: Tensor, batch_gt_instances: InstanceList
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
        """Assign boxes to priors, image by image.

        Returns:
            For each positive: its image, its prior, its box (4,) in pixels
            and its label; and the number of positives, at least 1 for an
            image with boxes.
        """
        found, num_pos = [], 0
        for i, truth in enumerate(batch_gt_instances):
            assigned = self.assigner.assign(
                InstanceData(bboxes=boxes[i], scores=scores[i], priors=priors), truth
            )
            indices = assigned.gt_inds.nonzero()[:, 0]
            which = assigned.gt_inds[indices] - 1
            found.append(
                (torch.full_like(indices, i), indices, truth.bboxes[which], truth.labels[which])
            )
            num_pos += max(len(indices), 1) if len(truth) else 0
        images, indices, boxes, labels = (torch.cat(each) for each in zip(*found, strict=True))
        return images, indices, boxes, labels, num_pos

    def _predict_by_feat_single(
        self,
        cls_score_list: list[Tensor],
        bbox_pred_list: list[Tensor],
        score_factor_list: list[Tensor | None],
        mlvl_priors: list[Tensor],
        img_meta: dict,
        cfg: dict,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> InstanceData:
        """Boxes of one image.

        Args:
            cls_score_list, bbox_pred_list: Logits of each level, (C, H, W).
            score_factor_list: Not used.
            mlvl_priors: Centers of the priors of each level, (P, 2), in pixels.
            img_meta: Meta information with ``img_shape`` and, if ``rescale``,
                ``scale_factor``.
            cfg: Replaces ``test_cfg`` if given.
            rescale: Whether boxes are returned in the original image's pixels.
            with_nms: Whether to remove duplicates.

        Returns:
            ``bboxes`` (K, 4), ``scores`` and ``labels`` (K,), best first.
        """
        cfg = self.test_cfg if cfg is None else ConfigDict(cfg)
        scores, bins = (
            self._flatten([level[None] for level in levels])[0]
            for levels in (cls_score_list, bbox_pred_list)
        )
        scores = scores.sigmoid()
        priors = torch.cat(
            [
                torch.cat((centers, centers.new_full((len(centers), 1), stride[0])), dim=1)
                for centers, stride in zip(mlvl_priors, self.prior_generator.strides, strict=True)
            ]
        )  # (P, 3)
        most = cfg.get('nms_pre', -1)
        scores, labels, _, kept = filter_scores_and_topk(
            scores,
            cfg.get('score_thr', 0),
            most if most > 0 else scores.numel(),
            dict(bins=bins, priors=priors.to(bins.dtype)),
        )
        boxes = self.bbox_coder.decode(
            kept['priors'][:, :2],
            self.integral(kept['bins']) * kept['priors'][:, 2:],
            max_shape=img_meta['img_shape'],
        )
        results = InstanceData(bboxes=boxes, scores=scores, labels=labels)
        return self._bbox_post_process(
            results, cfg, rescale=rescale, with_nms=with_nms, img_meta=img_meta
        )
