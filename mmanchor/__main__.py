"""``python -m mmanchor`` is the ``mmanchor`` command."""

import sys

from .cli.main import main

sys.exit(main())
