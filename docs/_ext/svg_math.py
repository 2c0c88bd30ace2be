"""Math as inline SVG, drawn while the site is built: no script, no font, no network."""

from html import escape

import ziamath
from docutils import nodes
from sphinx.application import Sphinx

# Paths in place of <symbol> elements, whose ids would repeat within a page.
ziamath.config.svg2 = False

FONT_SIZE = 17  # px; a little above the text's 16, as italics look smaller


def draw(tex: str, inline: bool) -> str:
    """One formula as an SVG element that follows the text's color and baseline.

    Example:
        >>> draw('A^\\top V', inline=True).startswith('<svg')
        True
    """
    formula = ziamath.Latex(tex, size=FONT_SIZE, inline=inline, color='currentColor')
    shift = f'style="vertical-align: {formula.getyofst():.2f}px" ' if inline else ''
    label = f'role="img" aria-label="{escape(tex)}" '
    return formula.svg().replace('<svg ', f'<svg {shift}{label}', 1)


def visit_inline(translator, node: nodes.math) -> None:
    """Write an inline formula."""
    translator.body.append(f'<span class="math">{draw(node.astext(), inline=True)}</span>')
    raise nodes.SkipNode


def visit_block(translator, node: nodes.math_block) -> None:
    """Write a displayed formula."""
    svg = draw(' '.join(node.astext().split()), inline=False)
    translator.body.append(f'<div class="math">{svg}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict:
    """Register the renderer; conf.py selects it by ``html_math_renderer``."""
    app.add_html_math_renderer('svg', (visit_inline, None), (visit_block, None))
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
