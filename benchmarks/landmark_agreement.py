"""Do landmarks moved by fomaug lie where a detector finds them on the animated picture?

Three steps, since MediaPipe wants an environment of its own (mediapipe==0.10.21, numpy<2):

    python benchmarks/landmark_agreement.py find PICTURES WORK [--count 60]     # MediaPipe's environment
    python benchmarks/landmark_agreement.py move WORK [--copies 4]              # fomaug's
    python benchmarks/landmark_agreement.py compare WORK                        # MediaPipe's

The first step finds face-mesh landmarks on pictures; the second one animates them at strength 1 with the built-in
pool, selection "diverse", and moves the landmarks; the third one finds landmarks anew and prints the distance as a
share of the distance between the outer eye corners. Part of it is the detector's own noise: its answer to the same
picture shifted by three pixels is printed beside it, and the distance over those that pass the default gates.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

OUTER_EYE_CORNERS = (33, 263)
MESH = 468  # without the irises
SIZE = 256


def find(pictures: Path, work: Path, count: int) -> None:
    from PIL import Image

    files = sorted(path for path in pictures.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    mesh = _mesh()
    images, points = [], []
    for index in np.linspace(0, len(files) - 1, count).astype(int):
        image = np.asarray(Image.open(files[index]).convert("RGB").resize((SIZE, SIZE)))
        found = _landmarks(mesh, image)
        if found is not None:
            images.append(image)
            points.append(found)
    work.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(work / "found.npz", images=images, points=points)
    print(f"faces in {len(images)} of {count} pictures; now run: move {work}")


def move(work: Path, copies: int, model_name: str) -> None:
    import torch

    import fomaug
    from fomaug.quality import Gates, judge, score

    model = fomaug.load_model(model_name, device="cpu")
    pool = fomaug.DrivingPool.builtin(model)
    aug = fomaug.MotionAugment(driving=pool, model=model, p=1.0, strength_range=(1.0, 1.0))
    known = np.load(work / "found.npz")
    pictures, points, seen, passed = [], [], [], []
    for number, (image, own) in enumerate(zip(known["images"], known["points"], strict=True)):
        source = torch.tensor(image).permute(2, 0, 1)[None]
        result = aug.apply(source, aug.draw([number], copies=copies))
        xy = torch.tensor(own)[None].repeat(copies, 1, 1)
        moved, visible = fomaug.warp.points(xy, result.flow, occlusion=result.occlusion, size=(SIZE, SIZE))
        before, after = source.expand(copies, -1, -1, -1) / 255, result.image / 255
        scores = score(model, before, after, result.flow, result.occlusion)
        passed.append([not judge(found, Gates()) for found in scores])
        pictures.append(result.image.permute(0, 2, 3, 1).numpy())
        points.append(moved.numpy())
        seen.append(visible.numpy())
    np.savez_compressed(work / "moved.npz", pictures=pictures, points=points, seen=seen, passed=passed)
    print(f"{len(pictures)} pictures x {copies} copies; now run: compare {work}")


def compare(work: Path) -> None:
    mesh = _mesh()
    known, moved = np.load(work / "found.npz"), np.load(work / "moved.npz")
    rows = [
        _apart(mesh, picture, own, visible)
        for copies in zip(moved["pictures"], moved["points"], moved["seen"], strict=True)
        for picture, own, visible in zip(*copies, strict=True)
    ]
    _print("moved", rows)
    _print("let out by the gates", [row for row, kept in zip(rows, moved["passed"].flatten(), strict=True) if kept])
    shifted = [np.roll(image, 3, axis=1) for image in known["images"]]
    own = known["points"] + np.array([3.0, 0.0])
    _print("noise", [_apart(mesh, a, b, np.ones(MESH, bool)) for a, b in zip(shifted, own, strict=True)])
    print(f"visible points: {100 * moved['seen'].mean():.1f} %")


def _apart(mesh: Any, picture: Any, own: Any, visible: Any) -> float | None:
    anew = _landmarks(mesh, picture)
    if anew is None:
        return None
    eyes = np.linalg.norm(anew[OUTER_EYE_CORNERS[0]] - anew[OUTER_EYE_CORNERS[1]])
    return float((np.linalg.norm(anew - own, axis=1)[visible] / eyes).mean())


def _print(name: str, rows: list[float | None]) -> None:
    values = 100 * np.array([row for row in rows if row is not None])
    print(
        f"{name}: mean {values.mean():.2f} % of the eye distance, median {np.median(values):.2f} %, 95th percentile "
        f"{np.quantile(values, 0.95):.2f} %; {len(values)} pictures, no face found in {len(rows) - len(values)}"
    )


def _mesh() -> Any:
    import mediapipe

    faces = mediapipe.solutions.face_mesh
    return faces.FaceMesh(static_image_mode=True, max_num_faces=1, min_detection_confidence=0.3)


def _landmarks(mesh: Any, picture: Any) -> Any:
    """(468, 2) pixels, (0, 0) the centre of the first one; None where no face is found."""
    found = mesh.process(np.ascontiguousarray(picture)).multi_face_landmarks
    if not found:
        return None
    # MediaPipe gives shares of the picture from edge to edge.
    return np.array([[p.x * SIZE - 0.5, p.y * SIZE - 0.5] for p in found[0].landmark], np.float32)[:MESH]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    first, second, third = (steps.add_parser(name) for name in ("find", "move", "compare"))
    first.add_argument("pictures", type=Path)
    for step in (first, second, third):
        step.add_argument("work", type=Path)
    first.add_argument("--count", type=int, default=60)
    second.add_argument("--copies", type=int, default=4)
    second.add_argument("--model", default="lite-256")
    args = parser.parse_args()
    if args.step == "find":
        find(args.pictures, args.work, args.count)
    elif args.step == "move":
        move(args.work, args.copies, args.model)
    else:
        compare(args.work)


if __name__ == "__main__":
    main()
