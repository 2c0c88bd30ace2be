"""The directive ``{model-zoo} FOLDER...``: tables of ``configs/FOLDER/metafile.yml``."""

from pathlib import Path

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tools.docs.model_tables import counted, reported

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def read_models(folder: str) -> list[dict]:
    """The models of ``configs/folder/metafile.yml``."""
    return yaml.safe_load((CONFIGS / folder / 'metafile.yml').read_text())['Models']


class ModelZoo(SphinxDirective):
    """Both tables of one folder of configs, one below the other."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write the tables."""
        folder = self.arguments[0]
        models = read_models(folder)
        self.env.note_dependency(str(CONFIGS / folder / 'metafile.yml'))
        text = f'Counted by this project:\n\n{counted(models, link=False)}\n\n{reported(models)}'
        node = nodes.container()
        self.state.nested_parse(StringList(text.splitlines()), self.content_offset, node)
        return node.children


def setup(app: Sphinx) -> dict:
    """Register the directive."""
    app.add_directive('model-zoo', ModelZoo)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
