"""Drawn predictions of a test as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmcv
from mmengine.hooks import Hook
from mmengine.visualization import Visualizer

from ...utils.files import PathLike


class SaveDrawingsHook(Hook):
    """Writes every prediction of a test beside its truth, ``NAME.png`` each.

    For mmseg, whose own hook writes nothing while it shows windows.

    Args:
        folder: Where to; it exists.
    """

    def __init__(self, folder: PathLike) -> None:
        self.folder = Path(folder)
        self._names: dict[str, int] = {}

    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] = ()
    ) -> None:
        """Draw the images of one batch."""
        visualizer = Visualizer.get_current_instance()
        for output in outputs:
            image = mmcv.imread(output.img_path, channel_order='rgb')
            file = self.folder / f'{self._distinct(Path(output.img_path).stem)}.png'
            visualizer.add_datasample(file.stem, image, output, out_file=str(file))

    def _distinct(self, name: str) -> str:
        """The name; with a number if another folder had it too."""
        count = self._names[name] = self._names.get(name, 0) + 1
        return name if count == 1 else f'{name}-{count}'
