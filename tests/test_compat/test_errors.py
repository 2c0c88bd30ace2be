"""Errors of checkpoints reach the process that shows them."""

import errno
import pickle

from mmanchor.compat import CheckpointError, NotSavedError, UnsafeCheckpointError


def test_errors_survive_the_way_between_processes():
    full = NotSavedError(OSError(errno.ENOSPC, 'No space left on device'), 'a.pth')
    assert isinstance(full, OSError) and full.errno == errno.ENOSPC
    assert 'a.pth was not written (No space left on device)' in str(full)
    for error in (CheckpointError('a'), UnsafeCheckpointError('a.pth', 'os.system', False), full):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error)


def test_text_of_a_file_is_shown_without_codes_for_the_terminal():
    message = str(UnsafeCheckpointError('a.pth', '\x1b[2J\n' + 'x' * 1000))
    assert message.isprintable() and 'x' * 200 in message and len(message) < 800
