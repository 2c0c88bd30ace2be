"""list-configs and print-config."""

from mmengine.config import Config

from mmanchor.cli.main import main
from mmanchor.utils.config import list_configs, load_config

NAME = 'picodet_anchorformer-demo_1xb8-6e_demo-160'


def test_all_configs_are_listed(capsys):
    assert main(['list-configs']) == 0
    assert capsys.readouterr().out.splitlines() == list_configs()


def test_a_part_of_a_name_finds_configs(capsys):
    assert main(['list-configs', 'picodet*416']) == 0
    names = capsys.readouterr().out.splitlines()
    assert names and all(name.startswith('picodet/') for name in names)
    assert main(['list-configs', 'nothing-like-it']) == 1


def test_what_is_printed_is_the_config(capsys, tmp_path):
    assert main(['print-config', NAME, '--cfg-options', 'train_dataloader.batch_size=3']) == 0
    path = tmp_path / 'printed.py'
    path.write_text(capsys.readouterr().out)
    printed, cfg = Config.fromfile(str(path)), load_config(NAME)
    assert printed.train_dataloader.batch_size == 3
    assert printed.model == cfg.model
    assert 'work_dir' not in printed


def test_a_part_is_printed_by_its_key(capsys):
    assert main(['print-config', NAME, '--key', 'model.bbox_head.num_classes']) == 0
    assert capsys.readouterr().out.strip().isdecimal()
    assert main(['print-config', NAME, '--key', 'test_pipeline.0.type']) == 0
    assert capsys.readouterr().out == "'LoadImageFromFile'\n"
    assert main(['print-config', NAME, '--key', 'model.backbone']) == 0
    assert 'type=' in capsys.readouterr().out.replace(' ', '')
    assert main(['print-config', NAME, '--key', 'model.nekc']) == 1
    assert "there is no 'nekc' in model; it has " in capsys.readouterr().err
