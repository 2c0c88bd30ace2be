"""Parameters and multiply-adds of configs, whole and module by module."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from ..utils.config import load_config, require_model
from ..utils.errors import UserError, in_one_line
from ..utils.progress import Track, silently
from .flops import count_macs
from .networks import build_test_model, errors_only, switch_to_deploy
from .provenance import describe, measured
from .report import markdown_table, short_name


@dataclass(frozen=True)
class ModuleCost:
    """What one module costs, without the modules listed beside it.

    Args:
        name: As in ``named_modules``; '' is the model itself.
        params: Number of parameters.
        macs: Number of multiply-adds for one image.
    """

    name: str
    params: int
    macs: int


@dataclass(frozen=True)
class Complexity:
    """What a model costs at one input size.

    Args:
        params: Number of parameters.
        macs: Number of multiply-adds for one image; most papers call this
            FLOPs.
        uncounted: Operators that multiply, or may, but have no formula; their
            multiply-adds are missing from ``macs``.
        modules: Costs of its modules, if asked for; they sum up to the whole.
    """

    params: int
    macs: int
    uncounted: tuple[str, ...] = ()
    modules: tuple[ModuleCost, ...] = ()


def count_complexity(model: nn.Module, size: tuple[int, int], depth: int = 0) -> Complexity:
    """Count a model's parameters and multiply-adds.

    Args:
        model: A model that takes images (1, 3, H, W).
        size: (H, W), in pixels.
        depth: How many levels of modules to list: 1 gives a detector's
            backbone, neck and head. Deeper modules count with the one that
            holds them. 0 lists none.

    Returns:
        The counts. Attention counts whichever way it is computed; see
        :func:`~mmanchor.analysis.flops.count_macs`.

    Raises:
        ValueError: If ``depth`` is negative.

    Example:
        >>> counts = count_complexity(nn.Conv2d(3, 8, 3, bias=False), (10, 20))
        >>> counts.params, counts.macs == 8 * 3 * 9 * 8 * 18
        (216, True)
    """
    if depth < 0:
        raise ValueError(f'depth must be 0 or more, got {depth}')
    device = next((param.device for param in model.parameters()), 'cpu')
    count = count_macs(model, torch.rand(1, 3, *size, device=device))
    params = sum(param.numel() for param in model.parameters())
    modules = _modules(model, count.by_module, depth) if depth else ()
    return Complexity(params, count.total, tuple(sorted(count.uncounted)), modules)


def _modules(model: nn.Module, macs: Counter[str], depth: int) -> tuple[ModuleCost, ...]:
    """Costs of the modules that have or do something, in the model's order."""

    def holder(name: str) -> str:
        return '.'.join(name.split('.')[:depth])

    params_of: Counter[str] = Counter()
    for name, param in model.named_parameters():
        params_of[holder(name.rpartition('.')[0])] += param.numel()
    macs_of: Counter[str] = Counter()
    for name, number in macs.items():
        macs_of[holder(name)] += number
    names = dict.fromkeys(holder(name) for name, _ in model.named_modules())
    costs = (ModuleCost(name, params_of[name], macs_of[name]) for name in names)
    return tuple(cost for cost in costs if cost.params or cost.macs)


def complexity_of_forms(
    cfg: Config, size: tuple[int, int], depth: int = 0
) -> dict[str, Complexity]:
    """Count a config's model in its training form and its deploy form.

    Args:
        cfg: A config.
        size: (H, W) of the image, in pixels.
        depth: As in :func:`count_complexity`.

    Returns:
        :class:`Complexity` by form: 'training', the training form without
        its training-only heads, and, if there is one, 'deploy'.

    Raises:
        UserError: If the model does not run on images of this size alone, as
            two-stage detectors do not.
    """
    model = build_test_model(cfg)
    try:
        forms = dict(training=count_complexity(model, size, depth))
        if switch_to_deploy(model):
            forms['deploy'] = count_complexity(model, size, depth)
    # Models reject a size by asserts, or fail in many other ways.
    except Exception as error:
        raise UserError(
            f'the model of {cfg.filename} does not run on images '
            f'of {size[0]} x {size[1]} pixels alone: {in_one_line(error)}'
        ) from error
    return forms


def default_size(cfg: Config) -> tuple[int, int]:
    """The size at which a config's model is counted if none is given.

    Args:
        cfg: A config.

    Returns:
        Height and width in pixels of what the network runs on at test time:
        the window of a segmentor that slides one over the image, or the size
        that its data preprocessor pads to; else the size to which the test
        pipeline crops or resizes (for the pipeline of ADE20K, which resizes
        to at most 512 x 2048, that is 512 x 2048, as papers count it); else
        the crop that a segmentor is trained on.

    Raises:
        UserError: If the config names no size.
    """
    require_model(cfg)
    test_cfg = cfg.model.get('test_cfg') or {}
    preprocessor = cfg.model.get('data_preprocessor') or {}
    window = test_cfg.get('crop_size') if test_cfg.get('mode') == 'slide' else None
    padded = (preprocessor.get('test_cfg') or {}).get('size')
    size = window or padded or _size_of_pipeline(cfg) or preprocessor.get('size')
    if not size:
        raise UserError(
            f'the test_pipeline of {cfg.filename} has no Resize '
            'to a scale and no CenterCrop; give the size by '
            '--shape'
        )
    return (size, size) if isinstance(size, int) else tuple(size)


