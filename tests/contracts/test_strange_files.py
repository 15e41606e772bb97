"""Every reader of files from outside refuses what is no file of its kind: at once, by name, and without reading it."""

from __future__ import annotations

import os
import re
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from fomaug import Animator, DrivingPool, FomaugError, load_model
from fomaug.driving.pool import read_labels
from fomaug.expand import expand, find_leaks
from fomaug.expand.manifest import read_rows
from fomaug.expand.output import MANIFEST, SUMMARY
from fomaug.expand.report import read_summary
from fomaug.labels import read_annotations
from fomaug.media import PICTURE_FORMATS, read_clip, read_mark, read_picture
from fomaug.training.config import read_config
from fomaug.training.loop import last_checkpoint
from fomaug.training.pairs import open_clips
from fomaug.visual import read_pairs
from fomaug.weights.models import import_official
from fomaug.weights.official import official_config

SECONDS = 20


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as made:
        made.bind(f"{folder}/s")  # the name of a socket may have a hundred bytes
        Path(folder, "s").rename(path)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20 << 30)


STRANGE = {
    "a named pipe": make_pipe,
    "a socket": make_socket,
    "a device": make_device,
    "has 21,474,836,480 bytes": make_sparse,
}


def read_beside_a_picture(path: Path, format: str) -> object:
    """Read the annotations of one picture in a folder, which must contain that picture."""
    Image.new("RGB", (4, 4)).save(path.with_suffix(".jpeg"))
    return read_annotations(path.parent, path.parent, format=format)


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "picture": ("x.png", read_picture),
    "mark": ("x.png", read_mark),
    "video": ("x.mp4", read_clip),
    "animation": ("x.gif", read_clip),
    "training picture": ("x.png", lambda path: open_clips(path.parent)),
    "COCO": ("x.json", lambda path: read_annotations(path, path.parent)),
    "CSV": ("x.csv", lambda path: read_annotations(path, path.parent)),
    "jsonl": ("x.jsonl", lambda path: read_annotations(path, path.parent)),
    "pts": ("x.pts", lambda path: read_beside_a_picture(path, "pts")),
    "mask": ("x.png", lambda path: read_beside_a_picture(path, "masks")),
    "pool": ("x.safetensors", DrivingPool.load),
    "model": ("x.safetensors", load_model),
    "checkpoint": ("x.pth.tar", load_model),
    "import": ("x.pth.tar", import_official),
    "model's configuration": ("x.yaml", lambda path: official_config(path.with_name("a.pth.tar"), path)),
    "training configuration": ("x.yaml", read_config),
    "training checkpoint": ("step-00000001.pt", lambda path: last_checkpoint(path.parent)),
    "pairs": ("x.csv", read_pairs),
    "labels of clips": ("x.csv", read_labels),
    "summary": (SUMMARY, lambda path: read_summary(path.parent)),
    "manifest": (MANIFEST, lambda path: list(read_rows(path))),
    "test set": ("x.png", lambda path: find_leaks([path.parent])),
}


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"still reading after {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize("reader", READERS)
def test_other_kinds_of_files_are_refused_by_name(reader: str, strange: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    STRANGE[strange](tmp_path / name)
    with pytest.raises(FomaugError, match=f"it (is )?{strange}") as caught:
        read(tmp_path / name)
    assert reader == "picture" or name in str(caught.value), "the caller names a picture"


@pytest.mark.parametrize("reader", ["COCO", "model's configuration", "training configuration", "pts", "summary"])
def test_the_error_names_the_limit_of_a_kind(reader: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    make_sparse(tmp_path / name)
    with pytest.raises(FomaugError, match=r"more than the [\d,]+ that an? [a-z ]+ may have"):
        read(tmp_path / name)


def test_the_mark_of_a_video_of_any_size_is_found_without_reading_it(tmp_path: Path) -> None:
    make_sparse(tmp_path / "x.mp4")
    with (tmp_path / "x.mp4").open("r+b") as file:
        file.write(b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\0mdat")
    assert not read_mark(tmp_path / "x.mp4").synthetic


def test_a_line_without_an_end_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / MANIFEST).open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(FomaugError, match="line 1 is damaged"):
        list(read_rows(tmp_path / MANIFEST))


def test_strange_files_of_a_dataset_are_named_and_all_others_done(
    tiny_model: Animator, tiny_pool: DrivingPool, tmp_path: Path
) -> None:
    faces = tmp_path / "faces"
    faces.mkdir()
    Image.fromarray(np.full((48, 48, 3), 90, np.uint8)).save(faces / "good.png")
    (faces / "linked.png").symlink_to(faces / "good.png")
    for number, make in enumerate(STRANGE.values()):
        make(faces / f"{number}.png")
    report = expand(faces, tmp_path / "out", driving=tiny_pool, model=tiny_model, copies=1, gates="off")
    assert report.written == 2
    assert {failure.source for failure in report.failed} == {f"{number}.png" for number in range(len(STRANGE))}
    for failure, reason in zip(report.failed, STRANGE, strict=True):
        assert reason in failure.reason


def test_strange_clips_are_named_and_all_others_used(tiny_model: Animator, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    frames = [Image.fromarray(np.full((48, 48, 3), 90 + number, np.uint8)) for number in range(3)]
    frames[0].save(clips / "good.gif", save_all=True, append_images=frames[1:])
    for number, make in enumerate(STRANGE.values()):
        make(clips / f"{number}.mp4")
    pool = DrivingPool.from_clips(clips, tiny_model, crop="frame")
    assert pool.names == ("good",)
    assert [name for name, _ in pool.skipped] == [str(number) for number in range(len(STRANGE))]
    for (_, found), reason in zip(pool.skipped, STRANGE, strict=True):
        assert reason in found


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"
OPENERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "picture": ("x.jpg", read_picture),
    "mark": ("x.jpg", read_mark),
    "mask": ("x.png", lambda path: read_beside_a_picture(path, "masks")),
    "clip": ("x.png", read_clip),
    "frame": ("x.jpg", lambda path: list(read_clip(path.parent))),
    "training strip": ("x.jpg", lambda path: [clip.take([0]) for clip in open_clips(path.parent)]),
}


@pytest.mark.parametrize("opener", OPENERS)
def test_postscript_under_another_name_starts_no_program(
    opener: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object, **__: object) -> Image.Image:
        pytest.fail("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", start)
    name, read = OPENERS[opener]
    (tmp_path / name).write_bytes(EPS)
    with pytest.raises(FomaugError, match="of no known kind"):
        read(tmp_path / name)


@pytest.mark.parametrize("encode_format", ["PCX", "TGA", "SGI", "ICO"])
def test_pictures_of_other_kinds_are_none_of_a_dataset(encode_format: str, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "x.jpg", encode_format)
    with pytest.raises(FomaugError, match=re.escape(f"of no known kind ({', '.join(PICTURE_FORMATS)})")):
        read_picture(tmp_path / "x.jpg")


@pytest.mark.parametrize("encode_format", ["JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_documented_formats_are_read_under_any_name(encode_format: str, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "x.jpg", encode_format)
    assert read_picture(tmp_path / "x.jpg").size == (48, 64)


@pytest.mark.parametrize(
    "read",
    [
        load_model,
        import_official,
        read_config,
        DrivingPool.load,
        read_pairs,
        lambda name: official_config(Path("a.pth.tar"), name),
        lambda name: read_annotations(name, "."),
    ],
)
def test_a_name_that_is_too_long_belongs_to_no_file(read: Callable[[str], Any]) -> None:
    with pytest.raises(FomaugError):
        read("long" * 2000)
