"""Commands of a checkout, where there is one and where there is none."""

import pytest

from mmanchor.cli.main import main
from mmanchor.cli.measuring import checkout
from mmanchor.cli.measuring.benchmark import OF_THE_CHECKOUT


@pytest.mark.parametrize(
    'words', [*(['benchmark', name] for name in OF_THE_CHECKOUT), ['ablation']]
)
def test_help_has_the_options_of_the_command(words, capsys):
    with pytest.raises(SystemExit) as exit:
        main([*words, '--help'])
    assert exit.value.code == 0
    assert '--out-dir' in capsys.readouterr().out


@pytest.mark.parametrize(
    'words', [['benchmark', 'scaling', '--tokens', '5'], ['ablation', '--jobs', '2']]
)
def test_without_a_checkout_the_command_says_where_it_exists(words, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(checkout, 'ROOT', tmp_path)
    assert main(words) == 1
    error = capsys.readouterr().err
    assert 'run it in a clone' in error and len(error.splitlines()) == 1
