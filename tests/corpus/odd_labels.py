"""Annotations of every format: right ones, flawed ones, and files that hold none at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from item import Item, bad, good, numbered
from media_parsers import encoded, smooth
from PIL import Image

SIDE = 48
_LONG = "9" * 5000
_POLYGON = [8, 8, 38, 9, 30, 38]


class Annotated(NamedTuple):
    """Annotations of a format, one for each picture of a dataset.

    Attributes:
        name: of the file or folder.
        items: one for each picture; the name of a picture is the number of its item.
        write: makes the file or folder.
    """

    name: str
    items: list[Item]
    write: Callable[[Path, list[Item]], object]


def annotated() -> list[Annotated]:
    """Make the annotations of all formats."""
    return [
        Annotated("faces.json", numbered(_coco(), "{}"), _write_coco),
        Annotated("points.csv", numbered(_csv(), "{}"), _write_csv),
        Annotated("metadata.jsonl", numbered(_jsonl(), "{}"), _write_jsonl),
        Annotated("pts", numbered(_pts(), "{}"), _write_files(".pts")),
        Annotated("masks", numbered(_masks(), "{}"), _write_files(".png")),
    ]


def whole_files() -> list[Item]:
    """Files of annotations of which nothing can be used, for a dataset with a picture `0.png`."""
    broken = {
        "json": [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"[" * 10**5, b'{"images": 3}', b'{"images": {}}', _infinite()],
        "csv": [
            b"",
            b"\xff\xfe\0",
            b"a,b\n1,2\n",
            b"file\n0.png\n",
            b'file,x0,y0\n"0.png,1,2\n',
            b"file,x0,y0\n0.png,1\n",
        ],
        "jsonl": [b"\xff\xfe", b"{\n", b"[]\n", b'{"file_name": 3}\n', b"\0" * 50, b"[" * 10**5],
        "pts": [b"", b"{}", b"\xff\xfe", b"n_points: 3\n{\n1 2\n}\n"],
        "txt": [b"0.png 1 2\n"],
    }
    return [
        bad(f"{number}/0.{suffix}", content) for suffix, files in broken.items() for number, content in enumerate(files)
    ]


def _infinite() -> bytes:
    return b'{"images": [], "annotations": [], "info": {"year": 1e999}}'


def _run_lengths(height: int, width: int, *, packed: bool) -> dict[str, Any]:
    from fomaug.labels.rle import encode_mask

    mask = np.zeros((height, width), np.uint8)
    mask[10:30, 8:40] = 1
    return encode_mask(mask, packed=packed)


def _coco() -> list[tuple[Any, bool]]:
    box = {"bbox": [8, 8, 30, 30.5]}
    rights: list[dict[str, Any]] = [
        box,
        {**box, "keypoints": [10, 12, 2, 0, 0, 0]},
        {"keypoints": [10, 12, 0.93]},
        {**box, "segmentation": []},
        {**box, "iscrowd": 1},
        {**box, "segmentation": [_POLYGON]},
        {**box, "segmentation": [_POLYGON, _POLYGON]},
        *({**box, "segmentation": _run_lengths(SIDE, SIDE, packed=packed)} for packed in (True, False)),
        {"bbox": [-5, -5, 60, 60]},
        {**box, "odd": {"née": [None, True, 1e-9]}},
        {"keypoints": [None, None, 0, 5, 5, 1]},
    ]
    flaws: list[Any] = [
        *({"bbox": value} for value in ([], None, [1, 2, 3], [1, 2, 3, 4, 5], "x", {}, [1, 2, -3, 4], [1, 2, 0, 0])),
        *({"bbox": value} for value in ([float("nan")] * 4, [1e999, 0, 1, 1], [0, 0, 1e15, 5], ["a", 1, 2, 3])),
        *({**box, "keypoints": value} for value in ([1, 2], [1, 2, 3], ["x", 1, 2], {}, [1e15, 2, 2], [None, None, 2])),
        *({**box, "segmentation": [value]} for value in ([1, 2, 3, 4], [1, 2, 3], [8, 8, 1e15, 9, 30, 38], ["a"] * 6)),
        *(
            {**box, "segmentation": {"size": size, "counts": "0"}}
            for size in ([100_000, 100_000], [-1, 5], 3, [2.5, 2])
        ),
        *(
            {**box, "segmentation": {"size": [48, 48], "counts": value}}
            for value in ("~~", [3], [-1, 2305], None, [1e9])
        ),
        {**box, "segmentation": _run_lengths(40, 40, packed=True)},
        {**box, "segmentation": "x"},
        {**box, "image_id": 10**6},
        {**box, "image_id": None},
        {**box, "image_id": [1]},
        {**box, "extra": float("inf")},
        None,
        "x",
        [1],
    ]
    return [*((value, True) for value in rights), *((value, False) for value in flaws)]


def _write_coco(path: Path, items: list[Item]) -> None:
    images = [{"id": number, "file_name": f"{item.name}.png"} for number, item in enumerate(items)]
    faces = [
        {"id": number, "image_id": number, "category_id": 1, **item.content}
        if isinstance(item.content, dict)
        else item.content
        for number, item in enumerate(items)
    ]
    path.write_text(json.dumps({"images": images, "annotations": faces, "categories": [{"id": 1, "name": "face"}]}))


def _csv() -> list[tuple[Any, bool]]:
    rights = [
        "10,12,1,20,22,1",
        "10,12,0,,,",
        "1e1,12,TRUE,20,22,false",
        "-1,-1,,3,4,",
        "nan,nan,0,3,4,2",
        " 1 , 2 ,,3,4,",
    ]
    flaws = ["x,12,1,20,22,1", "10,12,7,20,22,1", "10,,1,20,22,1", "inf,12,1,20,22,1", "1e15,12,1,20,22,1"]
    flaws += ["10,12", "10,12,1,20,22,1,9", f"{_LONG},2,1,3,4,1", ",,1,3,4,1", "10,12,maybe,3,4,1", "1 2,3,1,4,5,1"]
    return [*((row, True) for row in rights), *((row, False) for row in flaws)]


def _write_csv(path: Path, items: list[Item]) -> None:
    rows = [f"{item.name}.png,{item.content}\n" for item in items]
    path.write_text("file,x0,y0,v0,x1,y1,v1\n" + "".join(rows))


def _jsonl() -> list[tuple[Any, bool]]:
    rights = [
        '"points": [[10, 20], [30, 40]]',
        '"points": [[10, 20, 1], [30, 40, 0]]',
        '"points": [[null, null], [3, 4]], "points_visible": [false, true]',
        '"objects": {"bbox": [[8, 8, 30, 30]], "categories": [0]}',
        '"objects": {"bbox": []}',
        '"text": "a\\u2028b", "number": 1e300',
        '"points": []',
    ]
    flaws = [
        *(f'"points": {value}' for value in ("3", "[1, 2]", "[[1]]", "[[1, 2, 3, 4]]", "[[1, 2], [3]]", '[["a", 1]]')),
        *(f'"points": {value}' for value in ("[[1e999, 1]]", "[[NaN, 1]]", f"[[{_LONG}, 1]]", "[[1, 2, 7]]", "{}")),
        *(
            f'"objects": {value}'
            for value in ("[]", '{"bbox": [[1, 2, 3]]}', '{"bbox": [[0, 0, 0, 0]]}', '{"bbox": 1}')
        ),
        '"points": [[1, 2]], "points_visible": [true, true]',
        '"points_visible": [true]',
        '"fomaug:rows": []',
        '"extra": Infinity',
        '"a": ',
    ]
    return [*((row, True) for row in rights), *((row, False) for row in flaws)]


def _write_jsonl(path: Path, items: list[Item]) -> None:
    path.write_text("".join(f'{{"file_name": "{item.name}.png", {item.content}}}\n' for item in items))


def _pts() -> list[tuple[Any, bool]]:
    rights = [
        b"version: 1\nn_points: 2\n{\n10 12\n20 22\n}\n",
        b"\xef\xbb\xbfversion: 1\n{\n1e1 12\n}\n",
        b"{\r\nnan nan\r\n20.5   22\r\n\r\n}",
    ]
    flaws = [
        b"",
        b"{\n}\n",
        b"10 12\n",
        b"{\n1 2 3\n}",
        b"{\nx y\n}",
        b"{\n1\n}",
        b"{\ninf 2\n}",
        b"{\n1e15 2\n}",
        b"{\nnan 2\n}",
    ]
    flaws += [
        b"n_points: 3\n{\n1 2\n}",
        b"\xff\xfe\x00",
        b"{\n" + b"1 2\n" * 70_000 + b"}\n",
        b"{\n" + _LONG.encode() + b" 2\n}",
    ]
    return [*((content, True) for content in rights), *((content, False) for content in flaws)]


def _masks() -> list[tuple[Any, bool]]:
    classes = smooth(SIDE, SIDE, 1) // 64
    rights = [Image.fromarray(classes), Image.fromarray(classes).convert("1"), Image.fromarray(classes).convert("P")]
    rights += [Image.fromarray(classes.astype(np.uint16) * 100)]
    small, colour = Image.fromarray(classes[:40, :40]), Image.fromarray(smooth(SIDE, SIDE))
    content = encoded(rights[0], "PNG")
    flaws = [
        encoded(small, "PNG"),
        encoded(colour, "PNG"),
        encoded(colour.convert("RGBA"), "PNG"),
        encoded(colour, "JPEG"),
    ]
    flaws += [b"", b"text", content[:20], content[:60], bytes(200)]
    return [*((encoded(mask, "PNG"), True) for mask in rights), *((content, False) for content in flaws)]


def _write_files(suffix: str) -> Callable[[Path, list[Item]], None]:
    def write(path: Path, items: list[Item]) -> None:
        path.mkdir()
        for item in items:
            (path / f"{item.name}{suffix}").write_bytes(item.content)

    return write


def picture_files(items: list[Item]) -> list[Item]:
    """Make the picture of each annotation."""
    content = encoded(Image.fromarray(smooth(SIDE, SIDE)), "PNG")
    return [good(f"{item.name}.png", content) for item in items]
