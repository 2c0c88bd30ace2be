"""Hostile, broken and odd checkpoints, by every way in which they are read."""

import io
import itertools
import os
import pickle
import random
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from fault_cases import ROOT, Case, command, fault_of, forked, load_all, tiny_project

sys.path.append(str(ROOT / 'tests' / 'test_compat'))


def cases(folder: Path, seed: int, times: int) -> Iterator[Case]:
    """Each file read as a checkpoint and as a plain pickle, some by commands."""
    load_all()
    marker = folder / 'marker'
    files = dict(_files(folder, marker, random.Random(seed), times))
    for (name, path), reader in itertools.product(files.items(), ('checkpoint', 'plain')):
        yield Case(f'{name} as {reader}', partial(_read, path, reader, marker))
    project = tiny_project(folder / 'project')
    image = next((project / 'data').rglob('*.png'), None) or next((project / 'data').rglob('*.jpg'))
    for name, path in files.items():
        if name.startswith(('code os.system', 'odd')):
            for words in (
                ['test', project / 'seg.py', path],
                ['predict', project / 'seg.py', path, image, '--out-dir', folder / 'p'],
                ['train', project / 'seg.py', '--work-dir', folder / 'w', '--resume', path],
            ):
                yield Case(f'{name} by {words[0]}', partial(_command, words, marker))
    yield from _planted(folder, project)


def _read(path: Path, reader: str, marker: Path) -> str:
    def run() -> int:
        from mmanchor.compat import CheckpointError, load_checkpoint
        from mmanchor.compat.safe_pickle import load_plain_pickle

        try:
            (load_checkpoint if reader == 'checkpoint' else load_plain_pickle)(path)
        except CheckpointError as error:
            return 0 if len(str(error)) < 2000 else 3
        return 0

    status, text = forked(run, 20)
    return _ran(marker) or fault_of(status, text, (0,))


def _command(words: list, marker: Path) -> str:
    return _ran(marker) or fault_of(*command(words)) or _ran(marker)


def _ran(marker: Path) -> str:
    return 'CODE RAN' if marker.exists() else ''


def _files(folder: Path, marker: Path, draw: random.Random, times: int) -> Iterator:
    import test_bombs
    import test_checkpoints

    for name, (payload, _) in test_checkpoints.payloads(marker).items():
        for form, options in test_checkpoints.FORMATS.items():
            path = folder / f'code-{name}-{form}.pth'
            torch.save({'state_dict': {'w': torch.ones(2)}, 'meta': [payload]}, path, **options)
            yield f'code {name} {form}', path
    for name, body in test_bombs.BODIES.items():
        for form in (test_bombs.as_zip, test_bombs.as_legacy):
            path = folder / f'bomb-{name}-{form.__name__}.pth'
            path.write_bytes(form(body))
            yield f'bomb {name} {form.__name__}', path
    for number, odd in enumerate(_odd()):
        path = folder / f'odd-{number}.pth'
        torch.save(odd, path)
        yield f'odd {number}', path
    for form in (True, False):
        good = io.BytesIO()
        torch.save(
            {'state_dict': {'w': torch.arange(300.0)}, 'meta': dict(epoch=1)},
            good,
            _use_new_zipfile_serialization=form,
        )
        for number in range(15 * times):
            data = bytearray(good.getvalue())
            for _ in range(draw.choice((1, 1, 4, 64))):
                data[draw.randrange(len(data))] = draw.randrange(256)
            path = folder / f'flipped-{form}-{number}.pth'
            path.write_bytes(data[: draw.choice((len(data), draw.randrange(1, len(data))))])
            yield f'changed bytes {form} {number}', path
    for number in range(25 * times):
        path = folder / f'random-{number}.pth'
        opcodes = [value for key, value in vars(pickle).items() if _is_opcode(key, value)]
        body = b''.join(
            draw.choice(opcodes) + draw.randbytes(draw.choice((0, 0, 1, 4))) for _ in range(60)
        )
        path.write_bytes(test_bombs.as_zip(body))
        yield f'random instructions {number}', path


def _is_opcode(name: str, value: object) -> bool:
    return name.isupper() and isinstance(value, bytes) and len(value) == 1


def _odd() -> list:
    weights = {'backbone.pos_embed': torch.ones(2)}
    return [
        None,
        5,
        torch.ones(3),
        [],
        {},
        dict(state_dict=None),
        dict(state_dict=[1]),
        dict(state_dict={1: torch.ones(1)}),
        dict(state_dict={'backbone.pos_embed': torch.ones(2).to_sparse()}),
        dict(state_dict={'a': torch.ones(2, device='meta')}),
        dict(state_dict=weights, meta=None),
        dict(state_dict=weights, meta='text'),
        dict(state_dict=weights, meta=dict(dataset_meta='text')),
        dict(state_dict=weights, meta=dict(dataset_meta=dict(classes=5))),
        dict(state_dict=weights, meta=dict(epoch=1, iter=1)),
        dict(state_dict=weights, meta=dict(epoch=1, iter=1), message_hub=None),
        dict(state_dict={'a': torch.full((2,), float('nan'))}),
    ]


def _planted(folder: Path, project: Path) -> Iterator[Case]:
    """Checkpoints of a real run, whose text was changed."""
    run, config = folder / 'A', project / 'seg.py'
    short = ['--cfg-options', 'train_cfg.max_iters=2', 'default_hooks.checkpoint.interval=1']
    yield Case(
        'a run to change',
        lambda: fault_of(*command(['train', config, '--work-dir', run, *short]), (0,)),
    )
    victim = folder / 'victim'

    def resume(change: dict) -> str:
        victim.mkdir(exist_ok=True)
        (victim / 'file').touch()
        saved = torch.load(run / 'iter_2.pth', weights_only=False)
        saved['message_hub']['runtime_info'].update(change)
        saved['message_hub']['resumed_keys'].update(dict.fromkeys(change, True))
        saved['meta'].update(cfg='PLANTED', config='PLANTED', experiment_name='PLANTED')
        path, out = folder / 'planted.pth', folder / 'B'
        torch.save(saved, path)
        words = ['train', config, '--work-dir', out, '--resume', path]
        fault = fault_of(*command([*words, '--cfg-options', 'train_cfg.max_iters=4']), (0,))
        own = torch.load(out / 'iter_4.pth', weights_only=False) if not fault else ''
        if not (victim / 'file').exists():
            return 'DELETED another folder'
        return fault or ('text was taken over' if 'PLANTED' in str(own) else '')

    for change in (
        dict(best_ckpt=str(victim), best_score=-1.0),
        dict(best_ckpt=str(victim / 'file'), best_score=-1.0),
        dict(best_ckpt=os.path.relpath(victim), best_score=-1.0, keep_ckpt_ids=['../victim/file']),
        dict(keep_ckpt_ids=['x'] * 9, cfg='PLANTED', last_ckpt='PLANTED', other='PLANTED'),
    ):
        yield Case(f'planted {", ".join(change)}', partial(resume, change))
