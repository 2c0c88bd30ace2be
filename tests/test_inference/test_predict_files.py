import json

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny_project import CLASSES

from mmanchor.inference import files as files_module
from mmanchor.inference.files import predict_files
from mmanchor.inference.model import Model
from mmanchor.inference.options import PredictOptions
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError
from mmanchor.utils.inputs import open_input
from mmanchor.visualization import distinct_palette, overlay_mask


@pytest.fixture
def images(tiny, tmp_path):
    """A folder with a folder in it, two sizes and a torn file."""
    folder = tmp_path / 'images'
    (folder / 'sub').mkdir(parents=True)
    source = Image.open(tiny / 'data/images/training/train_000.jpg')
    for name in ('a.jpg', 'a.png', 'sub/c.bmp'):
        source.save(folder / name)
    source.resize((48, 40)).save(folder / 'sub/b.PNG')
    (folder / 'torn.jpg').write_bytes(b'\xff\xd8 no image')
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
    source = source if isinstance(source, list) else str(source)
    return predict_files(cfg, checkpoint, source, out, 'cpu', PredictOptions(**options))


def names(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()
    )


def test_folder_gives_masks_and_overlays(tiny, seg_checkpoint, images, tmp_path):
    out = tmp_path / 'out'
    summary = seg(tiny, seg_checkpoint, images, out)
    assert summary.done == 4
    assert summary.skipped == {'torn.jpg': 'it is not an image, or its format is not supported'}
    files = ['a.jpg.png', 'a.png.png', 'sub/b.png', 'sub/c.png']
    assert names(out / 'masks') == names(out / 'overlays') == files
    mask = Image.open(out / 'masks/sub/b.png')
    assert (mask.mode, mask.size) == ('L', (48, 40))
    assert np.asarray(mask).max() < 4
    # What was drawn is the image under the colors of the mask.
    image = np.asarray(Image.open(images / 'sub/b.PNG'))
    drawn = overlay_mask(image, np.asarray(mask), distinct_palette(4))
    assert (np.asarray(Image.open(out / 'overlays/sub/b.png')) == drawn).all()


def test_batches_give_the_same_masks(tiny, seg_checkpoint, images, tmp_path):
    for size in (1, 3):
        seg(tiny, seg_checkpoint, images, tmp_path / str(size), batch_size=size, overlays=False)
    assert names(tmp_path / '1') == names(tmp_path / '3')
    for name in names(tmp_path / '1'):
        assert (tmp_path / '1' / name).read_bytes() == (tmp_path / '3' / name).read_bytes()


