"""``mmanchor doctor`` prints findings with cures and reports by its status."""

import pytest

from mmanchor.cli import main
from mmanchor.compat import doctor


@pytest.mark.parametrize(
    'statuses, expected', [(['ok', 'ok'], 0), (['ok', 'warning'], 0), (['broken', 'ok'], 1)]
)
def test_status_is_1_where_something_is_broken(statuses, expected, monkeypatch, capsys):
    findings = [
        doctor.Finding(f'part-{index}', status, 'found [this]', 'do that')
        for index, status in enumerate(statuses)
    ]
    monkeypatch.setattr(doctor, 'CHECKS', [('parts', lambda: findings)])
    assert main.main(['doctor']) == expected
    output = capsys.readouterr().out
    for index, status in enumerate(statuses):
        assert f'part-{index}' in output and status in output
    assert 'found [this]' in output and 'cure: do that' in output
