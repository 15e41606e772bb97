"""Compare landmarks that fomaug moves with landmarks that a detector finds on the animated picture.

The comparison has three steps, since MediaPipe needs a separate environment (mediapipe==0.10.21, numpy<2):

    python benchmarks/landmark_agreement.py find PICTURES WORK [--count 60]                   # with MediaPipe
    python benchmarks/landmark_agreement.py move WORK [--copies 4] [--strengths 1 1]          # with fomaug
    python benchmarks/landmark_agreement.py compare WORK [--metrics PATH/face_metrics.py]     # with MediaPipe

The first step finds face-mesh landmarks on pictures, which are padded to squares if necessary. The second animates
them with the built-in pool and selection "diverse", and moves the landmarks. The third finds landmarks on the results
and prints the distance as a share of the distance between the outer eye corners, for all copies and for those that pass
the default gates. It also prints the noise of the detector: the same distance for a picture shifted by three pixels.
With --metrics, a file with a class `Networks` that has `embed(picture, landmarks)`, it also prints how many copies show
the same person.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

OUTER_EYE_CORNERS = (33, 263)
MESH = 468  # without the irises
SIZE = 256


def find(pictures: Path, work: Path, count: int) -> None:
    from PIL import Image

    files = sorted(path for path in pictures.rglob("*") if path.suffix.lower() in (".jpg", ".png", ".pgm"))
    mesh = _mesh()
    images, points = [], []
    for index in np.linspace(0, len(files) - 1, count).astype(int):
        square = Image.fromarray(_to_square(np.asarray(Image.open(files[index]).convert("RGB"))))
        image = np.asarray(square.resize((SIZE, SIZE)))
        found = _landmarks(mesh, image)
        if found is not None:
            images.append(image)
            points.append(found)
    work.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(work / "found.npz", images=images, points=points)
    print(f"faces in {len(images)} of {count} pictures; now run: move {work}")


def _to_square(picture: Any) -> Any:
    """Repeat the edge pixels of (H, W, 3) until it is a square, as the model does."""
    missing = [max(picture.shape[:2]) - length for length in picture.shape[:2]]
    return np.pad(picture, [*((part // 2, part - part // 2) for part in missing), (0, 0)], mode="edge")


def move(work: Path, copies: int, strengths: tuple[float, float], model_name: str) -> None:
    import torch

    import fomaug
    from fomaug.quality import Gates, judge, score

    model = fomaug.load_model(model_name, device="cpu")
    pool = fomaug.DrivingPool.builtin(model)
    aug = fomaug.MotionAugment(driving=pool, model=model, p=1.0, strength_range=strengths)
    known = np.load(work / "found.npz")
    pictures, points, seen, passed = [], [], [], []
    refused: Counter[str] = Counter()
    for number, (image, own) in enumerate(zip(known["images"], known["points"], strict=True)):
        source = torch.tensor(image).permute(2, 0, 1)[None]
        result = aug.apply(source, aug.draw([number], copies=copies))
        xy = torch.tensor(own)[None].repeat(copies, 1, 1)
        moved, visible = fomaug.warp.points(xy, result.flow, occlusion=result.occlusion, size=(SIZE, SIZE))
        before, after = source.expand(copies, -1, -1, -1) / 255, result.image / 255
        found = [judge(own, Gates()) for own in score(model, before, after, result.flow, result.occlusion)]
        refused.update(reason.split()[0] for reasons in found for reason in reasons)
        passed.append([not reasons for reasons in found])
        pictures.append(result.image.permute(0, 2, 3, 1).numpy())
        points.append(moved.numpy())
        seen.append(visible.numpy())
    np.savez_compressed(work / "moved.npz", pictures=pictures, points=points, seen=seen, passed=passed)
    print(
        f"{len(pictures)} pictures x {copies} copies; rejected by the gates: {dict(refused)}; now run: compare {work}"
    )


def compare(work: Path, metrics: Path | None) -> None:
    mesh = _mesh()
    known, moved = np.load(work / "found.npz"), np.load(work / "moved.npz")
    rows = [
        _apart(mesh, picture, own, visible)
        for copies in zip(moved["pictures"], moved["points"], moved["seen"], strict=True)
        for picture, own, visible in zip(*copies, strict=True)
    ]
    _print("moved", rows)
    _print("that pass the gates", [row for row, kept in zip(rows, moved["passed"].flatten(), strict=True) if kept])
    shifted = [np.roll(image, 3, axis=1) for image in known["images"]]
    own = known["points"] + np.array([3.0, 0.0])
    _print("noise", [_apart(mesh, a, b, np.ones(MESH, bool)) for a, b in zip(shifted, own, strict=True)])
    print(f"visible points: {100 * moved['seen'].mean():.1f} %; {100 * moved['passed'].mean():.1f} % pass the gates")
    if metrics is not None:
        _print_same_person(metrics, mesh, known, moved)


def _print_same_person(metrics: Path, mesh: Any, known: Any, moved: Any) -> None:
    from model_card_scores import SAME_PERSON
    from scripts import load_script

    embed = load_script(metrics).Networks().embed
    same = []
    for source, own, copies in zip(known["images"], known["points"], moved["pictures"], strict=True):
        identity = embed(source, own)
        found = [(picture, _landmarks(mesh, picture)) for picture in copies]
        same.append([p is not None and np.linalg.norm(embed(i, p) - identity) < SAME_PERSON for i, p in found])
    kept = np.array(same)[moved["passed"]]
    print(f"same person: {100 * np.mean(same):.1f} % of all, {100 * kept.mean():.1f} % of those that pass the gates")


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
    # MediaPipe returns shares of the picture from edge to edge.
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
    second.add_argument("--strengths", type=float, nargs=2, default=(1.0, 1.0), help="interval they are drawn from")
    second.add_argument("--model", default="lite-256")
    third.add_argument("--metrics", type=Path)
    args = parser.parse_args()
    if args.step == "find":
        find(args.pictures, args.work, args.count)
    elif args.step == "move":
        move(args.work, args.copies, tuple(args.strengths), args.model)
    else:
        compare(args.work, args.metrics)


if __name__ == "__main__":
    main()
