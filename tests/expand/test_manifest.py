from __future__ import annotations

import os
from pathlib import Path

import pytest

from fomaug.errors import MediaError, ResumeError
from fomaug.expand.output import LOCK, locked


def test_a_second_writer_is_refused_and_the_first_leaves_no_trace(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with locked(tmp_path / "out"):
        with pytest.raises(ResumeError, match="another process is writing to"), locked(tmp_path / "out"):
            pass
        assert list((tmp_path / "out").iterdir())
    assert not list((tmp_path / "out").iterdir())
    with locked(tmp_path / "out"):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(MediaError, match=rf"cannot write to {folder}: "), locked(folder):
            pass


def test_a_pipe_in_place_of_the_lock_does_not_block(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    os.mkfifo(tmp_path / LOCK)
    with pytest.raises(MediaError, match=rf"cannot write to {tmp_path}: "), locked(tmp_path):
        pass
