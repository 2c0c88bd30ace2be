"""A count of the pictures that could not be read."""

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook

from ...registry import HOOKS

# So many names are still read by somebody.
_SHOWN = 50


@HOOKS.register_module()
class SkippedPicturesHook(Hook):
    """Tells after every epoch which pictures were replaced by others.

    :class:`~mmanchor.datasets.coco.CocoDataset` notes them in the samples, so
    that those of all workers and processes are counted.
    """

    def before_train_epoch(self, runner) -> None:
        """Start counting."""
        self._num_seen = 0
        # In the order of their appearance.
        self._skipped: dict[str, None] = {}

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Count those of a batch."""
        for sample in data_batch['data_samples']:
            self._num_seen += 1
            self._skipped.update(dict.fromkeys(sample.get('skipped_files', ())))

    def after_train_epoch(self, runner) -> None:
        """Warn if there were any."""
        gathered = all_gather_object((self._num_seen, list(self._skipped)))
        num_seen = sum(seen for seen, _ in gathered)
        skipped = list(dict.fromkeys(path for _, paths in gathered for path in paths))
        if skipped:
            more = len(skipped) - _SHOWN
            runner.logger.warning(
                f'{len(skipped)} of {num_seen} pictures of epoch '
                f'{runner.epoch + 1} were skipped, as they cannot be read: '
                f'{", ".join(skipped[:_SHOWN])}'
                f'{f" and {more} more" if more > 0 else ""}'
            )
