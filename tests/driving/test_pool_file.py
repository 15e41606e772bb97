from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fomaug import DrivingPool, Keypoints, MotionTrack
from fomaug.driving import pool_file as _pool_file
from fomaug.errors import PoolError
from fomaug.files import is_temporary


def track(name: str, *, jacobian: bool = True) -> MotionTrack:
    generator = torch.Generator().manual_seed(len(name))
    points = torch.rand(7, 5, 2, generator=generator)
    jacobians = torch.rand(7, 5, 2, 2, generator=generator) if jacobian else None
    return MotionTrack(name, Keypoints(points, jacobians), 29.97, "nod", "ab", "me", 0.5, (1, 2, 3, 4), {"note": "née"})


def pool(**kind: bool) -> DrivingPool:
    return DrivingPool([track("a", **kind), track("bb", **kind)], "tiny", "hash")


@pytest.mark.parametrize("jacobian", [True, False])
def test_a_saved_pool_is_read_as_it_was(jacobian: bool, tmp_path: Path) -> None:
    one = pool(jacobian=jacobian)
    one.save(tmp_path / "deep" / "a.safetensors")
    again = DrivingPool.load(tmp_path / "deep" / "a.safetensors")
    assert again.hash == one.hash
    assert (again.model_name, again.model_hash) == ("tiny", "hash")
    for before, after in zip(one, again, strict=True):
        assert after.keypoints.value.equal(before.keypoints.value)
        assert (after.keypoints.jacobian is None) == (not jacobian)
        assert {**vars(after), "keypoints": 0} == {**vars(before), "keypoints": 0}


def test_saving_leaves_no_temporary_file(tmp_path: Path) -> None:
    pool().save(tmp_path / "a.safetensors")
    pool().save(tmp_path / "a.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_the_temporary_file_of_a_killed_process_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr("os.replace", die)
    monkeypatch.setattr("pathlib.Path.replace", die)
    monkeypatch.setattr("pathlib.Path.unlink", lambda *_, **__: None)  # as a killed process leaves it
    for _ in range(2):
        with pytest.raises(SystemExit):
            pool().save(tmp_path / "driving.safetensors")
    (left,) = tmp_path.iterdir()
    assert is_temporary(left)


def test_the_file_has_ordinary_permissions(tmp_path: Path) -> None:
    pool().save(tmp_path / "a.safetensors")
    (tmp_path / "b").write_text("")
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PoolError, match=r"cannot write .*a\.safetensors"):
        pool().save(tmp_path / "file" / "a.safetensors")


def test_a_rounded_pool_has_half_the_size_and_keeps_its_hash(tmp_path: Path) -> None:
    long = replace(track("long"), keypoints=Keypoints(torch.rand(500, 5, 2), torch.rand(500, 5, 2, 2)))
    full = DrivingPool([long], "tiny", "hash")
    full.save(tmp_path / "full")
    full.rounded().save(tmp_path / "half")
    assert DrivingPool.load(tmp_path / "half").hash == full.rounded().hash
    assert DrivingPool.load(tmp_path / "half")[0].keypoints.value.dtype == torch.float32
    assert (tmp_path / "half").stat().st_size < 0.6 * (tmp_path / "full").stat().st_size


def test_a_pool_of_another_model_is_refused_while_loading(tmp_path: Path, tiny_model) -> None:
    pool().save(tmp_path / "a")
    with pytest.raises(
        PoolError, match=r"made by model 'tiny' \(hash\) and cannot drive model 'tiny' \([0-9a-f]{12}\)"
    ):
        DrivingPool.load(tmp_path / "a", tiny_model)


HEADER: dict[str, Any] = {
    "version": 1,
    "model_name": "tiny",
    "model_hash": "hash",
    "tracks": [
        {
            "name": "a",
            "label": None,
            "fps": 25,
            "clip_hash": "",
            "driver": "",
            "weight": 1,
            "crop": None,
            "facts": {},
        }
    ],
}
TENSORS = {"0.value": torch.rand(3, 5, 2)}


def written(path: Path, header: object, tensors: dict[str, torch.Tensor] = TENSORS) -> Path:
    save_file(tensors, path, metadata={"fomaug.pool": header if isinstance(header, str) else json.dumps(header)})
    return path


def with_track(**changes: object) -> dict[str, Any]:
    return {**HEADER, "tracks": [{**HEADER["tracks"][0], **changes}]}


