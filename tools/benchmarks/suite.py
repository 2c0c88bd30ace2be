"""Every benchmark that the documents tell of, and the document itself."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mmanchor.analysis.report import markdown_table
from mmanchor.utils.errors import UserError
from mmanchor.utils.files import PathLike, make_folder, read_json, replacing
from mmanchor.utils.progress import Track, silently
from tools.benchmarks.goals import goals_table, measured_goals
from tools.benchmarks.scaling_report import format_seconds

_SWIN = 'mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py'
_ATTENTION = ['scaling', '--parts', 'attention', '--rounds', '30', '--budget-seconds', '45']
# The words after `mmanchor benchmark`, by the folder for their results.
SUITE: dict[str, list[str]] = {
    'attention': _ATTENTION,
    'huge-pages': _ATTENTION,
    'trunk': [
        'scaling',
        '--parts',
        'trunk',
        '--tokens',
        '196',
        '1024',
        '4096',
        '16384',
        '--rounds',
        '7',
        '--budget-seconds',
        '150',
    ],
    'training-step': [
        'scaling',
        '--parts',
        'attention',
        '--backward',
        '--tokens',
        '196',
        '1024',
        '4096',
        '16384',
        '--rounds',
        '8',
        '--budget-seconds',
        '20',
    ],
    'detectors': [
        'latency',
        'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
        'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py',
        'picodet_esnet-s_4xb80-300e_coco-416',
        'picodet_anchorformer-t_coco',
        'picodet_anchorformer-s_coco',
        '--shape',
        '416',
        '--engines',
        'eager',
        'compile',
        'onnxruntime',
    ],
    'segmentors': [
        'latency',
        _SWIN,
        'upernet_anchorformer_ade',
        'fpn_anchorformer_ade',
        '--rounds',
        '6',
    ],
    'classifiers': [
        'latency',
        'deit-s_8xb128-300e_in1k-224',
        'anchorformer-s_in1k',
        'levit-256_8xb256-1000e_in1k-224',
        'anchor-levit-256_8xb256-1000e_in1k-224',
        'sparsifiner-s_8xb128-300e_in1k-224',
        '--engines',
        'eager',
        'compile',
        'onnxruntime',
        '--batch',
        '1',
        '8',
    ],
    'large': ['large', '--sides', '2048', '8192', '16384', '--rounds', '6'],
    'training': ['training'],
    'papers': ['papers'],
}
# Without huge pages every call of a large size first pays for its pages, one
# by one, which small sizes do not.
HUGE_PAGES = {'THP_MEM_ALLOC_ENABLE': '1'}
ENVIRONMENT: dict[str, dict[str, str]] = {'huge-pages': HUGE_PAGES}
# The folder that the package lies in.
_ROOT = Path(__file__).resolve().parents[2]
DOCUMENT_HEAD = '# Benchmarks\n\n'


def run_suite(out_dir: PathLike, again: bool = False, track: Track = silently) -> Path:
    """Run what is missing, each in its own process, and write the document.

    Args:
        out_dir: Folder for the results, a folder for each benchmark.
        again: Whether to run also what is there already.
        track: Shows progress, such as :func:`mmanchor.cli.progress.track`.

    Returns:
        The document (see :func:`write_document`).

    Raises:
        UserError: If a benchmark ends in an error, or there is no place for
            the document.
    """
    folder = make_folder(out_dir, '--out-dir')
    _check_document(folder)
    for name, words in track(SUITE.items(), 'benchmarks'):
        if again or not result_file(folder, name).is_file():
            command = [sys.executable, '-m', 'mmanchor', 'benchmark', *words]
            command += ['--out-dir', str(folder / name)]
            env = dict(os.environ, **ENVIRONMENT.get(name, {}))
            # A checkout that is not installed runs, too.
            env['PYTHONPATH'] = os.pathsep.join(
                [str(_ROOT), *filter(None, [env.get('PYTHONPATH')])]
            )
            done = subprocess.run(command, stdout=subprocess.DEVNULL, env=env)
            if done.returncode:
                raise UserError(
                    f'{" ".join(command[1:])} ended in an error, which is printed above'
                )
    return write_document(folder)


def result_file(folder: Path, name: str) -> Path:
    """Where the results of a benchmark of :data:`SUITE` lie."""
    return folder / name / f'{SUITE[name][0]}.json'


def read_results(folder: Path) -> dict[str, Any]:
    """Results by name, of those benchmarks of :data:`SUITE` that ran."""
    return {
        name: read_json(result_file(folder, name))
        for name in SUITE
        if result_file(folder, name).is_file()
    }


def document_path(folder: Path) -> Path:
    """The document: beside the folder, its name with .md added."""
    # Made whole first, as '.' has no name. A link keeps its own.
    whole = Path(os.path.abspath(folder))
    return whole.with_name(f'{whole.name}.md')


def _check_document(folder: Path) -> None:
    """Refuse, before hours of work, a folder with no place beside it."""
    advice = 'give another --out-dir, as the document goes beside it'
    if not Path(os.path.abspath(folder)).name:
        raise UserError(f'--out-dir {str(folder)!r} has no folder around it; {advice}')
    document = document_path(folder)
    if document.is_dir():
        raise UserError(f'{str(document)!r} is a folder; {advice}')
    make_folder(document.parent, 'the folder around --out-dir,')


def write_document(folder: Path) -> Path:
    """Write the document beside the folder of the results.

    Args:
        folder: Where the results are. Its ``template.md``, if there is one,
            is the text: a line ``<!-- include NAME -->`` stands for the
            Markdown file NAME in the folder, ``<!-- goals -->`` for the
            goals and ``<!-- summary -->`` for :func:`summary_table`; within
            a line ``<!-- figure SOURCE TOKENS NAME -->`` stands for how many
            times faster than softmax NAME is in the scaling benchmark SOURCE,
            and with ``exponent`` for TOKENS, for its exponent of time.
            Without one the document is all tables and plots.

    Returns:
        The document (see :func:`document_path`).
    """
    document = document_path(folder)
    with replacing(document) as part:
        part.write_text(render(folder), encoding='utf-8')
    return document


def render(folder: Path) -> str:
    """The text that :func:`write_document` writes."""
    template = folder / 'template.md'
    text = template.read_text(encoding='utf-8') if template.is_file() else _default_template(folder)
    results = read_results(folder)

    def fill(match: 're.Match') -> str:
        what = match[1].split()
        if what[0] == 'goals':
            return goals_table(measured_goals(results))
        if what[0] == 'summary':
            return summary_table(results)
        file = folder / what[1]
        if not file.is_file():
            return f'`{what[1]}` is not measured yet.\n'
        return file.read_text(encoding='utf-8').rstrip('\n') + '\n'

    text = re.sub(r'<!-- (goals|summary|include \S+) -->\n', fill, text)
    return re.sub(
        r'<!-- figure (\S+) (\d+|exponent) (.+?) -->',
        lambda match: _figure(results, *match.groups()),
        text,
    )


def _figure(results: dict[str, Any], source: str, what: str, name: str) -> str:
    """How many times faster than softmax at a size; or the exponent."""
    if source not in results:
        return 'not measured'
    if what == 'exponent':
        found = [(row['seconds'], '') for row in results[source]['exponents']
                 if row['name'] == name]  # yapf: disable
    else:
        found = [
            (row['speedup'], 'x')
            for row in results[source]['rows']
            if (row['name'], row['tokens']) == (name, int(what))
        ]
    number, unit = found[0] if found else (None, '')
    return 'not measured' if number is None else f'{number:.3g}{unit}'


def _default_template(folder: Path) -> str:
    parts = [DOCUMENT_HEAD, '<!-- goals -->\n']
    beside = document_path(folder).stem
    for name, words in SUITE.items():
        parts.append(f'\n## {name}\n\n<!-- include {name}/{words[0]}.md -->\n')
        if (folder / name / f'{words[0]}.png').is_file():
            parts.append(f'\n![{name}]({beside}/{name}/{words[0]}.png)\n')
    return ''.join(parts)


def summary_table(results: dict[str, Any]) -> str:
    """The attentions' times, for a README.

    Args:
        results: What :func:`read_results` gave.

    Returns:
        Markdown: how many times faster than softmax each attention and our
        trunk are, by the number of tokens.
    """
    parts = [results[name] for name in ('attention', 'trunk')
             if name in results]  # yapf: disable
    if not parts:
        return 'Nothing is measured yet.\n'
    sizes = sorted({size for part in parts for size in part['tokens']})
    rows: dict[str, dict[int, str]] = {}
    for row in (row for part in parts for row in part['rows']):
        if row['kind'] == 'bound':
            continue
        name = f'{row["part"]}: {row["name"]}'
        cell = '–' if not row['speedup'] else f'{row["speedup"]:.3g}x'
        if not row['skipped'] and not row['speedup']:
            cell = format_seconds(row['seconds'])
        rows.setdefault(name, {})[row['tokens']] = cell
    head = ['times faster than softmax, at tokens', *(f'{n}:' for n in sizes)]
    return markdown_table(
        head, ([name, *(cells.get(size, '–') for size in sizes)] for name, cells in rows.items())
    )
