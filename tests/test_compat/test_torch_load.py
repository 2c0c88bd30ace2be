"""torch.load of what MMEngine saves; see mmanchor/compat/toolboxes/torch_load.py."""

import pickle

import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch_versions import weights_only_by_default

from mmanchor.compat import UnsafeCheckpointError


class Runs:
    """Calls something when it is unpickled."""

    def __reduce__(self):
        return print, ('code was run',)


def save(path, **more):
    history = HistoryBuffer([1.0], [1])
    torch.save(dict(message_hub=history, state_dict=dict(w=torch.ones(2)), **more), path)
    return path


def test_a_training_checkpoint_loads(tmp_path):
    loaded = torch.load(save(tmp_path / 'epoch_1.pth'), map_location='cpu')
    assert loaded['state_dict']['w'].tolist() == [1, 1]


@weights_only_by_default
def test_code_is_not_run(tmp_path, capsys):
    with pytest.raises((UnsafeCheckpointError, pickle.UnpicklingError)):
        torch.load(save(tmp_path / 'bad.pth', more=Runs()))
    assert not capsys.readouterr().out


def test_who_asks_for_weights_gets_weights_only(tmp_path):
    with pytest.raises(pickle.UnpicklingError, match='HistoryBuffer'):
        torch.load(save(tmp_path / 'epoch_1.pth'), weights_only=True)


def test_other_errors_are_as_they_were(tmp_path):
    (tmp_path / 'x.pth').write_bytes(b'no checkpoint')
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'x.pth')
