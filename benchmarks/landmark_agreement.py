"""Do landmarks moved by fomaug lie where a detector finds them on the animated picture?

Two steps, since MediaPipe wants an environment of its own (mediapipe==0.10.21, numpy<2):

    python benchmarks/landmark_agreement.py animate PORTRAITS WORK [--count 60] [--copies 4]
    python benchmarks/landmark_agreement.py detect WORK

PORTRAITS holds `images/` and `landmarks.npz` (files; landmarks (N, 478, 3) in pixels). The first step animates at
strength 1 with the built-in pool, selection "diverse", and moves the landmarks; the second one detects them anew with
the MediaPipe face mesh and prints the distance as a share of the distance between the outer eye corners. The detector's
own noise is part of the figure: it is shown by the same comparison on the pictures that did not move.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

OUTER_EYE_CORNERS = (33, 263)
MESH = 468  # without the irises


def animate(portraits: Path, work: Path, count: int, copies: int, model_name: str) -> None:
    import torch
    from PIL import Image

    import fomaug

    model = fomaug.load_model(model_name, device="cpu")
    aug = fomaug.MotionAugment(driving=fomaug.DrivingPool.builtin(model), model=model, p=1.0, strength_range=(1.0, 1.0))
    known = np.load(portraits / "landmarks.npz")
    chosen = np.linspace(0, len(known["files"]) - 1, count).astype(int)
    pictures, points, seen = [], [], []
    for index in chosen:
        name = str(known["files"][index])
        image = torch.tensor(np.asarray(Image.open(portraits / "images" / name).convert("RGB"))).permute(2, 0, 1)[None]
        xy = torch.tensor(known["landmarks"][index, :MESH, :2].astype(np.float32))[None].repeat(copies, 1, 1)
        result = aug.apply(image, aug.draw([name], copies=copies))
        size = tuple(image.shape[2:])
        moved, visible = fomaug.warp.points(xy, result.flow, occlusion=result.occlusion, size=size)
        pictures.append(torch.cat([image, result.image]).permute(0, 2, 3, 1).numpy())
        points.append(torch.cat([xy[:1], moved]).numpy())
        seen.append(torch.cat([torch.ones_like(visible[:1]), visible]).numpy())
    work.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(work / "moved.npz", pictures=pictures, points=points, seen=seen)
    print(f"{len(chosen)} pictures x {copies} copies in {work / 'moved.npz'}; now run: detect {work}")


def detect(work: Path) -> None:
    import mediapipe

    mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1, min_detection_confidence=0.3)
    moved = np.load(work / "moved.npz")
    errors: dict[str, list[float]] = {"still": [], "moved": []}
    visible, lost = [], 0
    for pictures, points, seen in zip(moved["pictures"], moved["points"], moved["seen"], strict=True):
        for copy, picture in enumerate(pictures):
            found = mesh.process(np.ascontiguousarray(picture)).multi_face_landmarks
            if not found:
                lost += 1
                continue
            height, width = picture.shape[:2]
            # MediaPipe gives shares of the picture from edge to edge.
            anew = np.array([[p.x * width - 0.5, p.y * height - 0.5] for p in found[0].landmark])[:MESH]
            own = points[copy] - 0.5
            eyes = np.linalg.norm(anew[OUTER_EYE_CORNERS[0]] - anew[OUTER_EYE_CORNERS[1]])
            apart = np.linalg.norm(anew - own, axis=1) / eyes
            errors["still" if copy == 0 else "moved"].append(float(apart[seen[copy]].mean()))
            if copy:
                visible.append(float(seen[copy].mean()))
    for name, values in errors.items():
        print(
            f"{name}: {100 * np.mean(values):.2f} % of the eye distance, median {100 * np.median(values):.2f} %, "
            f"95th percentile {100 * np.quantile(values, 0.95):.2f} %, {len(values)} pictures"
        )
    print(f"visible points: {100 * np.mean(visible):.1f} %; no face found: {lost}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    first = steps.add_parser("animate")
    first.add_argument("portraits", type=Path)
    first.add_argument("work", type=Path)
    first.add_argument("--count", type=int, default=60)
    first.add_argument("--copies", type=int, default=4)
    first.add_argument("--model", default="lite-256")
    steps.add_parser("detect").add_argument("work", type=Path)
    args = parser.parse_args()
    if args.step == "animate":
        animate(args.portraits, args.work, args.count, args.copies, args.model)
    else:
        detect(args.work)


if __name__ == "__main__":
    main()
