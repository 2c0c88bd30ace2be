"""The directive ``{model-zoo} FOLDER...``: tables of ``configs/FOLDER/metafile.yml``."""

from pathlib import Path

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tools.docs.model_tables import cost

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def read_models(folder: str) -> list[dict]:
    """The models of ``configs/folder/metafile.yml``."""
    return yaml.safe_load((CONFIGS / folder / 'metafile.yml').read_text())['Models']


def measured_table(models: list[dict]) -> list[str]:
    """Lines of a Markdown table of the costs that this project counted."""
    lines = ['| config | parameters (M) | multiply-adds (G) |', '|---|---:|---:|']
    for model in models:
        meta = model['Metadata']
        parameters, macs = cost(meta, 'Parameters', 1e6), cost(meta, 'FLOPs', 1e9)
        lines.append(f'| `{model["Name"]}` | {parameters} | {macs} |')
    return lines


def reported_table(models: list[dict]) -> list[str]:
    """Lines of a Markdown table of what others report, or none."""
    rows = [(model['Name'], model['Metadata'].get('Reported')) for model in models]
    rows = [(name, found) for name, found in rows if found]
    if not rows:
        return []
    lines = ['| config | reported by | parameters | multiply-adds | scores |']
    lines.append('|---|---|---:|---:|---|')
    for name, found in rows:
        cells = [found.get(key, '') for key in ('Parameters', 'FLOPs', 'Scores')]
        lines.append(f'| `{name}` | {found["By"]} | {" | ".join(cells)} |')
    return lines


class ModelZoo(SphinxDirective):
    """Both tables of one folder of configs, one below the other."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write the tables."""
        folder = self.arguments[0]
        models = read_models(folder)
        self.env.note_dependency(str(CONFIGS / folder / 'metafile.yml'))
        lines = ['**Counted by this project**', '', *measured_table(models)]
        if reported := reported_table(models):
            lines += ['', '**Reported by others, not measured here**', '', *reported]
        node = nodes.container()
        self.state.nested_parse(StringList(lines), self.content_offset, node)
        return node.children


def setup(app: Sphinx) -> dict:
    """Register the directive."""
    app.add_directive('model-zoo', ModelZoo)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
