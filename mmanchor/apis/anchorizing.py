"""From a file of a pretrained ViT to an AnchorFormer with its config."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from pprint import pformat
from typing import Any

from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import save_checkpoint
from torch import nn

from .. import __version__
from ..anchorization import Recipe, anchorize
from ..anchorization.anchorizing import PLUS, layer_numbers, stage_options
from ..anchorization.stages import rank_and_world
from ..compat.checkpoints import load_checkpoint
from ..compat.torch_files import arrays_of_torch
from ..converters import convert_deit
from ..converters.vit_names import VitShape, as_timm, vit_shape
from ..inference.loading import choose_device
from ..utils.errors import UserError
from ..utils.files import (
    PathLike,
    make_folder,
    replacing,
    require_config_path,
    require_weights_path,
)

# The recipe and the data set that a written config takes the rest from.
BASE = 'mmanchor::anchorformer/deit-t_8xb128-300e_in1k-224.py'
# Mean and standard deviation of R, G and B that networks are trained with.
NORMALIZATIONS = {
    'imagenet': dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    'half': dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
}


@dataclass
class Anchorized:
    """What :func:`anchorize_checkpoint` made.

    Args:
        model: The classifier; without a classifier in the file, features.
        weights: The file of weights.
        config: The config beside it.
        errors: Relative error that is left in each attention, by name.
    """

    model: nn.Module
    weights: Path
    config: Path
    errors: dict[str, float] = field(default_factory=dict)


def anchorize_checkpoint(
    source: PathLike,
    images: Any,
    out: PathLike,
    *,
    num_anchors: int = 64,
    layers: str | None = None,
    local: str = 'depthwise',
    form: dict[str, bool] | None = None,
    align: Any = None,
    distill: Any = None,
    recipe: Recipe | None = None,
    weights: PathLike | None = None,
    num_heads: int | None = None,
    normalization: str | None = None,
    device: str | None = None,
    after: Iterable[Callable] = (),
) -> Anchorized:
    """Turn a pretrained ViT into an AnchorFormer, by unlabeled images.

    Args:
        source: A file of weights, ``.pth`` or ``.safetensors``, of a plain ViT
            of timm, DeiT, DINOv2, torchvision, mmpretrain or mmanchor; or the
            name of a model of timm, whose file is ``weights``. Nothing in a
            file is run.
        images: A folder of images, or what else
            :func:`~mmanchor.anchorization.anchorize` takes.
        out: The file to write, ``.safetensors`` or ``.pth``; a config of the
            same name and ``.py`` is written beside it.
        num_anchors, layers, local, form, align, distill, after: As for ``anchorize``.
        recipe: As for ``anchorize``; the state of an interrupted run is kept
            beside ``out`` if it names no file.
        weights: The file, if ``source`` is a name of timm.
        num_heads: Heads of an attention; ``None`` takes what timm says, or
            one for 64 channels.
        normalization: A key of :data:`NORMALIZATIONS`: 'half' is that of ViTs
            by Google; ``None`` takes what timm says, or 'imagenet'.
        device: Such as ``'cuda:1'``; ``None`` takes a GPU if there is one.

    Returns:
        The model and its files.

    Raises:
        UserError: If something given cannot be, and before anything is trained.
    """
    if num_anchors < 1:
        raise UserError(f'--anchors must be at least 1, got {num_anchors}')
    out = require_weights_path(out, 'OUT', source)
    config = require_config_path(out)
    make_folder(out.parent, 'the folder of OUT')
    vit = load_vit(source, weights, num_heads, normalization)
    kept = _kept_layers(layers, vit.shape.num_layers)
    recipe = recipe or Recipe()
    recipe.state = recipe.state or out.with_suffix('.state.pth')
    result = Anchorized(vit.model, out, config)
    anchorize(
        vit.model.to(choose_device(device)),
        num_anchors,
        layers=layers,
        local=local,
        form=form,
        images=images,
        align=align,
        distill=distill,
        recipe=recipe,
        after=after,
        report=result.errors,
    )
    if rank_and_world()[0] == 0:
        attention = dict(
            type='mmanchor.LearnedAnchorAttention',
            num_anchors=num_anchors,
            per_head_anchors=True,
            qkv_bias=vit.qkv_bias,
            depthwise=local == 'depthwise',
            **(PLUS if form is None else form),
        )
        stages = {
            name: stage_options(name, given)
            for name, given in (('align', align), ('distill', distill))
        }
        made = dict(source=vit.file.name, anchors=num_anchors, local=local, layers=layers, **stages)
        _write_weights(result, made, recipe)
        _write_config(result.config, vit, attention, kept)
        Path(recipe.state).unlink(missing_ok=True)
    return result


@dataclass
class Vit:
    """A pretrained ViT as mmanchor's classifier with softmax attention.

    Args:
        file: Its weights.
        model: The classifier; without a classifier in the file, features.
        shape: Its shape.
        num_heads: Heads of an attention.
        qkv_bias: Whether the input projections have a bias.
        normalization: ``mean`` and ``std`` of R, G and B.
    """

    file: Path
    model: nn.Module
    shape: VitShape
    num_heads: int
    qkv_bias: bool
    normalization: dict[str, list[float]]


def load_vit(
    source: PathLike,
    weights: PathLike | None = None,
    num_heads: int | None = None,
    normalization: str | None = None,
) -> Vit:
    """Load a plain ViT of another library as mmanchor's softmax model, exactly.

    Args:
        source, weights, num_heads, normalization: As for
            :func:`anchorize_checkpoint`.

    Raises:
        UserError: If it is no plain ViT, or cannot be read.
    """
    file, from_timm = _file_of(source, weights)
    entries = as_timm(arrays_of_torch(load_checkpoint(file, 'cpu'), str(file)), str(file))
    shape = vit_shape(entries, str(file))
    heads = num_heads
    if heads is None:
        heads = from_timm.get('num_heads') or max(1, shape.embed_dims // 64)
    if heads < 1 or shape.embed_dims % heads:
        raise UserError(f'--heads {heads} does not divide the {shape.embed_dims} channels')
    qkv_bias = 'blocks.0.attn.qkv.bias' in entries
    scale = NORMALIZATIONS['imagenet']
    if normalization is not None:
        if normalization not in NORMALIZATIONS:
            known = ', '.join(NORMALIZATIONS)
            raise UserError(f'normalization must be one of {known}, got {normalization!r}')
        scale = NORMALIZATIONS[normalization]
    elif 'mean' in from_timm:
        scale = {name: [255 * each for each in from_timm[name]] for name in ('mean', 'std')}
    init_default_scope('mmpretrain')
    attention = dict(type='mmanchor.SoftmaxAttention', qkv_bias=qkv_bias)
    cfg = _model_config(shape, heads, attention)
    model = MODELS.build(dict(cfg, data_preprocessor=dict(**scale, to_rgb=True)))
    state, report = convert_deit(entries, model.state_dict())
    if not report.is_complete:
        raise UserError(f'{file} is not the plain ViT that it looks like; {report.problems()}')
    model.load_state_dict(state)
    return Vit(file, model.eval(), shape, heads, qkv_bias, scale)


def _file_of(source: PathLike, weights: PathLike | None) -> tuple[Path, dict[str, Any]]:
    """The file of weights, and what timm tells of a name."""
    if Path(source).is_file():
        if weights is not None:
            raise UserError(f'SOURCE {source} is a file already: leave --weights out')
        return Path(source), {}
    try:
        import timm
    except ImportError:
        raise UserError(
            f'SOURCE {str(source)!r} is no file, and timm, whose name it may be, is not installed'
        ) from None
    if not timm.is_model(str(source)):
        raise UserError(f'SOURCE {str(source)!r} is no file of weights, and no model of timm')
    if weights is None or not Path(weights).is_file():
        raise UserError(
            f'SOURCE {source} is a name of timm; give its file of weights, '
            f'--weights FILE, got {weights}'
        )
    model = timm.create_model(str(source))
    told = {k: v for k, v in getattr(model, 'pretrained_cfg', {}).items() if k in ('mean', 'std')}
    blocks = getattr(model, 'blocks', None)
    if blocks is not None:
        told['num_heads'] = getattr(getattr(blocks[0], 'attn', None), 'num_heads', None)
    return Path(weights), told


def _kept_layers(layers: str | None, number: int) -> tuple[int, ...]:
    """The layers that keep softmax attention."""
    if layers is None:
        return ()
    return tuple(sorted(set(range(number)) - set(layer_numbers(layers, number))))


def _model_config(
    shape: VitShape, heads: int, attention: dict, kept: tuple[int, ...] = ()
) -> dict[str, Any]:
    backbone = dict(
        type='mmanchor.AnchorFormer',
        arch=dict(
            embed_dims=shape.embed_dims,
            num_layers=shape.num_layers,
            num_heads=heads,
            mlp_ratio=shape.mlp_ratio,
        ),
        img_size=shape.img_size,
        patch_size=shape.patch_size,
        attention=attention,
        softmax_layers=kept,
        extra_tokens=shape.extra_tokens,
        out_type='tokens',
    )
    distilled = len(shape.extra_tokens) == 2
    head = dict(
        type='mmanchor.DistilledDeiTHead' if distilled else 'VisionTransformerClsHead',
        num_classes=shape.num_classes,
        in_channels=shape.embed_dims,
    )
    return dict(type='ImageClassifier', backbone=backbone, head=head if shape.num_classes else None)


def _write_config(path: Path, vit: Vit, attention: dict, kept: tuple[int, ...]) -> None:
    model = _model_config(vit.shape, vit.num_heads, attention, kept)
    model.pop('type')
    model['backbone']['_delete_'] = True
    if model['head'] is not None:
        model['head']['_delete_'] = True
    body = pformat(model, width=96, sort_dicts=False)
    text = (
        '# Written by `mmanchor anchorize` for the weights of the same name.\n'
        f'_base_ = {BASE!r}\n'
        f'model = {body}\n'
        f'data_preprocessor = {vit.normalization}\n'
    )
    with replacing(path) as part:
        part.write_text(text, encoding='utf-8')


def _write_weights(result: Anchorized, made: dict[str, Any], recipe: Recipe) -> None:
    made = dict(
        made,
        batch_size=recipe.batch_size,
        processes=rank_and_world()[1],
        seed=recipe.seed,
        amp=recipe.amp,
        errors={name: round(error, 4) for name, error in result.errors.items()},
    )
    state = {name: value.cpu() for name, value in result.model.state_dict().items()}
    meta = dict(mmanchor_version=__version__, anchorized=made)
    save_checkpoint(dict(state_dict=state, meta=meta), str(result.weights))
