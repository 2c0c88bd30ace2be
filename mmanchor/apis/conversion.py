"""From a foreign checkpoint file to one of ours, checked before it is kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import save_checkpoint
from torch import Tensor, nn

from .. import __version__
from ..anchorization.calibration import images_of_folder
from ..anchorization.fitting import find_softmax, fit_anchors
from ..anchorization.levit_softmax import find_levit_softmax
from ..compat.checkpoints import load_checkpoint
from ..compat.safe_pickle import load_plain_pickle
from ..converters import KINDS, ConversionReport, arrays_of_paddle, arrays_of_torch
from ..utils.config import building, require_model
from ..utils.errors import UserError
from ..utils.files import PathLike, make_folder, require_weights_path

# What decides the names and shapes of an ESNet's weights.
ESNET_ARGUMENTS = ('scale', 'ratios')


def _read_paddle(source: PathLike) -> dict[str, Any]:
    return arrays_of_paddle(load_plain_pickle(source), str(source))


def _read_torch(source: PathLike) -> dict[str, Any]:
    if not Path(source).is_file():
        raise UserError(
            f'SRC {str(source)!r} is no file; give the path of a checkpoint on this machine'
        )
    return arrays_of_torch(load_checkpoint(source, 'cpu'), str(source))


# By Kind.reads; nothing in a file is run.
READERS: dict[str, Callable[[PathLike], dict[str, Any]]] = {
    'paddle': _read_paddle,
    'torch': _read_torch,
}


def convert_checkpoint(
    kind: str,
    source: PathLike,
    out: PathLike,
    cfg: Config,
    strict: bool = True,
    anchors_from: PathLike | None = None,
) -> ConversionReport:
    """Convert a checkpoint of another project and write it as ours.

    Args:
        kind: A name of :data:`~mmanchor.converters.KINDS`.
            ``'paddledet-esnet'`` takes the backbone of a detector's file or
            a file of the backbone alone; its weights are named as
            ``init_cfg`` of type ``Pretrained`` takes them.
        source: The file; nothing in it is run.
        out: The file to write, ``.pth`` or ``.safetensors``.
        cfg: The config of the model that the weights are for. For
            ``'paddledet-esnet'`` its backbone may be an ``AnchorESNet``: the
            weights are those of an ``ESNet`` of the same size.
        strict: Whether entries that are left over, missing or of another
            shape are an error. Otherwise what fits is written.
        anchors_from: A folder of images, or an image, for ``'deit'`` and
            ``'levit'``: learned anchors become the centers of clusters of
            what their softmax attention sees in them. ``None`` draws them
            from its queries.

    Returns:
        What became of every entry.

    Raises:
        UserError: If ``kind`` or the suffix of ``out`` is unknown, the source
            cannot be read or wants to run code, ``anchors_from`` does not
            serve, or, if ``strict``, the source does not fit; then nothing
            is written.
    """
    out = require_weights_path(out, 'DST', source)
    if kind not in KINDS:
        raise UserError(f'there is no conversion {kind!r}; choose one of {", ".join(KINDS)}')
    entries = READERS[KINDS[kind].reads](source)
    model = _build(kind, cfg)
    target = model.state_dict()
    state, report = KINDS[kind].convert(entries, target)
    _require_fit(report, source, cfg, model, strict)
    if anchors_from is not None:
        anchors = _cluster(kind, entries, cfg, target, anchors_from)
        state, report = KINDS[kind].convert(entries, target, anchors)  # type: ignore[call-arg]
    model.load_state_dict(state, strict=report.is_complete)
    meta = dict(
        mmanchor_version=__version__,
        converted=dict(
            kind=kind,
            source=Path(source).name,
            config=Path(cfg.filename or '').stem,
            missing=report.missing,
        ),
        **_dataset_meta(cfg, model),
    )
    make_folder(out.parent, 'the folder of DST')
    # Ours since `import mmanchor`: it writes both formats, never half a file.
    save_checkpoint(dict(state_dict=state, meta=meta), str(out))
    return report


# The short name, as `mmanchor convert` has it.
convert = convert_checkpoint


def _require_fit(
    report: ConversionReport, source: PathLike, cfg: Config, model: nn.Module, strict: bool
) -> None:
    if report.converted and (report.is_complete or not strict):
        return
    advice = ', or --no-strict to write what fits' if strict else ''
    raise UserError(
        f'{source} does not fit the {type(model).__name__} of '
        f'{cfg.filename}; {report.problems()}. Give the config of '
        f'the same size{advice}'
    )


def _cluster(
    kind: str, entries: dict[str, Any], cfg: Config, target: dict[str, Tensor], folder: PathLike
) -> dict[str, Tensor]:
    """Anchors for the attentions of the target, from images."""
    shapes = {
        name: tuple(value.shape) for name, value in target.items() if name.endswith('.attn.anchors')
    }
    if not KINDS[kind].calibrates or not shapes:
        takers = [name for name, each in KINDS.items() if each.calibrates]
        raise UserError(
            '--anchors-from needs a config with learned anchors and one of '
            f'the kinds {", ".join(takers)}; got {kind} and {cfg.filename}'
        )
    twin_cfg = Config(cfg.copy().to_dict(), filename=cfg.filename)
    find: Callable[..., dict[str, Any]] = find_softmax
    twin_cfg.model.backbone.attention = dict(
        type='mmanchor.SoftmaxAttention', qkv_bias='blocks.0.attn.qkv.bias' in entries
    )
    if kind == 'levit':
        find = find_levit_softmax
        twin_cfg.model.backbone.update(attention='softmax', pos_embed=None)
    twin = _build(kind, twin_cfg)
    state, report = KINDS[kind].convert(entries, twin.state_dict())
    twin.load_state_dict(state, strict=report.is_complete)
    shape = next(iter(shapes.values()))
    try:
        return fit_anchors(
            twin,
            images_of_folder(folder, cfg),
            shape[-2],
            per_head=len(shape) == 3,
            found=find(twin),
        )
    except ValueError as error:
        raise UserError(f'--anchors-from {folder}: {error}') from error


def _build(kind: str, cfg: Config) -> nn.Module:
    """The model that a conversion is for, with random weights."""
    require_model(cfg)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model = cfg.model.copy()
    # mmpretrain's configs have it beside the model.
    if 'data_preprocessor' in cfg:
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    if kind == 'paddledet-esnet':
        backbone = model.get('backbone', {})
        name = str(backbone.get('type')).rsplit('.', 1)[-1]
        if name not in ('ESNet', 'AnchorESNet'):
            raise UserError(
                f'{kind} needs a config whose backbone is an '
                f'ESNet or an AnchorESNet; that of {cfg.filename} '
                f'is {backbone.get("type")!r}'
            )
        # An AnchorESNet keeps the names of the stages that it keeps.
        model = dict(type='mmanchor.ESNet')
        model.update((key, backbone[key]) for key in ESNET_ARGUMENTS if key in backbone)
    with building(cfg):
        return MODELS.build(model)


def _dataset_meta(cfg: Config, model: nn.Module) -> dict[str, Any]:
    """Names of the classes, if the config's data set has as many."""
    head = getattr(model, 'bbox_head', getattr(model, 'head', None))
    num_classes = getattr(head, 'num_classes', None)
    dataset = cfg.get('test_dataloader', {}).get('dataset', {})
    # By the default scope, as the data set would be built.
    with DATASETS.switch_scope_and_registry(None) as registry:
        kind = registry.get(dataset['type']) if 'type' in dataset else None
    meta = {**getattr(kind, 'METAINFO', {}), **dataset.get('metainfo', {})}
    if num_classes is None or len(meta.get('classes', ())) != num_classes:
        return {}
    return dict(dataset_meta=meta)
