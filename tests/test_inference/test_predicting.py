import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_project import CLASSES

from mmanchor.inference import predict as predict_module
from mmanchor.inference.predict import PredictOptions, predict_files
from mmanchor.inference.predictors import SegPredictor, build_predictor, choose_device
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError
from mmanchor.utils.inputs import open_input
from mmanchor.visualization import distinct_palette, overlay_mask


@pytest.fixture
def pictures(tiny, tmp_path):
    """A folder with a folder in it, two sizes and a torn file."""
    folder = tmp_path / 'pictures'
    (folder / 'sub').mkdir(parents=True)
    source = Image.open(tiny / 'data/images/training/train_000.jpg')
    for name in ('a.jpg', 'a.png', 'sub/c.bmp'):
        source.save(folder / name)
    source.resize((48, 40)).save(folder / 'sub/b.PNG')
    (folder / 'torn.jpg').write_bytes(b'\xff\xd8 no picture')
    (folder / 'notes.txt').write_text('not for prediction')
    return folder


@pytest.fixture
def video(tmp_path):
    path = tmp_path / 'clip.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5, (32, 32))
    for value in range(0, 200, 40):
        writer.write(np.full((32, 32, 3), value, np.uint8))
    writer.release()
    return path


def seg(tiny, checkpoint, source, out, **options):
    cfg = load_config(tiny / 'seg.py')
    return predict_files(cfg, checkpoint, str(source), out, 'cpu', PredictOptions(**options))


def names(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()
    )


def test_folder_gives_masks_and_overlays(tiny, seg_checkpoint, pictures, tmp_path):
    out = tmp_path / 'out'
    summary = seg(tiny, seg_checkpoint, pictures, out)
    assert (summary.done, summary.unreadable) == (4, ['torn.jpg'])
    files = ['a.jpg.png', 'a.png.png', 'sub/b.png', 'sub/c.png']
    assert names(out / 'masks') == names(out / 'overlays') == files
    mask = Image.open(out / 'masks/sub/b.png')
    assert (mask.mode, mask.size) == ('L', (48, 40))
    assert np.asarray(mask).max() < 4
    # What was drawn is the picture under the colours of the mask.
    image = np.asarray(Image.open(pictures / 'sub/b.PNG'))
    painted = overlay_mask(image, np.asarray(mask), distinct_palette(4))
    assert (np.asarray(Image.open(out / 'overlays/sub/b.png')) == painted).all()


def test_batches_give_the_same_masks(tiny, seg_checkpoint, pictures, tmp_path):
    for size in (1, 3):
        seg(tiny, seg_checkpoint, pictures, tmp_path / str(size), batch_size=size, overlays=False)
    assert names(tmp_path / '1') == names(tmp_path / '3')
    for name in names(tmp_path / '1'):
        assert (tmp_path / '1' / name).read_bytes() == (tmp_path / '3' / name).read_bytes()


def test_coloured_masks_keep_their_indices(tiny, seg_checkpoint, pictures, tmp_path):
    for color in (False, True):
        seg(
            tiny,
            seg_checkpoint,
            pictures / 'a.png',
            tmp_path / str(color),
            color_masks=color,
            with_labels=True,
        )
    plain = np.asarray(Image.open(tmp_path / 'False/masks/a.png'))
    colored = Image.open(tmp_path / 'True/masks/a.png')
    assert colored.mode == 'P' and (np.asarray(colored) == plain).all()
    label = plain[0, 0]
    assert colored.convert('RGB').getpixel((0, 0)) == distinct_palette(4)[label]


def test_video_gives_a_video(tiny, seg_checkpoint, video, tmp_path):
    out = tmp_path / 'out'
    assert seg(tiny, seg_checkpoint, video, out, max_frames=3).done == 3
    assert names(out) == ['overlays/clip.mp4']
    capture = cv2.VideoCapture(str(out / 'overlays/clip.mp4'))
    frames = 0
    while capture.read()[0]:
        frames += 1
    assert frames == 3 and capture.get(cv2.CAP_PROP_FPS) == 5


def test_results_inside_the_folder_are_not_predicted_on(tiny, seg_checkpoint, pictures):
    for _ in range(2):
        summary = seg(tiny, seg_checkpoint, pictures, pictures / 'out')
        assert summary.done == 4


@pytest.mark.parametrize('is_webcam', [True, False])
def test_ctrl_c_ends_a_webcam_and_breaks_a_video(
    tiny, seg_checkpoint, video, tmp_path, monkeypatch, is_webcam
):
    frames = open_input(str(video))
    frames.is_webcam = is_webcam
    monkeypatch.setattr(predict_module, 'open_input', lambda *_, **__: frames)
    predict, calls = SegPredictor.predict, []

    def pressed(self, images):
        calls.append(images)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return predict(self, images)

    monkeypatch.setattr(SegPredictor, 'predict', pressed)
    out = tmp_path / 'out'
    if is_webcam:
        assert seg(tiny, seg_checkpoint, video, out).done == 2
        assert names(out) == ['overlays/clip.mp4']
    else:
        with pytest.raises(KeyboardInterrupt):
            seg(tiny, seg_checkpoint, video, out)
        assert names(out) == []


