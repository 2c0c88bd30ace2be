"""The page for browsers prepares images and finds objects as the runtime does."""

import functools
import json
import os
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import mmanchor
from mmanchor.export.formats.web import Page, save
from mmanchor.export.model import export_model
from mmanchor.export.options import ExportOptions
from mmanchor.runtime.images import prepare
from mmanchor.utils.errors import UserError

WEB = Path(mmanchor.__file__).parent / 'export' / 'web'
DATA = os.environ.get('MMANCHOR_TEST_DATA')
# The folder of the npm package onnxruntime-web.
ORT_WEB = os.environ.get('MMANCHOR_TEST_ORT_WEB')
CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')
PREPARE = """
import { readFileSync } from 'fs';
import { prepare } from './images.mjs';
const tries = JSON.parse(readFileSync('tries.json'));
console.log(JSON.stringify(tries.map(({ image, steps }) => {
  const { image: { data, width, height }, content } = prepare(image, steps);
  const { height: rows, width: columns } = content;
  return { data: Array.from(data), shape: [height, width], content: [rows, columns] };
})));
"""
CV2 = dict(backend='cv2', interpolation='bilinear')
PILLOW = dict(backend='pillow', interpolation='bicubic')
TRIES = [
    ((30, 41), [dict(op='resize', scale=[20, 24], keep_ratio=False, **CV2)]),
    ((30, 41), [dict(op='resize', scale=[50, 45], **{**CV2, 'interpolation': 'bicubic'})]),
    ((30, 41), [dict(op='resize', scale=[64, 20], keep_ratio=True, **CV2)]),
    ((30, 41), [dict(op='resize', scale=[17, 64], **{**CV2, 'interpolation': 'nearest'})]),
    ((30, 41), [dict(op='resize', scale=[17, 64], **{**PILLOW, 'interpolation': 'nearest'})]),
    ((30, 41), [dict(op='resize', scale=[17, 12], **{**PILLOW, 'interpolation': 'bilinear'})]),
    ((30, 41), [dict(op='resize', scale=[17, 70], **{**PILLOW, 'interpolation': 'lanczos'})]),
    (
        (61, 40),
        [
            dict(op='resize_edge', size=24, edge='short', **PILLOW),
            dict(op='center_crop', size=[21, 22]),
        ],
    ),
    ((9, 40), [dict(op='resize_edge', size=24, edge='long', **PILLOW)]),
    (
        (30, 41),
        [
            dict(op='resize_within', size=[32, 32], **CV2),
            dict(op='pad', size=[32, 32], value=[1, 2, 3]),
        ],
    ),
    ((7, 10), [dict(op='pad_square', value=[1, 2, 3])]),
]


