"""Compare rules that detect, from the flow, which landmarks a turned head hides, on heads whose true motion is known.

    python benchmarks/landmark_visibility.py HEADS [--clips 175]

HEADS contains rendered clips: `set/SEED.jpg`, eight frames side by side; `set/SEED.npz` with the exact flow to frame 0
and 30 landmarks; and `mesh.npz` with the 478 points of a face mesh in every frame. Frame 0 of each clip is animated by
the keypoints of the two frames that differ from it most. A landmark that is visible in frame 0 is truly hidden

- by the flow, if the exact flow at its coordinates in frame t leads to another point of frame 0, more than 6 pixels
  away;
- by the mesh, if its surface faces away in frame t, or another part of the face covers it.

For each rule and threshold, the script prints precision and recall of "hidden", and the share of visible landmarks that
the rule hides. It needs scipy.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.spatial import Delaunay

import fomaug
from fomaug.faces import mean_mesh
from fomaug.geometry import resize_flow
from fomaug.geometry.inverse import invert_points, uneven_stretch

SIZE, FRAMES = 256, 8
MESH = 468  # without the irises
FAR = 6.0  # pixels
BESIDE_THE_MESH = (26, 27, 29)  # ears and top of the head, whose visibility the mesh does not show
RULES = {
    "occlusion below": (0.5, 0.6, 0.7, 0.8, 0.9),
    "uneven stretch above": (0.5, 0.75, 1.0, 1.25, 1.5, 2.0),
    "not the only place": (0.5,),
}


class Mesh:
    """Visibility of the points of a face mesh."""

    def __init__(self) -> None:
        mean = mean_mesh().numpy()[:MESH]
        faces = Delaunay(mean[:, :2]).simplices
        longest = np.max(
            [np.linalg.norm(mean[faces[:, i], :2] - mean[faces[:, i - 1], :2], axis=1) for i in range(3)], 0
        )
        faces = faces[longest < 0.25 * np.ptp(mean[:, 0])]
        (ax, ay), (bx, by) = ((mean[faces[:, i], :2] - mean[faces[:, 0], :2]).T for i in (1, 2))
        upright = ax * by - ay * bx
        self.faces = np.where((upright > 0)[:, None], faces, faces[:, [0, 2, 1]])

    def facing(self, points: Any) -> Any:
        """Compute how far the surface at each of (468, 3) points faces the viewer: 1 directly, below 0 away."""
        a, b, c = (points[self.faces[:, i]] for i in range(3))
        normals = np.zeros((MESH, 3))
        for i in range(3):
            np.add.at(normals, self.faces[:, i], np.cross(b - a, c - a))
        return normals[:, 2] / np.linalg.norm(normals, axis=1).clip(1e-9)

    def covered(self, points: Any) -> Any:
        """Return whether another part of the surface covers each point, by 3 % of the face's height or more."""
        a, b, c = (points[self.faces[:, i]] for i in range(3))
        edges = np.stack([b - a, c - a], -1)[:, :2]  # (T, 2, 2)
        whole = np.linalg.det(edges)
        local = np.linalg.inv(np.where(np.abs(whole)[:, None, None] < 1e-6, np.eye(2), edges))
        u, v = np.einsum("tij,ptj->ipt", local, points[:, None, :2] - a[None, :, :2])
        inside = (u > 0.01) & (v > 0.01) & (u + v < 0.99) & (np.abs(whole) > 1e-6)
        inside &= (self.faces[None] != np.arange(MESH)[:, None, None]).all(2)
        depth = a[:, 2] + u * (b - a)[:, 2] + v * (c - a)[:, 2]
        return (inside & (depth < points[:, None, 2] - 0.03 * np.ptp(points[:, 1]))).any(1)


def clips(heads: Path, count: int) -> Iterator[tuple[Any, Any, Any]]:
    """Yield pictures (8, 3, 256, 256), data of the renderer, and the mesh (8, 468, 3) of some clips."""
    mesh = np.load(heads / "mesh.npz")
    rows = {str(name): row for row, name in enumerate(mesh["files"])}
    points = mesh["landmarks"].astype(float)
    files = sorted((heads / "set").glob("*.jpg"))
    for index in np.linspace(0, len(files) - 1, min(count, len(files))).astype(int):
        strip = np.asarray(Image.open(files[index]).convert("RGB"))
        frames = torch.from_numpy(strip.reshape(SIZE, FRAMES, SIZE, 3).transpose(1, 3, 0, 2).copy()).float() / 255
        found = points[rows[files[index].name], :, :MESH]
        if np.isfinite(found).all():
            yield frames, np.load(files[index].with_suffix(".npz")), found


def most_moved(landmarks: Any) -> list[int]:
    """Find the two frames whose shape differs most from the first one's."""
    centred = landmarks[..., :2] - landmarks[..., :2].mean(1, keepdims=True)
    shape = centred / np.linalg.norm(centred, axis=(1, 2), keepdims=True)
    found: list[int] = np.argsort(np.linalg.norm(shape - shape[0], axis=(1, 2)))[:-3:-1].tolist()
    return found


