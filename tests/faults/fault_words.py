"""Every option of every command with values that mean nothing, and odd files."""

import random
import signal
import subprocess
import time
from argparse import SUPPRESS, Action
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from fault_cases import TRACEBACK, Case, command, fault_of, load_all, spawned, tiny_project

NUMBERS = ('abc', '', '-1', '0', '1.5', 'nan', '1e400', '9' * 25)
# No folder above the scratch one: some cases write where a value says.
TEXTS = ('', '-', '\u00fcn\u00ef \U0001f600', 'a\nb', 'x' * 5000, '%s{0}', '[', 'None')
# How many cases a run draws from all of them, and how often it presses Ctrl+C.
DRAWN = 120
STOPS = 4


def cases(folder: Path, seed: int, times: int) -> Iterator[Case]:
    """A sample of all options and words with odd values; output that is closed; Ctrl+C."""
    load_all()
    draw = random.Random(seed)
    project = tiny_project(folder / 'project')
    commands = _commands(folder, project)
    yield Case('a run to use', partial(_trained, project, folder / 'run'))
    odd = _odd_files(folder / 'odd')
    every = [
        (name, words)
        for name, base in commands.items()
        for words in (*_with_options(name, base, odd), *_with_files(base, odd))
    ]
    for name, words in draw.sample(every, min(len(every), DRAWN * times)):
        shown = ' '.join(repr(str(word).replace(str(folder), ''))[1:60] for word in words)
        yield Case(f'{name} {shown}', partial(_fault, [name, *words], folder))
    for name in ('list-configs', 'print-config', 'check-data', 'complexity'):
        yield Case(f'{name} | head -c 1', partial(_closed, [name, *commands[name]], folder))
    for number in range(STOPS * times):
        name = draw.choice(('train', 'predict', 'check-data', 'make-demo-data'))
        wait = draw.uniform(0.5, 12)
        words = [name, *commands[name]]
        yield Case(f'{name}, Ctrl+C {number}', partial(_stopped, words, folder, wait))


def _commands(folder: Path, project: Path) -> dict[str, list]:
    """Words of each command that would do their work in a moment."""
    seg, weights = project / 'seg.py', folder / 'run' / 'iter_1.pth'
    image = project / 'data/images/validation/valid_000.jpg'
    out = folder / 'out'
    short = ['--cfg-options', 'train_cfg.max_iters=1']
    return {
        'train': [seg, '--work-dir', out / 'w', *short],
        'test': [seg, weights, '--work-dir', out / 't'],
        'predict': [seg, weights, image, '--out-dir', out / 'p'],
        'explain': [seg, weights, image, '--out-dir', out / 'e'],
        'demo': ['segmentation', '--work-dir', out / 'd', '--data-root', out / 'data',
                 '--cfg-options', 'num_train=2', 'num_val=1', 'train_cfg.max_iters=1'],
        'make-demo-data': [out / 'm', '--num-train', '1', '--num-val', '1', '--size', '32'],
        'list-configs': ['*ade*'],
        'print-config': [seg],
        'init-config': ['segmentation', '--data', project / 'data', out / 'new.py'],
        'check-data': [seg],
        'complexity': [seg, '--shape', '32'],
        'export': [seg, weights, out / 'x.onnx', '--size', '32'],
        'fold': [seg, weights, out / 'f.pth'],
        'publish': [weights, out / 'p.pth'],
        'convert': ['deit', weights, out / 'c.pth', '--config', seg],
        'run': [project / 'seg.py'],
        'doctor': [],
    }  # fmt: skip


def _trained(project: Path, work: Path) -> str:
    words = ['train', project / 'seg.py', '--work-dir', work, '--cfg-options']
    short = ['train_cfg.max_iters=1', 'train_cfg.val_interval=9']
    saving = ['default_hooks.checkpoint.interval=1']
    return fault_of(*command([*words, *short, *saving]), (0,))


def _odd_files(folder: Path) -> list[Path]:
    """Nothing, a folder, no bytes, junk, a loop of links; names with spaces and accents."""
    folder.mkdir(parents=True)
    found = [folder / 'missing', folder, Path('/dev/null'), Path('/proc/self/mem')]
    texts = {
        'empty.pth': b'',
        'junk.pth': bytes(range(256)) * 9,
        'junk.py': b'\xff\xfe\0x',
        'text.json': b'{"a": [',
        'a space.jpg': b'\xff\xd8\xff\xe0',
        '\u00fcber.png': b'\x89PNG\r\n',
        'unreadable.py': b'a = 1',
        'x.onnx': b'\x08\x07',
        'x.safetensors': b'\xff' * 16,
    }
    for name, data in texts.items():
        path = folder / name
        path.write_bytes(data)
        found.append(path)
    (folder / 'unreadable.py').chmod(0)
    (folder / 'loop').symlink_to('loop')
    return [*found, folder / 'loop', folder / 'empty.pth' / 'below']


def _with_options(name: str, base: list, odd: list[Path]) -> Iterator[list]:
    from mmanchor.cli.main import parser_of

    for action in parser_of(name)._actions:
        if not action.option_strings or action.nargs == 0 or action.default == SUPPRESS:
            continue
        for value in _values(action, odd):
            count = action.nargs if isinstance(action.nargs, int) else 1
            yield [*base, action.option_strings[-1], *[value] * count]


def _values(action: Action, odd: list[Path]) -> tuple:
    if '--cfg-options' in action.option_strings:
        return ('=', 'a', 'a.b.c=1', 'model=', 'model.x.y=5', 'model.=1', '.=1', 'model=[', "x='")
    if action.type in (int, float):
        return NUMBERS
    return (*TEXTS, *odd)


def _with_files(base: list, odd: list[Path]) -> Iterator[list]:
    for index, word in enumerate(base):
        if isinstance(word, Path):
            for each in odd:
                yield [*base[:index], each, *base[index + 1 :]]


def _fault(words: list, folder: Path) -> str:
    if any('\0' in str(word) for word in words):
        return ''
    return fault_of(*command(words, cwd=folder))


def _closed(words: list, folder: Path) -> str:
    """The reader of the output goes away after the first byte."""
    run = spawned(words, folder)
    run.stdout.read(1)
    run.stdout.close()
    try:
        status = run.wait(120)
    except subprocess.TimeoutExpired:
        run.kill()
        return 'still running'
    return '' if status in (0, 1, 2, 120, 130, 141, -signal.SIGPIPE) else f'exit status {status}'


def _stopped(words: list, folder: Path, wait: float) -> str:
    run = spawned(words, folder)
    time.sleep(wait)
    run.send_signal(signal.SIGINT)
    try:
        text, _ = run.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        run.kill()
        return 'still running after Ctrl+C'
    if run.returncode not in (0, 1, 130, -signal.SIGINT):
        return f'exit status {run.returncode}'
    # Before the command has begun, Python itself ends.
    return 'traceback' if TRACEBACK in text and 'mmanchor' in text.split(TRACEBACK)[0] else ''
