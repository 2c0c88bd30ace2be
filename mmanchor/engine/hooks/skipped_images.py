"""Skip and count files that cannot be read."""

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop
from torch.nn import ModuleList

from ...datasets.reading import guard_reading
from ...registry import HOOKS

# The longest list of names in one warning.
_SHOWN = 50


# The second name stands in configs of earlier checkpoints.
@HOOKS.register_module(name=['SkippedImagesHook', 'SkippedPicturesHook'])
class SkippedImagesHook(Hook):
    """Makes every data set name what it cannot read, and counts it.

    In training, another sample takes the place of an unreadable image or
    mask, and a warning after every epoch (in training by iterations: before
    every validation and at the end) gives their number and names, those of
    all workers and processes. In validation and test such a file is an error.
    See :class:`~mmanchor.datasets.reading.GuardedReading`.
    """

    def __init__(self) -> None:
        self._clear()

    def before_train(self, runner) -> None:
        """Guard the reading of the training data."""
        guard_reading(runner.train_dataloader.dataset, _ignored(runner), skip=True)

    def before_val(self, runner) -> None:
        """Guard the reading of the validation data."""
        guard_reading(runner.val_dataloader.dataset, _ignored(runner), skip=False)

    def before_test(self, runner) -> None:
        """Guard the reading of the test data."""
        guard_reading(runner.test_dataloader.dataset, _ignored(runner), skip=False)

    def before_train_epoch(self, runner) -> None:
        """Start counting."""
        self._clear()

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Count those of a batch."""
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        for sample in samples or ():
            self._num_seen += 1
            self._skipped.update(dict.fromkeys(sample.get('skipped_files', ())))

    def before_val_epoch(self, runner) -> None:
        """Warn between iterations; epochs warn when they end."""
        if _by_iterations(runner):
            self._warn(runner, f'up to iteration {runner.iter}')
            self._clear()

    def after_train_epoch(self, runner) -> None:
        """Warn if there were any."""
        by_iterations = _by_iterations(runner)
        when = f'up to iteration {runner.iter}' if by_iterations else f'of epoch {runner.epoch + 1}'
        self._warn(runner, when)

    def _clear(self) -> None:
        self._num_seen = 0
        # A dict keeps the order of appearance.
        self._skipped: dict[str, None] = {}

    def _warn(self, runner, when: str) -> None:
        gathered = all_gather_object((self._num_seen, list(self._skipped)))
        num_seen = sum(seen for seen, _ in gathered)
        skipped = list(dict.fromkeys(path for _, paths in gathered for path in paths))
        if skipped:
            more = len(skipped) - _SHOWN
            runner.logger.warning(
                f'{len(skipped)} of {num_seen} images {when} were skipped, because they or their '
                f'masks cannot be read: {", ".join(skipped[:_SHOWN])}'
                f'{f" and {more} more" if more > 0 else ""}'
            )


def _by_iterations(runner) -> bool:
    """Whether this is a training by iterations; its loop ends no epochs."""
    # The property would build the loop in a run that only validates.
    return isinstance(runner._train_loop, IterBasedTrainLoop)


def _ignored(runner) -> set[int]:
    """Labels of masks that the model's heads ignore."""
    model = runner.model
    while is_model_wrapper(model):
        model = model.module
    heads = getattr(model, 'decode_head', None)
    heads = list(heads) if isinstance(heads, ModuleList) else [heads]
    labels = {getattr(head, 'ignore_index', None) for head in heads}
    return {label for label in labels if isinstance(label, int)}
