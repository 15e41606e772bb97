"""The contact sheet holds thumbnails, never whole pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomaug import Animator, DrivingPool
from fomaug.errors import MediaError
from fomaug.expand import card, expand, samples
from fomaug.expand.card import choose_sources, save_contact_sheet
from fomaug.expand.sources import SourceFile
from fomaug.media import Provenance, read_picture, save_image, thumbnail


def test_pictures_are_reduced_one_by_one(
    tmp_path: Path, face: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[dict[str, Any]] = []
    for number in range(4):
        save_image(tmp_path / "out" / f"{number}.jpg", face(number, 900, 1200))
        rows.append({"file": f"{number}.jpg", "source": "0.jpg", "copy": number, "motion": {"skipped": False}})
    shown: list[tuple[int, ...]] = []
    decoded: list[tuple[int, int]] = []
    lay_out, reduce = card.contact_sheet, samples.thumbnail
    monkeypatch.setattr(
        card,
        "contact_sheet",
        lambda pictures, **options: (
            shown.extend(picture.shape for row in pictures for picture in row) or lay_out(pictures, **options)
        ),
    )
    monkeypatch.setattr(
        samples, "thumbnail", lambda picture, side: decoded.append(picture.shape[:2]) or reduce(picture, side)
    )
    sources = [SourceFile(tmp_path / "out", "0.jpg")]
    path, failed = save_contact_sheet(tmp_path / "out", {"0.jpg": rows}, sources, Provenance("tiny"))
    assert (path, failed) == (tmp_path / "out" / ".contact_sheet.png", [])
    assert shown == [(96, 128, 3)] * 5
    assert decoded == [(450, 600)] * 5, "a JPEG is decoded at a half, since a quarter has less than 384 pixels"


@pytest.mark.parametrize(
    ("size", "found"), [((1200, 1600), (300, 400)), ((384, 300), (384, 300)), ((3072, 1000), (384, 125))]
)
def test_large_jpegs_are_decoded_at_a_fraction(
    tmp_path: Path, face: Callable[..., np.ndarray], size: tuple[int, int], found: tuple[int, int]
) -> None:
    save_image(tmp_path / "a.jpg", face(0, *size))
    save_image(tmp_path / "a.png", face(0, *size))
    assert read_picture(tmp_path / "a.jpg", least_side=384).size == found
    assert read_picture(tmp_path / "a.png", least_side=384).size == size
    full, reduced = (
        thumbnail(read_picture(tmp_path / "a.jpg", **options).eight_bits, 128).astype(int)
        for options in ({}, {"least_side": 384})
    )
    assert full.shape == reduced.shape
    assert np.abs(full - reduced).mean() < 2


def test_limits_of_pixels_hold_for_the_whole_picture(tmp_path: Path, face: Callable[..., np.ndarray]) -> None:
    save_image(tmp_path / "a.jpg", face(0, 1200, 1600))
    with pytest.raises(MediaError, match="has 1600 x 1200 pixels, more than"):
        read_picture(tmp_path / "a.jpg", max_pixels=1_000_000, least_side=384)


def test_every_class_is_shown_before_any_twice() -> None:
    keys = [f"{label}/{number}.png" for label in "abc" for number in range(9)]
    assert {key[0] for key in choose_sources(keys, 3)} == {"a", "b", "c"}
    assert len(choose_sources(keys, 12)) == 12


@pytest.mark.parametrize("format", ["folder", "webdataset", "parquet"])
def test_thumbnails_are_kept_as_copies_are_made(
    faces: Path,
    tmp_path: Path,
    tiny_model: Animator,
    tiny_pool: DrivingPool,
    format: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    options = {"model": tiny_model, "driving": tiny_pool, "copies": 14, "gates": "off", "format": format}
    with monkeypatch.context() as patch:
        patch.setattr(card, "_read", None)
        patch.setattr(card, "load_outputs", lambda out, rows: [] if not rows else pytest.fail("a file is read"))
        out = expand(faces, tmp_path / "out", **options).out
    assert not (out / ".fomaug-thumbnails").exists()
    kept = (out / ".contact_sheet.png").read_bytes()
    (out / ".contact_sheet.png").unlink()
    expand(faces, out, resume=True, **options)
    assert (out / ".contact_sheet.png").read_bytes() == kept, "thumbnails of files are the same"


def test_a_row_of_a_damaged_manifest_has_no_thumbnail(tmp_path: Path) -> None:
    assert card.kept_thumbnail(tmp_path, {"source": "a.png", "copy": 0}) is None
