"""Which OpenMMLab stack is installed, and whether mmanchor supports it.

Two families of distributions provide the same import names: OpenMMLab's own
and the maintained fork with the prefix ``onedl-``. An environment takes one of
them. Versions come from the installed metadata, so nothing heavy is imported.
"""

import re
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path

from packaging.specifiers import SpecifierSet

# Import name -> distributions that provide it; setup.cfg's extras hold the
# same ranges as SUPPORTED, and a test keeps them equal.
PROVIDERS = {
    'openmmlab': {
        'mmengine': ('mmengine',),
        'mmcv': ('mmcv-lite', 'mmcv', 'mmcv-full'),
        'mmdet': ('mmdet',),
        'mmseg': ('mmsegmentation',),
        'mmpretrain': ('mmpretrain',),
    },
    'onedl': {
        'mmengine': ('onedl-mmengine',),
        'mmcv': ('onedl-mmcv',),
        'mmdet': ('onedl-mmdetection',),
        'mmseg': ('onedl-mmsegmentation',),
        'mmpretrain': ('onedl-mmpretrain',),
    },
}
SUPPORTED = {
    'openmmlab': {
        'mmengine': '>=0.10.7,<0.11',
        'mmcv': '>=2.1,<2.2',
        'mmdet': '>=3.3,<3.4',
        'mmseg': '>=1.2.2,<1.3',
        'mmpretrain': '>=1.2,<1.3',
    },
    'onedl': {
        'mmengine': '>=0.10.12',
        'mmcv': '>=2.3.6',
        'mmdet': '>=3.5.1',
        'mmseg': '>=1.4.2',
        'mmpretrain': '>=1.3.6',
    },
}
TORCH = {'torch': '>=2.4', 'torchvision': '>=0.19'}
# Nothing in mmanchor works without these two; the toolboxes are optional.
NEEDED = ('mmengine', 'mmcv')


class StackError(ImportError):
    """The stack is missing or unsuitable; the message says what to install."""


@dataclass(frozen=True)
class Stack:
    """The mm* distributions of this environment.

    Args:
        name: 'openmmlab', 'onedl', 'mixed' (both families) or 'none'.
        versions: Distribution name -> version, for those installed.
        modules: Import name -> names of the distributions providing it.
    """

    name: str
    versions: dict[str, str] = field(default_factory=dict)
    modules: dict[str, list[str]] = field(default_factory=dict)


def distribution_version(name: str) -> str | None:
    """The version of an installed distribution, ``None`` if it is absent."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def source_version(module: str) -> str | None:
    """The version of a package that is importable but was never installed.

    Args:
        module: An import name, such as a clone on ``PYTHONPATH`` provides.

    Returns:
        ``__version__`` as its ``version.py`` spells it; '0' if that file
        gives none; ``None`` if the package cannot be found.
    """
    spec = util.find_spec(module)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).with_name('version.py')
    text = path.read_text(encoding='utf-8') if path.is_file() else ''
    match = re.search(r'^__version__ = [\'"]([^\'"]+)', text, re.MULTILINE)
    return match.group(1) if match else '0'


def find_stack() -> Stack:
    """Look up every mm* distribution that mmanchor knows."""
    versions: dict[str, str] = {}
    modules: dict[str, list[str]] = {}
    families = []
    for family, providers in PROVIDERS.items():
        found = False
        for module, distributions in providers.items():
            for name in distributions:
                version = distribution_version(name)
                if version is not None:
                    versions[name] = version
                    modules.setdefault(module, []).append(name)
                    found = True
        if found:
            families.append(family)
    for module in NEEDED:
        version = None if module in modules else source_version(module)
        if version is not None:
            versions[module] = version
            modules[module] = [module]
            families = families or ['openmmlab']
    name = families[0] if len(families) == 1 else 'mixed'
    return Stack(name if families else 'none', versions, modules)


def is_supported(version: str, allowed: str) -> bool:
    """Whether a version lies in a range such as ``'>=2.4,<3'``."""
    return SpecifierSet(allowed).contains(version, prereleases=True)


def find_problems(stack: Stack) -> list[str]:
    """What stops mmanchor from working with a stack.

    Args:
        stack: As :func:`find_stack` returns it.

    Returns:
        One line for each problem, with its cure; empty if there is none.
    """
    if stack.name == 'none':
        return [
            'mmanchor needs an OpenMMLab stack and found none: run '
            'pip install "mmanchor[openmmlab]" (or "mmanchor[onedl]" for '
            'the maintained fork)'
        ]
    if stack.name == 'mixed':
        return [
            'two OpenMMLab stacks share this environment and overwrite each '
            f'other ({", ".join(sorted(stack.versions))}): make a new '
            'environment with only one of "mmanchor[openmmlab]" and '
            '"mmanchor[onedl]"'
        ]
    problems = []
    for module, allowed in SUPPORTED[stack.name].items():
        names = stack.modules.get(module, [])
        if not names and module in NEEDED:
            problems.append(
                f'mmanchor needs {module}{allowed} and it is missing: run pip '
                f'install "mmanchor[{stack.name}]"'
            )
        for name in names:
            if not is_supported(stack.versions[name], allowed):
                problems.append(
                    f'mmanchor needs {name}{allowed} and found '
                    f'{stack.versions[name]}: run pip install '
                    f'"mmanchor[{stack.name}]"'
                )
    return problems + find_torch_problems()


def find_torch_problems() -> list[str]:
    """What is wrong with the installed torch and torchvision versions."""
    problems = []
    for name, allowed in TORCH.items():
        version = distribution_version(name)
        if version is None:
            problems.append(
                f'mmanchor needs {name}{allowed} and it is '
                f'missing: run pip install "{name}{allowed}"'
            )
        elif not is_supported(version, allowed):
            problems.append(
                f'mmanchor needs {name}{allowed} and found '
                f'{version}: run pip install "{name}{allowed}"'
            )
    return problems


def require_stack() -> None:
    """Raise unless a supported stack is installed.

    Raises:
        StackError: One line: which extra to install, or which version is
            unsuitable and what is right.
    """
    problems = find_problems(find_stack())
    if problems:
        raise StackError(problems[0])
