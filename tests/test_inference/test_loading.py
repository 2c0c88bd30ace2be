"""mmanchor.load and Model.predict, as a script or notebook uses them."""

import pickle

import cv2
import mmcv
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.apis import inference_model, init_model
from mmseg.structures import SegDataSample
from PIL import Image
from tiny_project import CLASSES

import mmanchor
from mmanchor.inference.loading import choose_device
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError
from mmanchor.visualization import distinct_palette

pytestmark = pytest.mark.filterwarnings('ignore:no checkpoint was given')


@pytest.fixture(scope='module')
def segmentor(tiny, seg_checkpoint):
    return mmanchor.load(tiny / 'seg.py', seg_checkpoint, 'cpu')


@pytest.fixture(scope='module')
def detector(tiny, det_checkpoint):
    return mmanchor.load(tiny / 'det.py', det_checkpoint, 'cpu')


@pytest.fixture
def image(tiny):
    return tiny / 'data/images/training/train_000.jpg'


def test_a_model_says_what_it_is(segmentor, detector):
    assert (segmentor.task, detector.task) == ('segmentation', 'detection')
    assert segmentor.classes == CLASSES  # the checkpoint's
    assert detector.classes == CLASSES[1:]  # the config's
    assert isinstance(segmentor.module, torch.nn.Module) and not segmentor.module.training
    assert segmentor.config.default_scope == 'mmseg'


def test_masks_are_those_of_mmseg(segmentor, tiny, seg_checkpoint, image):
    [result] = segmentor.predict(image)
    model = init_model(str(tiny / 'seg.py'), str(seg_checkpoint), 'cpu')
    expected = inference_model(model, str(image))
    assert isinstance(result, SegDataSample)
    assert (result.pred_sem_seg.data == expected.pred_sem_seg.data).all()
    assert (result.mask == expected.pred_sem_seg.data[0].numpy()).all()
    assert result.mask.dtype == np.uint8
    assert result.names == [CLASSES[label] for label in result.labels]
    assert 'seg_logits' not in result


def test_boxes_are_named_and_descend(detector, image):
    [result] = detector.predict(image, score_thr=0)
    assert isinstance(result, DetDataSample)
    assert result.boxes.shape == (len(result), 4) and len(result) > 1
    assert (np.diff(result.scores) <= 0).all()
    assert result.names == [CLASSES[1:][label] for label in result.labels]
    assert len(result.pred_instances) == len(result)
    [fewer] = detector.predict(image, score_thr=float(result.scores[0]))
    assert 1 <= len(fewer) < len(result)
    assert fewer.highest_score == pytest.approx(float(result.scores[0]))


def test_a_path_an_array_and_a_pillow_image_are_the_same(segmentor, image):
    bgr = mmcv.imread(str(image))
    rgb = np.ascontiguousarray(bgr[..., ::-1])
    inputs = [image, bgr, Image.open(image)]
    masks = [each.mask for each in segmentor.predict(inputs)]
    masks += [segmentor.predict(rgb, rgb=True)[0].mask, segmentor.predict(str(image))[0].mask]
    assert all((each == masks[0]).all() for each in masks)
    assert not (segmentor.predict(rgb)[0].mask == masks[0]).all()


def test_batches_and_streams_give_the_same(detector, tiny):
    folder = tiny / 'data/images/training'
    single = detector.predict(folder, score_thr=0)
    batched = detector.predict(folder, batch_size=4, score_thr=0)
    stream = detector.predict(folder, score_thr=0, stream=True)
    assert iter(stream) is stream
    for results in (batched, list(stream)):
        assert len(results) == len(single) == 6
        for one, other in zip(single, results, strict=True):
            assert one.image_path == other.image_path
            np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


def test_results_draw_themselves(segmentor, detector, image, tmp_path):
    for model, options in ((segmentor, dict(opacity=0.5)), (detector, {})):
        [result] = model.predict(image)
        drawn = result.draw(**options)
        assert drawn.shape == (32, 32, 3) and drawn.dtype == np.uint8
        path = result.save(tmp_path / model.task / 'out.png', **options)
        assert (np.asarray(Image.open(path)) == drawn).all()
        assert result.image_path == str(image)
        assert (result.image == np.asarray(Image.open(image))).all()


def test_a_result_stays_one_when_it_is_copied(detector, image):
    [result] = detector.predict(image, score_thr=0)
    for copied in (result.cpu(), result.clone(), pickle.loads(pickle.dumps(result))):
        assert copied.names == result.names
        assert (copied.boxes == result.boxes).all()
    assert 'pred_instances' in result.to_dict()
    assert result.numpy().pred_instances.scores[0] == result.scores[0]


def test_frames_of_a_video(detector, tmp_path):
    path = tmp_path / 'clip.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5, (32, 32))
    for value in range(0, 200, 40):
        writer.write(np.full((32, 32, 3), value, np.uint8))
    writer.release()
    results = detector.predict(path, max_frames=3)
    assert len(results) == 3
    assert [each.image_path for each in results] == [None] * 3
    assert results[2].draw().shape == (32, 32, 3)


def test_views_are_averaged(tiny, seg_checkpoint, image):
    model = mmanchor.load(tiny / 'seg.py', seg_checkpoint, 'cpu', tta=True)
    image = mmcv.imread(str(image))
    mask = model.predict(image)[0].mask
    # The views are the image and its mirror image.
    assert (model.predict(image[:, ::-1])[0].mask[:, ::-1] == mask).all()
    with pytest.raises(UserError, match='tta_pipeline'):
        mmanchor.load(tiny / 'det.py', device='cpu', tta=True)


