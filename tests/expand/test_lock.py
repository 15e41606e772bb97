from __future__ import annotations

from pathlib import Path

import pytest

from fomaug._errors import ResumeError
from fomaug.expand._lock import locked


def test_a_second_writer_is_refused_and_the_first_leaves_no_trace(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with locked(tmp_path / "out"):
        with pytest.raises(ResumeError, match="another process is writing to"), locked(tmp_path / "out"):
            pass
        assert list((tmp_path / "out").iterdir())
    assert not list((tmp_path / "out").iterdir())
    with locked(tmp_path / "out"):
        pass
