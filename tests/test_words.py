"""Docstrings have a fixed form: full sentences, and noun phrases for arguments."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "fomaug"

# Words that begin a fragment rather than a noun phrase, such as "of all draws" or "what is added".
OPENERS = re.compile(
    r"(of|what|how|which|who|whose|where|when|why|that|to|for|from|with|without|by|as|in|at|on|than|is|are|was|were"
    r"|does|do|its|it|they|because|until|after|before|unless|if|so|or|and|but)\b",
    re.IGNORECASE,
)
# A function's summary begins with a verb, and not with the name of its result.
NO_VERBS = re.compile(r"(a|an|the|whether|what|how|which|of|by|its|this|these|all|each|every)\b", re.IGNORECASE)

SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):$", re.MULTILINE)


def docstrings(path: Path) -> Iterator[tuple[ast.AST, str, str]]:
    """Yield (node, position, docstring)."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node, f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', 1)}", text


def entries(text: str, *sections: str) -> Iterator[tuple[str, str]]:
    """Yield the names and the descriptions of the entries of some sections.

    >>> list(entries("Sum.\\n\\nArgs:\\n    a: first\\n        term.\\n    b: second.\\n\\n>>> 1\\n1", "Args"))
    [('a', 'first term.'), ('b', 'second.')]
    """
    parts = SECTION.split(text)
    for section, body in zip(parts[1::2], parts[2::2], strict=True):
        if section in sections:
            block = re.split(r"\n(?=\S)", body, maxsplit=1)[0]
            for entry in re.split(r"\n {4}(?=\S)", block)[1:]:
                name, _, words = entry.partition(": ")
                yield name, " ".join(words.split())


def is_property(node: ast.AST) -> bool:
    decorators = [ast.unparse(part) for part in getattr(node, "decorator_list", [])]
    return any("property" in part for part in decorators)


def flaws(path: Path) -> Iterator[str]:
    for node, where, text in docstrings(path):
        summary = re.split(r"\n\n|\n>>>", text)[0]
        if not summary.endswith("."):
            yield f"{where}: the first sentence has no full stop: {summary}"
        if isinstance(node, ast.FunctionDef) and not is_property(node) and NO_VERBS.match(summary):
            yield f"{where}: the summary must begin with a verb: {summary}"
        for name, words in entries(text, "Args", "Attributes"):
            if OPENERS.match(words):
                yield f"{where}: {name} must be a noun phrase: {words}"
            if not words.endswith("."):
                yield f"{where}: {name} has no full stop: {words}"
        for name, words in entries(text, "Raises"):
            if re.match(r"(if|for|when)\b", words):
                yield f"{where}: {name} must be a sentence: {words}"


@pytest.mark.parametrize("room", sorted({path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py")}))
def test_docstrings_are_sentences_and_arguments_noun_phrases(room: str) -> None:
    paths = sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / room]
    found = [flaw for path in paths for flaw in flaws(path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('"""Whether it holds."""', "must begin with a verb"),
        ('"""Return the sum"""', "no full stop"),
        ('"""Sum.\n\n    Args:\n        a: of all draws.\n    """', "a must be a noun phrase"),
        ('"""Sum.\n\n    Args:\n        a: first\n            term\n    """', "a has no full stop"),
        ('"""Sum.\n\n    Raises:\n        ValueError: if a is odd.\n    """', "ValueError must be a sentence"),
        ('"""Sum.\n\n    Args:\n        a: whether to round.\n    """', ""),
    ],
)
def test_flaws_of_docstrings_are_found(
    body: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.test_words.PACKAGE" if __name__.startswith("tests") else f"{__name__}.PACKAGE", tmp_path)
    (tmp_path / "x.py").write_text(f"def f(a):\n    {body}\n")
    found = list(flaws(tmp_path / "x.py"))
    assert [expected in flaw for flaw in found] == [True] * bool(expected)
