"""An exported model: images in, boxes, masks or classes out."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.errors import UserError
from .images import prepare, read_image
from .results import Boxes, Labels, Mask, suppress, to_boxes, to_labels, to_mask

FORMAT_VERSION = 1
# The key of the metadata that `mmanchor export` writes.
METADATA_KEY = 'mmanchor'
_NEEDED = ('task', 'results', 'classes', 'input', 'resize', 'outputs')


class Model:
    """A file that ``mmanchor export`` wrote.

    Args:
        path: The ``.onnx`` file.
        providers: Execution providers of ONNX Runtime, in order of preference.
        threads: Threads of one inference; 0 leaves it to ONNX Runtime.

    Attributes:
        metadata: What was written into the file: classes, sizes, thresholds.
        classes: Names of the classes.
        task: ``'detection'``, ``'segmentation'`` or ``'classification'``.

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
        import onnxruntime

        if not Path(path).is_file():
            raise UserError(f'there is no file {str(path)!r}')
        known = onnxruntime.get_available_providers()
        for provider in providers:
            if provider not in known:
                raise UserError(
                    f'the execution provider {provider!r} is not there; this ONNX Runtime has '
                    f'{", ".join(known)}'
                )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=list(providers)
            )
        # ONNX Runtime has an exception for each reason, none of them public.
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise UserError(f'{str(path)!r} is no ONNX model that can be run: {reason}') from error
        self.metadata = read_metadata(
            self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY), str(path)
        )
        self.classes: list[str] = self.metadata['classes']
        self.task: str = self.metadata['task']
        if not self.metadata['input']['normalized_inside']:
            raise UserError(
                f'{str(path)!r} takes normalized images (it was exported with --no-uint8-input); '
                'export it without that option to predict on images'
            )

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
        ready = prepare(array, self.metadata['resize'] if not self.fixed_size else self._steps())
        outputs = self.run(ready[None])
        size, scaled = array.shape[:2], ready.shape[:2]
        if self.task == 'classification':
            return to_labels(outputs[0][0], self.classes)
        if self.task == 'segmentation':
            return to_mask(outputs[0][0], size, self.classes)
        factor = (scaled[1] / size[1], scaled[0] / size[0])
        if self.metadata['results'] == 'nms':
            count = int(outputs[3][0])
            found = tuple(output[0, :count] for output in outputs[:3])
        elif self.metadata['results'] == 'decode':
            rule = self.metadata['thresholds'] or {}
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
        return to_boxes(*found, factor, self.classes, score_thr)

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(H, W) of the input; ``None`` if the file takes any size."""
        given = self.metadata['input']
        return None if 'height' in given['open_axes'] else tuple(given['size'])

    def _steps(self) -> list[dict[str, Any]]:
        """The test pipeline's steps, ending at the one size of the file."""
        steps = self.metadata['resize']
        size = list(self.fixed_size)
        if steps and steps[-1].get('op') == 'center_crop' and steps[-1]['size'] == size:
            return steps
        last = next((step for step in reversed(steps) if step['op'] == 'resize'), {})
        return [{**last, 'op': 'resize', 'scale': size[::-1], 'keep_ratio': False}]

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        """Run the graph.

        Args:
            images: (B, H, W, 3) uint8, BGR, of a size that the file takes.

        Returns:
            Its outputs, in the order of ``metadata['outputs']``.
        """
        size = self.fixed_size
        if size is not None and images.shape[1:3] != size:
            raise UserError(
                f'the file takes images of {size[0]} x {size[1]} pixels, got '
                f'{images.shape[1]} x {images.shape[2]}'
            )
        planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        try:
            return self._session.run(None, {self.metadata['input']['name']: planes})
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise UserError(f'the model does not run on this input: {reason}') from error


def read_metadata(text: str | None, name: str) -> dict[str, Any]:
    """Check the metadata of a file.

    Args:
        text: JSON, or ``None`` if the file has none.
        name: The file.

    Returns:
        The metadata.

    Raises:
        UserError: If it is missing, no metadata of ours, or of a later version.
    """
    if text is None:
        raise UserError(
            f'{name!r} was not written by mmanchor export: it has no metadata of classes and sizes'
        )
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f'the metadata of {name!r} is damaged: {error}') from error
    missing = [key for key in _NEEDED if not isinstance(metadata, dict) or key not in metadata]
    if missing:
        raise UserError(f'the metadata of {name!r} lacks {", ".join(missing)}')
    if metadata.get('format_version') != FORMAT_VERSION:
        raise UserError(
            f'{name!r} has metadata of version {metadata.get("format_version")!r}, and this '
            f'mmanchor reads version {FORMAT_VERSION}'
        )
    return metadata
