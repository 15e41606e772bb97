from __future__ import annotations

from pathlib import Path

import pytest

from fomaug.driving.pool import read_labels, resolve_labels
from fomaug.errors import LabelError

CLIPS = {"a": Path("clips/happy/a.mp4"), "b": Path("clips/sad/b.gif"), "x/c": Path("clips/x/c.mp4")}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, {"a": None, "b": None, "x/c": None}),
        ("folders", {"a": "happy", "b": "sad", "x/c": "x"}),
        ({"a": "nod"}, {"a": "nod", "b": None, "x/c": None}),
        ({"a.mp4": "nod", "sad/b.gif": "tilt", "x/c": "talk"}, {"a": "nod", "b": "tilt", "x/c": "talk"}),
        ({}, {"a": None, "b": None, "x/c": None}),
    ],
)
def test_labels_may_be_keyed_by_name_file_name_or_end_of_path(labels: object, expected: dict[str, str | None]) -> None:
    assert resolve_labels(labels, CLIPS) == expected  # type: ignore[arg-type]


def test_a_label_for_an_unknown_clip_suggests_the_nearest() -> None:
    with pytest.raises(LabelError, match=r"the label 'nod' is for 'b.mp4', but there is no such clip; did you mean '"):
        resolve_labels({"b.mp4": "nod"}, CLIPS)


def test_a_csv_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(b'\xef\xbb\xbfclip,label,who\r\na.mp4, nod ,me\r\n"b.gif",tilt,\r\n')
    assert read_labels(tmp_path / "l.csv") == {"a.mp4": "nod", "b.gif": "tilt"}
    assert resolve_labels(tmp_path / "l.csv", CLIPS) == {"a": "nod", "b": "tilt", "x/c": None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "must have the header line `clip,label`"),
        (b"name,label\na,nod\n", "must have the header line `clip,label`"),
        (b"clip,label\n", "must have the header line `clip,label`"),
        (b"clip,label\na,nod\nb\n", "line 3: expected a clip and its label"),
        (b"clip,label\n,nod\n", "line 2: expected a clip and its label"),
        (b"clip,label\n\xff\xfe,nod\n", "cannot read the labels"),
    ],
)
def test_a_file_without_the_csv_columns_is_refused(text: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(text)
    with pytest.raises(LabelError, match=message):
        read_labels(tmp_path / "l.csv")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(LabelError, match=r"cannot read the labels in no\.csv"):
        read_labels(Path("no.csv"))