def test_an_image_that_was_named_must_be_readable(segmentor, image, tmp_path):
    torn = tmp_path / 'torn.png'
    torn.write_text('no image')
    with pytest.raises(UserError, match=r'no prediction for torn.png: it is not an image'):
        segmentor.predict(torn)
    (tmp_path / 'good.jpg').write_bytes(image.read_bytes())
    with pytest.warns(UserWarning, match='no prediction for torn.png'):
        assert len(segmentor.predict(tmp_path)) == 1


def test_options_outside_their_range(segmentor, image):
    with pytest.raises(UserError, match='batch_size must be 1 or more, got 0'):
        segmentor.predict(image, batch_size=0)
    with pytest.raises(UserError, match='score_thr must be between 0 and 1, got 2'):
        segmentor.predict(image, score_thr=2)


def test_models_of_different_toolboxes_take_turns(segmentor, detector, image):
    for _ in range(2):
        for model in (segmentor, detector):
            assert len(model.predict(image)) == 1
    assert DefaultScope.get_current_instance() is None


def test_a_config_is_not_changed(tiny, seg_checkpoint, image):
    cfg = load_config(tiny / 'seg.py')
    before = cfg.pretty_text
    mmanchor.load(cfg, seg_checkpoint, 'cpu', cfg_options={'model.test_cfg.mode': 'whole'})
    assert cfg.pretty_text == before


def test_missing_names_and_colors_are_invented(tiny, seg_checkpoint):
    model = mmanchor.load(tiny / 'seg.py', seg_checkpoint, 'cpu')
    for meta in (dict(CLASSES=['x'], palette='random'), dict(classes=5), 'text', None):
        model.set_meta(meta)
        names = ['x'] if isinstance(meta, dict) and 'CLASSES' in meta else []
        names += [f'class {i}' for i in range(len(names), 4)]
        assert model.classes == tuple(names)
        assert model.palette == distinct_palette(4)


def test_without_a_checkpoint_the_weights_are_random(tiny):
    with pytest.warns(UserWarning, match='no checkpoint was given: the weights of .*seg.py'):
        mmanchor.load(tiny / 'seg.py', device='cpu')


def test_the_newest_and_the_best_of_a_run(tiny, seg_checkpoint, tmp_path):
    (tmp_path / 'last_checkpoint').write_text('/moved/away/iter_2.pth')
    for name in ('iter_2.pth', 'best_mIoU_iter_1.pth'):
        (tmp_path / name).write_bytes(seg_checkpoint.read_bytes())
    cfg = load_config(tiny / 'seg.py', work_dir=tmp_path)
    for word in ('latest', 'best', tmp_path / 'last_checkpoint'):
        assert mmanchor.load(cfg, word, 'cpu').classes == CLASSES
    with pytest.raises(UserError, match=r"'best': the work folder .*empty.* has no best_"):
        mmanchor.load(load_config(tiny / 'seg.py', work_dir=tmp_path / 'empty'), 'best', 'cpu')


@pytest.mark.parametrize('content', ['', '/gone/iter_1.pth', 'a' * 5000, '\0', b'\xff\xfe\0\0'])
def test_a_pointer_to_nothing_is_refused(tiny, tmp_path, content):
    pointer = tmp_path / 'last_checkpoint'
    pointer.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=r"CHECKPOINT '.*last_checkpoint'"):
        mmanchor.load(tiny / 'seg.py', pointer, 'cpu')


@pytest.mark.parametrize(
    'options, message',
    [
        ({'default_scope': 'mmengine'}, "mmdet, mmseg, mmpretrain.* got 'mmengine'"),
        ({'model': None}, 'has no model: .* got None'),
        ({'model': 5}, 'model of .* must be a dict or None, got 5'),
        ({'model.type': 'Gone'}, 'cannot be built: Gone is not in the'),
        ({'model.test_cfg.mode': 'foo'}, "must be 'slide' or 'whole', got 'foo'"),
        (
            {'model.test_cfg.mode': 'slide', 'model.test_cfg.crop_size': (32, 32)},
            'needs model.test_cfg.stride, two whole numbers .* got None',
        ),
        (
            {'model.test_cfg': dict(mode='slide', crop_size=8, stride=(4, 4))},
            'needs model.test_cfg.crop_size, .* got 8',
        ),
        (
            {'test_dataloader': None, 'test_pipeline': 5},
            'test_pipeline of .* must be a list of transforms, got 5',
        ),
    ],
)
def test_configs_that_cannot_predict(tiny, options, message):
    cfg = load_config(tiny / 'seg.py')
    for key, value in options.items():
        cfg.merge_from_dict({key: value})
    if 'test_pipeline' in options:
        cfg.test_pipeline = options['test_pipeline']
    with pytest.raises(UserError, match=message):
        mmanchor.load(cfg, device='cpu')


def test_a_config_without_test_data_predicts(tiny, seg_checkpoint, image):
    cfg = load_config(tiny / 'seg.py')
    cfg.test_dataloader = cfg.val_dataloader = None
    assert mmanchor.load(cfg, seg_checkpoint, 'cpu').predict(image)[0].mask.shape == (32, 32)


def test_the_scope_of_a_new_style_config_is_that_of_its_model():
    from mmdet.models import RTMDet

    from mmanchor.utils.config import toolbox

    assert toolbox(Config(dict(model=dict(type=RTMDet)))) == 'mmdet'
    with pytest.raises(UserError, match='sets no default_scope'):
        toolbox(Config(dict(model=dict(type='RTMDet'))))


def test_device_that_is_not_there():
    for device in ('cuda:77', 'toaster', 'meta'):
        with pytest.raises(UserError, match=f"--device '{device}'"):
            choose_device(device)
    expected = 'cuda:0' if torch.cuda.is_available() else 'cpu'
    assert choose_device() == expected
