import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from report_records import CLASSES, record_of

from mmanchor.cli.main import main
from mmanchor.reports.compare import bootstrap, compare_reports
from mmanchor.reports.page import write_report
from mmanchor.reports.records import TASKS, load_record
from mmanchor.reports.runs import read_curves
from mmanchor.utils.errors import UserError


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.addresses, self.words = [], [], ''
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ('src', 'href')]

    def handle_data(self, data):
        self.words += data


@pytest.fixture(scope='module')
def reports(tmp_path_factory):
    """Two reports of each task, and the folder of all."""
    root = tmp_path_factory.mktemp('reports')
    for task in TASKS:
        for seed, name in enumerate('ab'):
            record = record_of(task, root / f'{task}-images', seed=seed)
            record.run = dict(config=f'{name} <i>.py', checkpoint='x.pth', cost='none <i>')
            write_report(record, root / f'{task}-{name}', num_images=3)
    return root


@pytest.mark.parametrize('task', TASKS)
def test_a_page_shows_all_and_needs_no_network(reports, task):
    page = Page(reports / f'{task}-a' / 'index.html')
    assert page.tags.count('figure') == 6
    expected = ['Scores', 'Classes', 'Confusion', 'Precision', 'Calibration', 'Costs', 'Worst']
    expected += ['Errors and sizes', 'duplicate'] if task == 'detection' else []
    assert not [word for word in expected if word not in page.words]
    assert all(re.match(r'data:image/(jpeg|svg\+xml);base64,|#', each) for each in page.addresses)
    assert 'http' not in page.words and not re.search(r'url\(|@import', page.words)


@pytest.mark.parametrize('task', TASKS)
def test_names_of_files_and_classes_are_text(reports, task):
    page = Page(reports / f'{task}-a' / 'index.html')
    assert 'i' not in page.tags
    assert CLASSES[2] in page.words and 'a <i>' in page.words and '<i>.png' in page.words


@pytest.mark.parametrize('task', TASKS)
def test_a_report_is_written_again_from_what_it_saved(reports, tmp_path, task):
    source = reports / f'{task}-a'
    assert main(['report', str(source), '--out-dir', str(tmp_path), '--num-images', '3']) == 0
    assert _without_charts(tmp_path) == _without_charts(source)


def _without_charts(folder):
    return re.sub(r'data:image/svg[^"]*', '', (folder / 'index.html').read_text())


@pytest.mark.parametrize('task', TASKS)
def test_two_reports_are_compared(reports, tmp_path, task, capsys):
    pair = [str(reports / f'{task}-{name}') for name in 'ab']
    words = ['report', *pair, '--out-dir', str(tmp_path), '--resamples', '20', '--num-images', '4']
    assert main(words) == 0
    assert f'the report is {tmp_path}/index.html' in capsys.readouterr().out
    page = Page(tmp_path / 'index.html')
    for word in ('Scores', 'B - A', 'Differences', 'Better in B', 'Worse in B', CLASSES[2]):
        assert word in page.words
    assert 2 <= page.tags.count('figure') <= 4 and 'i' not in page.tags


def test_a_model_does_not_differ_from_itself(reports, tmp_path):
    from mmanchor.reports.analysis import analyze

    analysis = analyze(load_record(reports / 'segmentation-a'))
    low, high = bootstrap(analysis, analysis, 5)
    assert np.nan_to_num(low).tolist() == np.nan_to_num(high).tolist() == [0] * 4


def test_intervals_hold_the_difference_of_the_paired_samples():
    class Coin:
        """Right in the first half of the images, or everywhere."""

        def __init__(self, right):
            self.right, self.record = right, self
            self.images, self.class_images = right, np.zeros(0)

        def weighted(self, weights):
            return np.array([weights @ self.right / weights.sum()])

    a, b = Coin(np.repeat([1.0, 0.0], 50)), Coin(np.ones(100))
    [low], [high] = bootstrap(a, b, 400)
    # 50 of 100 with a standard error of 5.
    assert 0.38 < low < 0.43 and 0.57 < high < 0.62


def test_an_image_that_is_gone_is_said(reports, tmp_path):
    record = load_record(reports / 'detection-a')
    record.images = [f'/gone/{name}' for name in record.images]
    page = Page(write_report(record, tmp_path, num_images=1))
    assert 'the image cannot be read: No such file' in page.words


