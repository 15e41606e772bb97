"""Show how much of the reconstruction scores any model could win, with true frames disturbed and with motion looked up.

    python benchmarks/score_limits.py CLIPS PREDICTIONS --metrics PATH/face_metrics.py

PREDICTIONS is what `model_card.py reconstruct CLIPS PREDICTIONS` wrote. The rows, each scored against the true frame:

    prediction   what the model made
    looked up    the prediction, moved by the dense optical flow to the true frame: errors of places taken away
    first frame  the clip's first frame, moved by the dense optical flow to the true frame: a warp that knows the answer
    blurred      the true frame, blurred with a standard deviation of 0.7 pixels
    stored       the true frame, stored as a JPEG of quality 80

Needs the environment of `model_card_scores.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from model_card_scores import load_metrics
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
SCORES = ("l1", "ssim", "akd", "aed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--step", type=int, default=5)
    args = parser.parse_args()
    metrics = load_metrics(args.metrics)
    networks = metrics.Networks()
    totals: dict[str, list[list[float]]] = {}
    for path in sorted(args.clips.glob("*.mp4")):
        true, predicted = metrics.frames(str(path)), np.load(args.predictions / f"{path.stem}.npy")
        versions: dict[str, list[Frame]] = {}
        rows = range(args.step, min(len(true), len(predicted)), args.step)
        for row in rows:
            for name, frame in disturbed(true[row], predicted[row], true[0]).items():
                versions.setdefault(name, []).append(frame)
        for name, frames in versions.items():
            score = metrics.score(true[[0, *rows]], [true[0], *frames], networks, 1)
            totals.setdefault(name, []).append([score[key] for key in SCORES])
    print(f"{'':12s}" + "".join(f"{key:>8s}" for key in SCORES))
    for name, scores in totals.items():
        print(f"{name:12s}" + "".join(f"{value:8.4f}" for value in np.nanmean(scores, 0)))


def disturbed(true: Frame, predicted: Frame, first: Frame) -> dict[str, Frame]:
    """Make the versions of one frame."""
    stored: Any = cv2.imdecode(cv2.imencode(".jpg", true, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_COLOR)
    return {
        "prediction": predicted,
        "looked up": moved(predicted, true),
        "first frame": moved(first, true),
        "blurred": cv2.GaussianBlur(true, (0, 0), 0.7),
        "stored": stored,
    }


def moved(frame: Frame, true: Frame) -> Frame:
    """Move a frame by the optical flow from the true frame to it."""
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (true, frame)]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    y, x = np.mgrid[: true.shape[0], : true.shape[1]].astype(np.float32)
    return cv2.remap(frame, x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


if __name__ == "__main__":
    main()