def test_a_minimal_pool_is_read(tmp_path: Path) -> None:
    assert DrivingPool.load(written(tmp_path / "a", HEADER)).names == ("a",)


HEADERS = {
    "no json": ("{", "not JSON"),
    "deep json": ("[" * 100_000, "nested too deeply|no version"),
    "a list": ([], "no version"),
    "no version": ({}, "no version"),
    "a later version": ({**HEADER, "version": 3}, "pool format 3, this fomaug reads 1 and 2; update fomaug"),
    "a version with views": ({**HEADER, "version": 2}, "a track must have name, .* angles, expression"),
    "no model": ({**HEADER, "model_hash": 3}, "must have model_name, model_hash, tracks"),
    "no tracks": ({**HEADER, "tracks": []}, "its tensors do not match its 0 tracks"),
    "two tracks": ({**HEADER, "tracks": HEADER["tracks"] * 2}, "its tensors do not match its 2 tracks"),
    "a track that is a word": ({**HEADER, "tracks": ["a"]}, "a track must have name, label"),
    "a surplus field": (with_track(extra=1), "a track must have name, label"),
    "a number for a name": (with_track(name=3), "name of a track is 3"),
    "true for a number": (with_track(fps=True), "fps of a track is True"),
    "nan": (with_track(fps=float("nan")), "fps must be more than 0"),
    "endless weight": (with_track(weight=float("inf")), "weight must be 0 or more"),
    "half a crop": (with_track(crop=[1, 2]), "crop of a track is"),
    "words in a crop": (with_track(crop=["a", "b", "c", "d"]), "crop of a track is"),
    "numbers in facts": (with_track(facts={"a": 1}), "facts of a track must be words"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_damaged_description_is_refused(case: str, tmp_path: Path) -> None:
    header, message = HEADERS[case]
    with pytest.raises(PoolError, match=message):
        DrivingPool.load(written(tmp_path / "a", header))


DATA = {
    "no tensors of the track": ({"1.value": torch.rand(3, 5, 2)}, "do not match"),
    "a surplus tensor": ({**TENSORS, "weights": torch.rand(3)}, "do not match"),
    "whole numbers": ({"0.value": torch.zeros(3, 5, 2, dtype=torch.int32)}, "0.value is torch.int32"),
    "another shape": ({"0.value": torch.rand(3, 5, 3)}, r"must be \(T, K, 2\)"),
    "no numbers": ({"0.value": torch.full((3, 5, 2), torch.inf)}, "must be finite"),
    "jacobians of other points": ({**TENSORS, "0.jacobian": torch.rand(3, 4, 2, 2)}, "jacobians must be"),
}


@pytest.mark.parametrize("case", DATA)
def test_damaged_tensors_are_refused(case: str, tmp_path: Path) -> None:
    tensors, message = DATA[case]
    with pytest.raises(PoolError, match=message):
        DrivingPool.load(written(tmp_path / "a", HEADER, tensors))


def huge_header(data: bytes) -> bytes:
    return struct.pack("<Q", 2**62) + data[8:]


FILES = {
    "empty": (lambda data: b"", "is not a pool file"),
    "short": (lambda data: data[:5], "is not a pool file"),
    "html": (lambda data: b"<html>" * 100, "is not a pool file"),
    "a header longer than the file": (huge_header, "is not a pool file"),
    "truncated": (lambda data: data[:-40], "is damaged"),
    "zip": (lambda data: b"PK\x03\x04" + data, "is not a pool file"),
}


@pytest.mark.parametrize("case", FILES)
def test_other_files_than_pools_are_refused(case: str, tmp_path: Path) -> None:
    harm, message = FILES[case]
    pool().save(tmp_path / "a")
    (tmp_path / "a").write_bytes(harm((tmp_path / "a").read_bytes()))
    with pytest.raises(PoolError, match=message) as caught:
        DrivingPool.load(tmp_path / "a")
    assert str(tmp_path / "a") in str(caught.value)


def test_missing_files_and_model_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="cannot read pool"):
        DrivingPool.load(tmp_path / "no")
    save_file(TENSORS, tmp_path / "weights.safetensors")
    with pytest.raises(PoolError, match="but no pool of fomaug"):
        DrivingPool.load(tmp_path / "weights.safetensors")


def test_every_truncated_pool_file_raises_a_pool_error(tmp_path: Path) -> None:
    pool().save(tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    for length in range(0, len(data), 97):
        (tmp_path / "a").write_bytes(data[:length])
        with pytest.raises(PoolError):
            _pool_file.read(tmp_path / "a")
