"""An exported model: images in, boxes, masks or classes out."""

import os
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from ..utils.errors import UserError
from .images import prepare, read_image
from .metadata import fixed_size, read_metadata, steps_of
from .results import Boxes, Labels, Mask, suppress, to_boxes, to_labels, to_mask
from .sessions import open_session


class Model:
    """A file that ``mmanchor export`` wrote.

    Args:
        path: The file, see :func:`~.sessions.open_session`.
        providers: Execution providers of ONNX Runtime, in order of preference.
        threads: Threads of one inference; 0 leaves it to the program.

    Attributes:
        metadata: What was written into the file: classes, sizes, thresholds.
        classes: Names of the classes.
        task: ``'detection'``, ``'segmentation'`` or ``'classification'``.
        engine: The program that runs it, such as ``'onnxruntime'``.

    Raises:
        UserError: If there is no such file, it is no model of ours, or an
            execution provider is not there.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        providers: Sequence[str] = ('CPUExecutionProvider',),
        threads: int = 0,
    ) -> None:
        session = open_session(path, providers, threads)
        self.metadata = read_metadata(session.metadata, str(path))
        self.classes: list[str] = self.metadata['classes']
        self.task: str = self.metadata['task']
        self.engine = session.engine
        self._run = session.run

    def predict(
        self, image: str | os.PathLike | np.ndarray, score_thr: float = 0.3
    ) -> Boxes | Mask | Labels | list[np.ndarray]:
        """Predict on one image.

        Args:
            image: A file, or (H, W, 3) uint8, BGR.
            score_thr: Detection: boxes below this score are left out.

        Returns:
            By task: :class:`Boxes`, :class:`Mask` or :class:`Labels`; the
            outputs as they are if the file was exported ``--with raw``.

        Raises:
            UserError: If the image cannot be read, or is of a size that the
                file does not take.
        """
        array = read_image(image)
        ready, content = self.prepare(array)
        outputs = self.run(ready[None])
        try:
            return self._results(outputs, content, array.shape[:2], score_thr)
        # Whatever NumPy and OpenCV say of arrays that do not fit.
        except (ArithmeticError, LookupError, TypeError, ValueError, cv2.error) as error:
            shapes = [output.shape for output in outputs]
            raise UserError(
                f'the outputs of the model, {shapes}, are not those that its metadata names: '
                f'{", ".join(self.metadata["outputs"])} of {len(self.classes)} classes'
            ) from error

    def _results(
        self,
        outputs: list[np.ndarray],
        content: tuple[int, int],
        size: tuple[int, int],
        score_thr: float,
    ) -> Boxes | Mask | Labels | list[np.ndarray]:
        rule = self.metadata.get('thresholds') or {}
        if self.task == 'classification':
            return to_labels(outputs[0][0], self.classes)
        if self.task == 'segmentation':
            # What was padded is no part of the image.
            output = outputs[0][0][..., : content[0], : content[1]]
            return to_mask(output, size, self.classes, rule.get('threshold', 0.5))
        if self.metadata['results'] == 'nms':
            count = int(outputs[3][0])
            found = tuple(output[0, :count] for output in outputs[:3])
        elif self.metadata['results'] == 'decode':
            found = suppress(
                outputs[0][0],
                outputs[1][0],
                rule.get('iou_threshold', 0.6),
                rule.get('score_thr', 0.025),
                rule.get('nms_pre', -1),
            )
            found = tuple(each[: rule.get('max_per_img', 100)] for each in found)
        else:
            return outputs
        boxes, scores, labels = found
        return to_boxes(boxes, scores, labels, content, size, self.classes, score_thr)

    def prepare(self, image: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        """Bring an image to the size of the network, as its test pipeline does.

        Args:
            image: (H, W, 3) uint8, BGR.

        Returns:
            See :func:`~.images.prepare`.
        """
        return prepare(image, steps_of(self.metadata))

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(H, W) of the input; ``None`` if the file takes any size."""
        return fixed_size(self.metadata)

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        """Run the graph.

        Args:
            images: (B, H, W, 3) uint8, BGR, of a size that the file takes.

        Returns:
            Its outputs, in the order of ``metadata['outputs']``.

        Raises:
            UserError: If the file does not take these images.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise UserError(f'run takes (B, H, W, 3) uint8, got {images.shape} of {images.dtype}')
        size = self.fixed_size
        if size is not None and images.shape[1:3] != size:
            raise UserError(
                f'the file takes images of {size[0]} x {size[1]} pixels, got '
                f'{images.shape[1]} x {images.shape[2]}'
            )
        given = self.metadata['input']
        if not given['open_axes'] and len(images) != 1:
            raise UserError(
                f'the file takes one image at a time, got {len(images)}; '
                'export it with --dynamic batch'
            )
        if given['normalized_inside']:
            planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        else:
            planes = normalize(images, given)
        try:
            return self._run(planes)
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f'the model does not run on this input: {reason}') from error


def normalize(images: np.ndarray, given: dict[str, Any]) -> np.ndarray:
    """Images as a file takes them that was exported without normalization.

    Args:
        images: (B, H, W, 3) uint8, BGR.
        given: ``input`` of the metadata, with ``mean``, ``std`` and ``flips``.

    Returns:
        (B, 3, H, W) float32.
    """
    x = images[..., ::-1] if given['flips'] else images
    mean, std = (np.array(given[name], np.float32) for name in ('mean', 'std'))
    return np.ascontiguousarray(((x.astype(np.float32) - mean) / std).transpose(0, 3, 1, 2))
