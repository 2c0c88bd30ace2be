import cv2
import numpy as np
import pytest
import torch
from mmseg.evaluation import IoUMetric
from report_records import score, segmentation_samples

from mmanchor.reports.analysis import analyze
from mmanchor.reports.recording import BAND, _edges


@pytest.fixture(scope='module')
def tested(tmp_path_factory):
    samples = segmentation_samples(tmp_path_factory.mktemp('masks'))
    metric = IoUMetric(iou_metrics=['mIoU', 'mDice', 'mFscore'])
    scores, record = score('segmentation', samples, [metric])
    return scores, analyze(record), samples


def test_scores_are_those_of_iou_metric(tested):
    scores, analysis, _ = tested
    for name in ('mIoU', 'mAcc', 'aAcc', 'mDice'):
        assert round(100 * analysis.headline[name], 2) == pytest.approx(scores[name], abs=1e-9)
    precision = [row[4] for row in analysis.table.rows]
    assert round(100 * np.nanmean(precision), 2) == pytest.approx(scores['mPrecision'])


def test_confusion_counts_every_pixel_that_is_not_ignored(tested):
    _, analysis, samples = tested
    assert analysis.confusion.sum() == len(samples) * (40 * 60 - 15)
    found, truth = (samples[0][key]['data'][0] for key in ('pred_sem_seg', 'gt_sem_seg'))
    pixels = analysis.record.arrays
    first = (
        (pixels['pixel_image'] == 0) & (pixels['pixel_truth'] == 0) & (pixels['pixel_pred'] == 1)
    )
    assert pixels['pixel_count'][first].sum() == ((truth == 0) & (found == 1)).sum()


def test_weights_count_images_several_times(tested):
    _, analysis, samples = tested
    twice = [each for each, n in zip(samples, (2, 0, 1, 1, 0, 3), strict=True) for _ in range(n)]
    expected = analyze(score('segmentation', twice, [])[1]).weighted()
    np.testing.assert_allclose(analysis.weighted(np.array([2, 0, 1, 1, 0, 3])), expected)


def boundary(mask, width):
    """The reference of the paper: what erosion takes away, the image's border included."""
    padded = np.pad(mask.astype(np.uint8), 1)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)
    return mask & (eroded[1:-1, 1:-1] == 0)


def test_boundary_bands_are_those_of_the_paper():
    random = np.random.default_rng(0)
    maps = [np.kron(random.integers(0, 3, (6, 9)), np.ones((20, 20), int)) for _ in range(2)]
    width = round(BAND * np.hypot(120, 180))
    labels, both, in_found, in_truth = _edges(*maps, 3)
    for row, label in enumerate(labels):
        found, truth = (boundary(each == label, width) for each in maps)
        expected = (found & truth).sum(), found.sum(), truth.sum()
        assert (both[row], in_found[row], in_truth[row]) == expected


def test_a_perfect_prediction_has_perfect_boundaries_beside_ignored_pixels(tested):
    samples = [
        {**each, 'pred_sem_seg': dict(data=each['gt_sem_seg']['data'] % 255)} for each in tested[2]
    ]
    analysis = analyze(score('segmentation', samples, [])[1])
    assert analysis.headline['boundary IoU'] == analysis.headline['mIoU'] == 1


def test_curves_end_at_recall_and_precision_of_all_pixels(tested):
    _, analysis, samples = tested
    sure = analysis.record.arrays
    for label in range(2):
        chosen = sure['sure_label'] == label
        right, count = (sure[f'sure_{name}'][chosen].sum() for name in ('right', 'count'))
        _, pixels, _, recall, precision, *_ = analysis.table.rows[label]
        assert right / pixels == pytest.approx(recall)
        assert right / count == pytest.approx(precision)
    confidence = torch.stack([each['seg_logits']['data'].softmax(0).amax(0) for each in samples])
    seen = torch.stack([each['gt_sem_seg']['data'][0] != 255 for each in samples])
    assert sure['sure_sum'].sum() == pytest.approx(confidence[seen].sum().item(), rel=1e-5)


def test_masks_without_logits_have_neither_curves_nor_calibration(tested):
    samples = [{k: v for k, v in each.items() if k != 'seg_logits'} for each in tested[2]]
    sections = analyze(score('segmentation', samples, [])[1]).sections()
    assert [each.title for each in sections] == ['Confusion']


def test_a_single_channel_is_a_probability(tested):
    samples = [
        {**each, 'seg_logits': dict(data=torch.full((1, 40, 60), -2.0))} for each in tested[2]
    ]
    sure = score('segmentation', samples, [])[1].arrays
    assert set(sure['sure_bin']) == {int(100 * torch.tensor(2.0).sigmoid())}


def test_a_model_that_has_diverged_is_sure_of_nothing(tested):
    nothing = dict(data=torch.full((3, 40, 60), torch.nan))
    samples = [{**each, 'seg_logits': nothing} for each in tested[2]]
    assert set(score('segmentation', samples, [])[1].arrays['sure_bin']) == {0}
