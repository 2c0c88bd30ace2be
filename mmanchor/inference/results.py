"""What every prediction has, whatever the task: its image, its names, its drawing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from mmengine.structures import BaseDataElement
from PIL import Image

from ..utils.files import PathLike, replacing
from ..utils.images import read_image
from ..utils.inputs import Frame

Self = TypeVar('Self', bound='Result')
Palette = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Origin:
    """Where a prediction comes from.

    Args:
        frame: The image.
        classes: Class names, in the order of the labels.
        palette: An RGB color, 0 to 255, for each class.
    """

    frame: Frame
    classes: Sequence[str]
    palette: Palette


class Result(BaseDataElement):
    """A data sample of a toolbox with what one wants to know at hand.

    Everything of the data sample works: its fields, ``cpu()``, ``numpy()``,
    ``to_dict()``, and it can be given to the toolbox's visualizers and metrics.
    """

    _origin: Origin | None = None

    @classmethod
    def of(cls: type[Self], sample: BaseDataElement, origin: Origin, score_thr: float) -> Self:
        """Take over a data sample.

        Args:
            sample: What the model gave, on the CPU.
            origin: Where it comes from.
            score_thr: Detection: boxes below this score are left out.
        """
        result = cls(metainfo=sample.metainfo, **dict(sample.items()))
        result._attach(origin)
        if origin.frame.path is not None:
            result.set_metainfo(dict(img_path=str(origin.frame.path)))
        return result

    def _attach(self, origin: Origin | None) -> None:
        # Not a field of the data sample, which __setattr__ would make it.
        object.__setattr__(self, '_origin', origin)

    def new(self: Self, *, metainfo: dict[str, Any] | None = None, **kwargs: Any) -> Self:
        """A data sample of the same image, as ``cpu()`` and its like make one."""
        other = super().new(metainfo=metainfo, **kwargs)
        other._attach(self._origin)
        return other

    def clone(self: Self) -> Self:
        """A copy."""
        other = super().clone()
        other._attach(self._origin)
        return other

    @property
    def origin(self) -> Origin:
        """Where the prediction comes from.

        Raises:
            AttributeError: If it was not made by ``Model.predict``.
        """
        if self._origin is None:
            raise AttributeError(f'this {type(self).__name__} was not made by Model.predict')
        return self._origin

    @property
    def classes(self) -> Sequence[str]:
        """Names of all classes that the model knows, in the order of the labels."""
        return self.origin.classes

    @property
    def image_path(self) -> str | None:
        """The image file; ``None`` for arrays and videos."""
        path = self.origin.frame.path
        return None if path is None else str(path)

    @property
    def image(self) -> np.ndarray:
        """The image, (H, W, 3) uint8, RGB; read again if it was a file."""
        frame = self.origin.frame
        image = frame.image
        if image is None:
            if frame.path is None:
                raise AttributeError('the image was not kept; predict with stream=True')
            image = read_image(frame.path)
        return np.ascontiguousarray(image[..., ::-1])

    def release_image(self) -> None:
        """Let the memory of an image go that can be read again from its file."""
        frame = self.origin.frame
        if frame.path is not None:
            frame.image = None

    def draw(self) -> np.ndarray:
        """The image with the prediction drawn into it, (H, W, 3) uint8, RGB."""
        raise NotImplementedError

    def save(self, path: PathLike, **options: Any) -> Path:
        """Write what :meth:`draw` returns.

        Args:
            path: The file; its suffix chooses the format.
            options: For :meth:`draw`.

        Returns:
            The file as a path.
        """
        with replacing(path) as part:
            Image.fromarray(self.draw(**options)).save(part)
        return Path(path)
