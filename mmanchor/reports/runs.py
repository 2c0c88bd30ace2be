"""What is known of a run besides its predictions: costs, environment, training curves."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.device import get_device

from ..analysis.complexity import complexity_of_forms, default_size
from ..analysis.networks import errors_only
from ..analysis.provenance import measured
from ..utils.errors import UserError
from . import charts
from .analysis import Section, Table

# Lines of a log hold these beside losses and scores.
_NO_SCORES = ('step', 'iter', 'epoch', 'time', 'data_time', 'memory')
_MOST_POINTS, _MOST_LINES = 500, 6
Series = dict[str, tuple[list[float], list[float]]]


def describe_run(cfg: Config, checkpoint: str) -> dict[str, Any]:
    """Collect what a page says of a model beside its scores.

    Args:
        cfg: The config that is tested, before test-time augmentation changes it.
        checkpoint: The file of the weights; logs are looked for beside it and
            in the work folder.

    Returns:
        What JSON can hold: ``config``, ``checkpoint``, ``environment``,
        ``cost`` and ``curves``.
    """
    return dict(
        config=str(cfg.filename),
        checkpoint=str(checkpoint),
        environment=measured('cuda' if get_device() == 'cuda' else 'cpu'),
        cost=_cost(cfg),
        curves=read_curves([Path(checkpoint).parent, Path(cfg.work_dir)]),
    )


def _cost(cfg: Config) -> list[dict[str, Any]] | str:
    """Parameters and multiply-adds of each form, or why they cannot be counted."""
    try:
        size = default_size(cfg)
        with errors_only():
            forms = complexity_of_forms(cfg, size)
    except UserError as error:
        return str(error)
    return [
        dict(form=form, pixels=list(size), params=counts.params, macs=counts.macs)
        for form, counts in forms.items()
    ]


def read_curves(folders: Sequence[Path]) -> dict[str, Series]:
    """Training curves from the logs of a work folder, ``*/vis_data/scalars.json``.

    Args:
        folders: The first that has logs counts. A later log takes the place of
            an earlier one from its first step on, as that of a resumed run.

    Returns:
        Steps and values by name, in the groups ``loss``, ``validation`` and
        ``lr``.
    """
    logs = next((found for each in folders if (found := sorted(_logs(each)))), [])
    groups: dict[str, Series] = dict(loss={}, validation={}, lr={})
    for path in logs:
        new: dict[str, Series] = dict(loss={}, validation={}, lr={})
        for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
            _add_line(new, line)
        for group, series in new.items():
            for name, (steps, values) in series.items():
                old = groups[group].get(name, ([], []))
                kept = [pair for pair in zip(*old, strict=True) if pair[0] < steps[0]]
                kept += zip(steps, values, strict=True)
                groups[group][name] = tuple(map(list, zip(*kept, strict=True)))
    return {
        group: {name: _thinned(*pair) for name, pair in series.items()}
        for group, series in groups.items()
        if series
    }


def _logs(folder: Path) -> list[Path]:
    return list(folder.glob('*/vis_data/scalars.json')) + list(folder.glob('vis_data/scalars.json'))


def _add_line(groups: dict[str, Series], line: str) -> None:
    """Note the values of one line; what a killed run left of a line is passed over."""
    try:
        entry = {k: v for k, v in json.loads(line).items() if isinstance(v, (int, float))}
        step = entry['step']
    except (ValueError, KeyError, AttributeError):
        return
    is_training = 'lr' in entry or any('loss' in name for name in entry)
    for name, value in entry.items():
        if name in _NO_SCORES:
            continue
        group = 'loss' if 'loss' in name else 'lr' if name == 'lr' else 'validation'
        # Training lines hold accuracies of batches too, and COCO says -1 for nothing.
        if (group == 'validation' and is_training) or not np.isfinite(value) or value == -1:
            continue
        steps, values = groups[group].setdefault(name, ([], []))
        steps.append(step)
        values.append(value)


def _thinned(steps: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    chosen = np.linspace(0, len(steps) - 1, min(len(steps), _MOST_POINTS)).round().astype(int)
    return [steps[i] for i in chosen], [values[i] for i in chosen]


def run_sections(run: dict[str, Any]) -> list[Section]:
    """The parts of a page about the run.

    Args:
        run: What :func:`describe_run` collected; parts may be missing.
    """
    out = []
    curves = run.get('curves') or {}
    titles = dict(loss='Loss', validation='Validation', lr='Learning rate')
    drawn = [
        charts.lines(titles[group], dict(list(series.items())[:_MOST_LINES]))
        for group, series in curves.items()
        if group in titles
    ]
    if drawn:
        out.append(Section('Training', 'From the logs in the work folder.', drawn))
    cost = run.get('cost')
    if cost:
        text = cost if isinstance(cost, str) else 'Counted on one image; one MAC is two operations.'
        rows = [
            [
                each['form'],
                ' x '.join(map(str, each['pixels'])),
                f'{each["params"] / 1e6:.3f}',
                f'{each["macs"] / 1e9:.3f}',
            ]
            for each in (() if isinstance(cost, str) else cost)
        ]
        head = ['form', 'pixels', 'parameters (M)', 'MACs (G)']
        out.append(Section('Costs', text, table=Table(head, rows) if rows else None))
    facts = {key: run[key] for key in ('config', 'checkpoint') if run.get(key)}
    facts |= run.get('environment') or {}
    facts.pop('huge_pages', None)
    if facts:
        rows = [[name.replace('_', ' '), _text(value)] for name, value in facts.items()]
        out.append(Section('Environment', '', table=Table(['', ''], rows)))
    return out


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ', '.join(f'{name} {each}' for name, each in value.items())
    return str(value)
