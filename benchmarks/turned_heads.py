"""Measure the error of the estimated yaw, and the quality of frontal sources that are turned.

    python benchmarks/turned_heads.py animate HEADS OUT                             with fomaug
    python benchmarks/turned_heads.py score OUT --metrics PATH/face_metrics.py      environment of model_card_scores.py

HEADS is the output of `render_heads.py`: the same head frontal and turned, and the same views under another light. The
first step prints the error of the estimated yaw, see `fomaug.faces.head_pose`, and animates the frontal view with the
keypoints of every view. The second step compares each result with the true view:

    akd            mean distance of 468 mesh points, in pixels
    found          share of pictures in which a face is found
    same person    share of pictures whose embedding is within 0.6 of the frontal source's; those without a face do not

It does the same with the true view under another light as the result: no animation can be expected to agree better.
`same person` of the true views themselves is another limit.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

SAME_PERSON = 0.6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    first, second = steps.add_parser("animate"), steps.add_parser("score")
    first.add_argument("heads", type=Path)
    first.add_argument("out", type=Path)
    first.add_argument("--model", default="lite-256")
    second.add_argument("out", type=Path)
    second.add_argument("--metrics", type=Path, required=True)
    args = parser.parse_args()
    if args.step == "animate":
        animate(args.heads, args.out, args.model)
    else:
        score(args.out, args.metrics)


def animate(heads: Path, out: Path, model_name: str) -> None:
    from model_card import driven, to_tensor

    import fomaug
    from fomaug.faces import head_pose

    model = fomaug.load_model(model_name, device="cpu")
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for path in sorted(heads.glob("*.npz")):
        with np.load(path) as data:
            frames, relit, yaw = data["frames"], data["relit"], data["rotation"][:, 0]
        keypoints = model.detect(to_tensor(frames))
        rows += zip(yaw, head_pose(keypoints, model)[:, 0].tolist(), strict=True)
        np.savez(out / path.name, true=frames, pred=driven(model, frames[0], keypoints), relit=relit, yaw=yaw)
    true, read = np.array(rows).T
    print("true yaw  heads  mean error of the yaw read  mean yaw read, the true side positive")
    for turn in np.unique(np.abs(true)):
        chosen = np.abs(true) == turn
        side = np.where(true[chosen] < 0, -1, 1)
        error = np.abs(read[chosen] - true[chosen]).mean()
        print(f"{turn:8.0f} {chosen.sum():6d} {error:27.1f} {(side * read[chosen]).mean():38.1f}")


def score(out: Path, metrics_path: Path) -> None:
    from scripts import load_script

    networks = load_script(metrics_path).Networks()
    rows: dict[tuple[float, str], list[list[float]]] = {}
    for path in sorted(out.glob("*.npz")):
        with np.load(path) as data:
            views = {name: data[name] for name in ("pred", "relit", "true")}
            turns = np.abs(data["yaw"])
        own = networks.landmarks(views["true"][0])
        if own is None:
            continue
        identity = networks.embed(views["true"][0], own)
        for row, turn in enumerate(turns):
            wanted = networks.landmarks(views["true"][row])
            for name, frames in views.items():
                rows.setdefault((turn, name), []).append(compared(networks, frames[row], wanted, identity))
    print(f"{'yaw':>4s} {'':6s} heads    akd  found  same person")
    for (turn, name), scores in sorted(rows.items()):
        table = np.array(scores)
        found, same = table[:, 1:].mean(0)
        print(f"{turn:4.0f} {name:6s} {len(table):5d} {np.nanmean(table[:, 0]):6.2f} {found:6.3f} {same:6.3f}")


def compared(networks: Any, picture: Any, wanted: Any, identity: Any) -> list[float]:
    """Compare two pictures: distance of the landmarks, whether a face is found, whether it shows the person."""
    mesh = networks.landmarks(picture)
    if mesh is None:
        return [np.nan, 0.0, 0.0]
    apart = np.nan if wanted is None else float(np.linalg.norm(mesh - wanted, axis=1).mean())
    same = np.linalg.norm(networks.embed(picture, mesh) - identity) < SAME_PERSON
    return [apart, 1.0, float(same)]


if __name__ == "__main__":
    main()
