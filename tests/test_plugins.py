from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fomaug.errors import ArgumentError
from fomaug.imports import named_callable


def test_a_file_in_the_current_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugin_of_mine.py").write_text(
        "def double(x):\n    return 2 * x\n\nclass Maker:\n    __call__ = double\n"
    )
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])  # as under the installed command
    monkeypatch.chdir(tmp_path)
    assert named_callable("plugin_of_mine:double")(4) == 8
    assert callable(named_callable("plugin_of_mine:Maker"))
    assert sys.path[-1] == str(tmp_path)  # searched last, so that it hides no installed package


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("math", "must be given as module:attribute"),
        (":sqrt", "must be given as module:attribute"),
        ("math:nothing", "cannot be imported"),
        ("no_such_module:x", "No module named"),
        ("math:pi", "must be a function or a class, got a float"),
        ("datetime:date", "is a class that must be callable without arguments"),
    ],
)
def test_names_that_cannot_be_called_are_refused(name: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        named_callable(name)
