"""Pictures of every suffix are read if they can be, and named if they cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from fomaug import Animator, DrivingPool
from fomaug.expand import expand


def test_what_cannot_be_read_is_named_and_all_others_are_done(
    tiny_model: Animator, tiny_pool: DrivingPool, tmp_path: Path
) -> None:
    faces = tmp_path / "faces" / "a"
    faces.mkdir(parents=True)
    picture = Image.fromarray(np.full((48, 48, 3), 90, np.uint8))
    for name in ("1.jpg", "2.jfif", "3.jpe", "4.heic"):  # the last is a JPEG by its content
        picture.save(faces / name, "JPEG")
    picture.save(faces / "5.gif")
    picture.save(faces / "9.ppm")
    for name in ("6.heic", "7.jp2", "8.txt"):
        (faces / name).write_bytes(b"something else")
    report = expand(tmp_path / "faces", tmp_path / "out", driving=tiny_pool, model=tiny_model, copies=1, gates="off")
    assert {(failure.source, failure.reason) for failure in report.failed} == {
        ("a/6.heic", "cannot be read: HEIC; convert it to PNG or JPEG"),
        ("a/7.jp2", "cannot be read: JPEG 2000; convert it to PNG or JPEG"),
    }
    assert sorted(path.name for path in (tmp_path / "out" / "a").iterdir()) == [
        *("1_m000.jpg", "2_m000.jpg", "3_m000.jpg", "4_m000.jpg", "5_m000.png", "9_m000.png"),
    ]
