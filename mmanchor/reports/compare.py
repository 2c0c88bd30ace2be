"""Two models side by side, on the same images."""

from itertools import zip_longest
from pathlib import Path

import numpy as np

from ..utils.errors import UserError
from ..utils.files import PathLike, make_folder
from . import charts
from .analysis import SCORE_THR, Analysis, Section, Table, analyze
from .page import NUM_IMAGES, render, write_page
from .pictures import cards
from .records import Record, load_record
from .runs import run_sections

RESAMPLES = 500
FEWEST_IMAGES, _MOST_LINES = 5, 30
_OTHER_TRUTH = 'the truth in {!r} and in {!r} differs: test again'


def compare_reports(
    first: PathLike,
    second: PathLike,
    folder: PathLike,
    score_thr: float = SCORE_THR,
    num_images: int = NUM_IMAGES,
    resamples: int = RESAMPLES,
    image_root: str = '',
) -> Path:
    """Write a page on the differences of two reports.

    Args:
        first, second: Folders of reports, A and B, of the same images.
        folder: Where to; it is created.
        score_thr: As :func:`~mmanchor.reports.page.write_report` has it.
        num_images: How many of the images that changed most are shown, half
            of them better and half worse.
        resamples: Number of bootstrap samples.
        image_root: A folder for image files whose names are relative.

    Returns:
        The page, ``index.html``.

    Raises:
        UserError: If the reports are of different tasks, classes or images, or
            ``folder`` is one of them.
    """
    records = [load_record(first), load_record(second)]
    _require_same(records, [str(first), str(second)])
    out = make_folder(folder, '--out-dir')
    if out.resolve() in (Path(first).resolve(), Path(second).resolve()):
        raise UserError(f'--out-dir {str(folder)!r} is one of the reports; give another folder')
    a, b = (analyze(record, score_thr) for record in records)
    # Of masks the truth is known by its counts alone.
    if not np.array_equal(a.class_counts, b.class_counts):
        raise UserError(_OTHER_TRUTH.format(str(first), str(second)))
    low, high = bootstrap(a, b, resamples)
    return write_page(out, _render(a, b, low, high, num_images, image_root, resamples))


def _require_same(records: list[Record], names: list[str]) -> None:
    a, b = records
    if a.task != b.task:
        raise UserError(f'{names[0]!r} is a report of {a.task}, and {names[1]!r} of {b.task}')
    if a.classes != b.classes:
        raise UserError(
            f'{names[0]!r} and {names[1]!r} have other classes ({len(a.classes)} and '
            f'{len(b.classes)}): test both with the same data'
        )
    files = [[Path(file).name for file in each.images] for each in records]
    differing = next((pair for pair in zip_longest(*files) if pair[0] != pair[1]), None)
    if differing:
        raise UserError(
            f'{names[0]!r} and {names[1]!r} are of other images ({len(files[0])} and '
            f'{len(files[1])}, such as {differing[0]!r} and {differing[1]!r}): test both with the '
            'same data'
        )
    for name in ('truth', 'truth_label', 'truth_box'):
        truths = [each.arrays.get(name) for each in records]
        if truths[0] is not None and not np.array_equal(*truths):
            raise UserError(_OTHER_TRUTH.format(*names))


