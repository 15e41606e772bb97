"""Measure copies of whole pictures that are cut to the face afterwards, by the rule that cut the other pictures.

    python benchmarks/downstream/cut_after.py CUT WHOLE OUT --driving "views yaw=-60:60:30 pitch=-25,0,25"

CUT and WHOLE are outputs of `render_people.py` with the same seed and angles, WHOLE with `--whole`. The study is that
of `fomaug study CUT/people`, but its copies are made of the pictures of WHOLE. Their landmarks are moved along, and the
copies are cut around them. All of a batch are copies, and no gates judge them. `--test` is a folder of other pictures
of the same people.

`fomaug study` has no such step; so this script replaces two functions of it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from render_people import cut

import fomaug
from fomaug.labels import move, read_annotations
from fomaug.study import augmentation
from fomaug.study.pictures import to_input

WIDER = {"GROWTH": 2.2, "FARTHEST": 60.0}
"""Limits above which views are replaced, see `fomaug.motion.targets`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cut", type=Path)
    parser.add_argument("whole", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--driving", default="views yaw=-40:40:20 pitch=-20,0,20", help="views of the copies")
    parser.add_argument("--test", type=Path, help="folder with a folder of test pictures for each person")
    parser.add_argument("--wider", action="store_true", help="use wider limits of views")
    args = parser.parse_args()
    arms = {"copies": {"driving": args.driving, "share": 1.0, "gates": "off"}}
    with (
        replaced_functions(args.whole),
        mock.patch.multiple("fomaug.motion.targets", **(WIDER if args.wider else {})),
    ):
        result = fomaug.study(args.cut / "people", args.out, arms=arms, test=args.test)
    print(result.table())


def replaced_functions(whole: Path) -> Any:
    """Return a context in which studies make copies of the pictures in a folder, and cut them afterwards."""
    folder = whole / "people"
    labels = read_annotations(whole / "landmarks.csv", folder)
    copies_of, to_copy = augmentation._copies_of, augmentation._to_copy

    def copies_of_whole(augment: Any, data: Any, row: int, copies: int, *, gates: bool) -> Any:
        return copies_of(augment, replace(data, folder=folder), row, copies, gates=gates)

    def to_cut_copy(data: Any, row: int, pixels: Any, result: Any, index: int) -> Any:
        copy = to_copy(data, row, pixels, result, index)
        part = slice(index, index + 1)
        moved = move(labels[data.keys[row]], result.flow[part], pixels.shape[:2], occlusion=result.occlusion[part])
        assert moved.points is not None
        face, _ = cut(result.image[index].permute(1, 2, 0).numpy(), moved.points + 0.5)
        return replace(copy, image=to_input(face, data.images.shape[-1]))

    return mock.patch.multiple(augmentation, _copies_of=copies_of_whole, _to_copy=to_cut_copy)


if __name__ == "__main__":
    main()
