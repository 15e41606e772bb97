"""Measure copies that are cut after they were made, by the rule that cut the other pictures.

    python benchmarks/downstream/cut_after.py recognition CUT WHOLE OUT --driving "views yaw=-60:60:30 pitch=-25,0,25"
    python benchmarks/downstream/cut_after.py landmarks WHOLE OTHERS OUT --wider

CUT, WHOLE and OTHERS are outputs of `render_people.py`, WHOLE and OTHERS with `--whole`.

For recognition, CUT and WHOLE have the same pictures. The study is that of `fomaug study CUT/people`, but its copies
are made of the pictures of WHOLE; their landmarks are moved along, and the copies are cut around them. All of a batch
are copies. `--test` is a folder of other pictures of the same people.

For landmarks, networks are trained on 100 pictures of WHOLE and tested on the people of OTHERS. A study cuts all
pictures to the square around their landmarks, and here it cuts the copies, too.

No gates judge the copies. `fomaug study` does not cut copies; so this script replaces functions of it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from render_people import cut

import fomaug
from fomaug.labels import FaceLabels, move, read_annotations
from fomaug.study import StudyResult, augmentation
from fomaug.study.pictures import in_square, square_around, to_input, to_unit

WIDER = {"GROWTH": 2.2, "FARTHEST": 60.0}
"""Limits above which views are replaced, see `fomaug.motion.targets`."""


def main() -> None:
    args = parsed()
    limits = mock.patch.multiple("fomaug.motion.targets", **(WIDER if args.wider else {}))
    with limits:
        result = recognition(args) if args.task == "recognition" else landmarks(args)
    print(result.table())


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(dest="task", required=True)
    for task, folders in (("recognition", ("cut", "whole")), ("landmarks", ("whole", "others"))):
        one = tasks.add_parser(task)
        for name in (*folders, "out"):
            one.add_argument(name, type=Path)
        one.add_argument("--driving", default="views yaw=-40:40:20 pitch=-20,0,20", help="views of the copies")
        one.add_argument("--wider", action="store_true", help="use wider limits of views")
    tasks.choices["recognition"].add_argument("--test", type=Path, help="folder with a folder for each person")
    return parser.parse_args()


def recognition(args: argparse.Namespace) -> StudyResult:
    """Run a study of cut pictures with copies of whole pictures."""
    arms = {"copies": {"driving": args.driving, "share": 1.0, "gates": "off"}}
    with cut_like_pictures(args.whole):
        return fomaug.study(args.cut / "people", args.out, arms=arms, test=args.test)


def landmarks(args: argparse.Namespace) -> StudyResult:
    """Run a study of landmarks, and cut copies around their landmarks."""
    with mock.patch.object(augmentation, "_to_copy", cut_around_landmarks):
        return fomaug.study(
            args.whole / "people",
            args.out,
            task="landmarks",
            train_images=100,
            annotations=args.whole / "landmarks.csv",
            test=args.others / "people",
            test_annotations=args.others / "landmarks.csv",
            arms={"copies": {"driving": args.driving, "gates": "off"}},
        )


def cut_like_pictures(whole: Path) -> Any:
    """Return a context in which studies make copies of the pictures in a folder, and cut them like `render_people`."""
    folder = whole / "people"
    labels = read_annotations(whole / "landmarks.csv", folder)
    copies_of, to_copy = augmentation._copies_of, augmentation._to_copy

    def copies_of_whole(augment: Any, data: Any, row: int, copies: int, *, gates: bool) -> Any:
        return copies_of(augment, replace(data, folder=folder), row, copies, gates=gates)

    def to_cut_copy(data: Any, row: int, pixels: Any, result: Any, index: int) -> Any:
        copy = to_copy(data, row, pixels, result, index)
        points = moved(labels[data.keys[row]], pixels, result, index).points
        face, _ = cut(copied(result, index), points + 0.5)
        return replace(copy, image=to_input(face, data.images.shape[-1]))

    return mock.patch.multiple(augmentation, _copies_of=copies_of_whole, _to_copy=to_cut_copy)


def cut_around_landmarks(data: Any, row: int, pixels: Any, result: Any, index: int) -> Any:
    """Replace `_to_copy`: cut a copy to the square around its landmarks, as a study cuts pictures."""
    side, copy = data.images.shape[-1], copied(result, index)
    labels = moved(data.landmarks(row, pixels.shape[:2]), pixels, result, index)
    square = square_around(FaceLabels(points=labels.points))
    rows, columns = np.arange(square.top, square.bottom), np.arange(square.left, square.right)
    face = copy[rows.clip(0, len(copy) - 1)][:, columns.clip(0, copy.shape[1] - 1)]
    points = to_unit(in_square(labels.points, square, face.shape[:2]), face.shape[:2], side)
    visible = torch.from_numpy(labels.visible)
    return augmentation._Copy(to_input(face, side), points, visible, distance=0.0)


def copied(result: Any, index: int) -> Any:
    return result.image[index].permute(1, 2, 0).numpy()


def moved(labels: FaceLabels, pixels: Any, result: Any, index: int) -> Any:
    part = slice(index, index + 1)
    return move(labels, result.flow[part], pixels.shape[:2], occlusion=result.occlusion[part])


if __name__ == "__main__":
    main()
