"""Packed training pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fomaug.errors import ArgumentError
from fomaug.faces.canonical import mean_mesh
from fomaug.training.faces import pack_stills
from fomaug.training.faces.store import ClipStore, StillStore


def test_packed_meshes_are_normalised(packed: Path) -> None:
    meshes = np.load(packed / "stills_mesh.npy")
    expected = (mean_mesh().numpy() * 0.8 * 127.5 + [127.0, 127.0, 0]) / 127.5 - [1, 1, 0]
    assert np.allclose(meshes[0], expected, atol=1e-3)


def test_mattes_are_packed_and_where_there_is_none_all_is_the_person(packed: Path, tmp_path: Path) -> None:
    folder = packed.parent / "stills"
    (folder / "mattes").mkdir(exist_ok=True)
    shade = np.linspace(0, 255, 256).astype(np.uint8)[None].repeat(256, 0)
    Image.fromarray(shade).save(folder / "mattes" / "1.png")
    pack_stills(folder, tmp_path)
    mattes = np.load(tmp_path / "stills_matte.npy")
    assert np.array_equal(mattes[1], shade)
    assert (mattes[[0, 2]] == 255).all()


def test_frames_of_a_strip_come_in_order(packed: Path) -> None:
    strip = np.asarray(Image.open(packed.parent / "clips" / "set" / "a.png"))
    assert np.array_equal(np.load(packed / "clips.npy")[0, 1], strip[:, 256:512])


def test_pairs_are_the_same_for_the_same_seed(packed: Path) -> None:
    for store in (StillStore.open(packed), ClipStore.open(packed)):
        first, again = (store.draw(2, torch.Generator().manual_seed(4)) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_missing_landmarks_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"landmarks\.npz is missing"):
        pack_stills(tmp_path, tmp_path / "out")
