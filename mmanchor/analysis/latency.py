"""How long networks take, each in every engine, in one interleaved run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..runtime.sessions import is_exported
from ..utils.config import load_config, toolbox
from ..utils.errors import UserError
from ..utils.progress import Track, silently
from .complexity import default_size
from .engines import TOLERANCES, Call, Engine, EngineError, find_engines, graphed, start_engine
from .exported_files import prepare_exported
from .memory import peak_memory
from .networks import FORMS, Network, build_network, segment
from .provenance import describe, measured
from .report import count_of, markdown_table, short_name
from .timing import interleave, interval_of, summarize

# Calls of one engine are repeated for so long within a round: the threads of
# the engine before it keep spinning for a while, and would slow a short call.
MIN_SECONDS = 0.1
# What `mode='tensor'` runs in each toolbox.
_TIMED = {
    'mmdet': 'backbone, neck and head, to the raw maps of classes and boxes',
    'mmseg': 'backbone, neck and decode head, to logits at the resolution of the head',
    'mmpretrain': 'backbone, neck and head, to the logits of the classes',
}


@dataclass(frozen=True)
class LatencyOptions:
    """How networks are timed.

    Args:
        engines: Names of :data:`~mmanchor.analysis.engines.ENGINES`, or
            engines of your own.
        batches: Numbers of images in a call.
        size: (H, W) of the images, in pixels; ``None`` takes what each
            config is usually counted at.
        rounds: How often each call is timed.
        device: 'cpu' or 'cuda'.
        dtype: 'float32', 'bfloat16' or 'float16'.
        form: 'deploy', where a model has this form, or 'training'.
        channels_last: Whether weights and images are stored with their
            channels last, which makes some kernels of torch faster.
        cuda_graph: Whether calls on a GPU are recorded and replayed.
        threads: Of a CPU; ``None`` takes torch's.
        cfg_options: Overrides of every config.

    Raises:
        UserError: If a value is out of its range, or an engine or a GPU is
            missing.
    """

    engines: tuple[str | Engine, ...] = ('eager',)
    batches: tuple[int, ...] = (1,)
    size: tuple[int, int] | None = None
    rounds: int = 20
    device: str = 'cpu'
    dtype: str = 'float32'
    form: str = 'deploy'
    channels_last: bool = False
    cuda_graph: bool = False
    threads: int | None = None
    cfg_options: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        find_engines(self.engines)
        for name, choices in (('dtype', TOLERANCES), ('form', FORMS)):
            if getattr(self, name) not in choices:
                raise UserError(
                    f'--{name} takes one of {", ".join(choices)}, got {getattr(self, name)!r}'
                )
        numbers = dict(
            batch=self.batches,
            rounds=[self.rounds],
            shape=self.size or (),
            threads=() if self.threads is None else [self.threads],
        )
        for name, values in numbers.items():
            if any(value < 1 for value in values):
                raise UserError(f'--{name} must be at least 1, got {" ".join(map(str, values))}')
        if self.device != 'cpu' and not torch.cuda.is_available():
            raise UserError(f'--device {self.device}: torch finds no GPU; use cpu')
        if self.cuda_graph and self.device == 'cpu':
            raise UserError('--cuda-graph needs --device cuda')


def run_latency(
    configs: Sequence[str], options: LatencyOptions | None = None, track: Track = silently
) -> dict[str, Any]:
    """Time the networks of configs.

    Every combination of network, engine and batch size is a call; all calls
    take turns, round by round, in this process.

    Args:
        configs: Paths or names, as :func:`~mmanchor.utils.config.find_config`
            takes them; or exported files, which bring their own engine.
        options: How; ``None`` takes the defaults.
        track: Shows progress.

    Returns:
        ``measured``; ``timed``, what each toolbox's network is; ``rows``,
        a dict per config, engine and batch, with a ``reason`` if there is no
        time, else with ``median`` and ``p90`` in seconds, ``speedup``,
        ``low`` and ``high`` against the first row of the same batch that has
        a time, ``images_per_second``, ``difference`` from eager outputs,
        ``peak_memory`` in bytes (``None`` if not known) and ``best``,
        whether no engine of the config is faster; and ``best``, the rows of
        the best engines, compared with the first of these.

    Raises:
        UserError: If a config cannot be built.
    """
    options = options or LatencyOptions()
    threads = torch.get_num_threads()
    torch.set_num_threads(options.threads or threads)
    try:
        rows, calls = _prepare(configs, options, track)
        times = _times(calls, options, track)
        about = measured(
            options.device,
            packages=_versions(options),
            dtype=options.dtype,
            channels_last=options.channels_last,
            rounds=options.rounds,
        )
    finally:
        torch.set_num_threads(threads)
    toolboxes = dict.fromkeys(row.pop('toolbox') for row in rows)
    best = _judge(rows, times)
    return dict(
        measured=about,
        timed={name: _TIMED.get(name, 'everything that the file computes') for name in toolboxes},
        rows=rows,
        best=best,
    )


def _versions(options: LatencyOptions) -> dict[str, str]:
    versions: dict[str, str] = {}
    for engine in find_engines(options.engines):
        versions.update(engine.versions())
    return versions


def _prepare(
    configs: Sequence[str], options: LatencyOptions, track: Track
) -> tuple[list[dict[str, Any]], dict[int, Call]]:
    """Build every network and start every engine.

    Returns:
        A row for each config, engine and batch, without times; and the calls
        of those that run, by the number of the row.
    """
    rows: list[dict[str, Any]] = []
    calls: dict[int, Call] = {}
    for config in track(configs, 'building networks'):
        if is_exported(config):
            prepare_exported(config, options, rows, calls)
            continue
        cfg = load_config(config, options.cfg_options)
        size = options.size or default_size(cfg)
        network = build_network(cfg, size, options.form)
        dtype = getattr(torch, options.dtype)
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        network.to(options.device, dtype, memory_format=layout)
        for batch in options.batches:
            images = torch.randn(batch, 3, *size, device=options.device, dtype=dtype)
            images = images.contiguous(memory_format=layout)
            for engine in find_engines(options.engines):
                row = dict(
                    config=config,
                    toolbox=toolbox(cfg),
                    engine=engine.name,
                    batch=batch,
                    shape=list(size),
                    form=network.form,
                )
                call = _start(row, engine, network, images, options)
                if call is not None:
                    calls[len(rows)] = call
                rows.append(row)
    return rows, calls


def _start(
    row: dict[str, Any],
    engine: Engine,
    network: Network,
    images: torch.Tensor,
    options: LatencyOptions,
) -> Call | None:
    """Start an engine and write into the row what it needs, or why it fails."""
    try:
        call, row['difference'] = start_engine(engine, network, images)
        row['peak_memory'] = None
        if engine.name == 'eager':
            row['peak_memory'] = peak_memory(call, options.device)
            if row['batch'] == options.batches[0]:  # a test takes one image
                row['test_memory'] = _test_memory(row, network, images, options)
        return graphed(call) if options.cuda_graph else call
    except EngineError as error:
        row['reason'] = str(error)
    except torch.cuda.OutOfMemoryError as error:
        row['reason'] = str(error).splitlines()[0]
    return None


def _test_memory(
    row: dict[str, Any], network: Network, images: torch.Tensor, options: LatencyOptions
) -> int | None:
    """Peak memory of a segmentor's whole test of one image, in bytes."""
    if row['toolbox'] != 'mmseg':
        return None
    return peak_memory(lambda: segment(network.model, images[:1]), options.device)


