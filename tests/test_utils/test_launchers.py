"""Rank and number of processes, as the launcher that was named tells them."""

import pytest

from mmanchor.utils.launchers import VARIABLES, rank_and_size


@pytest.mark.parametrize('launcher', VARIABLES)
def test_each_launcher_is_asked_by_its_own_variables(launcher, monkeypatch):
    for name, names in VARIABLES.items():
        monkeypatch.setenv(names[0], '3' if name == launcher else '9')
        monkeypatch.setenv(names[1], '4' if name == launcher else '99')
    assert rank_and_size(launcher) == (3, 4)
    assert rank_and_size('none') == (0, 1)


@pytest.mark.parametrize('value', ['', 'four', '-1'])
def test_variables_that_are_no_numbers_mean_one_process(value, monkeypatch):
    monkeypatch.setenv('RANK', value)
    monkeypatch.setenv('WORLD_SIZE', value)
    assert rank_and_size('pytorch') == (0, 1)
