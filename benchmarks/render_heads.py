"""Render heads of people who do not exist, with the rotation of every head relative to the camera.

    python benchmarks/render_heads.py RENDERER OUT --count 60                    frontal, 20, 40 and 60 degrees
    python benchmarks/render_heads.py RENDERER OUT --count 60 --moving 8         clips that turn up to 70 degrees

RENDERER is a folder with `render.py`, which makes people, lights and pictures, and its `assets.npz`. Each head is one
file, OUT/SEED.npz:

    frames      (T, 256, 256, 3) uint8; without --moving, only the pose changes between them
    relit       the same frames under another light; only without --moving
    rotation    (T, 3) yaw, pitch and roll in degrees, as in `fomaug.faces.rotation`: positive yaw turns to the viewer's
                left, positive pitch down, and positive roll clockwise; 0 faces the camera
    landmarks   (T, 30, 3), flow (T, 64, 64, 3), in the form of the renderer
    attrs       male, age, skin tone

It needs a separate environment with moderngl and scipy.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scripts import open_renderer

Angles = NDArray[np.float64]
LIGHT = ("L", "Lc", "F", "Fc", "R", "Rc", "sh", "LM", "soft")
WIDEST = 70.0
NEARLY_FRONTAL = 15.0  # standard deviation of the yaw that a clip begins with


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("renderer", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=910000, help="of the first head")
    parser.add_argument("--yaws", type=float, nargs="+", default=[0.0, 20.0, 40.0, 60.0], help="signs alternate")
    parser.add_argument("--pitches", type=float, nargs="+", default=[0.0], help="pitches of every yaw")
    parser.add_argument("--moving", type=int, help="frames of a clip, instead of the yaws")
    args = parser.parse_args()
    render, assets, renderer = open_renderer(args.renderer)
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in range(args.seed, args.seed + args.count):
        yaws = np.array(args.yaws) * (1 if seed % 2 else -1)
        poses = np.array([(yaw, pitch, 0.0) for yaw in yaws for pitch in args.pitches])
        made = head(render, assets, renderer, seed, poses, args.moving)
        np.savez(args.out / f"{seed}.npz", **made)
        print(seed, made["rotation"][:, 0].round(1).tolist(), flush=True)


def head(render: Any, assets: Any, renderer: Any, seed: int, poses: Angles, moving: int | None) -> dict[str, Any]:
    """Draw a person, a scene and a motion, pose the head, and render it."""
    rng = np.random.default_rng(seed)
    person = render.make_identity(assets, rng)
    renderer.identity(person)
    count = moving or len(poses)
    motion = render.make_motion(assets, rng, count, fps=4.0)
    scene = render.make_scene(assets, person, rng, count)
    camera = render.look(scene["eye"], person.pivot)[:3, :3]  # looks at the head, wherever that is in the picture
    if moving:
        rotation = swung(np.stack([relative(render, camera, angles) for angles in motion["rot"]]), rng)
    else:
        rotation = poses
        hold(motion)
    motion["rot"] = np.stack([absolute(render, camera, angles) for angles in rotation])
    frames, flow, landmarks = renderer.clip(person, motion, scene)
    made = {"flow": flow, "landmarks": landmarks, "attrs": [person.male, person.age, person.tone], "rotation": rotation}
    if moving:
        return {**made, "frames": render.post(frames, rng)}
    other = render.make_scene(assets, person, np.random.default_rng([seed, 1]), count)
    relit, _, _ = renderer.clip(person, motion, scene | {name: other[name] for name in LIGHT})
    frames = render.post(np.concatenate([frames, relit]), rng)
    return {**made, "frames": frames[:count], "relit": frames[count:]}


def swung(rotation: Angles, rng: np.random.Generator) -> Angles:
    """Add turns from about the front, the pose of most sources, to any side to the motion of the heads."""
    begin, end = rng.normal(0, NEARLY_FRONTAL), rng.uniform(-WIDEST, WIDEST)
    turned = rotation + np.linspace(begin, end, len(rotation))[:, None] * [1, 0, 0]
    return np.clip(turned, [-WIDEST, -40, -40], [WIDEST, 40, 40])


def hold(motion: dict[str, Any]) -> None:
    """Keep expression, gaze and position of the first frame in all frames."""
    for name in ("E", "gaze", "tr"):
        motion[name] = np.repeat(motion[name][:1], len(motion[name]), 0)


def relative(render: Any, camera: Angles, angles: Angles) -> Angles:
    """Bring the renderer's pitch, yaw and roll, radians in its world, to our yaw, pitch and roll for the camera."""
    pitch, yaw, roll = -np.rad2deg(read_angles(camera @ render.euler(angles)))
    return np.array([yaw, pitch, roll])


def absolute(render: Any, camera: Angles, angles: Angles) -> Angles:
    """Undo `relative`."""
    yaw, pitch, roll = -np.deg2rad(angles)
    return read_angles(camera.T @ render.euler([pitch, yaw, roll]))


def read_angles(matrix: Angles) -> Angles:
    """Invert the renderer's `euler`: pitch, yaw and roll of a rotation (3, 3)."""
    pitch = np.arcsin(np.clip(matrix[1, 2], -1, 1))
    return np.array([pitch, np.arctan2(matrix[0, 2], matrix[2, 2]), np.arctan2(matrix[1, 0], matrix[1, 1])])


if __name__ == "__main__":
    main()