def _times(calls: dict[int, Call], options: LatencyOptions, track: Track) -> dict[int, list[float]]:
    """Seconds of each call in each round, by the call's number."""
    if not calls:
        return {}
    names = {str(number): call for number, call in calls.items()}
    title = f'timing {count_of(len(calls), "call")}, {count_of(options.rounds, "round")}'
    for _ in track([0], title):
        times = interleave(names, options.rounds, device=options.device, min_seconds=MIN_SECONDS)
    return {int(name): each for name, each in times.items()}


def _judge(rows: list[dict[str, Any]], times: dict[int, list[float]]) -> list[dict[str, Any]]:
    """Write into rows what their times say, one batch size at a time.

    Returns:
        Copies of the rows of each config's best engine, compared with each
        other.
    """
    best = []
    for batch in dict.fromkeys(row['batch'] for row in rows):
        pairs = [
            (rows[number], each) for number, each in times.items() if rows[number]['batch'] == batch
        ]
        _compare(pairs)
        winners = []
        for config in dict.fromkeys(row['config'] for row, _ in pairs):
            row, each = min(
                (pair for pair in pairs if pair[0]['config'] == config),
                key=lambda pair: pair[0]['median'],
            )
            row['best'] = True
            winners.append((dict(row), each))
        _compare(winners)
        best += [row for row, _ in winners]
    return best