def images(shape):
    coarse = np.random.default_rng(0).integers(0, 256, (*shape, 3))
    # Neighbors that differ by less than everything, as in photographs, and borders that do.
    return ((coarse + coarse[::-1] + coarse[:, ::-1]) // 3).astype(np.uint8)


@pytest.mark.skipif(not shutil.which('node'), reason='needs Node.js')
def test_images_are_prepared_as_in_the_runtime(tmp_path):
    shutil.copy(WEB / 'images.js', tmp_path / 'images.mjs')
    (tmp_path / 'run.mjs').write_text(PREPARE)
    tries = []
    for shape, steps in TRIES:
        image = dict(data=images(shape).ravel().tolist(), width=shape[1], height=shape[0])
        tries.append(dict(image=image, steps=steps))
    (tmp_path / 'tries.json').write_text(json.dumps(tries))
    done = subprocess.run(
        ['node', 'run.mjs'], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    for (shape, steps), found in zip(TRIES, json.loads(done.stdout), strict=True):
        filled = [{'keep_ratio': False, **step} for step in steps]
        wanted, content = prepare(images(shape), filled)
        assert tuple(found['shape']) == wanted.shape[:2]
        assert tuple(found['content']) == tuple(content)
        gaps = np.abs(np.reshape(found['data'], wanted.shape).astype(int) - wanted)
        # OpenCV adds the pixels of its linear filter in integers of few bits.
        assert gaps.max() <= 1, steps
        assert (gaps > 0).mean() < (0.15 if steps[0].get('interpolation') == 'bilinear' else 0.01)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(dynamic='batch'), '--format web serves one size'),
        (dict(half=True), '--format web computes in float32; leave out --half'),
    ],
)
def test_what_a_page_cannot_do_is_refused(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        ExportOptions(format='web', **options).format_of(tmp_path / 'page')


def test_what_a_page_cannot_resize_by_is_refused(tmp_path):
    step = dict(op='resize', scale=[8, 8], keep_ratio=False, interpolation='area')
    given = dict(open_axes=[], size=[8, 8])
    metadata = dict(resize=[step], input=given, task='segmentation')
    with pytest.raises(UserError, match='cannot resize by cv2 and area'):
        save(Page(None, None), metadata, tmp_path / 'page')
    assert not (tmp_path / 'page').exists()


def test_only_a_folder_of_its_own_is_taken(tmp_path):
    options = ExportOptions(format='web')
    (tmp_path / 'node_modules').mkdir()
    (tmp_path / 'package.json').touch()
    assert options.format_of(tmp_path)[0] == 'web'
    (tmp_path / 'thesis.tex').touch()
    with pytest.raises(UserError, match='holds other files; give a new or an empty folder'):
        options.format_of(tmp_path)
    with pytest.raises(UserError, match=r'must be a folder, and .* is a file'):
        options.format_of(tmp_path / 'thesis.tex')
    with pytest.raises(UserError, match='--ort-web is for --format web, got onnx'):
        ExportOptions(ort_web='x').format_of(tmp_path / 'x.onnx')


@pytest.fixture
def browser():
    sync_api = pytest.importorskip('playwright.sync_api')
    with sync_api.sync_playwright() as playwright:
        options = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream']
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield started
        started.close()


@pytest.fixture
def serve():
    """Serve a folder; give its address."""
    servers = []

    def start(folder):
        handler = functools.partial(QuietHandler, directory=str(folder))
        servers.append(ThreadingHTTPServer(('127.0.0.1', 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f'http://127.0.0.1:{servers[-1].server_address[1]}/'

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class QuietHandler(SimpleHTTPRequestHandler):
    """Prints no line for each request."""

    def log_message(self, *_):
        pass


def open_page(browser, address):
    """The page, once it can be used; whatever it logs as an error fails the test."""
    page = browser.new_page()
    page.errors = []
    page.on('pageerror', lambda error: page.errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector('body[data-ready]', timeout=120_000)
    return page


def shown_for(page, photo):
    """Rows of results for an image file: name, share in percent, corners."""
    page.evaluate("document.getElementById('status').textContent = ''")
    page.set_input_files('#file', str(photo))
    page.wait_for_function("/ ms$/.test(document.getElementById('status').textContent)")
    assert not page.errors
    rows = page.eval_on_selector_all(
        '#results li',
        "rows => rows.map(r => [r.innerText.replace(/\\n/g, ' '), r.dataset.box ?? ''])",
    )
    parsed = []
    for text, box in rows:
        name, share = text.removesuffix('%').strip().rsplit(maxsplit=1)
        parsed.append((name, float(share), [float(value) for value in box.split()]))
    return parsed


NEEDED = pytest.mark.skipif(
    not (DATA and ORT_WEB and CHROMIUM),
    reason='needs MMANCHOR_TEST_DATA, MMANCHOR_TEST_ORT_WEB and chromium',
)


@pytest.mark.slow
@NEEDED
def test_the_browser_finds_the_boxes_of_predict(tmp_path, browser, serve):
    config = 'picodet_esnet-s_4xb80-300e_coco-416'
    weights = Path(DATA, 'weights/picodet_s_esnet_416_coco.safetensors')
    export_model(config, weights, tmp_path / 'page', format='web', ort_web=ORT_WEB)
    photos = sorted(Path(DATA, 'coco/val2017').glob('*.jpg'))[:3]
    page = open_page(browser, serve(tmp_path / 'page'))
    model = mmanchor.load(config, weights, 'cpu')
    for photo, wanted in zip(photos, model.predict(list(photos), score_thr=0.3), strict=True):
        found = shown_for(page, photo)
        assert [name for name, _, _ in found] == list(wanted.names)
        np.testing.assert_allclose([each[1] / 100 for each in found], wanted.scores, atol=0.02)
        np.testing.assert_allclose([each[2] for each in found], wanted.boxes, atol=1)
    page.evaluate("document.getElementById('status').textContent = ''")
    page.dblclick('#camera')  # opens one stream, which the last click ends
    page.wait_for_function("/ ms$/.test(document.getElementById('status').textContent)")
    page.click('#camera')
    assert page.inner_text('#camera') == 'Camera'
    assert not page.errors


@pytest.mark.slow
@NEEDED
def test_the_browser_names_the_classes_of_predict(tmp_path, browser, serve):
    config = 'anchorformer-t_in1k'
    report = export_model(config, None, tmp_path / 'page', format='web', ort_web=ORT_WEB)
    photo = sorted(Path(DATA, 'coco/val2017').glob('*.jpg'))[0]
    wanted = mmanchor.runtime.Model(report.path / 'model.onnx').predict(photo)
    order = np.argsort(-wanted.scores)[:5]
    names = report.metadata['classes']
    found = shown_for(open_page(browser, serve(tmp_path / 'page')), photo)
    assert [name for name, _, _ in found] == [names[label] for label in order]
