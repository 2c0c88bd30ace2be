"""A checkpoint is scored only on the classes that it was trained for."""

import re
from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook

from ...utils.errors import UserError


class SameClassesHook(Hook):
    """Compares the class names of a checkpoint and of the test data, in order.

    Args:
        source: The checkpoint, for the message.
    """

    def __init__(self, source: str) -> None:
        self.source = source

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Refuse names that differ.

        Raises:
            UserError: If both sides name classes, as many, and they differ in
                more than the way they are written.
        """
        meta = checkpoint.get('meta')
        meta = meta.get('dataset_meta') if isinstance(meta, dict) else None
        trained = meta.get('classes') if isinstance(meta, dict) else None
        dataset = runner.test_dataloader.dataset
        fault = difference_of_classes(trained, getattr(dataset, 'metainfo', {}).get('classes'))
        if fault:
            raise UserError(
                f'the checkpoint {self.source!r} and the test data differ in their classes: '
                f'{fault}; set metainfo.classes of the data set in the order of the checkpoint'
            )


def difference_of_classes(trained: Any, data: Any) -> str | None:
    """The first difference of two lists of class names.

    Args:
        trained: Names in the checkpoint, or something else.
        data: Names in the data set, or something else.

    Returns:
        In words; ``None`` if they agree, or one side has no names. Case, spaces,
        hyphens and underscores make no difference.

    Example:
        >>> difference_of_classes(['cat', 'dog'], ('Cat', 'dog'))
        >>> difference_of_classes(['cat', 'dog'], ('dog', 'cat'))
        "class 0 is 'cat' in the checkpoint and 'dog' in the data"
    """
    if not all(
        isinstance(each, Sequence) and not isinstance(each, str) for each in (trained, data)
    ):
        return None
    if len(trained) != len(data):
        return f'{len(trained)} in the checkpoint, {len(data)} in the data'
    for index, (one, other) in enumerate(zip(trained, data, strict=True)):
        if _plain(one) != _plain(other):
            return f'class {index} is {one!r} in the checkpoint and {other!r} in the data'
    return None


def _plain(name: Any) -> str:
    return re.sub(r'[\s_-]', '', str(name)).lower()
