"""The toolboxes' own tools, as they are installed, take our configs."""

import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from config_files import ROOT, load
from mmengine.registry import VISUALIZERS
from mmengine.visualization import Visualizer

from mmanchor.demo.scenes import make_demo_data

ENTRY_POINTS = ('picodet_anchorformer-s_coco', 'upernet_anchorformer_ade', 'anchorformer-s_in1k')
DEMO = {path.name.partition('_')[0]: path for path in ROOT.glob('demo/*anchorformer-*.py')}


@pytest.fixture
def run_tool(monkeypatch, tmp_path, plain_configs):
    """Run a tool's script with arguments; its files are in ``tmp_path``."""

    def run(package, tool, *words):
        path = Path(find_spec(package).origin).parent / '.mim' / 'tools' / tool
        monkeypatch.setattr(sys, 'argv', [str(path), *map(str, words)])
        runpy.run_path(str(path), run_name='__main__')

    monkeypatch.chdir(tmp_path)
    return run


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp('scenes')
    make_demo_data(root, num_train=2, num_val=1, size=(64, 64))
    return root


@pytest.mark.parametrize('name', ENTRY_POINTS)
def test_the_visualizer_is_found_by_its_name(name, scope, tmp_path):
    cfg = load(ROOT / f'{name}.py')
    scope(cfg)
    # As mmdet's video_demo.py builds it, which the package does not contain.
    visualizer = VISUALIZERS.build(dict(cfg.visualizer, save_dir=str(tmp_path)))
    assert Visualizer.get_current_instance() is visualizer


def test_mmdets_browse_dataset_draws_the_training_images(run_tool, scenes):
    run_tool(
        'mmdet',
        'analysis_tools/browse_dataset.py',
        DEMO['picodet'],
        '--not-show',
        '--output-dir=drawn',
        '--cfg-options',
        f'train_dataloader.dataset.data_root={scenes}/coco/',
    )
    assert len(list(Path('drawn').iterdir())) == 2


def test_mmsegs_browse_dataset_draws_the_training_images(run_tool, scenes):
    run_tool(
        'mmseg',
        'analysis_tools/browse_dataset.py',
        DEMO['upernet'],
        '--not-show',
        '--output-dir=drawn',
        '--cfg-options',
        f'train_dataloader.dataset.data_root={scenes}/ade',
    )
    assert len(list(Path('drawn').iterdir())) == 2
