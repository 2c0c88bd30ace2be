"""A file is trusted where the user says so, and nowhere else."""

import os

import pytest

from mmanchor.compat import is_trusted, trust_checkpoint
from mmanchor.compat.trust import ENVIRONMENT


def test_nothing_is_trusted_by_itself(tmp_path):
    assert not is_trusted(tmp_path / 'a.pth')


def test_trust_ends_with_the_block(tmp_path):
    path = tmp_path / 'a.pth'
    with pytest.raises(ZeroDivisionError), trust_checkpoint(path):
        assert is_trusted(path) and is_trusted(str(path))
        assert not is_trusted(tmp_path / 'b.pth')
        raise ZeroDivisionError
    assert not is_trusted(path)


def test_call_alone_trusts_until_the_end_of_the_process(tmp_path):
    path = tmp_path / 'a.pth'
    trust = trust_checkpoint(path)
    assert is_trusted(path)
    with trust_checkpoint(path):
        pass
    assert is_trusted(path)
    trust.__exit__()
    assert not is_trusted(path)


def test_other_spellings_of_a_path_are_the_same_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'link.pth').symlink_to('a.pth')
    with trust_checkpoint('a.pth'):
        for spelling in (tmp_path / 'a.pth', './a.pth', '~/a.pth', 'link.pth'):
            assert is_trusted(spelling)


def test_url_is_trusted_as_it_is_written():
    with trust_checkpoint('https://host.invalid/a.pth'):
        assert is_trusted('https://host.invalid/a.pth')
        assert not is_trusted('http://host.invalid/a.pth')


def test_environment_lists_paths(tmp_path, monkeypatch):
    paths = [str(tmp_path / name) for name in ('a.pth', 'b.pth')]
    monkeypatch.setenv(ENVIRONMENT, os.pathsep.join(paths))
    assert all(map(is_trusted, paths))
    assert not is_trusted(tmp_path / 'c.pth')
    monkeypatch.setenv(ENVIRONMENT, '')
    assert not is_trusted(paths[0]) and not is_trusted(os.curdir)
