"""The paper's ablations at a small scale: each row is trained, scored and timed."""

import hashlib
import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict

from mmanchor.analysis.provenance import provenance
from mmanchor.apis.train import train_model
from mmanchor.demo.steps import console_to
from mmanchor.utils.errors import UserError
from mmanchor.utils.files import PathLike, make_folder, read_json, write_json
from mmanchor.utils.progress import Track, silently
from tools.studies.digits.costs import measure_costs
from tools.studies.digits.rows import ROWS

METRIC = 'val/accuracy/top1'


@dataclass
class Run:
    """One training of a row.

    Args:
        row: Name of the row.
        seed: Of weights, order and augmentation.
        epochs: Length of the training.
        recipe: Digest of the row's config; a run with another digest is
            trained again.
        commit: Of the code that trained it.
        accuracy: Top-1 on the test images (percent).
        loss: Training loss, averaged over the last epoch.
        minutes: Duration of the training.
    """

    row: str
    seed: int
    epochs: int
    recipe: str
    commit: str
    accuracy: float
    loss: float
    minutes: float


def run_ablation(
    out_dir: PathLike,
    rows: Sequence[str] = tuple(ROWS),
    num_seeds: int = 3,
    epochs: int = 20,
    jobs: int = 2,
    track: Track = silently,
) -> dict[str, Any]:
    """Train rows of the ablations and measure what they cost.

    Each run's result is kept in ``out_dir/runs``: a stopped ablation resumes,
    and more seeds or rows only train what is missing. A row whose config has
    changed is trained again.

    Args:
        out_dir: Folder for the results; ``results.json`` holds all.
        rows: Names of :data:`~tools.studies.digits.rows.ROWS`.
        num_seeds: How often each is trained, with the seeds from 0.
        epochs: Length of each training.
        jobs: Processes that train at once, of one thread each.
        track: Shows progress, such as :func:`mmanchor.cli.progress.track`.

    Returns:
        ``rows``, each with the fields of its
        :class:`~tools.studies.digits.rows.Row`, ``runs`` and ``cost`` (see
        :func:`~tools.studies.digits.costs.measure_costs`), and ``measured``
        (see :func:`~mmanchor.analysis.provenance.provenance`).

    Raises:
        UserError: If an argument is out of range, or scikit-learn is missing.
    """
    rows = list(dict.fromkeys(rows))
    _check(rows, num_seeds, epochs, jobs)
    folder = make_folder(out_dir, '--out-dir')
    start = time.perf_counter()
    runs = _train_all(folder, rows, num_seeds, epochs, jobs, track)
    minutes = (time.perf_counter() - start) / 60
    costs = measure_costs({name: ROWS[name].config() for name in rows})
    results = dict(
        measured=dict(
            provenance(),
            epochs=epochs,
            seeds=num_seeds,
            jobs=jobs,
            minutes=minutes,  # of this call, which may have trained a part only
            training_minutes=sum(run.minutes for run in runs),
        ),
        rows=[
            dict(
                asdict(ROWS[name]),
                runs=[asdict(run) for run in runs if run.row == name],
                cost=costs[name],
            )
            for name in rows
        ],
    )
    write_json(folder / 'results.json', results)
    return results


def _check(rows: Sequence[str], num_seeds: int, epochs: int, jobs: int) -> None:
    unknown = [name for name in rows if name not in ROWS]
    if unknown or not rows:
        raise UserError(
            f'--rows must be some of {", ".join(ROWS)}, got {", ".join(unknown) or "none"}'
        )
    for name, value, least in (
        ('--seeds', num_seeds, 1),
        ('--jobs', jobs, 1),
        ('--epochs', epochs, 4),
    ):
        if value < least:
            raise UserError(f'{name} must be {least} or more, got {value}')
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise UserError(
            'the ablation needs scikit-learn, which contains the '
            "digits: pip install 'mmanchor[ablation]'"
        ) from None


def _train_all(
    folder: Path, rows: Sequence[str], num_seeds: int, epochs: int, jobs: int, track: Track
) -> list[Run]:
    """Train every run that has no result yet, seed by seed."""
    wanted = [(name, seed) for seed in range(num_seeds) for name in rows]
    recipes = {name: digest(ROWS[name].config()) for name in rows}
    runs, missing = [], []
    for name, seed in wanted:
        path = _file(folder, name, seed, epochs)
        known = read_json(path) if path.is_file() else {}
        if known.get('recipe') == recipes[name]:
            runs.append(Run(**known))
        else:
            missing.append((name, seed))
    # Forked processes would share the threads of this process.
    with ProcessPoolExecutor(jobs, get_context('spawn')) as pool:
        futures = [
            pool.submit(train_row, str(folder), name, seed, epochs) for name, seed in missing
        ]
        try:
            for future in track(as_completed(futures), 'training', len(futures)):
                runs.append(future.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return sorted(runs, key=lambda run: (rows.index(run.row), run.seed))


def _file(folder: Path, name: str, seed: int, epochs: int) -> Path:
    return folder / 'runs' / f'{name}-{epochs}e-seed{seed}.json'


def digest(cfg: Config) -> str:
    """A short digest of a config's content.

    Args:
        cfg: A config; its ``work_dir`` is left out.
    """
    content = {k: v for k, v in cfg.to_dict().items() if k != 'work_dir'}
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def train_row(folder: str, name: str, seed: int, epochs: int) -> Run:
    """Train one row with one seed, on one thread, and write its result.

    Args:
        folder: The folder of the ablation.
        name: Name of the row.
        seed: Of weights, order and augmentation.
        epochs: Length of the training.

    Returns:
        The result.
    """
    torch.set_num_threads(1)
    cfg = ROWS[name].config()
    recipe, commit = digest(cfg), str(provenance()['commit'])
    cfg.work_dir = str(Path(folder, 'work', f'{name}-seed{seed}'))
    cfg.randomness = ConfigDict(seed=seed)
    cfg.log_level = 'ERROR'
    cfg.default_hooks.checkpoint = None
    cfg.env_cfg.mp_cfg.mp_start_method = 'spawn'  # of this process
    warm_up, cosine = cfg.param_scheduler
    cosine.end, cosine.T_max = epochs, epochs - warm_up.end
    cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
    make_folder(cfg.work_dir, '--out-dir')
    start = time.perf_counter()
    with console_to(Path(cfg.work_dir, 'console.log')):
        runner = train_model(cfg)
    minutes = (time.perf_counter() - start) / 60
    scalars = runner.message_hub
    last = scalars.get_scalar('train/loss').mean(len(runner.train_dataloader))
    run = Run(
        name,
        seed,
        epochs,
        recipe,
        commit,
        float(scalars.get_scalar(METRIC).current()),
        float(last),
        minutes,
    )
    path = _file(Path(folder), name, seed, epochs)
    path.parent.mkdir(exist_ok=True)
    write_json(path, asdict(run))
    return run


def mean_and_spread(runs: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Mean accuracy of runs, and half of the range of their values.

    Example:
        >>> mean_and_spread([dict(accuracy=94.0), dict(accuracy=97.0)])
        (95.5, 1.5)
    """
    values = [run['accuracy'] for run in runs]
    return sum(values) / len(values), (max(values) - min(values)) / 2
