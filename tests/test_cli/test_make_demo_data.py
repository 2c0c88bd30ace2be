"""``mmanchor make-demo-data`` from the command line."""

from pathlib import Path

import pytest

from mmanchor.cli.main import main


def command(root: Path, *more: str) -> int:
    return main(
        ['make-demo-data', str(root), '--num-train', '9', '--num-val', '3', '--size', '48', *more]
    )


@pytest.mark.parametrize(
    'layout, there, missing',
    [('ade', ('ade',), ('coco',)), ('coco', ('coco',), ('ade',)), ('both', ('ade', 'coco'), ())],
)
def test_data_and_counts_are_shown(
    tmp_path, capsys, layout: str, there: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    root = tmp_path / 'd'
    assert command(root, '--layout', layout) == 0
    shown = capsys.readouterr().out.replace('\n', '')
    assert 'triangle' in shown and 'ground' in shown
    for name in there:
        assert f'{name}: {root / name} (written)' in shown
        assert (root / name).is_dir()
    for name in missing:
        assert not (root / name).exists()


def test_second_call_finds_the_data(tmp_path, capsys) -> None:
    assert command(tmp_path / 'd') == command(tmp_path / 'd') == 0
    assert 'already complete' in capsys.readouterr().out.replace('\n', '')


def test_other_seed_needs_overwrite(tmp_path, capsys) -> None:
    assert command(tmp_path / 'd') == 0
    assert command(tmp_path / 'd', '--seed', '1') == 1
    assert '--overwrite' in capsys.readouterr().err
    assert command(tmp_path / 'd', '--seed', '1', '--overwrite') == 0


def test_height_and_width_may_differ(tmp_path) -> None:
    assert command(tmp_path / 'd', '--size', '48', '64') == 0
    assert command(tmp_path / 'd', '--size', '48', '64', '64') == 1