def _compare(pairs: list[tuple[dict[str, Any], list[float]]]) -> None:
    """Write into rows what their times say; speed-ups are to the first."""
    if not pairs:
        return
    timings = summarize({str(i): each for i, (_, each) in enumerate(pairs)})
    for (row, _), timing in zip(pairs, timings.values(), strict=True):
        row.update(
            asdict(timing),
            images_per_second=row['batch'] / timing.median,
            best=row.get('best', False),
        )


def latency_table(results: dict[str, Any]) -> str:
    """Render what :func:`run_latency` gave as Markdown.

    Args:
        results: What it returned, also after a trip through JSON.

    Returns:
        A table of all rows; one of the best engines, if there are several
        engines and configs; why rows have no time; what was timed, where and
        with what.
    """
    rows, best = results['rows'], results['best']
    parts = [_table(rows)] if any('median' in row for row in rows) else []
    if len({row['engine'] for row in rows}) > 1 and len({row['config'] for row in best}) > 1:
        parts.append('Each in its best engine:\n\n' + _table(best, mark=False))
    failed = [
        f'- {short_name(row["config"])}, {row["engine"]}, batch {row["batch"]}: {row["reason"]}\n'
        for row in rows
        if 'reason' in row
    ]
    if failed:
        parts.append('Not timed:\n\n' + ''.join(failed))
    tested = [
        f'{short_name(row["config"])} {row["test_memory"] / 1e6:.1f} MB'
        for row in rows
        if row.get('test_memory')
    ]
    if tested:
        parts.append(
            'Peak memory of the whole test of one image, resizing '
            f'and classes included: {", ".join(tested)}.\n'
        )
    parts.append(_notes(results))
    return '\n'.join(parts)


def _notes(results: dict[str, Any]) -> str:
    about = results['measured']
    timed = '; '.join(f'for {name}, {what}' for name, what in results['timed'].items())
    layout = ', channels last' if about['channels_last'] else ''
    return (
        f'Timed is the network without pre- and postprocessing: {timed}. Speed-ups are relative '
        'to the first row of the same batch size: medians of the ratios of '
        f'{count_of(about["rounds"], "round")}, in which all calls took turns '
        f'({interval_of(about["rounds"])} in brackets). The fastest engine of a config is bold. '
        'Memory is what torch allocated at its peak beyond weights and images; it is not known '
        f'for compiled programs and ONNX Runtime. {about["dtype"]}{layout}. {describe(about)}\n'
    )


def _table(rows: list[dict[str, Any]], mark: bool = True) -> str:
    """A table of those rows that have a time."""
    cells = []
    for row in rows:
        if 'median' not in row:
            continue
        engine, memory = row['engine'], row['peak_memory']
        cells.append(
            [
                short_name(row['config']),
                f'**{engine}**' if mark and row['best'] else engine,
                row['batch'],
                ' x '.join(map(str, row['shape'])),
                f'{row["median"] * 1e3:.2f}',
                f'{row["p90"] * 1e3:.2f}',
                f'{row["images_per_second"]:.1f}',
                f'{row["speedup"]:.3g} ({row["low"]:.3g} to {row["high"]:.3g})',
                'not known' if memory is None else f'{memory / 1e6:.1f}',
            ]
        )
    return markdown_table(
        (
            'config',
            'engine',
            'batch:',
            'pixels:',
            'median of a call (ms):',
            'p90 (ms):',
            'images/s:',
            'speed-up:',
            'memory (MB):',
        ),
        cells,
    )


def latency_figure(results: dict[str, Any]) -> Any:
    """Draw what :func:`run_latency` gave, a bar for each row.

    Args:
        results: What it returned.

    Returns:
        A figure of matplotlib: median times per image in milliseconds, with
        a line to the 90th percentile.
    """
    from matplotlib.figure import Figure

    rows = [row for row in results['rows'] if 'median' in row]
    engines = list(dict.fromkeys(row['engine'] for row in rows))
    figure = Figure(figsize=(8, 1.2 + 0.35 * len(rows)), layout='constrained')
    axes = figure.subplots()
    for index, row in enumerate(rows):
        per_image = 1e3 / row['batch']
        bar = axes.barh(
            index,
            row['median'] * per_image,
            xerr=[[0], [(row['p90'] - row['median']) * per_image]],
            color=f'C{engines.index(row["engine"])}',
        )
        axes.bar_label(bar, fmt='%.1f', padding=3, fontsize=8)
    axes.set_yticks(
        range(len(rows)),
        [f'{short_name(row["config"])}, {row["engine"]}, batch {row["batch"]}' for row in rows],
        fontsize=7,
    )
    axes.invert_yaxis()
    axes.margins(x=0.25, y=0.02)
    axes.set_xlabel('ms per image; line: 90th percentile')
    return figure
