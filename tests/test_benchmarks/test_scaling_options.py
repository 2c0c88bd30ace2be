"""Options of `mmanchor benchmark scaling`."""

import argparse
import json

import pytest

from mmanchor.utils.errors import UserError
from tools.benchmarks.commands import scaling as benchmark_scaling


def parse(*words):
    parser = argparse.ArgumentParser()
    benchmark_scaling.add_arguments(parser)
    parser.add_argument('--out-dir')
    return parser.parse_args(words)


def test_a_small_run_writes_and_prints_the_table(tmp_path, capsys):
    words = '--tokens 16 8 --parts attention --heads 2 --head-dims 4 --anchors 3 --rounds 1'
    args = parse(*words.split(), '--out-dir', str(tmp_path))
    assert benchmark_scaling.run(args) == 0
    results = json.loads((tmp_path / 'scaling.json').read_text())
    assert results['tokens'] == [8, 16]
    assert results['measured']['setting']['heads'] == 2
    table = (tmp_path / 'scaling.md').read_text()
    printed = capsys.readouterr().out
    assert table in printed
    for name in ('scaling.json', 'scaling.md', 'scaling.png'):
        assert f'written to {tmp_path / name}' in printed
    assert (tmp_path / 'scaling.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize(
    'words, message',
    [
        ('--tokens 0 16', r'--tokens must be at least 1, got 0 16'),
        ('--batch 0', '--batch must be at least 1, got 0'),
        ('--trunk-depth -1', '--trunk-depth must be at least 1, got -1'),
        ('--head-dims 1', '--head-dims must be at least 2'),
        ('--budget-seconds 0', '--budget-seconds must be above 0, got 0.0'),
        ('--budget-seconds nan', '--budget-seconds must be above 0, got nan'),
        ('--max-memory -2', '--max-memory must be above 0, got -2.0'),
        ('--device tpu', "--device must be 'cpu' or a CUDA device .* got 'tpu'"),
        ('--device cuda:99', "--device must be .* got 'cuda:99'"),
        ('--device meta', "--device must be .* got 'meta'"),
    ],
)
def test_wrong_options_are_named(words, message, tmp_path):
    args = parse(*words.split(), '--out-dir', str(tmp_path / 'new'))
    with pytest.raises(UserError, match=message):
        benchmark_scaling.run(args)
    assert not (tmp_path / 'new').exists()


def test_a_folder_that_cannot_be_written_to_is_refused_before_measuring(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='--out-dir'):
        benchmark_scaling.run(parse('--out-dir', str(tmp_path / 'file')))


@pytest.mark.parametrize('words', ['--dtype int8', '--parts head', '--tokens'])
def test_unknown_choices_are_usage_errors(words):
    with pytest.raises(SystemExit) as error:
        parse(*words.split())
    assert error.value.code == 2


def test_the_command_finds_it_and_fails_in_one_line(capsys):
    from mmanchor.cli.main import main

    assert main(['benchmark', 'scaling', '--tokens', '0']) == 1
    assert capsys.readouterr().err == ('mmanchor benchmark: --tokens must be at least 1, got 0\n')