@pytest.mark.parametrize(
    'words, message',
    [
        (['gone'], "'gone' is no folder of a report"),
        ([], 'give one REPORT, two, or --predictions'),
        (['a', 'b', 'c'], 'give one REPORT, two'),
        (['--predictions', 'x.json'], '--predictions and --ann go together'),
        (['detection-a', '--num-images', '-1'], '--num-images must be at least 0'),
        (['detection-a', 'segmentation-a'], 'is a report of detection, and'),
        (['detection-a', 'other'], "'other' are of other images \\(12 and 5"),
        (['detection-a', 'renamed'], 'have other classes \\(3 and 2'),
        (['detection-a', 'detection-b', '--out-dir', 'detection-a'], 'is one of the reports'),
        (['damaged'], "the report 'damaged' is damaged"),
        (['short'], 'lacks pred_box'),
        (['out'], 'pred_label holds 9 to 9, of 3'),
        (['empty'], 'holds no images'),
        (['nameless'], 'holds no classes'),
        (['rows'], 'pred_box, pred_image, pred_label, pred_score must have equally many rows'),
        (['text'], 'pred_score holds <U'),
        (['mixed'], 'pred_image must be ascending'),
        (['colors'], 'palette holds 1 of 3 colors'),
        (['notes'], 'run must be an object'),
        (['detection-a', 'swapped'], "such as 'image 7 <i>.png' and 'image 6"),
    ],
)
def test_mistakes_are_one_sentence(reports, monkeypatch, capsys, words, message):
    monkeypatch.chdir(reports)
    for name, change in CHANGES.items():
        if name in words:
            record = load_record('detection-a')
            change(record)
            (reports / name).mkdir(exist_ok=True)
            record.save(reports / name)
    if 'damaged' in words:
        (reports / 'damaged' / 'predictions.npz').write_bytes(b'PK')
    assert main(['report', *words]) == 1
    said = capsys.readouterr().err
    assert re.search(message, said) and said.count('\n') == 1
    assert not (reports / 'comparison').exists()


def _fewer(record):
    record.images = record.images[:5]
    record.arrays['image_id'] = record.arrays['image_id'][:5]
    for name in ('truth', 'pred'):
        rows = record.arrays[f'{name}_image'] < 5
        for key in [key for key in record.arrays if key.startswith(name)]:
            record.arrays[key] = record.arrays[key][rows]


CHANGES = dict(
    other=_fewer,
    renamed=lambda record: (
        record.classes.pop(),
        record.arrays.update(pred_label=record.arrays['pred_label'] % 2),
    ),
    damaged=lambda record: None,
    short=lambda record: record.arrays.pop('pred_box'),
    out=lambda record: record.arrays['pred_label'].fill(9),
    empty=lambda record: record.images.clear(),
    nameless=lambda record: record.classes.clear(),
    rows=lambda record: record.arrays.update(pred_score=record.arrays['pred_score'][1:]),
    text=lambda record: record.arrays.update(pred_score=record.arrays['pred_score'].astype(str)),
    mixed=lambda record: record.arrays.update(pred_image=record.arrays['pred_image'][::-1]),
    colors=lambda record: setattr(record, 'palette', [[1, 2, 3]]),
    notes=lambda record: setattr(record, 'run', ['?']),
    swapped=lambda record: record.images.insert(5, record.images.pop(4)),
)


def test_arrays_that_hold_objects_are_not_loaded(reports, tmp_path):
    record = load_record(reports / 'detection-a')
    record.arrays['pred_box'] = np.array([dict()], object)
    record.save(tmp_path)
    with pytest.raises(UserError, match='damaged: Object arrays cannot be loaded'):
        load_record(tmp_path)


def test_masks_of_other_truth_are_not_compared(reports, tmp_path):
    record = load_record(reports / 'segmentation-b')
    record.arrays['pixel_truth'] = (record.arrays['pixel_truth'] + 1) % 3
    record.save(tmp_path)
    with pytest.raises(UserError, match=r'the truth in .*segmentation-a.* differs'):
        compare_reports(reports / 'segmentation-a', tmp_path, tmp_path / 'page', resamples=1)


@pytest.mark.filterwarnings('error')
def test_models_without_truth_do_not_differ(reports, tmp_path):
    record = load_record(reports / 'detection-a')
    for name, values in record.arrays.items():
        record.arrays[name] = values[:0] if name.startswith('truth') else values
    record.save(tmp_path)
    page = Page(compare_reports(tmp_path, tmp_path, tmp_path / 'page', resamples=2))
    assert 'may be chance' in page.words


def test_a_comparison_that_fails_leaves_nothing(reports, tmp_path, monkeypatch):
    monkeypatch.setattr('mmanchor.reports.compare._render', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        compare_reports(*(reports / f'segmentation-{n}' for n in 'ab'), tmp_path, resamples=1)
    assert not list(tmp_path.iterdir())


def test_curves_come_from_the_logs_and_a_resumed_run_goes_on(tmp_path):
    logs = dict(
        first=[dict(lr=0.1, loss=3.0, step=1), dict(loss=9.0, step=2), dict(mIoU=10.0, step=2)],
        second=[dict(lr=0.2, loss=2.0, step=2), dict(mIoU=20.0, mAP_l=-1.0, step=4)],
    )
    for name, lines in logs.items():
        path = tmp_path / name / 'vis_data' / 'scalars.json'
        path.parent.mkdir(parents=True)
        path.write_text(''.join(json.dumps(line) + '\n' for line in lines) + '{"cut')
    assert read_curves([tmp_path / 'gone', tmp_path]) == dict(
        loss=dict(loss=([1, 2], [3.0, 2.0])),
        validation=dict(mIoU=([2, 4], [10.0, 20.0])),
        lr=dict(lr=([1, 2], [0.1, 0.2])),
    )
