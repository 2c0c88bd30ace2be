"""Settings of the documentation site: `make docs` builds it, without network."""

import re
import runpy
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS / '_ext'), str(DOCS / 'figures'), str(DOCS.parent)]

import mmanchor  # noqa: E402

project = 'mmanchor'
author = 'mmanchor contributors'
project_copyright = f'%Y {author}'
version = release = mmanchor.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx_copybutton',
    'sphinx_design',
    'command_line',
    'model_zoo',
    'svg_math',
]
# Tables that a page includes bring their headings, also into a folded part.
suppress_warnings = ['myst.nested_header']
# Dashes and ellipses, but quotes stay as they are typed.
smartquotes_action = 'De'
exclude_patterns = ['_build', 'benchmarks/**']

myst_enable_extensions = ['colon_fence', 'deflist', 'dollarmath', 'fieldlist']
myst_heading_anchors = 3

autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'
autodoc_member_order = 'bysource'
autodoc_default_options = {'members': True, 'imported-members': True}
autodoc_preserve_defaults = True
napoleon_use_rtype = False
python_maximum_signature_line_length = 88

html_theme = 'furo'
html_title = f'mmanchor {version}'
html_static_path = ['_static']
html_css_files = ['site.css']
html_math_renderer = 'svg'
html_show_sphinx = False
html_copy_source = False
pygments_style = 'friendly'
pygments_dark_style = 'monokai'

copybutton_prompt_text = r'\$ |>>> |\.\.\. '
copybutton_prompt_is_regexp = True


def draw_figures(app) -> None:
    """Draw every figure of docs/figures before pages that show them are read."""
    folder = DOCS / 'images' / 'drawn'
    folder.mkdir(exist_ok=True)
    for script in sorted((DOCS / 'figures').glob('[a-z]*.py')):
        runpy.run_path(str(script))['draw'](folder / f'{script.stem}.svg')


def escape_stars(app, what, name, obj, options, lines) -> None:
    """Escape the stars of "Args: width, **kwargs: ...", which napoleon reads as bold."""
    for number, line in enumerate(lines):
        lines[number] = re.sub(r'^(\s*[\w, ]+), \*\*(\w+):', r'\1, \\*\\*\2:', line)


def setup(app) -> None:
    """Connect what this file defines."""
    app.connect('builder-inited', draw_figures)
    app.connect('autodoc-process-docstring', escape_stars, priority=400)
