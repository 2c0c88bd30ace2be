"""The page in a real browser, wide and on a phone: an image, a bad upload, an explanation."""

import os
import shutil
import signal
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import mmanchor

CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')
MISSING = [name for name in ('gradio', 'playwright') if find_spec(name) is None]
MISSING += [] if CHROMIUM else ['chromium']
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f'not installed: {", ".join(MISSING)}'),
]
CONFIG = 'upernet_anchorformer-demo_1xb8-1100_demo-128'
# A machine under load takes a minute to start.
PATIENCE = 180_000


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('page')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        module = mmanchor.load(CONFIG, device='cpu').module
    torch.save(dict(state_dict=module.state_dict()), folder / 'random.pth')
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / 'image.png'), image)
    (folder / 'bad.png').write_bytes(b'no image')
    (folder / 'tmp').mkdir()
    (folder / 'cwd').mkdir()
    return folder


@pytest.fixture(scope='module')
def address(folder):
    """Where the command serves; it ends without leaving anything behind."""
    words = [CONFIG, str(folder / 'random.pth')] * 2
    paths = [str(Path(mmanchor.__file__).parents[1]), os.environ.get('PYTHONPATH', '')]
    server = subprocess.Popen(
        [sys.executable, '-m', 'mmanchor', 'web', *words, '--explain', '--device', 'cpu'],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder / 'cwd',
        env={**os.environ, 'TMPDIR': str(folder / 'tmp'), 'PYTHONPATH': os.pathsep.join(paths)},
    )
    lines = []
    for line in server.stdout:
        lines.append(line)
        if line.startswith('http'):
            break
    assert lines and lines[-1].startswith('http://127.0.0.1:'), lines
    yield lines[-1].split()[0]
    server.send_signal(signal.SIGTERM)
    assert server.wait(PATIENCE / 1000) == 0
    server.stdout.close()
    assert not list((folder / 'tmp').iterdir())
    assert not list((folder / 'cwd').iterdir())


@pytest.fixture(scope='module')
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield browser
        browser.close()


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=['wide', 'phone'])
def page(request, browser, address):
    width, height = request.param
    page = browser.new_page(viewport=dict(width=width, height=height))
    page.set_default_timeout(PATIENCE)
    asked = []
    page.on('request', lambda request: asked.append(request.url))
    page.goto(address)
    yield page
    assert all(url.startswith((address, 'data:', 'blob:')) for url in asked), asked
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    page.close()


def drop(page, path):
    page.set_input_files('#drop input[type=file]', str(path))


def test_an_image_is_predicted_on_and_explained(page, folder):
    drop(page, folder / 'image.png')
    page.wait_for_selector('#status >> text=Done.')
    assert page.get_by_text('% of the image').count()
    assert page.locator('#drawings img').count() == 2  # two models
    page.get_by_role('button', name='Explain', exact=True).click()
    page.wait_for_selector('#status-explain >> text=Done.')
    assert page.locator('#sheet img').count() == 1
    with page.expect_download() as download:
        page.get_by_role('link', name='Download predictions').or_(
            page.get_by_role('button', name='Download predictions')
        ).first.click()
    assert download.value.suggested_filename.endswith('.zip')


def test_a_bad_upload_gets_a_message_and_the_page_goes_on(page, folder):
    drop(page, folder / 'bad.png')
    page.wait_for_selector('#status >> text=This image cannot be read: it is not an image')
    page.reload()
    drop(page, folder / 'image.png')
    page.wait_for_selector('#status >> text=Done.')
