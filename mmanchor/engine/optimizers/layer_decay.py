"""Layer-wise learning-rate decay for a backbone below any model."""

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ...registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's constructor with ``paramwise_cfg['layer_decay_rate']``.

    A parameter at depth d of the backbone's D depths learns at
    ``lr * rate ** (D - 1 - d)``; the neck and the heads learn at ``lr``.
    mmseg's constructor knows ConvNeXt, BEiT and MAE by their class names and
    mmpretrain's wants ``get_layer_depth`` on the whole model; this one asks
    ``model.backbone``. All other options of ``paramwise_cfg`` work as they
    do in MMEngine, multiplied on top.

    Raises:
        ValueError: If the rate is missing or outside (0, 1].
        TypeError: If the backbone has no ``get_layer_depth``.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        rate = self.paramwise_cfg.get('layer_decay_rate')
        if rate is None or not 0 < rate <= 1:
            raise ValueError(f"paramwise_cfg['layer_decay_rate'] must be in (0, 1], got {rate}")
        self.layer_decay_rate = rate

    def add_params(
        self, params: list[dict], module: nn.Module, prefix: str = '', is_dcn_module=None
    ) -> None:
        """Add all parameters to ``params``, then scale their rates."""
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix:  # MMEngine recurses; the whole list is complete at the top
            return
        depth_of = getattr(getattr(module, 'backbone', None), 'get_layer_depth', None)
        if depth_of is None:
            raise TypeError(
                'layer-wise decay needs a model whose backbone has '
                f'get_layer_depth, such as AnchorFormer; got {type(module)}'
            )
        names = {id(param): name for name, param in module.named_parameters()}
        for group in params:
            (param,) = group['params']
            depth, num_depths = depth_of(names[id(param)], prefix='backbone.')
            scale = self.layer_decay_rate ** (num_depths - 1 - depth)
            group['lr'] = group.get('lr', self.base_lr) * scale
