"""COCO annotations: boxes (x, y, width, height), keypoints (x, y, visibility) and segmentations of each face."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from fomaug import warp
from fomaug.errors import LabelError, reason_of
from fomaug.files import LABELS, read_text, write_file
from fomaug.labels.formats import Annotations, Format, Row, check_finite, picture_key, register
from fomaug.labels.segments import Segment, read_segment, segment_area, segment_box
from fomaug.labels.values import FaceLabels

_DERIVED = ("id", "image_id", "bbox", "keypoints", "num_keypoints", "area", "segmentation")
_TIGHT: Final = 1.5  # pixels


def _read(path: Path, root: Path) -> Annotations:
    content = _load(path)
    try:
        names = {image["id"]: picture_key(str(image["file_name"]), path.parent, root) for image in content["images"]}
        faces: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
        for number, annotation in enumerate(content.get("annotations", [])):
            if annotation.get("image_id") not in names:
                raise LabelError(f"{path}, annotation {number}: no image has the id {annotation.get('image_id')!r}")
            faces[names[annotation["image_id"]]].append(annotation)
    except (KeyError, TypeError, AttributeError) as error:
        raise LabelError(f"{path} is no COCO file: {type(error).__name__} {error}") from error
    return {name: _labels(path, name, found) for name, found in faces.items()}


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path, LABELS))
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise LabelError(f"{path} cannot be read: {reason_of(error)}") from error
    except json.JSONDecodeError as error:
        raise LabelError(f"{path}, line {error.lineno}: {error.msg}") from error
    if not isinstance(content, dict):
        raise LabelError(f"{path} is no COCO file: it holds a {type(content).__name__}")
    return content


def _labels(path: Path, name: str, faces: list[dict[str, Any]]) -> FaceLabels:
    try:
        boxes = [[x, y, x + w, y + h] for x, y, w, h in (face["bbox"] for face in faces if "bbox" in face)]
        points = [np.array(face.get("keypoints") or [], float).reshape(-1, 3) for face in faces]
        together = np.concatenate(points) if points else np.zeros((0, 3))
        kept = [{key: value for key, value in face.items() if key not in _DERIVED} for face in faces]
        check_finite(together, np.array(boxes, float))
        counts = [len(part) for part in points]
        has_box = ["bbox" in face for face in faces]
        segments = tuple(read_segment(face.get("segmentation")) for face in faces)
        tight = [_is_tight(face, segment) for face, segment in zip(faces, segments, strict=True)]
        fields = {"faces": kept, "points": counts, "has_box": has_box, "flags": together[:, 2].tolist()}
        return FaceLabels(
            points=together[:, :2] if len(together) else None,
            visible=together[:, 2] > 0 if len(together) else None,
            boxes=warp.edges_to_centres(torch.tensor(boxes, dtype=torch.float64)).numpy() if boxes else None,
            segments=segments if any(segments) else None,
            fields=fields | ({"tight": tight} if any(segments) else {}),
        )
    except (KeyError, TypeError, ValueError, LabelError) as error:
        raise LabelError(f"{path}: the annotations of {name} are damaged: {error}") from error


def _write(rows: Iterable[Row], out: Path, like: Path | None) -> list[Path]:
    old = {} if like is None else _load(like)
    content: dict[str, Any] = {key: old[key] for key in ("info", "licenses") if key in old}
    content |= {"images": [], "annotations": []}
    content["categories"] = old.get("categories", [{"id": 1, "name": "face"}])
    for number, (file, (height, width), labels) in enumerate(rows, start=1):
        content["images"].append({"id": number, "file_name": file, "width": width, "height": height})
        for face in _faces(labels):
            own = {"id": len(content["annotations"]) + 1, "image_id": number, "category_id": 1, "iscrowd": 0}
            content["annotations"].append(own | face)
    target = out / (like.name if like is not None else "annotations.json")
    write_file(target, json.dumps(content).encode())
    return [target]


def _is_tight(face: dict[str, Any], segment: Segment | None) -> bool:
    """Whether a face's box is the one around its segmentation, as COCO has it, and not one of its own."""
    if segment is None or "bbox" not in face:
        return False
    x, y, w, h = face["bbox"]
    return bool(np.abs(np.subtract(segment_box(segment), (x, y, x + w, y + h))).max() <= _TIGHT)


def _faces(labels: FaceLabels) -> list[dict[str, Any]]:
    """Take the faces of a picture apart again: points and boxes lie one after another."""
    counts = labels.fields.get("points", [0 if labels.points is None else len(labels.points)])
    has_box = labels.fields.get("has_box", [labels.boxes is not None])
    kept = labels.fields.get("faces", [{} for _ in counts])
    tight = labels.fields.get("tight", [False for _ in counts])
    segments = labels.segments or [None for _ in counts]
    faces, point, box = [], 0, 0
    for count, boxed, fields, is_tight, segment in zip(counts, has_box, kept, tight, segments, strict=True):
        face = dict(fields)
        gone = is_tight and segment is None
        if boxed and labels.boxes is not None:
            gone = gone or (labels.box_visible is not None and not labels.box_visible[box])
            face |= _bbox(warp.centres_to_edges(torch.from_numpy(labels.boxes[box])).tolist())
            box += 1
        if segment is not None:
            face |= _bbox(segment_box(segment)) if is_tight else {}
            face |= {"segmentation": segment, "area": round(segment_area(segment), 3)}
        if count:
            face |= _keypoints(labels, point, count)
            point += count
        if not gone:
            faces.append(face)
    return faces


def _bbox(box: Sequence[float]) -> dict[str, Any]:
    x0, y0, x1, y1 = (round(float(value), 3) for value in box)
    return {"bbox": [x0, y0, round(x1 - x0, 3), round(y1 - y0, 3)], "area": round((x1 - x0) * (y1 - y0), 3)}


def _keypoints(labels: FaceLabels, start: int, count: int) -> dict[str, Any]:
    assert labels.points is not None
    seen = np.ones(len(labels.points), bool) if labels.visible is None else labels.visible
    flags = labels.fields.get("flags", [2] * len(labels.points))
    flat: list[float] = []
    for i in range(start, start + count):
        x, y = labels.points[i]
        # COCO: 0 is not labelled and has no place, 1 is labelled behind something, 2 is visible.
        flat += [round(float(x), 3), round(float(y), 3), int(flags[i])] if seen[i] else [0, 0, 0]
    return {"keypoints": flat, "num_keypoints": int(seen[start : start + count].sum())}


FORMAT = register(Format("coco", lambda path: path.suffix.lower() == ".json", _read, _write))
