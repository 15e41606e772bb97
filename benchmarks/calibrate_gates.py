"""Measure how many undamaged and damaged frames the gates reject.

    python benchmarks/calibrate_gates.py PICTURES [--driving "views yaw=-20:20:10"] [--count 60] [--seed 0]

The undamaged frames are pictures animated with the built-in pool or other driving, strengths from 0.3 to 1, and
selection "diverse". The damaged frames are the same frames, damaged in one of four ways: melted, folded, two noses (the
middle of the face is copied to a cheek), blank.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import fomaug
from fomaug.animator import Animator
from fomaug.geometry import Frame, identity_grid, warp_image
from fomaug.quality import Gates, judge, score


def melted(image: Tensor, flow: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Warp by a smooth random field of a tenth of the picture, which is not part of the flow."""
    coarse = torch.from_numpy(rng.normal(0, 0.16, (1, 2, 6, 6))).float()
    shift = torch.nn.functional.interpolate(coarse, size=image.shape[2:], mode="bicubic").permute(0, 2, 3, 1)
    return warp_image(image, identity_grid(tuple(image.shape[2:]))[None] + shift, padding="border"), flow


def folded(image: Tensor, flow: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Fold the flow along a line through the face, and warp the picture by it."""
    grid = identity_grid((flow.shape[1], flow.shape[2]))
    angle = rng.uniform(0, np.pi)
    along = grid[..., 0] * np.cos(angle) + grid[..., 1] * np.sin(angle)
    wave = 0.35 * torch.sin(2 * np.pi * along / 0.9 + rng.uniform(0, 6))
    direction = torch.tensor([np.cos(angle), np.sin(angle)]).float()
    fold = grid + wave[..., None] * direction
    both = torch.nn.functional.grid_sample(
        flow.permute(0, 3, 1, 2), fold[None], padding_mode="border", align_corners=True
    ).permute(0, 2, 3, 1)
    return warp_image(image, fold[None], padding="border"), both


def two_noses(image: Tensor, flow: Tensor, rng: np.random.Generator, points: Tensor) -> tuple[Tensor, Tensor]:
    """Copy the middle of the face, whose keypoints are (K, 2) points of the picture, to a cheek."""
    height, width = image.shape[2:]
    pixels = (points + 1) / 2 * torch.tensor([width - 1, height - 1])
    across = float(pixels[:, 0].amax() - pixels[:, 0].amin())
    half, aside = round(0.2 * across), round(0.3 * across) * (1 if rng.random() < 0.5 else -1)
    x, y = pixels.mean(0).round().int().tolist()
    x, target = (min(max(place, half), width - half) for place in (x, x + aside))
    y = min(max(y, half), height - half)
    spoilt = image.clone()
    rows = slice(y - half, y + half)
    spoilt[..., rows, target - half : target + half] = image[..., rows, x - half : x + half]
    return spoilt, flow


def blank(image: Tensor, flow: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Replace the picture by one colour."""
    return torch.full_like(image, float(rng.uniform(0, 1))), flow


def points_of(model: Animator, image: Tensor) -> Tensor:
    """Find the keypoints (K, 2) of an image (1, 3, H, W), as points of the picture."""
    frame = Frame((image.shape[2], image.shape[3]), model.size)
    return frame.points_to_picture(model.detect(image).value)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--driving", default="builtin", help="as of MotionAugment, such as 'views yaw=-20:20:10'")
    parser.add_argument("--model", default="lite-256")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    model = fomaug.load_model(args.model, device="cpu")
    aug = fomaug.MotionAugment(driving=args.driving, model=model, p=1.0, seed=args.seed)
    rng = np.random.default_rng(args.seed)
    files = sorted(path for path in args.pictures.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    chosen = rng.permutation(len(files))[: args.count]
    reasons: dict[str, Counter[str]] = {}
    passed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    rows: dict[str, list[dict[str, float | None]]] = {}
    for index in chosen:
        path = files[index]
        image = torch.tensor(np.asarray(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None].float() / 255
        result = aug.apply(image, aug.draw([path.name], copies=args.copies))
        for copy in range(args.copies):
            good = result.image[copy : copy + 1], result.flow[copy : copy + 1]
            points = points_of(model, good[0])
            frames = {
                "good": good,
                "melted": melted(*good, rng),
                "folded": folded(*good, rng),
                "two noses": two_noses(*good, rng, points),
                "blank": blank(*good, rng),
            }
            for kind, (picture, flow) in frames.items():
                (scores,) = score(model, image, picture, flow, result.occlusion[copy : copy + 1])
                found = judge(scores, Gates())
                total[kind] += 1
                passed[kind] += not found
                reasons.setdefault(kind, Counter()).update(reason.split()[0] for reason in found)
                rows.setdefault(kind, []).append(scores.to_dict())
    for kind in total:
        print(f"{kind:10} passed {passed[kind] / total[kind]:.3f} of {total[kind]}; rejected by {dict(reasons[kind])}")
    levels = [0.01, 0.05, 0.5, 0.95, 0.99]
    for kind, found_rows in rows.items():
        for name in ("folded", "stretch", "occluded", "keypoint_error", "residual", "sharpness", "motion"):
            values = [row[name] for row in found_rows]
            quantiles = np.nanquantile(np.array(values, float), levels).round(4).tolist()
            print(f"{kind:10} {name:15} {json.dumps(dict(zip(levels, quantiles, strict=True)))}")


if __name__ == "__main__":
    main()
