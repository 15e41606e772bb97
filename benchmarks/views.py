"""Measure the error of estimated head poses, and the poses that views reach, on rendered heads with known rotations.

    python benchmarks/views.py HEADS [--model lite-256] [--first 0] [--count 60] [--within]

HEADS is the output of `render_heads.py`. The first table compares the estimated pose of the sources with the true one,
by true yaw and pitch (see its option `--pitches`).
For the next three tables, every source is turned to yaws from -60 to 60, to pitches from -30 to 30, and to some
of both, without replacement of views; the gates judge the copies, and the pose of each accepted copy is estimated.
These tables have

- the share of copies that pass the gates, by the growth of the side of the face that grows most;
- the same share by the turn;
- for views within both limits, the difference between the reached and the requested pose: from all sources, and from
  those with a true yaw of up to 40 degrees.

The last table has the shares of replaced views in the default pool. `--within` leaves out views beyond the limits, so
that the run takes a third of the time; then the tables by growth and turn have only the views within them.
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
from fomaug.faces import head_pose, mean_face_angles, posed_face
from fomaug.motion import Angles, MotionParams, View, fit
from fomaug.motion.targets import FARTHEST, GROWTH, measure_moves
from fomaug.motion.view import aim
from fomaug.quality import Gates, judge, score

ASKED = [
    *((yaw, 0.0, 0.0) for yaw in (0.0, 20.0, -20.0, 30.0, -30.0, 40.0, -40.0, 60.0, -60.0)),
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
    parser.add_argument("--within", action="store_true", help="leave out views beyond the limits")
    args = parser.parse_args()
    model = fomaug.load_model(args.model, device="cpu")
    read, copies = [], []
    for path in sorted(args.heads.glob("*.npz"))[args.first : args.first + args.count]:
        with np.load(path) as data:
            frames, true = to_tensor(data["frames"]), data["rotation"]
        poses = head_pose(model.detect(frames), model).numpy()
        read += [(*one, *other) for one, other in zip(true, poses, strict=True)]
        for frame, rotation in zip(frames, true, strict=True):
            copies += animate(model, frame[None], float(rotation[0]), within=args.within)
    report_read(np.array(read))
    rows = np.array(copies)
    report_growth(rows)
    report_turn(rows)
    for most in (60, 40):
        print(f"sources with a true yaw of up to {most}")
        report_reached(rows[np.abs(rows[:, 0]) < most + 1])
    report_replaced(model)


def animate(model: Any, frame: torch.Tensor, yaw: float, *, within: bool) -> list[tuple[float, ...]]:
    """Turn a source to every view: its true yaw, the requested and the reached view, growth, passed, turn, folded."""
    source = model.encode(frame)
    pose = head_pose(source.keypoints, model)
    asked = torch.tensor(ASKED)
    turn, growth = (measure[0] for measure in measure_moves(asked[None], pose, source.keypoints))
    if within:
        rows = (growth <= GROWTH) & (turn <= FARTHEST)
        asked, turn, growth = asked[rows], turn[rows], growth[rows]
    moves = aim(asked, pose.expand(len(asked), -1))
    views = zip(triples(asked), triples(moves.start), triples(moves.end), strict=True)
    own = triples(pose)[0]
    params = [MotionParams(key=0, view=View(view, "neutral", view, own, start, end)) for view, start, end in views]
    target = fit(params, source.keypoints[[0] * len(asked)], None, model.keypoint_names).target  # type: ignore[arg-type]
    made = model.animate(source, target)
    scores = score(model, frame, made.image, made.flow, made.occlusion, keypoints=source.keypoints)
    reached = triples(head_pose(model.detect(made.image), model))
    return [
        (yaw, *view, *found, grown, float(not judge(own, Gates())), turned, own.folded)
        for view, found, grown, turned, own in zip(
            triples(asked), reached, growth.tolist(), turn.tolist(), scores, strict=True
        )
    ]


def triples(angles: torch.Tensor) -> list[Angles]:
    return [(yaw, pitch, roll) for yaw, pitch, roll in angles.tolist()]


def report_read(read: Any) -> None:
    print(
        "source pose: true yaw, pitch  pictures  mean error of yaw, pitch, roll  signed mean  mean error of all three"
    )
    sides = np.where(read[:, :1] < 0, -1, 1) * (1, 0, 1) + (0, 1, 0)
    true, found = read[:, :3] * sides, read[:, 3:] * sides
    for turn, nod in np.unique(true[:, :2].round(), axis=0):
        error = (found - true)[(np.abs(true[:, :2] - (turn, nod)) < 1).all(1)]
        size, mean = np.abs(error).mean(0), error.mean(0)
        shown = f"{size.round(1).tolist()}  {mean.round(1).tolist()}  {size.mean():.1f}"
        print(f"{turn:21.0f} {nod:6.0f} {len(error):6d}  {shown}")


def report_growth(rows: Any) -> None:
    print("growth of a side  copies  pass the gates %  yaw error of those that pass")
    for low, high in pairwise(EDGES):
        own = rows[(rows[:, 7] > low) & (rows[:, 7] <= high)]
        if len(own):
            good = own[own[:, 8] > 0]
            error = np.abs(good[:, 4] - good[:, 1]).mean() if len(good) else np.nan
            print(f"{low:7.2f} to {high:5.2f} {len(own):7d} {100 * own[:, 8].mean():17.1f} {error:29.1f}")


def report_turn(rows: Any) -> None:
    print(f"turn from the source, growth within {GROWTH}  copies  pass the gates %  yaw error of those that pass")
    turn = rows[:, 9]
    for low, high in pairwise((0, 10, 20, 30, 40, 90)):
        own = rows[(turn >= low) & (turn < high) & (rows[:, 7] <= GROWTH)]
        good = own[own[:, 8] > 0]
        error = np.abs(good[:, 4] - good[:, 1]).mean() if len(good) else np.nan
        print(f"{low:7d} to {high:3d} {len(own):7d} {100 * own[:, 8].mean():17.1f} {error:29.1f}")


def report_reached(rows: Any) -> None:
    print(f"views within {GROWTH} and {FARTHEST:g} degrees, by yaw and pitch; views to the right are mirrored")
    print("     asked  copies  accepted %  mean error of yaw, pitch, roll  signed mean  folded %")
    shown = rows[(rows[:, 7] <= GROWTH) & (rows[:, 9] <= FARTHEST)]
    sides = np.where(shown[:, 1:2] < 0, -1, 1) * (1, 0, 1) + (0, 1, 0)
    asked, error, good = shown[:, 1:4] * sides, (shown[:, 4:7] - shown[:, 1:4]) * sides, shown[:, 8] > 0
    for view in dict.fromkeys((abs(yaw), pitch) for yaw, pitch, _ in ASKED):
        report_cell(f"{view!s:>13}", (asked[:, :2] == view).all(1), error, good, shown[:, 10])
    small = (asked[:, 0] <= 40) & (np.abs(asked[:, 1]) <= 20)
    report_cell("up to 40, 20 ", small, error, good, shown[:, 10])


def report_cell(name: str, chosen: Any, error: Any, good: Any, folded: Any) -> None:
    own = error[chosen & good]
    if not len(own):
        print(f"{name} {chosen.sum():6d}")
        return
    size, mean = np.abs(own).mean(0).round(1).tolist(), own.mean(0).round(1).tolist()
    share, folds = 100 * good[chosen].mean(), 100 * folded[chosen].mean()
    print(f"{name} {chosen.sum():6d} {share:9.1f}  {size}  {mean}  {folds:.2f}")


def report_replaced(model: Any) -> None:
    """Replace views of the default pool for mean faces of all yaws, which need no pictures."""
    pool = fomaug.DrivingPool.views(model)
    asked = list(pool.tracks[0].angles or ())
    print("source yaw  mirrored %  nearest %")
    for yaw in range(0, 61, 10):
        head = mean_face_angles(torch.tensor([[float(yaw), 0.0, 0.0]]))
        face = posed_face(head).value.expand(len(asked), -1, -1)
        face = fomaug.Keypoints(face, torch.eye(2).expand(*face.shape, 2))
        params = [MotionParams(key=0, view=View(view)) for view in asked]
        settled = fit(params, face, pool, model.keypoint_names).params
        how = [param.view.replaced for param in settled if param.view]
        print(f"{yaw:10d} {100 * how.count('mirrored') / len(how):11.0f} {100 * how.count('nearest') / len(how):10.0f}")


if __name__ == "__main__":
    main()
