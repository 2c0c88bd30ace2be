"""Replace the softmax attentions of a model by learned anchors, and train them."""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..models.layers import LearnedAnchorAttention
from ..models.layers.drop_in import (
    MMPretrainAnchorAttention,
    TimmAnchorAttention,
    TorchvisionAnchorAttention,
)
from ..utils.errors import UserError
from .alignment import Align, attention_errors
from .data_start import images_for_links, start_from_data, watched_tokens
from .distillation import Distill
from .fitting import Found, as_at_test, drawn_anchors, find_softmax, fit_anchors, with_anchors
from .model_inputs import image_size_of, preparation_for
from .stages import Recipe, Stage, run_stages
from .views import RandomViews

# What a stage takes if only its steps are given.
USUAL = dict(align=dict(steps=300, lr=2e-3), distill=dict(steps=300, lr=5e-5))
# The arguments of the form that softmax attention converts to best.
PLUS = dict(value_residual=True, learn_scale=True, anchor_bias=True, anchor_links=True)
LOCALS = ('none', 'depthwise')
# They are not told the shape of the map that a convolution needs.
WITHOUT_MAP = (MMPretrainAnchorAttention, TimmAnchorAttention, TorchvisionAnchorAttention)
# Views that the start and the report are computed from, in batches of this size.
VIEWS, BATCH_SIZE = 64, 8


