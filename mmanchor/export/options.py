"""How a model is exported, and what does not go together."""

from dataclasses import dataclass
from pathlib import Path

from ..utils.errors import UserError
from ..utils.files import PathLike, make_folder
from .formats import FORMATS, Format
from .graphs import RESULTS

DYNAMIC = (None, 'batch', 'hw')
LEAST_OPSET = 18
# What npm leaves in a folder beside node_modules.
_NPM_FILES = {'package.json', 'package-lock.json'}


@dataclass(frozen=True)
class ExportOptions:
    """How a model is exported.

    Args:
        format: One of :data:`~mmanchor.export.formats.FORMATS`; ``None`` takes
            that of OUT's suffix.
        size: (H, W) of the images, in pixels; ``None`` takes the test
            pipeline's.
        dynamic: What stays open: ``None`` (nothing), ``'batch'``, or ``'hw'``
            (batch, height and width).
        results: What is computed: detection ``'nms'``, ``'decode'`` or
            ``'raw'``; segmentation ``'labels'`` or ``'logits'``; ``None`` takes
            the first that the model and the format can give.
        uint8_input: Take uint8 images in the order of OpenCV's channels and
            normalize them inside; or take normalized float32 ones. ``None``:
            uint8 where the format can.
        opset: ONNX operator set, 18 or more.
        half: Keep weights in float16; in ONNX, TorchScript and PT2 the network
            also computes in it.
        int8: A folder of images; weights and activations become 8-bit
            integers, calibrated on them. ONNX, OpenVINO, TensorRT.
        num_calibration: Images of the folder that are used, at most.
        most_in_float: Of INT8: the share of operators that stays in float, at
            most; those that lose the most.
        images: A folder of images to check with; ``None`` takes that of
            ``int8``, or a photograph.
        ort_web: Of a web page: the folder of the npm package onnxruntime-web,
            whose program is copied beside it.
        trust_checkpoint: Read the checkpoint even if it may run code.

    Raises:
        UserError: If a value is out of its range, or two do not go together.
    """

    format: str | None = None
    size: tuple[int, int] | None = None
    dynamic: str | None = None
    results: str | None = None
    uint8_input: bool | None = None
    opset: int = LEAST_OPSET
    half: bool = False
    int8: PathLike | None = None
    num_calibration: int = 32
    most_in_float: float = 0.2
    images: PathLike | None = None
    ort_web: PathLike | None = None
    trust_checkpoint: bool = False

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise UserError(f'--format must be one of {", ".join(FORMATS)}, got {self.format!r}')
        if self.dynamic not in DYNAMIC:
            raise UserError(f"--dynamic must be 'batch' or 'hw', got {self.dynamic!r}")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            given = ' '.join(map(str, self.size))
            raise UserError(f'--size must be H W in pixels, 1 or more each, got {given}')
        if self.opset < LEAST_OPSET:
            raise UserError(f'--opset must be {LEAST_OPSET} or more, got {self.opset}')
        if self.num_calibration < 1:
            raise UserError(f'--num-calibration must be 1 or more, got {self.num_calibration}')
        if not 0 <= self.most_in_float <= 1:
            raise UserError(f'--most-in-float must be between 0 and 1, got {self.most_in_float}')
        if self.half and self.int8 is not None:
            raise UserError('--half and --int8 do not go together; give one of them')
        for name in ('int8', 'images'):
            folder = getattr(self, name)
            if folder is not None and not Path(folder).is_dir():
                raise UserError(f'--{name} must be a folder of images, got {str(folder)!r}')

    def format_of(self, out: Path) -> tuple[str, Format]:
        """The format of a file, after what it cannot do was refused.

        Args:
            out: The file to write.

        Raises:
            UserError: If the suffix does not fit, the file cannot be written,
                or the format cannot do what an option asks.
        """
        known = {each.suffix: name for name, each in reversed(FORMATS.items()) if each.suffix}
        name = self.format or known.get(out.suffix)
        if name is None:
            raise UserError(f'OUT must end in one of {", ".join(known)}, got {out}')
        chosen = FORMATS[name]
        if chosen.main:
            self._require_folder(out, chosen)
        elif out.suffix != chosen.suffix:
            raise UserError(f'OUT of --format {name} must end in {chosen.suffix}, got {out}')
        elif out.is_dir():
            raise UserError(f'OUT {out} is a folder; give the name of a file')
        for suffix in chosen.companions:
            other = out.with_suffix(suffix)
            if other.exists() and not out.exists():
                raise UserError(
                    f'OUT {out} would overwrite {other}, which belongs to another file; give '
                    'another name'
                )
        self._require(name, chosen)
        chosen.require_packages()
        make_folder(out.parent, 'the folder of OUT')
        return name, chosen

    def _require_folder(self, out: Path, chosen: Format) -> None:
        """Take an empty folder, a new one, or one of an earlier export."""
        if out.exists() and not out.is_dir():
            raise UserError(f'OUT of --format {self.format} must be a folder, and {out} is a file')
        used = out.is_dir() and {path.name for path in out.iterdir()} - {'node_modules'}
        if used and not (out / chosen.main).is_file() and not used <= _NPM_FILES:
            raise UserError(f'OUT {out} holds other files; give a new or an empty folder')

    def _require(self, name: str, chosen: Format) -> None:
        if self.dynamic not in chosen.dynamic:
            raise UserError(f'--format {name} serves one size; leave out --dynamic {self.dynamic}')
        if self.results == 'nms' and not chosen.nms:
            raise UserError(f'--format {name} has no NMS; use --with decode')
        if self.results == 'labels' and not chosen.labels:
            raise UserError(f'--format {name} has no argmax; use --with logits')
        if self.uint8_input and not chosen.uint8:
            raise UserError(f'--format {name} takes normalized images; leave out --uint8-input')
        if self.int8 is not None and not chosen.from_onnx:
            able = ', '.join(key for key, each in FORMATS.items() if each.from_onnx)
            raise UserError(f'--int8 is for --format {able}; got {name}')
        if self.half and not chosen.half:
            raise UserError(f'--format {name} computes in float32; leave out --half')
        if self.ort_web is not None and name != 'web':
            raise UserError(f'--ort-web is for --format web, got {name}')
        if self.opset != LEAST_OPSET and not chosen.from_onnx:
            raise UserError(f'--opset is for ONNX, and --format {name} is not made from it')

    def results_of(self, task: str, decodes: bool, chosen: Format) -> str:
        """What is computed if nothing is said.

        Args:
            task: See :func:`~.graphs.build_graph`.
            decodes: Whether a detector's boxes can be decoded in the graph.
            chosen: The format.
        """
        default = RESULTS[task][0]
        if task == 'detection' and not decodes:
            default = 'raw'
        elif task == 'detection' and not chosen.nms:
            default = 'decode'
        elif task == 'segmentation' and not chosen.labels:
            default = 'logits'
        results = self.results or default
        if chosen.main and results != RESULTS[task][0]:
            raise UserError(
                f'--format {self.format} shows {RESULTS[task][0]}, and this would give {results}'
            )
        return results
