"""A page for browsers: the model, plain JavaScript, and onnxruntime-web beside them."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from ...runtime.metadata import steps_of
from ...utils.errors import UserError
from ...utils.files import write_json
from . import Job, onnx_format

# What the page loads of onnxruntime-web.
_ORT_FILES = ('ort.wasm.min.mjs', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm')
# How images.js can resize: backend -> interpolations.
_RESIZING = {
    'cv2': ('nearest', 'bilinear', 'bicubic'),
    'pillow': ('nearest', 'bilinear', 'bicubic', 'lanczos'),
}


@dataclass
class Page:
    """A page without its metadata.

    Args:
        proto: The model.
        ort_web: The folder that holds the files of onnxruntime-web; ``None``
            leaves them to npm.
    """

    proto: onnx.ModelProto
    ort_web: Path | None


def build(job: Job) -> Page:
    """The model, with where the program that runs it is.

    Raises:
        UserError: If onnxruntime-web is not where it was said to be.
    """
    folder = job.ort_web
    if folder is None:
        return Page(job.proto, None)
    for place in (folder / 'dist', folder):
        if all((place / name).is_file() for name in _ORT_FILES):
            return Page(job.proto, place)
    raise UserError(
        f'--ort-web {folder} does not hold {_ORT_FILES[0]} and its .wasm file; '
        'npm install onnxruntime-web puts them into node_modules/onnxruntime-web'
    )


def save(program: Page, metadata: dict[str, Any], path: Path) -> None:
    """Write the folder of the page.

    Raises:
        UserError: If the page cannot resize images as the model needs it.
    """
    steps = steps_of(metadata)
    for step in steps:
        backend, how = step.get('backend', 'cv2'), step.get('interpolation', 'bilinear')
        if how not in _RESIZING.get(backend, ()):
            raise UserError(
                f'--format web cannot resize by {backend} and {how}; it knows {_RESIZING}'
            )
    shutil.copytree(Path(__file__).parents[1] / 'web', path, dirs_exist_ok=True)
    if program.ort_web is not None:
        (path / 'ort').mkdir(exist_ok=True)
        for name in _ORT_FILES:
            shutil.copyfile(program.ort_web / name, path / 'ort' / name)
    write_json(path / 'model.json', {**metadata, 'steps': steps})
    onnx_format.save(program.proto, metadata, path / 'model.onnx')
