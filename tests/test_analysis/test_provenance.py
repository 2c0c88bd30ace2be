"""The commit that is stated with measured numbers."""

import json
import subprocess

import pytest

from mmanchor.analysis import provenance

PARTS = (
    'mmanchor/__init__.py',
    'mmanchor/apis/provenance.py',
    'mmanchor/models/layers/x.py',
    'configs/a.py',
    'README.md',
)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    for part in PARTS:
        path = tmp_path / part
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('1')
    monkeypatch.setattr(provenance, '__file__', str(tmp_path / PARTS[1]))
    return tmp_path


def git(folder, *words):
    author = ('-c', 'user.name=a', '-c', 'user.email=a@example.org')
    return subprocess.run(
        ('git', *author, *words), cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_commit_is_marked_if_code_or_configs_changed(checkout):
    git(checkout, 'init')
    git(checkout, 'add', '.')
    git(checkout, 'commit', '-m', 'a')
    commit = git(checkout, 'rev-parse', '--short', 'HEAD')
    assert provenance.provenance()['commit'] == commit
    for part in PARTS:
        (checkout / part).write_text('2')
        mark = '' if part == 'README.md' else '+'
        assert provenance.provenance()['commit'] == commit + mark
        (checkout / part).write_text('1')


def test_the_commit_of_another_project_is_not_taken(checkout):
    git(checkout, 'init')
    git(checkout, 'add', 'README.md')
    git(checkout, 'commit', '-m', 'a')
    assert provenance.provenance()['commit'] == 'unknown'


@pytest.mark.parametrize(
    'origin, commit',
    [
        (dict(vcs_info=dict(commit_id='0123456789abcdef')), '0123456'),
        (dict(dir_info={}), 'unknown'),
        (None, 'unknown'),
    ],
)
def test_the_commit_that_pip_installed_from(checkout, monkeypatch, origin, commit):
    info = checkout / 'mmanchor-1.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Name: mmanchor\nVersion: 1\n')
    if origin is not None:
        (info / 'direct_url.json').write_text(json.dumps(origin))
    monkeypatch.syspath_prepend(checkout)
    assert provenance.provenance()['commit'] == commit


def test_the_commit_of_another_copy_is_not_taken(checkout, tmp_path, monkeypatch):
    other = tmp_path / 'other'
    info = other / 'mmanchor-1.dist-info'
    info.mkdir(parents=True)
    (info / 'METADATA').write_text('Name: mmanchor\nVersion: 1\n')
    (info / 'direct_url.json').write_text('{"vcs_info": {"commit_id": "0123456789abcdef"}}')
    monkeypatch.syspath_prepend(other)
    assert provenance.provenance()['commit'] == 'unknown'
