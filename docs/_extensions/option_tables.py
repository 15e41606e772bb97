"""The directive `option-table`: the options of a dataclass whose fields have a help text, as a table."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class OptionTable(SphinxDirective):
    """Show a table with a row for every field of the dataclass `module:name` that has a help text."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        module, _, name = self.arguments[0].partition(":")
        settings = getattr(importlib.import_module(module), name)
        rows = [_row(field) for field in dataclasses.fields(settings) if "help" in field.metadata]
        head = ["| argument | option | default | description |", "| --- | --- | --- | --- |"]
        return self.parse_text_to_nodes("\n".join([*head, *rows]))


def _row(field: dataclasses.Field[Any]) -> str:
    flag = f"--{field.name.replace('_', '-')}"
    if "off" in field.metadata or field.type == "bool":
        flag += f", --{field.metadata.get('off') or f'no-{flag[2:]}'}"
    default = "" if field.default is dataclasses.MISSING else f"`{field.default!r}`"
    description = field.metadata["help"].replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
    return f"| `{field.name}` | `{flag}` | {default} | {description} |"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("option-table", OptionTable)
    return {"parallel_read_safe": True}
