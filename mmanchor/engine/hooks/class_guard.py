"""Whether a checkpoint and the data that score it name the same classes."""

from typing import Any

from mmengine.hooks import Hook

from ...datasets.class_names import order_fault
from ...utils.errors import UserError


class ClassGuard(Hook):
    """Refuses to score a checkpoint on data whose labels mean other classes.

    Args:
        source: The checkpoint's file, for messages.
    """

    priority = 'LOWEST'

    def __init__(self, source: str) -> None:
        self.source = source

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Compare the class names in the checkpoint with the test data's."""
        meta = checkpoint.get('meta')
        trained = _names(meta.get('dataset_meta') if isinstance(meta, dict) else None)
        scored = _names(getattr(runner.test_dataloader.dataset, 'metainfo', None))
        fault = order_fault(trained, scored)
        if fault:
            raise UserError(
                f'the checkpoint {self.source!r} and the test data order their classes '
                f'differently: {fault}, so that scores would be wrong; set '
                f'test_dataloader.dataset.metainfo.classes to {trained}'
            )


def _names(meta: Any) -> tuple[str, ...]:
    """The class names in meta information, whose keys older files capitalize."""
    meta = meta if isinstance(meta, dict) else {}
    classes = meta.get('classes') or meta.get('CLASSES')
    if not isinstance(classes, (list, tuple)) or not all(isinstance(c, str) for c in classes):
        return ()
    return tuple(classes)
