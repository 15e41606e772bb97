"""Every link inside the documentation leads somewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from pages import ROOT, list_pages, read_page

PAGES = {path: read_page(path) for path in list_pages()}
_MENTION = re.compile(r"(?<![\w/.-])(?:docs|examples|benchmarks|tests|fomaug)/[\w./-]+\.(?:md|py|yaml|jpg|png)\b")


def _ids(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def broken_links(path: Path) -> list[str]:
    """Say which links of a page lead nowhere."""
    found = []
    for line, target in PAGES[path].links:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        aim = (path.parent / name).resolve() if name else path
        if not aim.exists():
            found.append(f"{_ids(path)}:{line}: there is no {target}")
        elif anchor and aim in PAGES and anchor not in PAGES[aim].anchors:
            found.append(f"{_ids(path)}:{line}: {target} has no such heading")
    return found


@pytest.mark.parametrize("path", PAGES, ids=_ids)
def test_links_and_anchors_of_a_page_exist(path: Path) -> None:
    assert not broken_links(path)


def test_a_broken_link_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = ROOT / "README.md"
    page = read_page(readme)
    page.links[:] = [(1, "docs/nothing.md"), (2, "#nothing"), (3, "CHANGELOG.md#unreleased"), (4, "https://a.b/c")]
    monkeypatch.setitem(PAGES, readme, page)
    assert broken_links(readme) == [
        "README.md:1: there is no docs/nothing.md",
        "README.md:2: #nothing has no such heading",
    ]


def test_every_page_of_the_site_is_in_a_table_of_contents() -> None:
    listed = set()
    for path, page in PAGES.items():
        for block in page.blocks:
            if block.language == "{toctree}":
                names = [line.strip() for line in block.text.splitlines() if line.strip() and not line.startswith(":")]
                listed |= {found for name in names for found in path.parent.glob(f"{name}.md")}
    listed = {path.resolve() for path in listed} | {ROOT / "docs/index.md"}
    assert not {path for path in PAGES if path.is_relative_to(ROOT / "docs")} - listed


def test_files_that_code_and_comments_name_exist() -> None:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    names = listing.split() or [path.relative_to(ROOT).as_posix() for path in (ROOT / "fomaug").rglob("*.py")]
    missing = [
        f"{name}: {mention}"
        for name in names
        if name.endswith((".py", ".md", ".cfg", ".toml"))
        and not name.startswith("tests/docs/")
        and (ROOT / name).exists()
        for mention in _MENTION.findall((ROOT / name).read_text())
        if not (ROOT / mention).exists()
    ]
    assert not missing


def test_decisions_are_numbered_without_gaps_and_repetitions() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    assert numbers == list(range(1, len(pages) + 1))
    titles = [page.read_text().partition("\n")[0] for page in pages]
    assert [int(re.sub(r"\D.*", "", title.removeprefix("# "))) for title in titles] == numbers
