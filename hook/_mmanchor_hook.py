"""Have mmanchor's repairs in every program that imports MMEngine or mmcv.

OpenMMLab's own scripts import mmcv's operators before they read a config, so
nothing that a config imports comes early enough. ``mmanchor_hook.pth``, beside
this file in site-packages, imports it whenever Python starts: it only registers
a finder, which imports mmanchor when MMEngine or mmcv is first looked for.

Set ``MMANCHOR_NO_HOOK=1`` to switch it off. This module is installed as a file
of its own, because a program that needs none of this must not pay for
``import mmanchor``.
"""

import os
import sys


def triggers():
    """The modules before which mmanchor is imported.

    mmseg's publish_model.py imports nothing else than torch, and loads a
    checkpoint that names classes of MMEngine.
    """
    script = os.path.basename(sys.argv[0]) if getattr(sys, 'argv', None) else ''
    return ('mmengine', 'mmcv', 'torch') if script == 'publish_model.py' else ('mmengine', 'mmcv')


class Finder:
    """Finds nothing itself; sees the first import of MMEngine or mmcv."""

    def find_spec(self, fullname, path=None, target=None):
        """The module's spec as the finders say that mmanchor may have added."""
        if fullname not in ('mmengine', 'mmcv', 'torch') or self not in sys.meta_path:
            return None
        if fullname not in triggers():
            return None
        sys.meta_path.remove(self)
        repair()
        for finder in list(sys.meta_path):
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                return spec
        return None


def repair():
    """Import mmanchor; where that fails, warn and leave things as they are."""
    try:
        __import__('mmanchor')
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == 'mmanchor':
            # Removed by hand, and this file left behind.
            return
        import warnings

        warnings.warn(
            f'mmanchor could not be imported, so MMEngine and mmcv go without its repairs: '
            f'{error} (`mmanchor doctor` says more; MMANCHOR_NO_HOOK=1 switches this off)',
            RuntimeWarning,
            stacklevel=2,
        )


def register():
    """Put the finder first, unless the environment switches it off."""
    if os.environ.get('MMANCHOR_NO_HOOK', '0') not in ('', '0'):
        return
    sys.meta_path.insert(0, Finder())


register()
