"""The formats that a model is exported to, each with what writes it.

Building gives a program, saving writes it with its metadata:
:func:`mmanchor.runtime.sessions.open_session` opens the file again, and so what
is checked is what users run.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ...utils.errors import UserError
from ..graphs import Graph


@dataclass
class Job:
    """What a format builds from.

    Args:
        graph: The module, in the precision that it computes in.
        example: (1, 3, H, W), an input.
        dynamic: What is open: ``None``, ``'batch'`` or ``'hw'``.
        half: Whether weights are kept in float16.
        ort_web: The folder of onnxruntime-web that a page takes its program from.
        proto: The ONNX model, for formats that are made from it.
    """

    graph: Graph
    example: Tensor
    dynamic: str | None
    half: bool
    ort_web: Path | None = None
    proto: Any = None


@dataclass(frozen=True)
class Format:
    """A file format.

    Args:
        suffix: Of its files.
        packages: What writing and checking need.
        extra: The extra of mmanchor that installs them.
        module: Of this package, with ``build(job)``, which gives a program, and
            ``save(program, metadata, path)``.
        from_onnx: Whether it is made from the ONNX model, so that NMS and INT8
            are possible.
        half_graph: Whether float16 weights are computed with, and not only
            kept in the file.
        companions: Suffixes of the other files that belong to it.
        dynamic: What may be open.
        uint8: Whether the file can take uint8 images.
        nms: Whether the file can hold NMS.
        labels: Whether it can hold the choice of the likeliest class.
        symmetric: Whether INT8 activations must have their zero at 0.
        half: Whether weights can be kept in float16.
        main: The file of it that is run, if OUT is a folder.
    """

    suffix: str
    packages: tuple[str, ...]
    extra: str
    module: str
    from_onnx: bool = False
    half_graph: bool = True
    companions: tuple[str, ...] = ()
    dynamic: tuple[str | None, ...] = (None, 'batch', 'hw')
    uint8: bool = True
    nms: bool = False
    labels: bool = True
    symmetric: bool = False
    half: bool = True
    main: str = ''

    def files(self, out: Path) -> list[Path]:
        """All files of an export, that which is run first."""
        if self.main:
            parts = sorted(path.relative_to(out) for path in out.rglob('*') if path.is_file())
            ours = [part for part in parts if part.parts[0] != 'node_modules']
            return [out / self.main, *(out / part for part in ours if str(part) != self.main)]
        return [out, *map(out.with_suffix, self.companions)]

    def require_packages(self) -> None:
        """Make sure that what it needs is installed.

        Raises:
            UserError: With the command that installs it.
        """
        missing = [name for name in self.packages if not importlib.util.find_spec(name)]
        if missing:
            raise UserError(
                f"export needs {', '.join(missing)}: run pip install 'mmanchor[{self.extra}]'"
            )

    @property
    def build(self) -> Callable[[Job], Any]:
        """Give a program for a job."""
        return self._functions().build

    @property
    def save(self) -> Callable[[Any, dict[str, Any], Path], None]:
        """Write a program with its metadata."""
        return self._functions().save

    def _functions(self) -> Any:
        return importlib.import_module(f'.{self.module}', __name__)


_ONNX = ('onnx', 'onnxscript', 'onnxruntime')
FORMATS = {
    'onnx': Format('.onnx', _ONNX, 'onnx', 'onnx_format', from_onnx=True, nms=True),
    'openvino': Format(
        '.xml',
        (*_ONNX, 'openvino'),
        'openvino',
        'openvino_format',
        from_onnx=True,
        half_graph=False,
        companions=('.bin',),
        nms=True,
    ),
    'torchscript': Format('.torchscript', (), '', 'torchscript', dynamic=(None,)),
    'pt2': Format('.pt2', (), '', 'pt2'),
    'ncnn': Format(
        '.param',
        ('ncnn', 'pnnx'),
        'ncnn',
        'ncnn_format',
        half_graph=False,
        # The .json without .param may be another format's.
        companions=('.bin', '.param.json'),
        dynamic=(None,),
        uint8=False,
        labels=False,
    ),
    'tensorrt-recipe': Format(
        '.onnx',
        _ONNX,
        'onnx',
        'tensorrt_recipe',
        from_onnx=True,
        half_graph=False,
        companions=('.sh',),
        symmetric=True,
    ),
    'web': Format(
        '',
        _ONNX,
        'onnx',
        'web',
        from_onnx=True,
        half_graph=False,
        dynamic=(None,),
        nms=True,
        half=False,
        main='model.onnx',
    ),
}
