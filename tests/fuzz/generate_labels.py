"""Annotations, lists and JSON of the library's own that hypothesis makes up."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from job_parsers import module_files, motion_files, run_files
from label_parsers import clip_label_files, coco_values, csv_files, jsonl_rows, pair_files
from structure import changed, names_in

_CELLS = st.one_of(
    st.sampled_from(
        ["", "0", "1", "-1", "0.5", "nan", "inf", "-inf", "1e400", "0x10", "1_000", "²", "true", "FALSE", "auto"]
    ),
    st.sampled_from(
        ["case.png", "../case.png", "/", ".", "anna", "nod", "nod.mp4", "\0", "9" * 400, "1,2,3,4", '"', "\r"]
    ),
    st.floats().map(repr),
    st.text(max_size=8),
)


def _coco() -> st.SearchStrategy[bytes]:
    values = coco_values()
    names = names_in(json.dumps(values).encode())
    return changed(values, names).map(lambda made: json.dumps(made).encode())


def _jsonl() -> st.SearchStrategy[bytes]:
    names = names_in(json.dumps(jsonl_rows()).encode())
    row = st.sampled_from(jsonl_rows()).flatmap(lambda row: changed(row, names))
    return st.lists(row, min_size=1, max_size=3).map(lambda rows: "\n".join(map(json.dumps, rows)).encode())


def _table(files: Callable[[], list[bytes]]) -> st.SearchStrategy[bytes]:
    """Tables of the good file's columns, some of them lost or doubled, with other cells."""
    (head, *rows), columns = _read_rows(files()[0]), st.integers(0, 2)
    good = st.sampled_from([cell for row in rows for cell in row])
    line = st.lists(st.one_of(good, _CELLS), min_size=len(head) - 1, max_size=len(head) + 1)
    heads = st.one_of(
        st.just(head),
        st.permutations(head),
        columns.map(lambda number: head[number:]),
        st.lists(st.one_of(st.sampled_from(head), _CELLS), max_size=len(head) + 2),
    )
    return st.tuples(heads, st.lists(line, max_size=4)).map(lambda made: _write_rows([made[0], *made[1]]))


def _read_rows(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode())))


def _write_rows(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    for row in rows:
        writer.writerow(row or [""])
    return text.getvalue().encode("utf-8", "ignore")


def _pts() -> st.SearchStrategy[bytes]:
    point = st.lists(st.one_of(st.floats(-100, 200).map(repr), _CELLS), min_size=1, max_size=3).map(" ".join)
    line = st.one_of(point, point, st.sampled_from(["{", "}", "", "version: 1", "n_points: 2", "n_points: 1e9"]))
    body = st.lists(line, max_size=6).map("\n".join)
    return body.map(lambda text: f"version: 1\n{{\n{text}\n}}\n".encode("utf-8", "ignore"))


def _lines(files: Callable[[], list[bytes]]) -> st.SearchStrategy[bytes]:
    """Lines of JSON, the first of which has a part replaced."""
    first, *others = files()[0].splitlines()
    made = changed(json.loads(first), names_in(first))
    return made.map(lambda values: b"\n".join([json.dumps(values).encode(), *others, b""]))


def _plain(files: Callable[[], list[bytes]]) -> st.SearchStrategy[bytes]:
    """JSON objects of the library's own with a part replaced."""
    good: list[Any] = [json.loads(content) for content in files()]
    names = names_in(files()[0])
    made = st.sampled_from(good).flatmap(lambda values: changed(values, names))
    return made.map(lambda values: json.dumps(values).encode())


STRATEGIES = {
    "coco": _coco,
    "jsonl": _jsonl,
    "csv": lambda: _table(csv_files),
    "pts": _pts,
    "pairs": lambda: _table(pair_files),
    "clip labels": lambda: _table(clip_label_files),
    "motion": lambda: _plain(motion_files),
    "runs of a study": lambda: _lines(run_files),
    "module": lambda: _plain(module_files),
}
