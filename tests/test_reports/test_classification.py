import numpy as np
import pytest
import torch
from mmpretrain.evaluation import Accuracy, AveragePrecision, SingleLabelMetric
from report_records import classification_samples, score

from mmanchor.reports.analysis import analyze

NAMES = tuple('abcdefg')


@pytest.fixture(scope='module')
def tested(tmp_path_factory):
    samples = classification_samples(tmp_path_factory.mktemp('images'), 30, num_classes=7)
    metrics = [Accuracy(topk=(1, 5)), SingleLabelMetric()]
    scores, record = score('classification', samples, metrics, NAMES)
    return scores, analyze(record), samples


def test_scores_are_those_of_mmpretrain(tested):
    scores, analysis, _ = tested
    names = {
        'accuracy/top1': 'top-1',
        'accuracy/top5': 'top-5',
        'single-label/precision': 'mean precision',
        'single-label/recall': 'mean recall',
        'single-label/f1-score': 'mean F1',
    }
    for theirs, ours in names.items():
        assert 100 * analysis.headline[ours] == pytest.approx(scores[theirs], rel=1e-5)


def test_average_precision_is_that_of_mmpretrain(tested):
    _, analysis, samples = tested
    scores = torch.stack([each['pred_score'] for each in samples])
    truth = torch.cat([each['gt_label'] for each in samples])
    for label in range(2):
        onehot = (truth == label).long()[:, None]
        expected = AveragePrecision.calculate(scores[:, label : label + 1], onehot)
        assert 100 * analysis.ap[label] == pytest.approx(expected.item(), rel=1e-5)


def test_classes_without_images_have_no_score(tested):
    row = tested[1].table.rows[-1]
    assert row[1] == 0 and np.isnan(row[3]) and tested[1].show(row[3]) == '-'


def test_weights_count_images_several_times(tested):
    _, analysis, samples = tested
    weights = np.arange(30) % 3
    twice = [each for each, n in zip(samples, weights, strict=True) for _ in range(n)]
    expected = analyze(score('classification', twice, [], NAMES)[1]).weighted()
    np.testing.assert_allclose(analysis.weighted(weights), expected)


def test_images_are_rated_by_the_true_class(tested):
    _, analysis, samples = tested
    expected = [each['pred_score'][int(each['gt_label'])].item() for each in samples]
    np.testing.assert_allclose(analysis.image_scores, expected)


def test_a_model_that_has_diverged_has_a_report(tested):
    samples = [{**each, 'pred_score': each['pred_score'] * np.nan} for each in tested[2]]
    sections = analyze(score('classification', samples, [], NAMES)[1]).sections()
    assert sections[-1].title == 'Calibration'
