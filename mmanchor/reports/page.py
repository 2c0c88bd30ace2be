"""Pages: one HTML file each, which holds its pictures and needs no network."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined

from ..utils.files import PathLike, make_folder, replacing
from .analysis import SCORE_THR, Analysis, analyze
from .pictures import cards, worst_and_best
from .records import Record
from .runs import run_sections

PAGE, NUM_IMAGES = 'index.html', 20


def write_report(
    record: Record,
    folder: PathLike,
    score_thr: float = SCORE_THR,
    num_images: int = NUM_IMAGES,
    image_root: str = '',
) -> Path:
    """Write a page, and beside it what it is made from.

    Args:
        record: What a test kept.
        folder: Where to; it is created.
        score_thr: Detection: lowest score of the boxes that are drawn and
            counted in the confusion matrix.
        num_images: How many of the worst and of the best images are shown.
        image_root: A folder for image files whose names are relative.

    Returns:
        The page, ``index.html``.

    Raises:
        UserError: If ``folder`` cannot be written to.
    """
    out = make_folder(folder, '--report')
    # First what took long: the page can be made again from it.
    record.save(out)
    return write_page(out, _render_report(analyze(record, score_thr), num_images, image_root))


def write_page(folder: Path, text: str) -> Path:
    """Write ``index.html`` whole."""
    with replacing(folder / PAGE) as part:
        part.write_text(text, encoding='utf-8', errors='replace')
    return folder / PAGE


def _render_report(analysis: Analysis, num_images: int, image_root: str) -> str:
    record = analysis.record
    groups = [
        (title, cards([analysis], indices, image_root))
        for title, indices in zip(
            ('Worst images', 'Best images'), worst_and_best(analysis, num_images), strict=True
        )
    ]
    return render(
        'report.html',
        title=Path(record.run.get('config') or record.task).stem,
        subtitle=f'{record.task}, {len(record.images)} images, {len(record.classes)} classes',
        headline=[(name, analysis.show(value)) for name, value in analysis.headline.items()],
        printed=[(name, _number(value)) for name, value in record.scores.items()],
        table=analysis.table,
        show=analysis.show,
        unit=analysis.unit,
        sections=analysis.sections(),
        about=run_sections(record.run),
        groups=groups,
        legend=analysis.legend(),
        class_text='',
        image_text=analysis.image_text('the prediction'),
    )


def _number(value: Any) -> str:
    return f'{value:g}' if isinstance(value, float) else str(value)


def render(name: str, **values: Any) -> str:
    """Fill a template; every value is escaped.

    Args:
        name: Of a file in ``templates``.
        values: What it shows.
    """
    folder = files(__package__) / 'templates'
    sources = {each.name: each.read_text(encoding='utf-8') for each in folder.iterdir()}
    environment = Environment(
        loader=DictLoader(sources),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**values)
