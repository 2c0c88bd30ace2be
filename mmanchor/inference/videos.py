"""Videos of drawn predictions."""

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from ..utils.errors import UserError
from ..utils.files import replacing


class VideoFile(AbstractContextManager['VideoFile']):
    """An MP4 or WebM file that appears when it is complete.

    Args:
        path: The file; its suffix chooses. Browsers play this WebM alone.
        fps: Frames per second.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._replacing = replacing(path)
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None

    def __enter__(self) -> 'VideoFile':
        self._path = self._replacing.__enter__()
        return self

    def write(self, image: np.ndarray) -> None:
        """Add a frame, (H, W, 3) uint8 RGB; the first one sets the size.

        Raises:
            UserError: If this OpenCV cannot write videos.
        """
        if self._writer is None:
            self._writer = cv2.VideoWriter(
                str(self._path),
                cv2.VideoWriter.fourcc(*('VP80' if self._path.suffix == '.webm' else 'mp4v')),
                self._fps,
                (image.shape[1], image.shape[0]),
            )
            if not self._writer.isOpened():
                raise UserError(
                    'this OpenCV cannot write MP4 videos; use --no-overlays (and --masks for masks)'
                )
        self._writer.write(np.ascontiguousarray(image[..., ::-1]))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        if self._writer is not None:
            self._writer.release()
        return self._replacing.__exit__(kind, error, trace)
