"""Measure the error of estimated head poses, and the poses that views reach, on rendered heads with known rotations.

    python benchmarks/views.py HEADS [--model lite-256] [--first 0] [--count 60] [--gain 1]

HEADS is the output of `render_heads.py`. The first table compares the estimated pose of the sources with the true one.
For the next three tables, every source is turned to yaws from -60 to 60, to pitches from -30 to 30, and to some
of both, without replacement of views; the gates judge the copies, and the pose of each accepted copy is estimated.
These tables have

- the share of copies that pass the gates, by the growth of the side of the face that grows most;
- the same share by the turn;
- for views within both limits, the difference between the reached and the requested pose.

The last table has the shares of replaced views in the default pool. `--gain` replaces the factor on nods, for
comparison; with 1, faces are also not rolled.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from model_card import to_tensor

import fomaug
from fomaug.faces import head_pose
from fomaug.motion import MotionParams, View, fit
from fomaug.motion import targets as _turn
from fomaug.quality import Gates, judge, score

ASKED = [
    *((yaw, 0.0, 0.0) for yaw in (-60.0, -40.0, -20.0, 0.0, 20.0, 40.0, 60.0)),
    *((0.0, pitch, 0.0) for pitch in (-30.0, -20.0, -10.0, 10.0, 20.0, 30.0)),
    *((yaw, pitch, 0.0) for yaw in (-40.0, -20.0, 20.0, 40.0) for pitch in (-20.0, 20.0)),
]
EDGES = (0.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, np.inf)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heads", type=Path)
    parser.add_argument("--model", default="lite-256")
    parser.add_argument("--first", type=int, default=0, help="index of the first head that is taken")
    parser.add_argument("--count", type=int, default=10_000, help="heads that are taken; all if left out")
    parser.add_argument("--gain", type=float, default=_turn.NOD_GAIN, help="factor on nods")
    args = parser.parse_args()
    vars(_turn)["NOD_GAIN"] = args.gain
    if args.gain == 1:
        vars(_turn)["_TILT"] = 0.0
    model = fomaug.load_model(args.model, device="cpu")
    read, copies = [], []
    for path in sorted(args.heads.glob("*.npz"))[args.first : args.first + args.count]:
        with np.load(path) as data:
            frames, true = to_tensor(data["frames"]), data["rotation"]
        poses = head_pose(model.detect(frames), model).numpy()
        read += [(*one, *other) for one, other in zip(true, poses, strict=True)]
        for frame, rotation in zip(frames, true, strict=True):
            copies += animate(model, frame[None], float(rotation[0]))
    report_read(np.array(read))
    rows = np.array(copies)
    report_growth(rows)
    report_turn(rows)
    report_reached(rows)
    report_replaced(model)


def animate(model: Any, frame: torch.Tensor, yaw: float) -> list[tuple[float, ...]]:
    """Turn a source to every view: its true yaw, the requested and the reached view, growth, result of the gates."""
    source = model.encode(frame)
    pose = tuple(head_pose(source.keypoints, model)[0].tolist())
    params = [MotionParams(key=0, view=View(asked, taken=asked, pose=pose)) for asked in ASKED]
    poses = torch.tensor([pose]).expand(len(ASKED), -1)
    keypoints = source.keypoints[[0] * len(ASKED)]
    growth = _turn.measure_growth(torch.tensor(ASKED)[:, None], poses, keypoints)[:, 0]
    target = fit(params, keypoints, None, model.keypoint_names).target
    made = model.animate(source, target)
    before = frame.expand(len(ASKED), -1, -1, -1)
    passed = [not judge(own, Gates()) for own in score(model, before, made.image, made.flow, made.occlusion)]
    reached = head_pose(model.detect(made.image), model).tolist()
    return [
        (yaw, *asked, *found, float(grown), float(good), pose[0])
        for asked, found, grown, good in zip(ASKED, reached, growth, passed, strict=True)
    ]


def report_read(read: Any) -> None:
    print("source pose: true yaw  heads  mean error of yaw, pitch, roll  mean error of all three")
    for turn in np.unique(np.abs(read[:, 0]).round()):
        own = read[np.abs(np.abs(read[:, 0]) - turn) < 1]
        error = np.abs(own[:, 3:] - own[:, :3]).mean(0)
        print(f"{turn:21.0f} {len(own):6d}  {error[0]:6.1f} {error[1]:6.1f} {error[2]:6.1f} {error.mean():24.1f}")


def report_growth(rows: Any) -> None:
    print("growth of a side  copies  pass the gates %  yaw error of those that pass")
    for low, high in pairwise(EDGES):
        own = rows[(rows[:, 7] > low) & (rows[:, 7] <= high)]
        if len(own):
            good = own[own[:, 8] > 0]
            error = np.abs(good[:, 4] - good[:, 1]).mean() if len(good) else np.nan
            print(f"{low:7.2f} to {high:5.2f} {len(own):7d} {100 * own[:, 8].mean():17.1f} {error:29.1f}")


def report_turn(rows: Any) -> None:
    print(f"turn from the source, growth within {_turn.GROWTH}  copies  pass the gates %  yaw error of those that pass")
    turn = np.abs(rows[:, 1] - rows[:, 9])
    for low, high in pairwise((0, 10, 20, 30, 40, 90)):
        own = rows[(turn >= low) & (turn < high) & (rows[:, 7] <= _turn.GROWTH)]
        good = own[own[:, 8] > 0]
        error = np.abs(good[:, 4] - good[:, 1]).mean() if len(good) else np.nan
        print(f"{low:7d} to {high:3d} {len(own):7d} {100 * own[:, 8].mean():17.1f} {error:29.1f}")


def report_reached(rows: Any) -> None:
    print(f"views within {_turn.GROWTH} and {_turn.FARTHEST:g} degrees, their yaw and pitch")
    print("          asked  copies  accepted %  mean error of yaw, pitch, roll  mean reached")
    shown = rows[(rows[:, 7] <= _turn.GROWTH) & (np.abs(rows[:, 1] - rows[:, 9]) <= _turn.FARTHEST)]
    for asked in ASKED:
        own = shown[(shown[:, 1:4] == asked).all(1)]
        good = own[own[:, 8] > 0]
        if not len(good):
            print(f"{asked[:2]!s:>16} {len(own):6d}")
            continue
        error, mean = np.abs(good[:, 4:7] - good[:, 1:4]).mean(0).round(1), good[:, 4:6].mean(0).round(1)
        print(f"{asked[:2]!s:>16} {len(own):6d} {100 * own[:, 8].mean():9.1f}  {error.tolist()}  {mean.tolist()}")


def report_replaced(model: Any) -> None:
    """Replace views of the default pool for mean faces of all yaws, which need no pictures."""
    from fomaug.faces import posed_face

    pool = fomaug.DrivingPool.views(model)
    asked = list(pool.tracks[0].angles or ())
    print("source yaw  mirrored %  nearest %")
    for yaw in range(0, 61, 10):
        face = posed_face(torch.tensor([[float(yaw), 0.0, 0.0]])).value.expand(len(asked), -1, -1)
        face = fomaug.Keypoints(face, torch.eye(2).expand(*face.shape, 2))
        params = [MotionParams(key=0, view=View(view)) for view in asked]
        settled = fit(params, face, pool, model.keypoint_names).params
        how = [param.view.replaced for param in settled if param.view]
        print(f"{yaw:10d} {100 * how.count('mirrored') / len(how):11.0f} {100 * how.count('nearest') / len(how):10.0f}")


if __name__ == "__main__":
    main()
