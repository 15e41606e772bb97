"""Every Python and console block of the documentation runs, or says why it does not."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import stage
from blocks import FILE, LANGUAGES, NOT_RUN, reason_not_to_run, run_page
from pages import Block, Page, list_pages, read_page
from setups import BEFORE, SETUPS

from fomaug.faces import finder

PAGES = {page.name: page for page in map(read_page, list_pages())}
WITH_BLOCKS = {name for name, page in PAGES.items() if any(block.language in LANGUAGES for block in page.blocks)}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the pages speak of."""
    folder = tmp_path_factory.mktemp("stage")
    stage.build_stage(folder)
    return folder


@pytest.fixture(scope="session")
def searches() -> dict[Any, Any]:
    """Results of the parts of a search for faces: many pages search the same pictures, which takes seconds."""
    return {}


@pytest.fixture
def there(built: Path, searches: dict[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of these files, which is the current folder."""
    shutil.copytree(built, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("FOMAUG_HOME", os.fspath(tmp_path / "home"))
    for part in (finder.candidates, finder.refine):
        monkeypatch.setattr(finder, part.__name__, once(part, searches))
    return tmp_path


def once(part: Any, known: dict[Any, Any]) -> Any:
    """Compute a part of the search once for each model, picture and window."""

    def compute(model: Any, picture: Any, *window: Any) -> Any:
        key = part.__name__, model.hash, picture.tobytes(), picture.shape, window
        if key not in known:
            known[key] = part(model, picture, *window)
        return known[key]

    return compute


@pytest.mark.parametrize("name", sorted(WITH_BLOCKS))
def test_blocks_of_a_page_run(name: str, there: Path) -> None:
    names = stage.base_names()
    if name in SETUPS:
        SETUPS[name](there, names)
    run_page(PAGES[name], names, BEFORE.get(name, lambda words: None))


def test_every_remark_on_a_block_is_a_reason_not_to_run_it() -> None:
    wrong = [
        f"{name}:{block.line}: {block.remark}"
        for name, page in PAGES.items()
        for block in page.blocks
        if block.language in LANGUAGES
        and block.remark
        and not reason_not_to_run(block)
        and not FILE.fullmatch(block.remark)
    ]
    assert not wrong


def test_setups_belong_to_pages_with_blocks() -> None:
    assert not (set(SETUPS) | set(BEFORE)) - WITH_BLOCKS


def page_of(language: str, text: str, remark: str = "") -> Page:
    return Page(stage.ROOT / "page.md", blocks=[Block(language, remark, text, 3)])


@pytest.mark.parametrize(
    ("language", "text", "message"),
    [
        ("python", "assert 1 == 2\n", "assert 1 == 2"),
        ("console", "$ fomaug model info nothing\n", "page.md:3: fomaug model info nothing ended with 2"),
        ("console", "$ srun fomaug\n", "page.md:3: mark the block as `not run: REASON`, since srun cannot be run here"),
    ],
)
def test_a_block_that_fails_is_noticed(language: str, text: str, message: str, there: Path) -> None:
    names: dict[str, Any] = {}
    with pytest.raises(AssertionError) as caught:
        run_page(page_of(language, text), names)
    assert message in str(caught.value) or language == "python"


def test_a_block_with_a_reason_is_left_out(there: Path) -> None:
    assert run_page(page_of("console", "$ srun fomaug\n", NOT_RUN + "needs SLURM"), {}) == 0
