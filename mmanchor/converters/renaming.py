"""Rename the entries of a foreign checkpoint by a table of patterns."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from re import Match
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .entries import Entries
from .report import ConversionReport

Replacement = str | Callable[[Match], str]
Maker = Callable[[torch.Size], Tensor]


@dataclass(frozen=True)
class Renaming:
    """How the names of one kind of checkpoint become names of our models.

    Args:
        rules: Rows of (pattern, replacement) for ``re.sub``, applied one
            after the other.
        unused: Rows of (pattern, reason): entries of the file that our models
            do not have.
        made: Rows of (pattern, function): weights of our models that are not
            in the file, and the function that makes them from their shape.
        advice: Rows of (pattern, text): what to do if the shape of an entry
            does not fit; ``{0}`` in the text is the first size of the entry.
    """

    rules: tuple[tuple[str, Replacement], ...]
    unused: tuple[tuple[str, str], ...] = ()
    made: tuple[tuple[str, Maker], ...] = ()
    advice: tuple[tuple[str, str], ...] = ()

    def rename(self, name: str) -> str:
        """Our name for an entry of the file.

        Example:
            >>> Renaming(((r'^fc\\.', 'head.'),)).rename('fc.bias')
            'head.bias'
        """
        for pattern, replacement in self.rules:
            name = re.sub(pattern, replacement, name)
        return name

    def why_unused(self, name: str) -> str | None:
        """Why an entry of the file is left out; ``None`` if it is not."""
        return _first(self.unused, name)

    def maker(self, name: str) -> Maker | None:
        """What makes a weight of our model; ``None`` if the file must have it."""
        return _first(self.made, name)

    def difference(self, name: str, value: Any, wanted: Tensor) -> str:
        """How an entry differs from the weight that it is for; usually ``''``."""
        if not isinstance(value, np.ndarray | Tensor):
            return f'{type(value).__name__} in the file, not an array'
        if tuple(value.shape) != tuple(wanted.shape):
            how = f'{tuple(value.shape)} in the file, {tuple(wanted.shape)} in the model'
            advice = _first(self.advice, name)
            return f'{how}; {advice.format(*value.shape[:1])}' if advice else how
        # Paddle writes bfloat16 as uint16, whose numbers mean nothing.
        given = torch.as_tensor(value)
        if given.is_floating_point() != wanted.is_floating_point():
            return f'{value.dtype} in the file, {wanted.dtype} in the model'
        return ''


def _first(rows: tuple[tuple[str, Any], ...], name: str) -> Any:
    """The second column of the first row whose pattern is in ``name``."""
    return next((value for pattern, value in rows if re.search(pattern, name)), None)


def convert_state_dict(
    source: Mapping[str, Any] | Entries, target: Mapping[str, Tensor], renaming: Renaming
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Turn a foreign state dict into ours.

    Args:
        source: Entries of the file, transformed or as they are.
        target: The state dict of the model that they are for. Only names,
            shapes and types are used, so that it may be on ``meta``.
        renaming: The table.

    Returns:
        The converted state dict, in the order of ``target`` and with its
        types, on the CPU and sharing no memory with ``source``; and what
        happened to each entry.
    """
    entries = source if isinstance(source, Entries) else Entries.of(source)
    report = ConversionReport(skipped=dict(entries.dropped), adapted=dict(entries.adapted))
    state = {
        ours: _copy(value, target[ours]) for ours, value in entries.added.items() if ours in target
    }
    taken = set(state)
    for name, value in entries.values.items():
        reason = renaming.why_unused(name)
        if reason:
            report.skipped[name] = reason
            continue
        ours = renaming.rename(name)
        if ours not in target or ours in taken:
            report.unmatched.append(name)
            continue
        taken.add(ours)
        difference = renaming.difference(name, value, target[ours])
        if difference:
            report.mismatched[name] = difference
            continue
        state[ours] = _copy(value, target[ours])
        report.converted[name] = ours
    for ours, wanted in target.items():
        if ours in taken:
            continue
        make = renaming.maker(ours)
        if make is None:
            report.missing.append(ours)
            continue
        state[ours] = make(wanted.shape).to(wanted.dtype)
        report.made.append(ours)
    return {name: state[name] for name in target if name in state}, report


def _copy(value: Any, wanted: Tensor) -> Tensor:
    return torch.as_tensor(value).to('cpu', wanted.dtype, copy=True).contiguous()
