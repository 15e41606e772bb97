"""Pages of the documentation, taken apart: blocks, headings and links."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^(\s*)(`{3,}|:{3,})(.*)$")
_HEADING = re.compile(r"^(#{1,6}) (.*)$")
_LINK = re.compile(r"\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: the first word of its info string, the rest of it, its text, and the line of its first line."""

    language: str
    remark: str
    text: str
    line: int


@dataclass
class Page:
    """A page without its blocks, and what is in it."""

    path: Path
    blocks: list[Block] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    links: list[tuple[int, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()


def list_pages() -> list[Path]:
    """Return all pages that a user reads."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    found = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    return [path for path in [*top, *sorted(found)] if path.exists() and "_build" not in path.parts]


def read_page(path: Path) -> Page:
    """Take a page apart."""
    page = Page(path)
    lines = path.read_text().splitlines()
    at = 0
    while at < len(lines):
        if fence := _FENCE.match(lines[at]):
            at = _read_block(page, lines, at, fence)
        else:
            _read_line(page, lines[at], at + 1)
        at += 1
    return page


def _read_block(page: Page, lines: list[str], start: int, fence: re.Match[str]) -> int:
    """Read the block that starts at a line, and return the index of its last line."""
    indent, marks, info = fence.groups()
    end = next(i for i in range(start + 1, len(lines)) if lines[i].strip() == marks)
    language, _, remark = info.strip().partition(" ")
    text = "\n".join(line.removeprefix(indent) for line in lines[start + 1 : end]) + "\n"
    page.blocks.append(Block(language, remark.strip(), text, start + 2))
    return end


def _read_line(page: Page, line: str, number: int) -> None:
    if heading := _HEADING.match(line):
        anchor = slug = slug_of(heading[2])
        count = 0
        while anchor in page.anchors:
            count += 1
            anchor = f"{slug}-{count}"
        page.anchors.add(anchor)
    for target in _LINK.findall(re.sub(r"`[^`]*`", "", line)):
        page.links.append((number, target))


def slug_of(heading: str) -> str:
    """Return the anchor of a heading, as GitHub and MyST make it.

    >>> slug_of("Frame by frame: `Animator.stream`")
    'frame-by-frame-animatorstream'
    """
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
