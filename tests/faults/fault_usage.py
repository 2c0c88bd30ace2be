"""Wrong words on the command line, and configs that cannot work."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from fault_cases import Case, command, fault_of, load_all, tiny_project

# Values for --cfg-options of a training that stops at once.
OPTIONS = """
=5 a train_dataloader.batch_size=0 train_dataloader.batch_size=-1 train_dataloader.batch_size=abc
train_dataloader.batch_size=1.5 train_cfg.max_iters=abc train_cfg.type=NoLoop train_cfg=None
optim_wrapper.optimizer.lr=abc optim_wrapper.optimizer.lr=nan optim_wrapper.optimizer.type=No
optim_wrapper.type=No optim_wrapper=5 train_dataloader.num_workers=-1 param_scheduler=5
train_dataloader.dataset.data_root=5 train_dataloader.dataset=None train_dataloader=5
train_dataloader.sampler.type=No train_dataloader.dataset.type=No train_dataloader.dataset=5
custom_hooks=5 custom_hooks=[5] default_hooks=5 default_hooks.checkpoint=5 default_scope=5
default_scope=None env_cfg=5 log_level=LOUD model=5 model=None model.type=No model.backbone=None
model.backbone.type=No model.decode_head.num_classes=-1 model.decode_head.num_classes=2
model.decode_head.num_classes=abc model.data_preprocessor=5 auto_scale_lr=5 visualizer=5
val_evaluator=5 val_evaluator.type=No train_cfg.val_interval=0 work_dir=/proc/self/x
load_from=/no/such.pth load_from=http://127.0.0.1:1/x.pth resume=abc launcher=ssh
runner_type=No runner_type=FlexibleRunner strategy=FSDPStrategy strategy=DeepSpeedStrategy
randomness.seed=abc randomness=5 log_processor=5 find_unused_parameters=5 tta_model=5
optim_wrapper.type=AmpOptimWrapper default_hooks.checkpoint.interval=abc
default_hooks.checkpoint.max_keep_ckpts=abc default_hooks.checkpoint.save_best=nosuch
train_dataloader.dataset.pipeline=5 train_dataloader.dataset.pipeline=[] train_pipeline=5
""".split()  # noqa: SIM905
SHORT = ('--cfg-options', 'train_cfg.max_iters=1')
RESUMES = (
    'http://127.0.0.1:1/x.pth',
    'foo://x',
    'open-mmlab://nosuch',
    'torchvision://nosuch',
    's3://b/x.pth',
    '/no/such.pth',
    '/',
    '',
)
COMMANDS = (
    'train', 'test', 'predict', 'export-deploy', 'convert', 'complexity', 'check-data', 'benchmark',
)  # fmt: skip


def cases(folder: Path, seed: int, times: int) -> Iterator[Case]:
    """A training with each option; each command with odd words and configs."""
    load_all()
    project = tiny_project(folder / 'project')
    seg, out = project / 'seg.py', folder / 'w'
    for option in OPTIONS:
        words = ['train', seg, '--work-dir', out, '--cfg-options', 'train_cfg.max_iters=1', option]
        yield _case(words)
    for address in RESUMES:
        yield _case(['train', seg, '--work-dir', out, '--resume', address])
        yield _case(['test', seg, address, '--work-dir', out])
    odd = folder / 'odd'
    odd.mkdir()
    texts = {
        'empty': '',
        'no_model': "default_scope = 'mmseg'\n",
        'model_none': "default_scope = 'mmseg'\nmodel = None\n",
        'model_5': "default_scope = 'mmseg'\nmodel = 5\n",
        'syntax': 'model = (',
        'raises': '1 / 0',
        'no_base': "_base_ = './nowhere.py'\n",
        'binary': '\0\1',
    }
    for name, text in texts.items():
        path = odd / f'{name}.py'
        path.write_text(text)
        for command_name in COMMANDS:
            yield _case(_words(command_name, path, folder))
    for command_name in COMMANDS:
        for words in ([], ['--no-such-option'], ['/no/such.py'], ['', '', '']):
            yield _case([command_name, *words])
        yield _case(_words(command_name, seg, folder))
    yield _case(['no-such-command'])


def _words(name: str, config: Path, folder: Path) -> list:
    file, image = folder / 'no.pth', folder / 'no.jpg'
    return {
        'test': [name, config, file],
        'predict': [name, config, file, image, '--out-dir', folder / 'p'],
        'export-deploy': [name, config, file, folder / 'o.pth'],
        'convert': [name, 'deit', file, folder / 'c.pth', '--config', config],
        'benchmark': [name, 'latency', config],
        'train': [
            name,
            config,
            '--work-dir',
            folder / 'w',
            '--cfg-options',
            'train_cfg.max_iters=1',
        ],
    }.get(name, [name, config])


def _case(words: list) -> Case:
    shown = ' '.join(str(word).rsplit('/', 1)[-1] or repr(word) for word in words)
    return Case(shown, partial(_fault, words))


def _fault(words: list) -> str:
    return fault_of(*command(words))