def anchorize(
    model: nn.Module,
    num_anchors: int = 30,
    calibration: Iterable | None = None,
    *,
    per_head: bool = True,
    keep: Sequence[str] = (),
    layers: str | Sequence[int] | None = None,
    local: str = 'none',
    form: dict[str, bool] | None = None,
    images: Any = None,
    align: int | dict[str, Any] | None = None,
    distill: int | dict[str, Any] | None = None,
    recipe: Recipe | None = None,
    after: Iterable[Any] = (),
    report: dict[str, float] | None = None,
) -> nn.Module:
    """Replace softmax attention by learned anchors, in place, and train them.

    Supported are :class:`~mmanchor.models.layers.SoftmaxAttention` (in an
    ``AnchorFormer``, a classifier, a segmentor or a detector) and the
    attentions of the ``VisionTransformer`` of mmpretrain, timm and
    torchvision. Keys, values and the output projection are kept; the query
    projection and the dropout of attention weights are dropped.

    Without ``images`` the new attentions have the paper's form and are not
    trained. With ``images`` they have the form :data:`PLUS`, start from what softmax
    attention does in some of the images, and learn from the model as it was:
    first each attention alone, then the network as a whole. No labels are
    needed.

    Args:
        model: The model; its attentions are replaced.
        num_anchors: M, number of anchors of every attention.
        calibration: Batches of images for the model: tensors (B, 3, H, W),
            tuples or lists that start with one, or batches of a data loader
            of MMEngine. The anchors are cluster centers of the queries and
            keys in these images. ``None`` draws anchors from the query
            projection, see
            :func:`~mmanchor.anchorization.queries_as_anchors`. Not beside
            ``images``.
        per_head: Whether each head has its own anchors.
        keep: Names of modules that are not replaced.
        layers: Numbers of the attentions to replace, in order from 0, such as
            ``'0-7,11'`` or ``range(8)``; ``None`` replaces all.
        local: ``'depthwise'`` adds a depth-wise convolution of the values,
            which starts at zero; for mmanchor's models only.
        form: More arguments of the new attentions; ``None`` takes :data:`PLUS`
            if there are ``images``, and otherwise none, the paper's form.
        images: A folder of images, which is searched through, a pattern, or a
            list of them and of files, for a start from data and for training.
        align: Steps of the first stage, or a dict of ``steps`` and ``lr``;
            ``None`` takes those of :data:`USUAL`.
        distill: The same for the second stage, also with ``old_lr``, the factor
            on ``lr`` for weights that were trained before.
        recipe: What the stages have in common, and where a stopped run is
            continued from.
        after: Functions that are called after each step with the stage, the
            number of its steps that are done and the errors.
        report: Filled with the relative error that is left in each attention,
            by name (see :func:`~mmanchor.anchorization.attention_errors`).

    Returns:
        ``model``. Each new attention has ``switch_to_deploy``. Models of
        MMEngine are marked as initialized.

    Raises:
        ValueError: If ``num_anchors`` is below 1, the model has no softmax
            attention or one that cannot be replaced (the message names it),
            or the images have fewer tokens than there are anchors. The model
            is then not changed.
        UserError: If ``images``, ``layers``, ``local`` or a stage cannot be.

    Example:
        >>> from mmanchor.models import AnchorFormer
        >>> model = AnchorFormer('tiny', img_size=32, attention='softmax')
        >>> images = torch.rand(2, 1, 3, 64, 64)
        >>> type(anchorize(model, 8, images).layers[0].attn).__name__
        'LearnedAnchorAttention'
    """
    if num_anchors < 1:
        raise ValueError(f'num_anchors must be at least 1, got {num_anchors}')
    every = find_softmax(model, keep)
    found = _choose(every, layers)
    _check_local(local, found)
    form = {**((PLUS if images is not None else {}) if form is None else form)}
    if local == 'depthwise':
        form['depthwise'] = True
    if images is None:
        if align is not None or distill is not None:
            raise UserError('align and distill need images=, such as a folder of photographs')
        new = _untrained(model, num_anchors, calibration, per_head, found, form)
        return _replaced(model, new)
    if calibration is not None:
        raise UserError('give calibration or images, not both: the anchors come from the images')
    recipe = recipe or Recipe()
    views = RandomViews(images, image_size_of(model), recipe.seed)
    prepare = preparation_for(model)
    probes = [prepare(batch) for batch in views.batches(0, VIEWS // BATCH_SIZE, BATCH_SIZE)]
    teacher = copy.deepcopy(model).eval().requires_grad_(False)
    blocks = [name.rpartition('.')[0] for name in every]
    stages = _stages(model, teacher, list(found), blocks, align, distill)
    new = _from_images(model, num_anchors, probes, per_head, found, form)
    with as_at_test(_replaced(model, new), grad=True):
        run_stages(stages, views, prepare, recipe, after)
        if report is not None:
            report.update(errors_left(model, teacher, list(found), probes))
    return model


def errors_left(
    student: nn.Module, teacher: nn.Module, layers: Sequence[str], batches: Sequence[Tensor]
) -> dict[str, float]:
    """Mean of :func:`attention_errors` over batches.

    Args:
        student: The model with the new attentions.
        teacher: The model with the old ones.
        layers: Names of the attentions.
        batches: What the models take.
    """
    each = [attention_errors(student, teacher, layers, batch) for batch in batches]
    return {name: sum(errors[name] for errors in each) / len(each) for name in layers}


def layer_numbers(layers: str | Sequence[int], number: int) -> list[int]:
    """The layers that a user names.

    Args:
        layers: Such as ``'0-7,11'``, both ends included, or the numbers.
        number: How many layers there are.

    Raises:
        UserError: If a word is no number or range, or there is no such layer.

    Example:
        >>> layer_numbers('0-2,5', 6)
        [0, 1, 2, 5]
    """
    chosen: set[int] = set()
    words = layers.split(',') if isinstance(layers, str) else [str(each) for each in layers]
    for word in words:
        first, dash, last = word.strip().partition('-')
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UserError(
                f'layers must be numbers and ranges such as 0-7 or 0,2,5-7, got {word!r}'
            )
        chosen |= set(range(int(first), int(last or first) + 1))
    if not chosen or max(chosen) >= number:
        raise UserError(
            f'layers={layers!r} must be some of the {number} softmax attentions, 0 to {number - 1}'
        )
    return sorted(chosen)


def _choose(found: Found, layers: str | Sequence[int] | None) -> Found:
    if layers is None:
        return found
    names = list(found)
    return {names[i]: found[names[i]] for i in layer_numbers(layers, len(names))}


def _check_local(local: str, found: Found) -> None:
    if local not in LOCALS:
        raise UserError(f'local must be one of {", ".join(LOCALS)}, got {local!r}')
    name = next((n for n, each in found.items() if issubclass(each.replacement, WITHOUT_MAP)), None)
    if local != 'none' and name is not None:
        raise UserError(
            f"local={local!r} is for mmanchor's models: {name} is of another library, which does "
            'not tell it the shape of the map; `mmanchor anchorize` converts the weights first'
        )


def _untrained(
    model: nn.Module,
    num_anchors: int,
    calibration: Iterable | None,
    per_head: bool,
    found: Found,
    form: dict[str, bool],
) -> dict[str, LearnedAnchorAttention]:
    if calibration is None:
        anchors = {
            name: drawn_anchors(model, name, softmax, num_anchors, per_head)
            for name, softmax in found.items()
        }
    else:
        anchors = fit_anchors(model, calibration, num_anchors, per_head, found)
    return {
        name: with_anchors(model.get_submodule(name), softmax, anchors[name], **form)
        for name, softmax in found.items()
    }


def _from_images(
    model: nn.Module,
    num_anchors: int,
    probes: Sequence[Tensor],
    per_head: bool,
    found: Found,
    form: dict[str, bool],
) -> dict[str, LearnedAnchorAttention]:
    if not per_head:
        raise UserError('images= needs per_head=True: each head starts from its own keys')
    new = {}
    tokens = watched_tokens(model, list(found), probes)
    for name, softmax in found.items():
        blank = torch.zeros(softmax.num_heads, num_anchors, softmax.embed_dims // softmax.num_heads)
        new[name] = with_anchors(model.get_submodule(name), softmax, blank, **form)
        start_from_data(new[name], softmax, images_for_links(tokens[name], softmax.num_heads))
    return new


def _replaced(model: nn.Module, new: dict[str, LearnedAnchorAttention]) -> nn.Module:
    for name, module in new.items():
        parent, _, child = name.rpartition('.')
        setattr(model.get_submodule(parent), child, module)
    for module in model.modules():
        # Otherwise MMEngine's Runner would initialize all weights again.
        if isinstance(module, BaseModule):
            module.is_init = True
    return model


def stage_options(name: str, given: int | dict[str, Any] | None) -> dict[str, Any]:
    """The options of a stage, complete.

    Args:
        name: ``'align'`` or ``'distill'``.
        given: Its steps, some of its options, or ``None``.

    Raises:
        UserError: If it has no such option.

    Example:
        >>> stage_options('align', 5)
        {'steps': 5, 'lr': 0.002}
    """
    usual = USUAL[name]
    options = {**usual, **(given if isinstance(given, dict) else {})}
    if isinstance(given, int):
        options['steps'] = given
    known = {*usual, *(() if name == 'align' else ('old_lr',))}
    if unknown := options.keys() - known:
        raise UserError(f'{name} takes {", ".join(sorted(known))}, got {min(unknown)!r}')
    return options


def _stages(
    student: nn.Module,
    teacher: nn.Module,
    layers: list[str],
    blocks: list[str],
    align: int | dict[str, Any] | None,
    distill: int | dict[str, Any] | None,
) -> list[Stage]:
    both: list[Stage] = [
        Align(student, teacher, layers=layers, **stage_options('align', align)),
        Distill(
            student, teacher, layers=layers, blocks=blocks, **stage_options('distill', distill)
        ),
    ]
    return [stage for stage in both if stage.steps]