def _size_of_pipeline(cfg: Config) -> tuple[int, int] | None:
    """Height and width of the last step that makes images of a size."""
    keys = dict(Resize='scale', CenterCrop='crop_size', EfficientNetCenterCrop='crop_size')
    sizes = [
        step[keys[step.type]]
        for step in cfg.get('test_pipeline') or ()
        if step.get(keys.get(step.type))
    ]
    if not sizes:
        return None
    width, height = (sizes[-1],) * 2 if isinstance(sizes[-1], int) else sizes[-1]
    return height, width


def run_complexity(
    configs: Sequence[str],
    cfg_options: dict[str, Any] | None = None,
    size: tuple[int, int] | None = None,
    depth: int = 0,
    track: Track = silently,
) -> dict[str, Any]:
    """Count the models of configs in their training form and their deploy form.

    Args:
        configs: Paths or names.
        cfg_options: Dotted keys and values to override in each of them.
        size: (H, W) of the image in pixels; ``None`` takes the size at which
            each is usually counted.
        depth: As in :func:`count_complexity`.
        track: Shows progress.

    Returns:
        ``measured``, and ``rows``, a dict for each config and form:
        ``config``, ``form``, ``height``, ``width`` and the fields of
        :class:`Complexity`.

    Raises:
        UserError: If a config does not exist or cannot be built, or its model
            does not run on images of this size alone.
    """
    rows = []
    for name in track(configs, 'counting'):
        cfg = load_config(name, cfg_options)
        height, width = size or default_size(cfg)
        with errors_only():
            forms = complexity_of_forms(cfg, (height, width), depth)
        for form, counts in forms.items():
            rows.append(dict(config=name, form=form, height=height, width=width, **asdict(counts)))
    return dict(measured=measured(dtype='float32'), rows=rows)


def complexity_table(results: dict[str, Any]) -> str:
    """Render the rows as Markdown, and below them the modules of each.

    Args:
        results: From :func:`run_complexity`, also after a trip through JSON.
    """
    rows = results['rows']
    whole = [
        (
            short_name(row['config']),
            row['form'],
            f'{row["height"]} x {row["width"]}',
            f'{row["params"] / 1e6:.3f}',
            f'{row["macs"] / 1e9:.3f}',
        )
        for row in rows
    ]
    parts = [
        markdown_table(('config', 'form', 'pixels:', 'parameters (M):', 'MACs (G):'), whole),
        'The training form is counted without its training-only heads.\n',
        *(f'{note}\n' for note in uncounted_notes(rows)),
    ]
    parts += [_modules_table(row) for row in rows if row['modules']]
    parts.append(describe(results['measured']) + '\n')
    return '\n'.join(parts)


def _modules_table(row: dict[str, Any]) -> str:
    cells = [
        (
            each['name'] or '(itself)',
            f'{each["params"] / 1e6:.3f}',
            f'{each["macs"] / 1e9:.3f}',
            f'{each["macs"] / max(row["macs"], 1):.1%}',
        )
        for each in row['modules']
    ]
    table = markdown_table(('module', 'parameters (M):', 'MACs (G):', 'share:'), cells)
    return f'### {short_name(row["config"])}, {row["form"]} form\n\n{table}'


def uncounted_notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Write a sentence for each row whose MACs are incomplete.

    Args:
        rows: Rows of :func:`run_complexity`.
    """
    return [
        f'{short_name(row["config"])}, {row["form"]} form: the MACs lack '
        f'{", ".join(row["uncounted"])}, for which no formula is known.'
        for row in rows
        if row['uncounted']
    ]


def complexity_figure(results: dict[str, Any]) -> Any:
    """Draw bars of parameters and of multiply-adds.

    Args:
        results: From :func:`run_complexity`.

    Returns:
        A figure of matplotlib.
    """
    from matplotlib.figure import Figure

    rows = results['rows']
    figure = Figure(figsize=(9, 1.2 + 0.35 * len(rows)), layout='constrained')
    panels = figure.subplots(1, 2, sharey=True)
    bars = (('params', 1e6, 'parameters (M)'), ('macs', 1e9, 'MACs (G)'))
    for axes, (key, unit, title) in zip(panels, bars, strict=True):
        drawn = axes.barh(
            range(len(rows)),
            [row[key] / unit for row in rows],
            color=[f'C{int(row["form"] == "deploy")}' for row in rows],
        )
        axes.bar_label(drawn, fmt='%.2f', padding=3, fontsize=7)
        axes.margins(x=0.2)
        axes.set_xlabel(title)
    labels = [f'{short_name(row["config"])}, {row["form"]}' for row in rows]
    panels[0].set_yticks(range(len(rows)), labels, fontsize=7)
    panels[0].invert_yaxis()
    return figure
