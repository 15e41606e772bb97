"""Score the pictures that `model_card.py` made, with networks that were not used to train the model.

    python benchmarks/model_card_scores.py across OUT
    python benchmarks/model_card_scores.py heads OUT
    python benchmarks/model_card_scores.py features OUT --clips CLIPS
    python benchmarks/model_card_scores.py videos OUT          frames that `tight_crops.py` made

It needs a separate environment with mediapipe 0.10.21, dlib, face_recognition_models, opencv, scipy and numpy < 2, and
the script that scores reconstructions (its classes find landmarks and embed faces): `--metrics PATH/face_metrics.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scripts import load_script

SAME_PERSON = 0.6
SCORES = ("l1", "ssim", "akd", "aed", "lost")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["across", "heads", "features", "videos"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--clips", type=Path, help="the true clips, for features")
    parser.add_argument("--step", type=int, default=15, help="frames between two that are looked at, for features")
    args = parser.parse_args()
    if args.what == "features" and args.clips is None:
        parser.error("features needs --clips")
    metrics = load_script(args.metrics)
    if args.what == "features":
        features(args.clips, args.out, metrics, args.step)
    else:
        {"across": across, "heads": heads, "videos": videos}[args.what](args.out, metrics)


def across(folder: Path, metrics: Any) -> None:
    """Score pairs: same person, face found, and correlation of the head's angles with the driver's."""
    networks = metrics.Networks()
    found, same, distances, angles, groups = [], [], [], [], []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            source, first = data["source"], data["first"]
            pairs = list(zip(data["pred"], data["driver"], strict=True))
        rest, own = networks.landmarks(first), networks.landmarks(source)
        if rest is None or own is None:
            continue
        identity = networks.embed(source, own)
        for pred, driver in pairs:
            mesh, wanted = networks.landmarks(pred), networks.landmarks(driver)
            found.append(mesh is not None)
            groups.append("grey" if np.abs(source[..., 0].astype(int) - source[..., 2]).mean() < 3 else "colour")
            distance = np.nan if mesh is None else np.linalg.norm(networks.embed(pred, mesh) - identity)
            distances.append(distance)
            same.append(distance < SAME_PERSON)
            if mesh is not None and wanted is not None:
                angles.append([*(pose(mesh) - pose(own)), *(pose(wanted) - pose(rest))])
    print(f"frames {len(found)}  face found {np.mean(found):.4f}  same person {np.mean(same):.4f}")
    print(f"distance mean {np.nanmean(distances):.3f}  95th percentile {np.nanpercentile(distances, 95):.3f}")
    for group in sorted(set(groups)):
        rows = [g == group for g in groups]
        print(f"  {group}: same person {np.mean(np.array(same)[rows]):.4f}  frames {sum(rows)}")
    turned = np.array(angles)
    for row, name in enumerate(("yaw", "pitch", "roll")):
        got, wanted = turned[:, row], turned[:, row + 3]
        print(f"{name}: correlation {np.corrcoef(got, wanted)[0, 1]:.3f}  slope {np.polyfit(wanted, got, 1)[0]:.3f}")


def pose(mesh: Any) -> Any:
    """Measure yaw, pitch and roll of a flat mesh, as ratios and an angle that increase with them."""
    left, right, nose, chin, brow = mesh[454], mesh[234], mesh[1], mesh[152], mesh[10]
    across_face, along = left - right, chin - brow
    yaw = ((nose - right) @ across_face) / (across_face @ across_face)
    pitch = ((nose - brow) @ along) / (along @ along)
    return np.array([yaw, pitch, np.arctan2(across_face[1], across_face[0])])


def features(clips: Path, folder: Path, metrics: Any, step: int) -> None:
    """Compare lids, gaze, brows and mouth of reconstructions with the true frames, as changes since the first frame."""
    import mediapipe

    mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1, refine_landmarks=True)
    changes = []
    for path in sorted(clips.glob("*.mp4")):
        true, pred = metrics.frames(str(path)), np.load(folder / f"{path.stem}.npy")
        first = measured(mesh, true[0])
        for row in range(step, min(len(true), len(pred)), step):
            changes.append([measured(mesh, frames[row]) - first for frames in (true, pred)])
    table = np.array(changes)
    table = table[np.isfinite(table).all((1, 2))]
    print(f"frames {len(table)}")
    for column, name in enumerate(("lids", "gaze aside", "gaze down", "brows", "mouth open", "mouth wide")):
        wanted, got = table[:, 0, column], table[:, 1, column]
        slope = (wanted @ got) / (wanted @ wanted)
        print(f"{name:11s} correlation {np.corrcoef(got, wanted)[0, 1]:.2f}  slope {slope:.2f}")


def measured(mesh: Any, frame: Any) -> Any:
    """Measure openings and positions in a face, means of both sides: (6,), in widths of an eye; nan without a face."""
    found = mesh.process(np.ascontiguousarray(frame)).multi_face_landmarks
    if not found:
        return np.full(6, np.nan)
    p = np.array([[point.x * frame.shape[1], point.y * frame.shape[0]] for point in found[0].landmark])
    sides = []
    for begin, end, upper, lower, iris, brow in ((33, 133, 159, 145, 468, 105), (362, 263, 386, 374, 473, 334)):
        along, middle = p[end] - p[begin], (p[begin] + p[end]) / 2
        axes = np.array([along, [-along[1], along[0]]]) / (along @ along)  # right and down, in widths of the eye
        _, lids = axes @ (p[lower] - p[upper])
        aside, down = axes @ (p[iris] - middle)
        _, raised = axes @ (p[brow] - middle)
        sides.append([lids, aside, down, raised])
    width = np.linalg.norm(p[133] - p[33] + p[263] - p[362]) / 2
    mouth = [np.linalg.norm(p[a] - p[b]) / width for a, b in ((13, 14), (61, 291))]
    return np.array([*np.mean(sides, 0), *mouth])


def heads(folder: Path, metrics: Any) -> None:
    """Score reconstructions of rendered heads, by sex, age and skin tone."""
    networks = metrics.Networks()
    rows, attrs = [], []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            true, pred = data["true"], data["pred"]
            attrs.append(data["attrs"])
        score = metrics.score(np.concatenate([true[:1], true]), np.concatenate([pred[:1], pred]), networks, 1)
        rows.append([score[key] for key in SCORES])
    table, (male, age, tone) = np.array(rows), np.array(attrs).T
    groups: dict[str, Callable[[], Any]] = {
        "all": lambda: male >= 0,
        "female": lambda: male < 0.5,
        "male": lambda: male >= 0.5,
        "child": lambda: age < 0.25,
        "adult": lambda: (age >= 0.25) & (age < 0.6),
        "old": lambda: age >= 0.6,
        "light skin": lambda: tone < 2,
        "medium skin": lambda: (tone >= 2) & (tone < 4),
        "dark skin": lambda: tone >= 4,
    }
    print(f"{'group':12s} clips     l1   ssim    akd    aed   lost")
    for name, choose in groups.items():
        chosen = table[choose()]
        means = "  ".join(f"{value:5.3f}" for value in np.nanmean(chosen, 0)) if len(chosen) else "-"
        print(f"{name:12s} {len(chosen):5d}  {means}")


def videos(folder: Path, metrics: Any) -> None:
    """Reconstruction of clips, the mean of each folder, of all clips and of those whose source shows the whole face."""
    networks = Remembering(metrics.Networks())
    for variant in sorted(path for path in folder.iterdir() if path.is_dir()):
        paths = sorted(variant.glob("*.npz"))
        scores = np.array([scores_of(path, metrics, networks) for path in paths])
        whole = np.array([bool(np.load(path)["whole"]) for path in paths])
        for clips, chosen in (("", whole | True), (f", {whole.sum()} whole", whole)):
            for kind, name in enumerate(("", ", source repeated")):
                means = zip(SCORES, np.nanmean(scores[chosen, kind], 0), strict=True)
                label = f"{variant.name}{clips}{name}"
                print(f"{label:52s}" + "  ".join(f"{key} {mean:.4f}" for key, mean in means), flush=True)


def scores_of(path: Path, metrics: Any, networks: Any) -> list[list[float]]:
    """Compute the scores (2, 5) of a result, and of its repeated source."""
    with np.load(path) as data:
        source, true, pred = data["source"][None], data["true"], data["pred"]
    rows = []
    for frames in (pred, np.repeat(source, len(true), 0)):
        score = metrics.score(np.concatenate([source, true]), np.concatenate([source, frames]), networks, 1)
        rows.append([score[key] for key in SCORES])
    return rows


class Remembering:
    """Networks with a cache, because every variant has the same true frames."""

    def __init__(self, networks: Any) -> None:
        self.networks = networks
        self.known: dict[tuple[Any, ...], Any] = {}

    def landmarks(self, picture: Any) -> Any:
        return self._recall(self.networks.landmarks, picture)

    def embed(self, picture: Any, mesh: Any) -> Any:
        return self._recall(self.networks.embed, picture, mesh)

    def _recall(self, work: Callable[..., Any], *arrays: Any) -> Any:
        key = (work.__name__, *(hash(array.tobytes()) for array in arrays))
        if key not in self.known:
            self.known[key] = work(*arrays)
        return self.known[key]


if __name__ == "__main__":
    main()
