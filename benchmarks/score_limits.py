"""Measure the limits of the reconstruction scores: score true frames that were changed, and motion by optical flow.

    python benchmarks/score_limits.py CLIPS PREDICTIONS --metrics PATH/face_metrics.py

PREDICTIONS is the output of `model_card.py reconstruct CLIPS PREDICTIONS`. Each row is scored against the true frame:

    prediction   the result of the model
    true parts   the prediction with the true frame's eyes, brows and mouth pasted in
    looked up    the prediction, warped by the dense optical flow to the true frame, which removes errors of position
    first frame  the first frame of the clip, warped by the dense optical flow to the true frame
    both         the warped first frame with the true eyes, brows and mouth pasted in
    blurred      the true frame, blurred with a standard deviation of 0.7 pixels
    stored       the true frame, stored as a JPEG of quality 80

`aed` crops each face by the mesh found in it, so it also depends on the noise of that mesh; in `aligned`, both faces
are cropped by the mesh of the true frame.

It needs the environment of `model_card_scores.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scripts import load_script

Frame = NDArray[np.uint8]
SCORES = ("l1", "ssim", "akd", "aed")
PARTS = (  # points of the face mesh around what expressions change most
    (33, 133, 159, 145, 70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (263, 362, 386, 374, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--step", type=int, default=5)
    args = parser.parse_args()
    metrics = load_script(args.metrics)
    networks = metrics.Networks()
    totals: dict[str, list[list[float]]] = {}
    for path in sorted(args.clips.glob("*.mp4")):
        true, predicted = metrics.frames(str(path)), np.load(args.predictions / f"{path.stem}.npy")
        meshes = {row: networks.landmarks(true[row]) for row in range(args.step, len(predicted), args.step)}
        rows = [row for row, mesh in meshes.items() if mesh is not None]
        versions: dict[str, list[Frame]] = {}
        for row in rows:
            for name, frame in disturbed(true[row], predicted[row], true[0], meshes[row]).items():
                versions.setdefault(name, []).append(frame)
        wanted = [networks.embed(true[row], meshes[row]) for row in rows]
        for name, frames in versions.items():
            score = metrics.score(true[[0, *rows]], [true[0], *frames], networks, 1)
            found = [networks.embed(frame, meshes[row]) for row, frame in zip(rows, frames, strict=True)]
            aligned = np.linalg.norm(np.array(found) - np.array(wanted), axis=1).mean()
            totals.setdefault(name, []).append([*(score[key] for key in SCORES), aligned])
    print(f"{'':12s}" + "".join(f"{key:>9s}" for key in (*SCORES, "aligned")))
    for name, scores in totals.items():
        print(f"{name:12s}" + "".join(f"{value:9.4f}" for value in np.nanmean(scores, 0)))


def disturbed(true: Frame, predicted: Frame, first: Frame, mesh: NDArray[np.float32]) -> dict[str, Frame]:
    """Make the versions of one frame; `mesh` (468, 2) in pixels is that of the true one."""
    stored: Any = cv2.imdecode(cv2.imencode(".jpg", true, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_COLOR)
    return {
        "prediction": predicted,
        "true parts": pasted(predicted, true, mesh),
        "looked up": moved(predicted, true),
        "first frame": moved(first, true),
        "both": pasted(moved(first, true), true, mesh),
        "blurred": cv2.GaussianBlur(true, (0, 0), 0.7),
        "stored": stored,
    }


def pasted(frame: Frame, true: Frame, mesh: NDArray[np.float32]) -> Frame:
    """Paste the true eyes, brows and mouth into a frame, with soft edges."""
    mask = np.zeros(true.shape[:2], np.uint8)
    for part in PARTS:
        cv2.fillConvexPoly(mask, cv2.convexHull(mesh[list(part)].astype(np.int32)), 1)
    soft = cv2.GaussianBlur(cv2.dilate(mask, np.ones((9, 9))).astype(np.float32), (0, 0), 2)[..., None]
    return np.asarray(np.rint(frame + soft * (true.astype(np.float32) - frame)), np.uint8)


def moved(frame: Frame, true: Frame) -> Frame:
    """Move a frame by the optical flow from the true frame to it."""
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (true, frame)]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    y, x = np.mgrid[: true.shape[0], : true.shape[1]].astype(np.float32)
    return cv2.remap(frame, x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


if __name__ == "__main__":
    main()
