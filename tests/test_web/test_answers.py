"""What the page shows, and what it refuses, without a browser and without gradio."""

import json
import socket
import zipfile

import cv2
import numpy as np
import pytest
import torch

import mmanchor
from mmanchor.cli.main import main
from mmanchor.inference.videos import VideoFile
from mmanchor.utils.errors import UserError
from mmanchor.web.answers import ANCHORS, CAM, Studio
from mmanchor.web.uploads import Limits

pytestmark = pytest.mark.filterwarnings('ignore:no checkpoint was given')
NAMES = {
    'classifier': 'anchorformer-t_in1k',
    'detector': 'picodet_anchorformer-demo_1xb8-6e_demo-160',
    'segmentor': 'upernet_anchorformer-demo_1xb8-1100_demo-128',
}


@pytest.fixture(scope='module')
def models():
    torch.manual_seed(0)
    return {name: mmanchor.load(config, device='cpu') for name, config in NAMES.items()}


@pytest.fixture
def studio(models, tmp_path):
    return Studio(models, tmp_path, Limits(megabytes=1, megapixels=1, frames=3))


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'image.png'
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    cv2.imwrite(str(path), pixels)
    return {'path': str(path)}


def test_all_models_answer(studio, image):
    answer = studio.predict(image, list(NAMES), 0)
    assert [name for _, name in answer.drawings] == list(NAMES)
    assert all(drawn.shape == (60, 80, 3) for drawn, _ in answer.drawings)
    of = {name: [row for row in answer.rows if row[0] == name] for name in NAMES}
    assert len(of['classifier']) == 5
    assert of['detector'][0][3].count(',') == 3
    assert of['segmentor'][0][2].endswith('% of the image')
    with zipfile.ZipFile(answer.file) as packed:
        names = {'predictions.json', 'segmentor-mask.png', *(f'{name}.png' for name in NAMES)}
        assert set(packed.namelist()) == names
        found = json.loads(packed.read('predictions.json'))
    assert len(found['classifier']) == 5
    assert sum(each['share'] for each in found['segmentor']) == pytest.approx(1)


def test_old_results_go(studio, image, monkeypatch):
    old = studio.predict(image, ['segmentor'], 0).file
    monkeypatch.setattr('mmanchor.web.answers.KEEP', -1)
    new = studio.predict(image, ['segmentor'], 0).file
    assert new.is_file() and not old.exists()


def test_anchors_of_a_layer_a_head_and_a_point(studio, image):
    layers, heads = studio.with_anchors['classifier']
    sheet = studio.explain(image, 'classifier', ANCHORS, layers - 1, heads - 1, (40, 30))
    assert sheet.shape[2] == 3
    assert min(sheet.shape[:2]) > 300


@pytest.mark.parametrize('name', ['classifier', 'segmentor'])
def test_grad_cam(studio, image, name):
    pytest.importorskip('pytorch_grad_cam')
    assert studio.explain(image, name, CAM, class_name='3').shape[2] == 3


def test_a_video_is_drawn_by_models_side_by_side(studio, tmp_path):
    path = tmp_path / 'clip.mp4'
    with VideoFile(path, 10) as video:
        for level in range(5):
            video.write(np.full((64, 80, 3), 40 * level, np.uint8))
    drawn = studio.draw_video({'video': {'path': str(path)}}, ['classifier', 'segmentor'], 0.3)
    capture = cv2.VideoCapture(str(drawn))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3  # frames of the limits
    assert capture.get(cv2.CAP_PROP_FRAME_WIDTH) == 160


@pytest.mark.parametrize(
    'content, message',
    [
        (b'no image', 'cannot be read: it is not an image'),
        (b'', 'the file is empty'),
        (bytes(1_100_000), r'has 1.1 MB, and 1 are allowed'),
        (np.zeros((1001, 1000), np.uint8), '1000 x 1001 pixels, and 1 million are allowed'),
    ],
)
def test_bad_images_get_a_clear_message(studio, tmp_path, content, message):
    path = tmp_path / 'bad.png'
    if not isinstance(content, bytes):
        content = cv2.imencode('.png', content)[1].tobytes()
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        studio.predict({'path': str(path)}, ['classifier'], 0.3)


def test_bad_videos_get_a_clear_message(studio, tmp_path):
    path = tmp_path / 'bad.mp4'
    path.write_bytes(b'no video')
    with pytest.raises(UserError, match='This video cannot be read: it is no video'):
        studio.draw_video({'path': str(path)}, ['classifier'], 0.3)


def test_other_files_of_the_machine_stay_closed(models, studio, image, tmp_path):
    inside = tmp_path / 'uploads'
    inside.mkdir()
    (inside / 'link.png').symlink_to(image['path'])
    for path in (image['path'], str(inside / 'link.png'), str(inside / '../image.png')):
        with pytest.raises(UserError, match='not there any more'):
            Studio(models, inside).predict({'path': path}, ['classifier'], 0.3)


@pytest.mark.parametrize(
    'upload, names, message',
    [
        (None, ['classifier'], 'Drop a file first'),
        ('image', [], 'Choose a model'),
        ('image', ['other'], "no model 'other'"),
    ],
)
def test_what_is_missing_is_said(studio, image, upload, names, message):
    with pytest.raises(UserError, match=message):
        studio.predict(image if upload else None, names, 0.3)


@pytest.mark.parametrize(
    'words, message',
    [
        (['one.py'], 'one.py has no second'),
        (['one.py', 'two.pth', '--max-frames', '0'], '--max-frames must be 1 or more, got 0'),
        (['one.py', 'two.pth', '--port', '99999'], '--port must be from 1 to 65535, got 99999'),
        (['one.py', 'two.pth', '--host', '192.0.2.1'], '--host 192.0.2.1 cannot be listened at'),
        (['one.py', 'two.pth', '--host', 'a..b'], '--host a..b cannot be listened at'),
    ],
)
def test_wrong_usage(words, message, capsys):
    assert main(['web', *words]) == 1
    assert message in capsys.readouterr().err


def test_a_port_that_is_taken_is_said_before_the_models_load(capsys):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(['web', 'one.py', 'two.pth', '--port', port]) == 1
    assert f'--host 127.0.0.1 --port {port} cannot be listened at' in capsys.readouterr().err
