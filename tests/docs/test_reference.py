"""The reference has every public name, and CITATION.cff the version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pages import ROOT

import fomaug
from fomaug import errors
from fomaug.cli.group import COMMANDS

REFERENCE = ROOT / "docs" / "reference"
PACKAGES = ("data", "driving", "evaluation", "labels", "media", "motion", "quality", "training", "visual", "warp")
ADAPTERS = ("albumentations", "kornia", "torchvision")


def described_modules() -> set[str]:
    pages = [*(REFERENCE / "api").glob("*.md"), REFERENCE / "errors.md"]
    return {name for page in pages for name in re.findall(r"automodule:: ([\w.]+)", page.read_text())}


def test_every_public_name_is_in_the_overview() -> None:
    overview = (REFERENCE / "api" / "index.md").read_text()
    names = set(fomaug.__all__) - {"__version__"}
    assert not {name for name in names if not re.search(rf"`(?:fomaug\.)?{name}`", overview)}


def test_every_public_package_has_a_page() -> None:
    public = {f"fomaug.{name}" for name in (*PACKAGES, "expand", "convert", "study", "augment", "weights", "errors")}
    adapters = {f"fomaug.integrations.{name}" for name in ADAPTERS}
    assert not (public | adapters) - described_modules()


def test_every_error_is_on_its_page() -> None:
    page = (REFERENCE / "errors.md").read_text()
    found = [name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert "FomaugError" in found
    assert not [name for name in found if not re.search(rf"\b{name}\b", page)]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_table(command: str) -> None:
    assert re.search(rf"`[^`]*\b{command}\b[^`]*`", (REFERENCE / "cli.md").read_text())


def test_the_citation_has_the_version_and_no_invented_people() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == fomaug.__version__
    assert citation["license"] == "MIT"
    assert citation["authors"] == [{"name": "The fomaug contributors"}]


def test_the_docs_extra_is_installed_by_make() -> None:
    makefile = Path(ROOT / "Makefile").read_text()
    assert re.search(r"^test: .*\bdocs\b", makefile, re.MULTILINE)
    assert re.search(r"'\.\[[\w,]*\bdocs\b[\w,]*\]'", makefile)