def test_colored_masks_keep_their_indices(tiny, seg_checkpoint, images, tmp_path):
    for color in (False, True):
        seg(
            tiny,
            seg_checkpoint,
            images / 'a.png',
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


def test_results_inside_the_folder_are_not_predicted_on(tiny, seg_checkpoint, images):
    for _ in range(2):
        summary = seg(tiny, seg_checkpoint, images, images / 'out')
        assert summary.done == 4


@pytest.mark.parametrize('is_webcam', [True, False])
def test_ctrl_c_ends_a_webcam_and_breaks_a_video(
    tiny, seg_checkpoint, video, tmp_path, monkeypatch, is_webcam
):
    frames = open_input(str(video))
    frames.clips[0].is_webcam = is_webcam
    monkeypatch.setattr(files_module, 'open_input', lambda *_, **__: frames)
    press_ctrl_c(monkeypatch, at=3)
    out = tmp_path / 'out'
    if is_webcam:
        assert seg(tiny, seg_checkpoint, video, out).done == 2
        assert names(out) == ['overlays/clip.mp4']
    else:
        with pytest.raises(KeyboardInterrupt):
            seg(tiny, seg_checkpoint, video, out)
        assert names(out) == []


def press_ctrl_c(monkeypatch, at):
    """Interrupt the prediction of a batch, counted from 1."""
    predict, calls = Model._predict, []

    def pressed(self, *args):
        calls.append(args)
        if len(calls) == at:
            raise KeyboardInterrupt
        return predict(self, *args)

    monkeypatch.setattr(Model, '_predict', pressed)


def test_boxes_are_whole_after_ctrl_c(tiny, det_checkpoint, images, tmp_path, monkeypatch):
    press_ctrl_c(monkeypatch, at=3)
    with pytest.raises(KeyboardInterrupt):
        predict_files(
            load_config(tiny / 'det.py'),
            det_checkpoint,
            str(images),
            tmp_path / 'out',
            'cpu',
            PredictOptions(score_thr=0.0),
        )
    data = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert [each['file_name'] for each in data['images']] == ['a.jpg', 'a.png']
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert len(results) == len(data['annotations']) > 0


def test_boxes_are_written_as_they_come(tiny, det_checkpoint, images, tmp_path, monkeypatch):
    from mmanchor.inference import recorders

    monkeypatch.setattr(recorders, 'AUTOSAVE_SECONDS', 0)
    monkeypatch.setattr(recorders, 'AUTOSAVE_SHARE', 0)
    out, seen = tmp_path / 'out', []

    def track(items, description, total=None):
        for item in items:
            if (out / 'predictions.json').exists():
                seen.append(len(json.loads((out / 'predictions.json').read_text())['images']))
            yield item

    cfg = load_config(tiny / 'det.py')
    predict_files(cfg, det_checkpoint, str(images), out, 'cpu', track=track)
    assert seen == [1, 2, 3]


def test_one_bad_image_ends_no_folder(tiny, seg_checkpoint, images, tmp_path, monkeypatch):
    predict = Model._predict

    def fussy(self, frames, score_thr):
        if any(frame.image.shape == (40, 48, 3) for frame in frames):
            raise ValueError('images must be at least 8 x 8 pixels')
        return predict(self, frames, score_thr)

    monkeypatch.setattr(Model, '_predict', fussy)
    summary = seg(tiny, seg_checkpoint, images, tmp_path / 'out', batch_size=4)
    assert summary.done == 3
    assert summary.skipped['sub/b.PNG'] == 'ValueError: images must be at least 8 x 8 pixels'


def test_an_image_that_fits_no_memory_is_refused_with_the_numbers(
    tiny, seg_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr('mmanchor.inference.model.free_memory', lambda: 10**7)
    folder = tmp_path / 'images'
    folder.mkdir()
    Image.new('L', (3000, 2000)).save(folder / 'huge.png')
    Image.new('L', (32, 32)).save(folder / 'small.png')
    summary = seg(tiny, seg_checkpoint, folder, tmp_path / 'out')
    assert summary.done == 1
    assert (
        '3000 x 2000 pixels need about 0.4 GB of memory, and 0.0 GB are free'
        in (summary.skipped['huge.png'])
    )


def test_several_inputs_go_to_one_folder(tiny, seg_checkpoint, images, video, tmp_path):
    words = [str(images / 'a.jpg'), str(images / 'sub'), str(video)]
    out = tmp_path / 'out'
    summary = seg(tiny, seg_checkpoint, words, out, max_frames=2)
    assert summary.done == 5
    assert names(out / 'overlays') == ['a.png', 'clip.mp4', 'sub/b.png', 'sub/c.png']


def test_names_that_differ_in_the_suffix_only_stay_apart(tiny, seg_checkpoint, tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for name in ('a.jpg', 'a.png', 'a.jpg.bmp'):
        Image.new('RGB', (32, 32)).save(folder / name)
    assert seg(tiny, seg_checkpoint, folder, tmp_path / 'out').done == 3
    assert len(names(tmp_path / 'out/overlays')) == 3


def test_video_gives_masks_on_demand(tiny, seg_checkpoint, video, tmp_path):
    seg(tiny, seg_checkpoint, video, tmp_path / 'out', masks=True, overlays=False)
    assert names(tmp_path / 'out') == [f'masks/clip/{index:06d}.png' for index in range(5)]


def test_boxes_are_written_as_coco(tiny, det_checkpoint, images, tmp_path):
    cfg = load_config(tiny / 'det.py')
    options = PredictOptions(score_thr=0.0)
    predict_files(cfg, det_checkpoint, str(images), tmp_path / 'out', 'cpu', options)
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


def test_low_scores_are_left_out(tiny, det_checkpoint, images, tmp_path):
    cfg = load_config(tiny / 'det.py')
    predict_files(
        cfg,
        det_checkpoint,
        str(images / 'a.jpg'),
        tmp_path / 'out',
        'cpu',
        PredictOptions(score_thr=1.0, overlays=False),
    )
    data = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert data['annotations'] == []
    assert names(tmp_path / 'out') == ['predictions.json', 'results.json']


@pytest.mark.parametrize(
    'source, message',
    [
        ('nothing.png', 'no image, folder or video'),
        ('*.gone', 'no image matches the pattern'),
        ('empty', "folder .*empty' holds no image"),
        ('torn.jpg', 'no image of .*torn.jpg.* could be predicted on: .*it is not an image'),
        ('clip.mp4', 'video .* cannot be opened'),
    ],
)
def test_input_that_cannot_be_read(tiny, seg_checkpoint, tmp_path, source, message):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'torn.jpg').write_text('no image')
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
    tiny, seg_checkpoint, images, tmp_path, options, message
):
    with pytest.raises(UserError, match=message):
        seg(tiny, seg_checkpoint, images, tmp_path / 'out', **options)
    assert not (tmp_path / 'out').exists()


def test_an_option_counts_only_if_it_was_given():
    for name in ('opacity', 'with_labels', 'color_masks', 'masks'):
        with pytest.raises(UserError, match=f'--{name.replace("_", "-")} is for segmentation'):
            PredictOptions(**{name: 0.6 if name == 'opacity' else True}).refuse_other_tasks(
                'detection', 'det.py'
            )
    PredictOptions(masks=False).refuse_other_tasks('detection', 'det.py')
    with pytest.raises(UserError, match='nothing to write'):
        PredictOptions(masks=False, overlays=False).refuse_other_tasks('segmentation', 'seg.py')
