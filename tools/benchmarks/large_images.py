"""One image of many megapixels: the plain forward, and the forward in bands.

Each forward runs in its own process. Memory is the peak of the process as the
system reports it: interpreter, torch, model, image and result included.
"""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from mmanchor.analysis.provenance import describe, measured
from mmanchor.analysis.report import markdown_table
from mmanchor.analysis.timing import MIN_ROUNDS, interleave, interval_of, summarize
from mmanchor.models.backbones import AnchorFormer
from mmanchor.utils.progress import Track, silently
from tools.benchmarks.memory import machine_memory, process_peak

FORMS = ('plain', 'in bands')
# Sides at which both forms run in turn, for their ratio and difference.
COMPARED = (1024,)
_PATCH = 16


def run_large(
    sides: Sequence[int] = (2048, 4096, 8192, 16384),
    chunk_tokens: int = 2048,
    arch: str = 'small',
    max_memory: float | None = None,
    rounds: int = MIN_ROUNDS,
    track: Track = silently,
) -> dict[str, Any]:
    """Measure time and memory of the backbone on square images.

    Args:
        sides: Sides of the images in pixels, increasing.
        chunk_tokens: Tokens of a band.
        arch: Size of :class:`~mmanchor.models.AnchorFormer`, in deploy form.
        max_memory: Bytes that a process may need. Images that are expected to
            need more, judged by smaller ones or by a formula, are left out.
            ``None`` takes half of the machine's memory.
        rounds: Rounds of the comparison of both forms.
        track: Shows progress, such as :func:`mmanchor.cli.progress.track`.

    Returns:
        ``measured``; ``rows`` with ``side``, ``tokens``, ``form``,
        ``seconds`` of one forward, ``bytes`` (peak of the process),
        ``fixed_bytes`` (the peak before the image), ``image_bytes`` and
        ``skipped`` (``None``, or why there are no numbers); ``compared``, at
        smaller sides, with ``ratio`` (time in bands over time of the plain
        forward, with ``low`` and ``high``) and ``difference`` (largest, of
        the outputs).
    """
    limit = machine_memory('cpu') / 2 if max_memory is None else max_memory
    rows: list[dict[str, Any]] = []
    steps = [(side, form) for side in sides for form in FORMS]
    for side, form in track(steps, 'large images'):
        row = dict(
            side=side,
            tokens=(-(-side // _PATCH)) ** 2,
            form=form,
            image_bytes=3 * 4 * side**2,
            seconds=None,
            bytes=None,
            skipped=_objection(rows, arch, side, form, limit),
        )
        if row['skipped'] is None:
            chunk = chunk_tokens if form == FORMS[1] else None
            row.update(_outcome(arch, side, chunk))
        rows.append(row)
    return dict(
        measured=measured(arch=arch, chunk_tokens=chunk_tokens, rounds=rounds),
        rows=rows,
        compared=[compare(arch, side, chunk_tokens, rounds) for side in COMPARED],
    )


def _objection(
    rows: list[dict[str, Any]], arch: str, side: int, form: str, limit: float
) -> str | None:
    """Why a forward is left out, judged by smaller images."""
    smaller = [row for row in rows if row['form'] == form]
    done = [row for row in smaller if row['bytes']]
    if done:
        last = done[-1]
        # Interpreter, libraries and weights do not grow.
        grown = last['bytes'] - last['fixed_bytes']
        need = last['fixed_bytes'] + grown * (side / last['side']) ** 2
    else:
        need = least_memory(arch, side, form)
    if need > limit:
        return f'would need about {need / 1e9:.3g} GB, over the {limit / 1e9:.3g} GB allowed'
    if len(done) < len(smaller):
        failed = smaller[len(done)]['side']  # later ones were not tried
        return f'not tried, as {failed} x {failed} pixels gave nothing'
    return None


def least_memory(arch: str, side: int, form: str) -> int:
    """Least bytes that a forward holds at once, libraries left out.

    Beside the image, the plain forward holds the tokens, their residual sum,
    and the MLP's hidden layer before and after its GELU. In bands it holds
    the tokens and their assignments to anchors, half as much.

    Args:
        arch: A size of :class:`~mmanchor.models.AnchorFormer`.
        side: Of the image, in pixels.
        form: One of :data:`FORMS`.

    Example:
        >>> least_memory('small', 8192, 'in bands') / 1e9
        1.409286144
    """
    settings = AnchorFormer.arch_settings[arch]
    times = 2 + 2 * settings['mlp_ratio'] if form == FORMS[0] else 1.5
    tokens = (-(-side // _PATCH)) ** 2 * settings['embed_dims'] * 4
    return 3 * 4 * side**2 + int(times * tokens)


def _outcome(arch: str, side: int, chunk_tokens: int | None) -> dict:
    """What :func:`forward_once` gives, or ``skipped``, why it fails."""
    try:
        return in_own_process(forward_once, arch, side, chunk_tokens)
    # Out of memory, in torch or in Python; or the system killed the process,
    # which raises BrokenProcessPool, a RuntimeError too.
    except (RuntimeError, MemoryError) as error:
        first = (str(error).splitlines() or [''])[0]
        return dict(skipped=f'{type(error).__name__}: {first}')


def in_own_process(call: Callable, *args: Any) -> Any:
    """Run ``call(threads, *args)`` in a new process.

    Args:
        call: A function of a module.
        *args: Its arguments after the number of torch's threads.

    Returns:
        What it returns.
    """
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(call, torch.get_num_threads(), *args).result()


def forward_once(threads: int, arch: str, side: int, chunk_tokens: int | None) -> dict[str, Any]:
    """Run one forward of one image; the process should end after it.

    Args:
        threads: Threads that torch may use.
        arch, side: As :func:`run_large` has them.
        chunk_tokens: Tokens of a band; ``None`` is the plain forward.

    Returns:
        ``seconds``; ``bytes``, the peak of this process so far; and
        ``fixed_bytes``, the peak before there was an image.
    """
    torch.set_num_threads(threads)
    model = _build(arch, chunk_tokens)
    fixed = process_peak()
    image = torch.rand(1, 3, side, side)
    with torch.no_grad():
        start = time.perf_counter()
        model(image)
        seconds = time.perf_counter() - start
    return dict(seconds=seconds, bytes=process_peak(), fixed_bytes=fixed)


def compare(arch: str, side: int, chunk_tokens: int, rounds: int) -> dict[str, Any]:
    """Run both forms in turn on one image.

    Args:
        arch, side, chunk_tokens, rounds: As :func:`run_large` has them.

    Returns:
        A row of ``compared``.
    """
    forms = [_build(arch, chunk) for chunk in (None, chunk_tokens)]
    image = torch.rand(1, 3, side, side)
    with torch.no_grad():
        plain, bands = (form(image)[0] for form in forms)
        times = interleave(
            {name: lambda form=form: form(image) for name, form in zip(FORMS, forms, strict=True)},
            rounds,
        )
    timing = summarize(times)[FORMS[1]]
    return dict(
        side=side,
        ratio=1 / timing.speedup,
        low=1 / timing.high,
        high=1 / timing.low,
        difference=float((plain - bands).abs().max()),
        largest=float(plain.abs().max()),
    )


def _build(arch: str, chunk_tokens: int | None) -> AnchorFormer:
    """The backbone in deploy form, with the same weights each time."""
    torch.manual_seed(0)
    model = AnchorFormer(arch, chunk_tokens=chunk_tokens).eval()
    for name, param in model.named_parameters():
        # DeiT's initialization, without the logs of MMEngine's.
        if param.dim() > 1 and not name.endswith('anchors'):
            torch.nn.init.trunc_normal_(param, std=0.02)
    model.switch_to_deploy()
    return model


def large_table(results: dict[str, Any]) -> str:
    """Render the results as Markdown.

    Args:
        results: From :func:`run_large`.
    """
    head = (
        'image',
        'tokens:',
        'forward',
        'time:',
        'peak memory:',
        'before the image:',
        'the image:',
    )
    rows = []
    for row in results['rows']:
        cells = [f'{row["side"]} x {row["side"]}', row['tokens'], row['form']]
        cells += (
            [row['skipped'], '', '', '']
            if row['skipped']
            else [
                f'{row["seconds"]:.1f} s',
                *(f'{row[key] / 1e9:.2f} GB' for key in ('bytes', 'fixed_bytes', 'image_bytes')),
            ]
        )
        rows.append(cells)
    compared = [
        (
            f'{row["side"]} x {row["side"]}',
            f'{row["ratio"]:.2f} ({row["low"]:.2f} to {row["high"]:.2f})',
            f'{row["difference"]:.1e}',
            f'{row["largest"]:.1f}',
        )
        for row in results['compared']
    ]
    about = results['measured']
    forms = markdown_table(
        [
            'image',
            f'time in bands / plain, in turn ({interval_of(about["rounds"])}):',
            'largest difference of outputs:',
            'largest output:',
        ],
        compared,
    )
    return (
        f'{markdown_table(head, rows)}\n{forms}\n'
        'Time is that of the first forward of a new process, and memory the peak of this '
        f'process; on the CPU, float32. {describe(about)}\n'
    )
