"""The directive ``{commands}``: every command's help, from the parsers themselves."""

import argparse

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from mmanchor.cli.main import COMMANDS, parser_of


def options_of(parser: argparse.ArgumentParser) -> list[str]:
    """A Markdown definition list of a parser's arguments."""
    formatter = parser._get_formatter()  # what --help uses
    lines = []
    for action in parser._actions:
        if action.help is argparse.SUPPRESS or action.dest == 'help':
            continue
        if isinstance(action, argparse._SubParsersAction):
            continue
        help_text = formatter._expand_help(action).replace('*', r'\*').replace('"', r'\"')
        lines += [f'`{formatter._format_action_invocation(action)}`', f': {help_text}', '']
    return lines


def describe(parser: argparse.ArgumentParser, level: int) -> list[str]:
    """Markdown of one command and of its sub-commands."""
    words = parser.prog.split()
    lines = ['#' * level + ' ' + ' '.join(words[1:]), '']
    description = parser.description or ''
    lines += [description[:1].upper() + description[1:].rstrip('.') + '.', '']
    usage = parser.format_usage().removeprefix('usage: ').rstrip().splitlines()
    lines += ['```text', *usage, '```', '', *options_of(parser)]
    if parser.epilog:
        lines += [*parser.epilog.splitlines(), '']
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                lines += describe(command, level + 1)
    return lines


class Commands(SphinxDirective):
    """A section for each command, in the order of ``mmanchor --help``."""

    def run(self) -> list[nodes.Node]:
        """Write the sections."""
        lines = [line for name in COMMANDS for line in describe(parser_of(name), 2)]
        return self.parse_text_to_nodes('\n'.join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> dict:
    """Register the directive."""
    app.add_directive('commands', Commands)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