def off_by(known: Any, frame: int, places: Any, before: Any) -> Any:
    """Measure the distance in frame 0, in pixels, of `before` (M, 2) from the content of a frame at `places`."""
    came = (known["flow"][frame].astype(float) / 8192 + 1) / 2 * SIZE - 0.5
    cell = SIZE / came.shape[0]
    least = np.full(len(places), np.inf)
    for down, right in np.ndindex(2, 2):  # the nearest of four cells: at an outline they show different things
        column, row = np.clip(
            (np.floor((places + 0.5) / cell - 0.5) + np.array([right, down])).astype(int), 0, len(came) - 1
        ).T
        middle = (np.stack([column, row], 1) + 0.5) * cell - 0.5
        apart = np.linalg.norm(came[row, column] + places - middle - before, axis=1)
        least = np.minimum(least, np.where(known["mask"][frame][row, column], apart, np.inf))
    return least


def measure(animated: Any, points: Any) -> dict[str, Any]:
    """Compute the inputs of the rules, for points (M, 2) of the source in pixels."""
    xy = torch.from_numpy(points / (SIZE - 1) * 2 - 1).float()[None]
    places, single = invert_points(xy, animated.flow)
    occlusion = F.grid_sample(animated.occlusion, places[:, None], padding_mode="border", align_corners=True)
    cells = resize_flow(animated.flow, tuple(animated.occlusion.shape[2:]))  # as warp.points judges
    return {
        "occlusion below": -occlusion[0, 0, 0].numpy(),
        "uneven stretch above": uneven_stretch(places, cells)[0].numpy(),
        "not the only place": (~single[0]).float().numpy(),
        "places": (places[0].numpy() + 1) / 2 * (SIZE - 1),
    }


def gather(model: Any, heads: Path, count: int) -> dict[str, list[dict[str, Any]]]:
    truths: dict[str, list[dict[str, Any]]] = {"flow": [], "mesh": []}
    mesh = Mesh()
    for frames, known, points in clips(heads, count):
        landmarks = known["landmarks"].astype(float)[..., :2] - 0.5
        seen = (mesh.facing(points[0]) > 0.25) & ~mesh.covered(points[0])
        near = np.linalg.norm(landmarks[0][:, None] - points[0][None, :, :2], axis=-1)
        use = (near.min(1) < 8) & seen[near.argmin(1)]
        use[list(BESIDE_THE_MESH)] = False
        chosen = most_moved(known["landmarks"].astype(float))
        source, targets = model.encode(frames[:1]), model.detect(frames[chosen])
        for row, frame in enumerate(chosen):
            animated = model.animate(source, targets[row])
            by_flow = off_by(known, frame, landmarks[frame], landmarks[0]) > FAR
            by_mesh = (mesh.facing(points[frame]) < 0) | mesh.covered(points[frame])
            for name, own, after, hidden, used in (
                ("flow", landmarks[0], landmarks[frame], by_flow, use),
                ("mesh", points[0][:, :2], points[frame][:, :2], by_mesh, seen),
            ):
                found = measure(animated, own)
                found["error"] = np.linalg.norm(found.pop("places") - after, axis=1)
                truths[name].append({key: value[used] for key, value in found.items()} | {"hidden": hidden[used]})
    return truths


def report(name: str, rows: list[dict[str, Any]]) -> None:
    found = {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
    hidden, error = found["hidden"], found["error"]
    print(f"\ntruth by the {name}: {len(hidden)} landmarks, {100 * hidden.mean():.1f} % hidden")
    print(f"{'rule':28} precision  recall  F1    visible ones hidden   off by, hidden / others")
    for rule, limits in RULES.items():
        for limit in limits:
            said = found[rule] > (-limit if rule.startswith("occlusion") else limit)
            right = (said & hidden).sum()
            precision, recall = right / max(said.sum(), 1), right / max(hidden.sum(), 1)
            both = 2 * right / max(said.sum() + hidden.sum(), 1)
            far = f"{error[said].mean():.1f} / {error[~said].mean():.1f} px" if said.any() else "-"
            print(
                f"{rule + f' {limit:g}':28} {precision:9.2f} {recall:7.2f}  {both:.2f}  "
                f"{100 * said[~hidden].mean():17.1f} %   {far}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heads", type=Path)
    parser.add_argument("--clips", type=int, default=175)
    parser.add_argument("--model", default="lite-256")
    args = parser.parse_args()
    model = fomaug.load_model(args.model, device="cpu")
    print(f"model {model.name}, hash {model.hash[:8]}")
    with torch.no_grad():
        truths = gather(model, args.heads, args.clips)
    for name, rows in truths.items():
        report(name, rows)


if __name__ == "__main__":
    main()
