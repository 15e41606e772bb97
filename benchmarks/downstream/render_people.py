"""Render people who do not exist, in several poses, lights and expressions, as folders that `fomaug study` reads.

    python benchmarks/downstream/render_people.py RENDERER OUT --people 40 --yaw 45 --pitch 20

RENDERER is a folder with `render.py`, which makes people, lights and pictures, and its `assets.npz`. Each picture has
its own head pose, and is cropped to a square around the face unless `--whole` is given. With `--light studio`, all
pictures of all people have the same light, background and camera; with `--light varied`, each has its own. Each picture
is written twice:

    OUT/people/p07/smile_1.jpg        a folder for each person
    OUT/expressions/smile/p07_1.jpg   a folder for each expression
    OUT/pictures.csv                  person, expression, yaw, pitch and roll of each picture
    OUT/landmarks.csv                 30 true landmarks of each picture in OUT/people, a table that `fomaug` reads

To make other pictures of the same people, as for a test set, give the same seed, another OUT, and `--first 3`.

It needs a separate environment with moderngl, scipy and Pillow.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from render_heads import absolute
from scripts import open_renderer

Rng = np.random.Generator
EXPRESSIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": {"mouthSmile": 0.9, "cheekSquint": 0.5, "mouthUpperUp": 0.3},
    "surprise": {"browInnerUp": 1.0, "browOuterUp": 0.9, "eyeWide": 0.6, "jawOpen": 0.5},
    "anger": {"browDown": 1.0, "eyeSquint": 0.5, "noseSneer": 0.6, "mouthFrown": 0.3},
    "sadness": {"browInnerUp": 0.9, "mouthFrown": 0.9, "mouthShrugLower": 0.4},
}
"""Face units of each expression; their strength is drawn for each picture."""
STUDIO = 2  # seed of the scene that all pictures share
STRENGTH = (0.6, 1.0)
ROLL = 5.0  # standard deviation in degrees
ROOM = 1.25  # Side of the square, as a multiple of the longer side of the landmarks' box.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("renderer", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--pictures", type=int, default=3, help="of each person and expression")
    parser.add_argument("--first", type=int, default=0, help="number of the first picture; each has draws of its own")
    parser.add_argument("--seed", type=int, default=930000, help="of the first person")
    parser.add_argument("--light", choices=["studio", "varied"], default="studio")
    parser.add_argument("--yaw", type=float, default=45.0, help="largest turn to either side, in degrees")
    parser.add_argument("--pitch", type=float, default=20.0, help="largest nod up or down, in degrees")
    parser.add_argument("--whole", action="store_true", help="write whole pictures, not cut to the face")
    args = parser.parse_args()
    render, assets, renderer = open_renderer(args.renderer)
    made = []
    for person in range(args.people):
        made += [write(args.out, picture) for picture in pictures(render, assets, renderer, args, person)]
        print(f"person {person + 1} of {args.people}", flush=True)
    rows, landmarks = zip(*made, strict=True)
    write_table(args.out / "pictures.csv", ("person", "expression", "number", "yaw", "pitch", "roll"), rows)
    names = [f"{axis}{number}" for number in range(len(landmarks[0]) // 2) for axis in "xy"]
    write_table(args.out / "landmarks.csv", ("file", *names), landmarks)


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


class Picture(NamedTuple):
    """A picture and its labels.

    Attributes:
        pixels: (S, S, 3) uint8.
        landmarks: (P, 2) x, y in pixels of the picture.
        person: number of the person.
        expression: name of the expression.
        number: number of the picture among those of the person with this expression.
        angles: (3,) yaw, pitch and roll in degrees.
    """

    pixels: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    person: int
    expression: str
    number: int
    angles: NDArray[np.float64]


def pictures(render: Any, assets: Any, renderer: Any, args: argparse.Namespace, number: int) -> list[Picture]:
    """Render all pictures of a person."""
    seed = args.seed + number
    person = render.make_identity(assets, np.random.default_rng(seed))
    renderer.identity(person)
    made = []
    for index, name in enumerate(EXPRESSIONS):
        for picture in range(args.first, args.first + args.pictures):
            rng = np.random.default_rng([seed, index, picture])
            angles = np.array(
                [rng.uniform(-args.yaw, args.yaw), rng.uniform(-args.pitch, args.pitch), rng.normal(0, ROLL)]
            )
            place = rng if args.light == "varied" else np.random.default_rng(STUDIO)
            scene = render.make_scene(assets, person, place, 1)
            motion = render.make_motion(assets, rng, 1, fps=4.0)
            camera = render.look(scene["eye"], person.pivot)[:3, :3]
            motion["rot"] = absolute(render, camera, angles)[None]
            motion["E"] = express(assets.ei, motion["E"], name, rng)
            frames, _, landmarks = renderer.clip(person, motion, scene)
            whole, points = render.post(frames, rng)[0], landmarks[0, :, :2]
            pixels, points = (whole, points - 0.5) if args.whole else cut(whole, points)
            made.append(Picture(pixels, points, number, name, picture, angles))
    return made


def express(units: dict[str, int], drawn: NDArray[np.float32], name: str, rng: Rng) -> NDArray[np.float32]:
    """Replace the expression (1, 52) by the named one; blinks and gaze stay as they were drawn."""
    made = drawn.copy()
    made[:, [index for unit, index in units.items() if not unit.startswith(("eyeBlink", "eyeLook"))]] = 0
    strength = rng.uniform(*STRENGTH)
    for unit, share in EXPRESSIONS[name].items():
        for full in (unit, f"{unit}Left", f"{unit}Right"):
            if full in units:
                made[:, units[full]] = share * strength
    return made


def cut(pixels: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Cut the square around the landmarks, moved and reduced to fit into the picture, and move the landmarks along.

    The landmarks of the renderer are counted from the picture's corner, and those of the result from the centre of the
    first pixel.
    """
    low, high = landmarks.min(0), landmarks.max(0)
    side = min(round(float((high - low).max()) * ROOM), len(pixels))
    left, top = ((low + high) / 2 - side / 2).round().astype(int).clip(0, len(pixels) - side)
    return pixels[top : top + side, left : left + side], landmarks - (left + 0.5, top + 0.5)


def write(out: Path, picture: Picture) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Write a picture into both folders, and return its rows of both tables."""
    name = f"p{picture.person:02d}/{picture.expression}_{picture.number}.jpg"
    first = out / "people" / name
    second = out / "expressions" / picture.expression / f"p{picture.person:02d}_{picture.number}.jpg"
    for path in (first, second):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.pixels).save(first, quality=92)
    second.unlink(missing_ok=True)
    os.link(first, second)
    row = picture.person, picture.expression, picture.number, *picture.angles.round(2).tolist()
    return row, (name, *picture.landmarks.round(2).flatten().tolist())


if __name__ == "__main__":
    main()