def bootstrap(a: Analysis, b: Analysis, resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of B - A over images, each drawn as often for A as for B.

    Args:
        a, b: Analyses of the same images.
        resamples: How often images are drawn.

    Returns:
        Lower and upper ends, (K + 1,) each, as ``weighted`` has the scores;
        NaN for a class in fewer than five images, about which they say nothing.
    """
    random = np.random.default_rng(0)
    count = len(a.record.images)
    drawn = []
    for _ in range(resamples):
        weights = random.multinomial(count, np.full(count, 1 / count)).astype(float)
        drawn.append(b.weighted(weights) - a.weighted(weights))
    values = np.array(drawn)
    known = np.append(a.class_images >= FEWEST_IMAGES, True)
    # Without any truth there is no mean either.
    known &= ~np.isnan(values).all(0)
    ends = np.full((2, values.shape[1]), np.nan)
    ends[:, known] = np.nanpercentile(values[:, known], (2.5, 97.5), axis=0)
    return ends[0], ends[1]


def _render(
    a: Analysis, b: Analysis, low: np.ndarray, high: np.ndarray, num_images: int,
    image_root: str, resamples: int,
) -> str:  # fmt: skip
    scores = np.stack((a.weighted(), b.weighted()), 1)
    change = scores[:, 1] - scores[:, 0]
    head = ['A', 'B', 'B - A', 'from', 'to', 'sure']
    columns = (*scores.T, change, low, high)
    sure = np.where(low > 0, 'better', np.where(high < 0, 'worse', '-')).tolist()
    rows = [
        [name, int(count), *(float(each[k]) for each in columns), sure[k]]
        for k, (name, count) in enumerate(zip(a.classes, a.class_counts, strict=True))
    ]
    main = [a.main_score, *(float(each[-1]) for each in columns), sure[-1]]
    others = [
        [name, value, b.headline[name], b.headline[name] - value, np.nan, np.nan, '']
        for name, value in a.headline.items()
        if name != a.main_score
    ]
    said = {
        'better': f'B is better: its {a.main_score} is higher in at least 97.5 % of the samples.',
        'worse': f'A is better: its {a.main_score} is higher in at least 97.5 % of the samples.',
        '-': f'The difference in {a.main_score} may be chance: its interval holds 0.',
    }
    return render(
        'compare.html',
        title=_title(a, b),
        subtitle=f'{a.record.task}, {len(a.record.images)} images, {len(a.classes)} classes',
        names=[f'{_name(each)} ({each.record.run.get("checkpoint", "")})' for each in (a, b)],
        verdict=said[sure[-1]],
        scores=Table(['score', *head], [main, *others]),
        class_text=f'{a.class_score}{" (%)" if a.unit else ""} of each class. The interval is of '
        f'95 %, from {resamples} bootstrap samples of the images, the same for A and B; '
        '"sure" says whether it is on one side of 0. With many classes some are so by chance; a '
        f'class in fewer than {FEWEST_IMAGES} images has none.',
        table=Table(['class', a.counted, *head], rows),
        show=a.show,
        sections=[_differences(a, change[:-1], low, high), *_kinds(a, b)],
        about=_costs(a, b),
        groups=_changed(a, b, num_images, image_root),
        legend=a.legend(),
        image_text=a.image_text('A and B'),
    )


def _title(a: Analysis, b: Analysis) -> str:
    """Both by their configs; of one config by their weights."""
    names = [_name(a), _name(b)]
    if names[0] == names[1]:
        names = [
            Path(each.record.run.get('checkpoint') or '').stem or n
            for each, n in zip((a, b), 'AB', strict=True)
        ]
    return ' and '.join(names)


def _name(analysis: Analysis) -> str:
    return Path(analysis.record.run.get('config') or analysis.record.task).stem


def _differences(a: Analysis, change: np.ndarray, low: np.ndarray, high: np.ndarray) -> Section:
    """The classes that differ most, as lines."""
    known = np.nonzero(~np.isnan(change) & ~np.isnan(low[:-1]))[0]
    order = known[np.argsort(-np.abs(change[known]), kind='stable')][:_MOST_LINES]
    order = order[np.argsort(-change[order], kind='stable')]
    values = (each[order] * a.factor for each in (change, low, high))
    text = 'Gray lines hold 0.'
    if len(change) > _MOST_LINES:
        text = f'The {_MOST_LINES} classes that differ most. {text}'
    chart = charts.intervals([a.classes[k] for k in order], *values)
    return Section('Differences', text, [chart] if len(order) else [])


def _kinds(a: Analysis, b: Analysis) -> list[Section]:
    """Detection: what each kind of error costs both."""
    if a.record.task != 'detection':
        return []
    gains, others = (each.error_costs()[0] for each in (a, b))
    names = list(gains)
    chart = charts.bars(
        names, [gains[n] for n in names], 'AP50 that would be gained', [others[n] for n in names]
    )
    return [Section('Errors that cost AP', 'By kind of error (TIDE).', [chart])]


def _costs(a: Analysis, b: Analysis) -> list[Section]:
    out = []
    for name, each in (('A', a), ('B', b)):
        for part in run_sections(each.record.run):
            part.title = f'{part.title} of {name}'
            out.append(part)
    return sorted(out, key=lambda part: part.title)


def _changed(
    a: Analysis, b: Analysis, number: int, image_root: str
) -> list[tuple[str, list[dict]]]:
    """The images that B does much better, and much worse."""
    change = np.nan_to_num(b.image_scores - a.image_scores)
    order = np.argsort(-change, kind='stable')
    better = [int(k) for k in order if change[k] > 0][: (number + 1) // 2]
    worse = [int(k) for k in order[::-1] if change[k] < 0][: (number + 1) // 2]
    groups = (('Better in B', better), ('Worse in B', worse))
    return [(title, cards([a, b], indices, image_root)) for title, indices in groups]
