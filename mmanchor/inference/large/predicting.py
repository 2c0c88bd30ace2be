"""Labels of large images among the results of ``mmanchor predict``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...utils.errors import UserError
from ...utils.inputs import Inputs
from ...utils.progress import Track
from ..model import Model
from .ranks import Ranks, find_ranks


class BandFiles:
    """Writes ``masks/NAME.tif`` and ``masks/NAME_preview.png`` of images.

    Args:
        model: What predicts.
        folder: Folder of the results.
        track: Shows progress.
    """

    def __init__(self, model: Model, folder: Path, track: Track) -> None:
        self.model, self.folder, self.track = model, folder, track

    def require(self, inputs: Inputs) -> None:
        """Make sure that the model can run in bands, and on these inputs.

        Raises:
            UserError: If not.
        """
        self.model.in_bands()
        if inputs.clips:
            raise UserError('--exact is for images, not for videos')

    def write_too_large(self, inputs: Inputs, summary: Any) -> None:
        """Write those images that were passed over since they do not fit, if possible."""
        if not summary.skipped or self.model.module is None:
            return
        try:
            self.model.in_bands()
        except UserError:
            return
        large = [
            (file, name, path)
            for file, name, path in inputs.named_paths
            if file in summary.skipped and self.model.too_large(path)
        ]
        if large:
            self.write(large, summary)

    def write(self, images: Sequence[tuple[str, str, Path]], summary: Any) -> None:
        """Write the labels of images.

        Args:
            images: What each is called in lists, the name of its results, and its path.
            summary: A :class:`~mmanchor.inference.files.PredictSummary`, which
                is told what was done.
        """
        # Not before it is needed: a segmentor of any other kind needs none of it.
        from .segmenting import segment_file

        model, ranks = self.model, find_ranks()
        for file, name, path in images:
            out = self.folder / 'masks' / f'{name}.tif'
            summary.skipped.pop(file, None)
            try:
                palette = [(0, 0, 0), *model.palette] if len(model.palette) == 1 else model.palette
                faults = segment_file(
                    model.module, path, out, palette, model.device, ranks, self._track(ranks)
                )
            except UserError as error:
                summary.skipped[file] = str(error)
                continue
            summary.done += 1
            notes = ['labels of the whole image at its own size']
            notes += [
                f'{part} cannot be read and is unlabeled: {why}' for part, why in faults.items()
            ]
            summary.notes[file] = '; '.join(notes)

    def _track(self, ranks: Ranks) -> Track:
        from ...utils.progress import silently

        return self.track if ranks.is_first else silently
