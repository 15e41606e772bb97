"""Optional packages that are missing are named with their extra."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fomaug import FomaugError
from fomaug.errors import MissingExtraError
from fomaug.imports import require


def test_a_missing_package_names_its_extra() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'fomaug\[surely_not_installed\]'"):
        require("surely_not_installed")
    with pytest.raises(MissingExtraError, match=r"surely_not_installed is not .* pip install 'fomaug\[some\]'"):
        require("surely_not_installed", "some")


def test_a_missing_package_of_the_package_itself_is_not_blamed_on_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_library.py").write_text("import surely_not_installed")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed") as caught:
        require("broken_library")
    assert not isinstance(caught.value, FomaugError)


def test_a_folder_is_not_taken_for_a_package_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder_of_results").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "folder_of_results", None)  # restores the absence after the test
    del sys.modules["folder_of_results"]
    with pytest.raises(MissingExtraError, match="folder_of_results is not installed"):
        require("folder_of_results")
