"""ncnn, by pnnx: for phones. The input is normalized outside, as ncnn's programs do."""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.sessions import metadata_text
from ...utils.errors import UserError
from . import Job, torchscript


@dataclass
class NcnnProgram:
    """The two files of a model.

    Args:
        param: Its layers, text.
        weights: Their weights.
    """

    param: bytes
    weights: bytes


def build(job: Job) -> NcnnProgram:
    """Convert the traced graph.

    Raises:
        UserError: If pnnx or ncnn does not know an operator of it.
    """
    import pnnx

    shape = ','.join(map(str, job.example.shape))
    with tempfile.TemporaryDirectory() as folder:
        torchscript.build(job).save(str(Path(folder, 'model.pt')))
        command = [pnnx.EXEC_PATH, 'model.pt', f'inputshape=[{shape}]f32', f'fp16={int(job.half)}']
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        files = [Path(folder, f'model.ncnn.{suffix}') for suffix in ('param', 'bin')]
        # Also after operators that ncnn lacks pnnx ends with 0.
        lost = [line for line in done.stderr.splitlines() if line.startswith('ignore ')]
        if done.returncode or lost or not all(path.is_file() for path in files):
            lines = lost or (done.stderr or done.stdout).strip().splitlines()[-1:]
            reason = lines[0] if lines else f'it ended with {done.returncode}'
            raise UserError(f'pnnx cannot convert this model for ncnn: {reason}')
        return NcnnProgram(*(path.read_bytes() for path in files))


def save(program: NcnnProgram, metadata: dict[str, Any], path: Path) -> None:
    """Write ``.param``, ``.bin``, and the metadata beside them as ``.param.json``."""
    path.write_bytes(program.param)
    path.with_suffix('.bin').write_bytes(program.weights)
    path.with_suffix('.param.json').write_text(metadata_text(metadata), encoding='utf-8')
