"""Measure how much the copies of a picture differ with each selection, at equal strengths and with the same gates.

    python benchmarks/selection_spread.py move PICTURES WORK [--count 20] [--copies 8] [--clips CLIPS]  # with fomaug
    python benchmarks/selection_spread.py compare WORK [--metrics face_metrics.py]                      # with MediaPipe

The first step animates pictures with every pool and selection as `fomaug expand` does: the strengths are drawn from the
default range and are the same for every selection, and copies that the default gates reject are drawn again, up to
three times in all. It prints the scores of the gates, and the mean distance between the keypoints of two copies of a
picture, in face sizes; the model finds these keypoints on the copies. The second step needs an environment with
mediapipe==0.10.21. It computes the same distance with the 468 points of a face mesh, as a share of the distance between
the outer eye corners. With --metrics, a file with a class `Networks` that has `embed(picture, landmarks)`, it also
prints the distance between the embeddings of copies and sources.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scripts import load_script

SIZE, TRIES, EYES = 256, 3, (33, 263)
SELECTIONS = ("uniform", "diverse")
SCORES = ("folded", "stretch", "keypoint_error", "residual", "sharpness", "motion")


def spread(points: Any) -> float:
    """Compute the mean distance between the points (N, K, 2) of two copies, over all pairs."""
    pairs = [np.linalg.norm(a - b, axis=-1).mean() for a, b in combinations(points, 2)]
    return float(np.mean(pairs)) if pairs else float("nan")


def read_pictures(folder: Path, count: int) -> Any:
    from PIL import Image

    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    chosen = [files[index] for index in np.linspace(0, len(files) - 1, min(count, len(files))).astype(int)]
    return np.stack([np.asarray(Image.open(path).convert("RGB").resize((SIZE, SIZE))) for path in chosen])


def make_copies(augment: Any, source: Any, key: int, copies: int) -> tuple[dict[int, Any], list[Any], int]:
    """Make copies; return those that pass, their scores, and the number of judged draws."""
    import torch

    from fomaug.quality import Gates, judge, score

    made: dict[int, Any] = {}
    scores: list[Any] = []
    judged = 0
    for attempt in range(TRIES):
        missing = [copy for copy in range(copies) if copy not in made]
        if not missing:
            break
        draws = augment.draw([f"{key}#{attempt}" if attempt else str(key)], copies=copies)
        result = augment.apply(source, [draws[copy] for copy in missing])
        with torch.no_grad():
            before, after = source.expand(len(missing), -1, -1, -1) / 255, result.image / 255
            found = score(augment.model, before, after, result.flow, result.occlusion)
        judged += len(missing)
        for copy, own, image, param in zip(missing, found, result.image, result.params, strict=True):
            if not judge(own, Gates()):
                made[copy] = (image, param)
                scores.append(own)
    return made, scores, judged


def move(pictures: Path, work: Path, count: int, copies: int, clips: Path | None, model_name: str) -> None:
    import torch

    import fomaug

    model = fomaug.load_model(model_name, device="cpu")
    pools = {"builtin": fomaug.DrivingPool.builtin(model), "parametric": fomaug.DrivingPool.parametric(model)}
    if clips is not None:
        pools["clips"] = fomaug.DrivingPool.from_clips(clips, model)
    sources = read_pictures(pictures, count)
    kept: dict[str, Any] = {"sources": sources}
    print(f"model {model.hash[:8]}, {len(sources)} pictures x {copies} copies")
    for pool_name, pool in pools.items():
        spreads = {}
        for selection in SELECTIONS:
            augment = fomaug.MotionAugment(pool, model, p=1.0, selection=selection)
            rows, apart, images, owners, drawn = [], [], [], [], []
            judged = 0
            for key, picture in enumerate(sources):
                source = torch.tensor(picture).permute(2, 0, 1)[None]
                made, scores, tried = make_copies(augment, source, key, copies)
                rows, judged = rows + scores, judged + tried
                if made:
                    pixels = torch.stack([image for image, _ in made.values()])
                    face = model.detect(source / 255).value[0]
                    size = float((face - face.mean(0)).norm(dim=-1).mean())
                    apart.append(spread(model.detect(pixels / 255).value.numpy()) / size)
                    images += list(pixels.permute(0, 2, 3, 1).numpy())
                    owners += [key] * len(made)
                    drawn += [param for _, param in made.values()]
            spreads[selection] = float(np.nanmean(apart))
            _report(f"{pool_name}, {selection}", spreads[selection], rows, judged, drawn)
            kept |= {f"{pool_name} {selection}": np.stack(images), f"{pool_name} {selection} of": np.array(owners)}
        print(f"{pool_name}: diverse is {spreads['diverse'] / spreads['uniform']:.2f} times as far apart as uniform")
    work.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(work / "spread.npz", **kept)


def _report(name: str, apart: float, rows: list[Any], judged: int, drawn: list[Any]) -> None:
    means = ", ".join(f"{score} {np.mean([getattr(row, score) for row in rows]):.3f}" for score in SCORES)
    strength = np.mean([param.strength for param in drawn])
    clips = np.unique([param.clip for param in drawn], return_counts=True)
    most = clips[1].argmax()
    print(
        f"{name}: spread {apart:.4f}; {100 * len(rows) / judged:.1f} % of {judged} draws pass, {len(rows)} copies; "
        f"strength {strength:.2f}, {means}; {len(clips[0])} clips, most from {clips[0][most]} "
        f"({100 * clips[1][most] / len(drawn):.0f} %)"
    )


def compare(work: Path, metrics: Path | None) -> None:
    import mediapipe

    mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, min_detection_confidence=0.3)
    embed = _embedder(metrics)
    known = np.load(work / "spread.npz")
    sources = [_landmarks(mesh, picture) for picture in known["sources"]]
    for name in (name for name in known if f"{name} of" in known):
        apart, far, lost = [], [], 0
        for key, own in enumerate(sources):
            pictures = known[name][known[f"{name} of"] == key]
            found = [_landmarks(mesh, picture) for picture in pictures]
            lost += sum(points is None for points in found)
            if own is None or len(seen := [points for points in found if points is not None]) < 2:
                continue
            apart.append(spread(np.stack(seen)) / np.linalg.norm(own[EYES[0]] - own[EYES[1]]))
            if embed is not None:
                first = embed(known["sources"][key], own)
                pairs = zip(pictures, found, strict=True)
                far += [np.linalg.norm(embed(p, points) - first) for p, points in pairs if points is not None]
        identity = f"; embeddings {np.mean(far):.3f} from the source's" if far else ""
        print(f"{name}: spread {100 * np.mean(apart):.2f} % of the eye distance; no face found in {lost}{identity}")


def _landmarks(mesh: Any, picture: Any) -> Any:
    found = mesh.process(np.ascontiguousarray(picture)).multi_face_landmarks
    return np.array([[p.x * SIZE, p.y * SIZE] for p in found[0].landmark], np.float32)[:468] if found else None


def _embedder(metrics: Path | None) -> Any:
    if metrics is None:
        return None
    return load_script(metrics).Networks().embed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    first, second = steps.add_parser("move"), steps.add_parser("compare")
    first.add_argument("pictures", type=Path)
    for step in (first, second):
        step.add_argument("work", type=Path)
    first.add_argument("--count", type=int, default=20)
    first.add_argument("--copies", type=int, default=8)
    first.add_argument("--clips", type=Path)
    first.add_argument("--model", default="lite-256")
    second.add_argument("--metrics", type=Path)
    args = parser.parse_args()
    if args.step == "move":
        move(args.pictures, args.work, args.count, args.copies, args.clips, args.model)
    else:
        compare(args.work, args.metrics)


if __name__ == "__main__":
    main()
