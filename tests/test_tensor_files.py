"""Safetensors files are checked and read through one opened file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

import fomaug.untrusted
from fomaug.errors import UnsafeFileError
from fomaug.files import Kind
from fomaug.untrusted import open_tensors

SMALL = Kind("a test", 1000)


def written(path: Path, value: float) -> Path:
    path.write_bytes(save({"a": torch.full((3,), value)}, {"key": str(value)}))
    return path


def test_the_file_that_was_checked_is_read_although_another_one_gets_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = written(tmp_path / "a.safetensors", 1.0), tmp_path / "pipe"
    os.mkfifo(other)

    def replace_first(name: Path, **options: Any) -> Any:
        other.replace(path)
        return safe_open(name, **options)

    monkeypatch.setattr(fomaug.untrusted, "safe_open", replace_first)
    with open_tensors(path, SMALL, most_header=500) as file:
        found, metadata = file.get_tensor("a"), file.metadata()
    assert path.is_fifo()
    assert (found.tolist(), metadata) == ([1.0, 1.0, 1.0], {"key": "1.0"})


def test_tensors_remain_valid_after_the_file_is_closed_and_deleted(tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors", 2.0)
    with open_tensors(path, SMALL, most_header=500) as file:
        found = file.get_tensor("a")
    path.unlink()
    assert found.tolist() == [2.0, 2.0, 2.0]


def test_large_files_and_headers_are_refused_before_they_are_parsed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors", 1.0)
    with pytest.raises(SafetensorError, match=r"its header has \d+ bytes, 2 to 50 were expected"):
        open_tensors(path, SMALL, most_header=50).__enter__()
    with pytest.raises(UnsafeFileError, match="more than the 10 that a test may have"):
        open_tensors(path, Kind("a test", 10), most_header=500).__enter__()
    path.write_bytes(b"")
    with pytest.raises(SafetensorError, match="its header has 0 bytes"):
        open_tensors(path, SMALL, most_header=500).__enter__()
