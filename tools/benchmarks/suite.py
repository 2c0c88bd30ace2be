"""The benchmarks whose results docs/benchmarks.md shows."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from mmanchor.utils.errors import UserError
from mmanchor.utils.files import PathLike, make_folder
from mmanchor.utils.progress import Track, silently

_ATTENTION = 'scaling --parts attention --rounds 30 --budget-seconds 45'
_SWIN = 'mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py'
# The words after `mmanchor benchmark`, by the folder of the results.
SUITE = {
    'attention': _ATTENTION,
    'huge-pages': _ATTENTION,
    'trunk': 'scaling --parts trunk --tokens 196 1024 4096 16384 --rounds 7 --budget-seconds 150',
    'training-step': 'scaling --parts attention --backward --tokens 196 1024 4096 16384 '
    '--rounds 8 --budget-seconds 20',
    'detectors': 'latency mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py '
    'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py picodet_esnet-s_4xb80-300e_coco-416 '
    'picodet_anchorformer-t_coco picodet_anchorformer-s_coco '
    '--shape 416 --engines eager compile onnxruntime',
    'segmentors': f'latency {_SWIN} upernet_anchorformer_ade fpn_anchorformer_ade --rounds 6',
    'classifiers': 'latency deit-s_8xb128-300e_in1k-224 anchorformer-s_in1k '
    'levit-256_8xb256-1000e_in1k-224 anchor-levit-256_8xb256-1000e_in1k-224 '
    'sparsifiner-s_8xb128-300e_in1k-224 --engines eager compile onnxruntime --batch 1 8',
    'large': 'large --sides 2048 8192 16384 --rounds 6',
    'training': 'training',
    'papers': 'papers',
}
# Without huge pages, large results are made of pages of 4 kB in every call.
HUGE_PAGES = {'THP_MEM_ALLOC_ENABLE': '1'}
ENVIRONMENT = {'huge-pages': HUGE_PAGES}
_ROOT = Path(__file__).resolve().parents[2]


def run_suite(out_dir: PathLike, again: bool = False, track: Track = silently) -> list[Path]:
    """Run the benchmarks that have no results yet, each in its own process.

    Args:
        out_dir: Folder of the results, with a folder for each benchmark.
        again: Whether to run all of them.
        track: Shows progress, such as :func:`mmanchor.cli.progress.track`.

    Returns:
        The result files that were written, as JSON.

    Raises:
        UserError: If a benchmark ends in an error.
    """
    folder = make_folder(out_dir, '--out-dir')
    written = []
    for name, words in track(SUITE.items(), 'benchmarks'):
        if again or not result_file(folder, name).is_file():
            _run(name, words, folder / name)
            written.append(result_file(folder, name))
    return written


def result_file(folder: Path, name: str) -> Path:
    """The JSON file of a benchmark.

    Args:
        folder: Folder of the results.
        name: A name of :data:`SUITE`.
    """
    return folder / name / f'{SUITE[name].split()[0]}.json'


def _run(name: str, words: str, out_dir: Path) -> None:
    command = [sys.executable, '-m', 'mmanchor', 'benchmark', *shlex.split(words)]
    command += ['--out-dir', str(out_dir)]
    env = dict(os.environ, **ENVIRONMENT.get(name, {}))
    # Also runs from a checkout that is not installed.
    env['PYTHONPATH'] = os.pathsep.join([str(_ROOT), *filter(None, [env.get('PYTHONPATH')])])
    done = subprocess.run(command, stdout=subprocess.DEVNULL, env=env)
    if done.returncode:
        raise UserError(f'{shlex.join(command[1:])} ended in an error, which is printed above')