def test_video_gives_masks_on_demand(tiny, seg_checkpoint, video, tmp_path):
    seg(tiny, seg_checkpoint, video, tmp_path / 'out', masks=True,
        overlays=False)  # yapf: disable
    assert names(tmp_path / 'out') == [f'masks/clip/{index:06d}.png' for index in range(5)]


def test_boxes_are_written_as_coco(tiny, det_checkpoint, pictures, tmp_path):
    cfg = load_config(tiny / 'det.py')
    options = PredictOptions(score_thr=0.0)
    predict_files(cfg, det_checkpoint, str(pictures), tmp_path / 'out', 'cpu', options)
    data = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert [each['name'] for each in data['categories']] == list(CLASSES[1:])
    assert [each['file_name'] for each in data['images']] == [
        'a.jpg',
        'a.png',
        'sub/b.PNG',
        'sub/c.bmp',
    ]
    assert data['images'][2]['width'] == 48
    boxes = [one for one in data['annotations'] if one['image_id'] == 3]
    scores = [one['score'] for one in boxes]
    assert boxes and scores == sorted(scores, reverse=True)
    for one in boxes:
        x, y, w, h = one['bbox']
        assert 0 <= x <= x + w <= 48 and 0 <= y <= y + h <= 40
    assert len(names(tmp_path / 'out/overlays')) == 4


def test_low_scores_are_left_out(tiny, det_checkpoint, pictures, tmp_path):
    cfg = load_config(tiny / 'det.py')
    predict_files(
        cfg,
        det_checkpoint,
        str(pictures / 'a.jpg'),
        tmp_path / 'out',
        'cpu',
        PredictOptions(score_thr=1.0, overlays=False),
    )
    data = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert data['annotations'] == []
    assert names(tmp_path / 'out') == ['predictions.json', 'results.json']


def test_names_come_from_the_checkpoint_then_the_config(tiny, seg_checkpoint, det_checkpoint):
    predictor = build_predictor(load_config(tiny / 'seg.py'), str(seg_checkpoint), 'cpu')
    assert predictor.classes == CLASSES
    predictor = build_predictor(load_config(tiny / 'det.py'), str(det_checkpoint), 'cpu')
    assert predictor.classes == CLASSES[1:]


def test_missing_names_and_colours_are_invented(tiny, seg_checkpoint):
    predictor = build_predictor(load_config(tiny / 'seg.py'), str(seg_checkpoint), 'cpu')
    predictor.set_meta(dict(CLASSES=['x'], palette='random'))
    assert predictor.classes == ('x', 'class 1', 'class 2', 'class 3')
    assert predictor.palette == distinct_palette(4)


@pytest.mark.parametrize(
    'source, message',
    [
        ('nothing.png', 'no image, folder or video'),
        ('empty', "folder .*empty' holds no image"),
        ('torn.jpg', 'no picture of .* could be read'),
        ('clip.mp4', 'video .* cannot be opened'),
    ],
)
def test_input_that_cannot_be_read(tiny, seg_checkpoint, tmp_path, source, message):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'torn.jpg').write_text('no picture')
    (tmp_path / 'clip.mp4').write_text('no video')
    with pytest.raises(UserError, match=message):
        seg(tiny, seg_checkpoint, tmp_path / source, tmp_path / 'out')


@pytest.mark.parametrize(
    'options, message',
    [(dict(opacity=2), 'opacity .* got 2'), (dict(batch_size=0), 'batch_size .* got 0')],
)
def test_options_outside_their_range(options, message):
    with pytest.raises(UserError, match=message):
        PredictOptions(**options)


@pytest.mark.parametrize(
    'options, message',
    [
        (
            dict(score_thr=0.0),
            '--score-thr is for detection, and .*seg.py is a config of segmentation',
        ),
        (dict(ann_file='x.json'), '--ann-file is for detection'),
    ],
)
def test_options_of_another_task_are_refused(
    tiny, seg_checkpoint, pictures, tmp_path, options, message
):
    with pytest.raises(UserError, match=message):
        seg(tiny, seg_checkpoint, pictures, tmp_path / 'out', **options)
    assert not (tmp_path / 'out').exists()


def test_detectors_write_no_masks(tiny):
    cfg = load_config(tiny / 'det.py')
    with pytest.raises(
        UserError, match='--masks is for segmentation, and .*det.py is a config of detection'
    ):
        PredictOptions(masks=True).refuse_other_tasks(cfg)
    PredictOptions(masks=False).refuse_other_tasks(cfg)


def test_other_toolboxes_are_refused(tiny, seg_checkpoint):
    cfg = load_config(tiny / 'seg.py', dict(default_scope='mmengine'))
    with pytest.raises(UserError, match="mmdet, mmpretrain.* 'mmengine'"):
        build_predictor(cfg, str(seg_checkpoint), 'cpu')


def test_device_that_is_not_there():
    with pytest.raises(UserError, match="--device 'cuda:77'"):
        choose_device('cuda:77')
    with pytest.raises(UserError, match="--device 'toaster'"):
        choose_device('toaster')
    expected = 'cuda:0' if torch.cuda.is_available() else 'cpu'
    assert choose_device() == expected
