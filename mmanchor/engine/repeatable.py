"""Runs that can be stopped and resumed without a trace."""

from mmengine.config import Config, ConfigDict

_SAMPLER = 'mmanchor.SeededSampler'
_HOOK = 'mmanchor.ExactResumeHook'


def make_repeatable(cfg: Config) -> None:
    """Let a resumed run equal one that was never stopped, bit for bit.

    Wraps the sampler of the training data and adds a hook; a config that has
    them already is left as it is. It holds on one machine for the same
    number of processes, with deterministic operators (on a CPU they are), and
    for transforms and models that keep no state between iterations. The
    number of workers does not matter.

    Args:
        cfg: A config that trains; changed in place.
    """
    sampler = cfg.train_dataloader.get('sampler')
    if isinstance(sampler, dict) and sampler.get('type') != _SAMPLER:
        cfg.train_dataloader.sampler = ConfigDict(type=_SAMPLER, sampler=sampler)
    hooks = list(cfg.get('custom_hooks') or ())
    if all(hook.get('type') != _HOOK for hook in hooks):
        hooks.append(ConfigDict(type=_HOOK))
    cfg.custom_hooks = hooks
