"""Annotations, and the lists of clips and pairs: their parsers, and small good files for them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from media_parsers import encoded, mask_files, refuse, smooth
from parser import Parser
from PIL import Image

SIZE = (48, 48)
PICTURES = ("case.png", "anna/1.png", "ben/1.png")


def coco_values() -> dict[str, Any]:
    from fomaug.labels.rle import encode_mask

    mask = np.zeros(SIZE, np.uint8)
    mask[10:30, 8:40] = 1
    segments = [encode_mask(mask, packed=True), encode_mask(mask, packed=False), [[8, 8, 38, 9, 30, 38, 10.5, 30]], []]
    points = [10, 12, 2, 20.5, 22, 1, 0, 0, 0]
    faces = [
        {"id": number, "image_id": 1 + number % 3, "category_id": 1, "bbox": [8, 8, 30, 30.5], "iscrowd": number % 2}
        | {"keypoints": points, "num_keypoints": 2, "area": 915.0, "segmentation": segment}
        for number, segment in enumerate(segments)
    ]
    images = [
        {"id": number, "file_name": name, "height": 48, "width": 48, "licence": None}
        for number, name in enumerate(PICTURES, 1)
    ]
    categories = [{"id": 1, "name": "face", "keypoints": ["eye", "nose", "chin"], "skeleton": [[1, 2]]}]
    return {"info": {"year": 2020}, "images": images, "annotations": faces, "categories": categories}


@cache
def coco_files() -> list[bytes]:
    return [json.dumps(coco_values()).encode(), json.dumps(coco_values(), indent=1).encode("utf-8-sig")]


def jsonl_rows() -> list[dict[str, Any]]:
    first = {"file_name": PICTURES[0], "points": [[10, 12], [20.5, 22]], "points_visible": [True, False]}
    second = {"file_name": PICTURES[1], "points": [[10, 12, 1], [20, 22, 0]], "label": "smile"}
    objects = {
        "bbox": [[8, 8, 30, 30], [1, 2, 3.5, 4]],
        "visible": [True, True],
        "iscrowd": [0, 1],
        "categories": [0, 0],
    }
    return [first, second, {"file_name": PICTURES[2], "objects": objects}, {**first, "age": 30}]


@cache
def jsonl_files() -> list[bytes]:
    return ["".join(json.dumps(row) + "\n" for row in jsonl_rows()).encode()]


@cache
def csv_files() -> list[bytes]:
    return [
        b"file,label,x0,y0,v0,x1,y1,v1\ncase.png,smile,10,12,1,20.5,22,0\nanna/1.png,,1,2,TRUE,,,\n",
        b'\xef\xbb\xbffile,x0,y0\r\n"case.png",10,12\r\nben/1.png,1e1,-1\r\nben/1.png,30,31\r\n',
    ]


@cache
def pts_files() -> list[bytes]:
    return [
        b"version: 1\nn_points: 3\n{\n10.5 12\n20 22.25\n30 31\n}\n",
        b"version: 1\r\nn_points:  2\r\n{\r\n1e1 12\r\nnan nan\r\n}\r\n",
    ]


@cache
def pair_files() -> list[bytes]:
    head = "source,driving,out,strength,region,reference,source_frame,face,crop,relative,max_frames\n"
    rows = 'a.png,nod.mp4,1.mp4,0.5,mouth,closest,3,"1,2,30,40",face,yes,12\nb.png,nod.mp4,,,,first,,auto,,no,\n'
    return [(head + rows).encode(), b"source,driving\n a.png, nod.mp4\n"]


@cache
def clip_label_files() -> list[bytes]:
    return [b"clip,label\nnod,yes\nshake.mp4,no\n", b'\xef\xbb\xbfclip,label,who\r\n"nod.mp4", "y, es",me\r\n']


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """A small dataset, removed when the process ends."""
    made = tempfile.TemporaryDirectory()
    for picture in PICTURES:
        path = Path(made.name, "faces", picture)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(Image.fromarray(smooth(*SIZE)), "PNG"))
    return made


def _in_dataset(name: str) -> Callable[[Path], None]:
    """Make the reader of annotations of a name, or in a folder of a name: read, moved and written, as a job does."""

    def read(path: Path) -> None:
        file = Path(_folder().name, name)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(path.read_bytes())
        _carry_over(file.parent if file.suffix == ".png" else file, Path(_folder().name, "faces"))

    return read


def _carry_over(path: Path, root: Path) -> None:
    from fomaug.geometry import identity_grid
    from fomaug.labels import Flaw, find_format, fit, from_plain, move, read_annotations, to_plain, write_annotations

    flaws: list[Flaw] = []
    form = find_format(path).name
    rows = []
    for picture, labels in read_annotations(path, root, on_flaw=flaws.append).items():
        fitting, misfits = fit(labels, SIZE, picture=picture)
        flaws += misfits
        if fitting is not None:
            moved = move(fitting, identity_grid((16, 16))[None] * 0.9, SIZE)
            row = json.loads(json.dumps(to_plain(moved), allow_nan=False))
            rows.append((f"{len(rows)}.png", SIZE, moved if form == "masks" else from_plain(row)))
    write_annotations(rows, root.parent / "out", form, like=path)
    refuse(*flaws)


def _read_pairs(path: Path) -> None:
    from fomaug.visual import read_pairs

    read_pairs(path)


def _read_clip_labels(path: Path) -> None:
    from fomaug.driving.pool import resolve_labels

    resolve_labels(path, {name: Path("clips") / f"{name}.mp4" for name in ("nod", "shake")})


PARSERS = {
    "coco": Parser(_in_dataset("case.json"), coco_files),
    "jsonl": Parser(_in_dataset("case.jsonl"), jsonl_files),
    "csv": Parser(_in_dataset("case.csv"), csv_files),
    "pts": Parser(_in_dataset("case.pts"), pts_files),
    "folder of masks": Parser(_in_dataset("masks/case.png"), mask_files, memory=2**30),
    "pairs": Parser(_read_pairs, pair_files),
    "clip labels": Parser(_read_clip_labels, clip_label_files),
}
