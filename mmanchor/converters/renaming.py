"""Rename the entries of a foreign checkpoint through one table."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from re import Match
from typing import Any, Union

import numpy as np
import torch
from torch import Tensor

from .report import ConversionReport

Replacement = Union[str, Callable[[Match], str]]
Maker = Callable[[torch.Size], Tensor]


@dataclass(frozen=True)
class Renaming:
    """How names of one kind of checkpoint become names of ours.

    Args:
        rules: Rows of (pattern, replacement) for ``re.sub``; each is applied
            to what the rows above it left.
        unused: Rows of (pattern, reason): entries of the file that no model
            of ours has.
        made: Rows of (pattern, function): weights of ours that no file has,
            and what makes them from their shape.
    """

    rules: tuple[tuple[str, Replacement], ...]
    unused: tuple[tuple[str, str], ...] = ()
    made: tuple[tuple[str, Maker], ...] = ()

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
        for pattern, reason in self.unused:
            if re.search(pattern, name):
                return reason
        return None

    def maker(self, name: str) -> Maker | None:
        """What makes a weight of ours; ``None`` if the file must give it."""
        for pattern, function in self.made:
            if re.search(pattern, name):
                return function
        return None


def convert_state_dict(
    source: Mapping[str, Any], target: Mapping[str, Tensor], renaming: Renaming
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Turn a foreign state dict into ours.

    Args:
        source: Entries of the file: arrays, and maybe others.
        target: The state dict of the model that they are for. Only names,
            shapes and types are read, so that it can be on ``meta``.
        renaming: The table.

    Returns:
        What has found its place, in the order of ``target`` and with its
        types, on the CPU and sharing no memory with ``source``; and what
        became of everything.
    """
    report = ConversionReport()
    state: dict[str, Tensor] = {}
    taken: set[str] = set()
    for name, value in source.items():
        reason = renaming.why_unused(name)
        if reason:
            report.skipped[name] = reason
            continue
        ours = renaming.rename(name)
        if ours not in target or ours in taken:
            report.unmatched.append(name)
            continue
        taken.add(ours)
        difference = _difference(value, target[ours])
        if difference:
            report.mismatched[name] = difference
            continue
        state[ours] = torch.as_tensor(value).to('cpu', target[ours].dtype, copy=True).contiguous()
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


def _difference(value: Any, wanted: Tensor) -> str:
    """How an entry differs from the weight that it is for; mostly ``''``."""
    if not isinstance(value, (np.ndarray, Tensor)):
        return f'{type(value).__name__} in the file, not an array'
    if tuple(value.shape) != tuple(wanted.shape):
        return f'{tuple(value.shape)} in the file, {tuple(wanted.shape)} in the model'
    # Paddle writes bfloat16 as uint16, whose numbers mean nothing.
    given = torch.as_tensor(value)
    if given.is_floating_point() != wanted.is_floating_point():
        return f'{value.dtype} in the file, {wanted.dtype} in the model'
    return ''
