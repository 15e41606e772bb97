"""Cut clips and portraits as tightly as many face sets do, and animate such clips.

    python benchmarks/tight_crops.py clips CLIPS OUT [--border edge]   each clip from its first frame, absolute transfer
    python benchmarks/tight_crops.py portraits PORTRAITS OUT           pictures for landmark_agreement.py
    python benchmarks/tight_crops.py sheet PICTURES OUT.jpg            views of some of these pictures, to look at

CLIPS and PORTRAITS have face meshes with their pictures, `landmarks.npz`. One square is used for all frames of a clip.
Its side is 1.12 times the face, and edge pixels are repeated where it extends beyond the picture. The clip is animated
at 256 pixels, reduced to 112, 64 and 48, and in grey. The results of the clip as given are also cropped to the square:
they show the model with all surroundings. With `--border`, the tight frames are also padded to `--padded` times the
face before the animation, and the results are cropped again. `clips` writes OUT/VARIANT/NAME.npz, with the mark `whole`
where the square contains every point of the first frame's mesh. They are scored by

    python benchmarks/model_card_scores.py videos OUT --metrics PATH/face_metrics.py

For this, true and resulting small frames are enlarged to 256 pixels.

`sheet` writes one row for each picture: the source, and copies with yaws of -40, -20, 0, 20 and 40 degrees. A view that
the source cannot show is replaced, as in every expansion, and has a blue edge. Copies that the gates reject have a red
edge.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from model_card import Frames, driven, read_clip, to_frames, to_tensor
from numpy.typing import NDArray
from PIL import Image

import fomaug
from fomaug.animator import Animator
from fomaug.quality import Gates, judge, score

SIZE = 256
TIGHT = 1.12
SHARES = (1.0, 1.12, 1.3)
SHOWN = 128  # side of a picture on a sheet
RED, BLUE = (220, 0, 0), (40, 90, 220)
Mesh = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    clips, portraits = commands.add_parser("clips"), commands.add_parser("portraits")
    for command, folder in ((clips, "clips"), (portraits, "portraits")):
        command.add_argument(folder, type=Path)
        command.add_argument("out", type=Path)
    clips.add_argument("--model", default="lite-256")
    clips.add_argument("--step", type=int, default=5, help="every STEP-th frame, as the model card scores them")
    clips.add_argument("--border", nargs="*", choices=sorted(BORDERS), default=[], help="also pad the tight frames so")
    clips.add_argument("--padded", type=float, default=1.84, help="side of the padded square, in faces")
    portraits.add_argument("--count", type=int, default=60)
    sheet = commands.add_parser("sheet")
    sheet.add_argument("pictures", type=Path, nargs="+", help="picture files")
    sheet.add_argument("out", type=Path)
    sheet.add_argument("--model", default="lite-256")
    args = parser.parse_args()
    if args.command == "portraits":
        cut_portraits(args.portraits, args.out, args.count)
    elif args.command == "sheet":
        rows = [row_of_views(fomaug.load_model(args.model, device="cpu"), path) for path in args.pictures]
        Image.fromarray(np.concatenate(rows)).save(args.out, quality=85)
    else:
        animate_clips(fomaug.load_model(args.model, device="cpu"), args)


def animate_clips(model: Animator, args: argparse.Namespace) -> None:
    meshes = np.load(args.clips / "landmarks.npz")
    for path in sorted(args.clips.glob("*.mp4")):
        frames = read_clip(path)
        rows = [0, *range(args.step, len(frames), args.step)]
        mesh = meshes[path.stem].astype(np.float32)
        square = face_square(mesh, TIGHT)
        given, tight = frames[rows], cut(frames[rows], square)
        result = animated(model, given)
        made = {"as given": (given, result), "tight": (tight, animated(model, tight))}
        made["as given, cut afterwards"] = (tight, cut(result, square))
        for name, change in VARIANTS.items():
            changed = change(tight)
            made[name] = (enlarged(changed), enlarged(animated(model, changed)))
        for border in args.border:
            made[f"tight, {border}"] = (tight, through_padding(model, tight, border, args.padded / TIGHT))
        for name, (true, pred) in made.items():
            (args.out / name).mkdir(parents=True, exist_ok=True)
            arrays = {"source": true[0], "true": true[1:], "pred": pred, "whole": shows(square, mesh[0])}
            np.savez(args.out / name / f"{path.stem}.npz", **arrays)
        print(path.stem, len(rows) - 1, flush=True)


def animated(model: Animator, frames: Frames) -> Frames:
    """Drive the first frame by all others."""
    return driven(model, frames[0], model.detect(to_tensor(frames[1:])))


def through_padding(model: Animator, frames: Frames, border: str, factor: float) -> Frames:
    """Animate frames that are padded to `factor` times their side, and cut the results back."""
    width = round((factor - 1) / 2 * SIZE)
    padded = np.stack([BORDERS[border](frame, width) for frame in frames])
    return animated(model, padded)[:, width : width + SIZE, width : width + SIZE]


def repeat_edges(frame: Frames, width: int) -> Frames:
    return cv2.copyMakeBorder(frame, *[width] * 4, cv2.BORDER_REPLICATE)


def reflect(frame: Frames, width: int) -> Frames:
    return cv2.copyMakeBorder(frame, *[width] * 4, cv2.BORDER_REFLECT_101)


def blur_edges(frame: Frames, width: int) -> Frames:
    """Repeat the edge pixels, and blur what was added."""
    padded = repeat_edges(frame, width)
    blurred = cv2.GaussianBlur(padded, (0, 0), width / 6)
    blurred[width:-width, width:-width] = frame
    return blurred


def face_square(meshes: Mesh, share: float) -> tuple[float, float, float]:
    """Choose a square around the median box of meshes (T, P, 2 or 3) in pixels: left, top, side."""
    boxes = np.concatenate([meshes[..., :2].min(1), meshes[..., :2].max(1)], 1)
    left, top, right, bottom = np.nanmedian(boxes, 0)
    side = share * max(right - left, bottom - top)
    return (left + right - side) / 2, (top + bottom - side) / 2, side


def shows(square: tuple[float, float, float], mesh: Mesh) -> bool:
    """Return whether a square contains every point of a mesh (P, 2 or 3)."""
    left, top, side = square
    within = (mesh[:, :2] - [left, top]) / side
    return bool(((within > 0) & (within < 1)).all())


def cut(frames: Frames, square: tuple[float, float, float]) -> Frames:
    """Cut a square out of frames (T, H, W, 3) and bring it to (T, 256, 256, 3)."""
    left, top, side = square
    scale = SIZE / side
    # A mesh measures from the edge of the first pixel, OpenCV from its centre.
    move = np.array([[scale, 0, (0.5 - left) * scale - 0.5], [0, scale, (0.5 - top) * scale - 0.5]])
    options = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REPLICATE}
    return np.stack([cv2.warpAffine(frame, move, (SIZE, SIZE), **options) for frame in frames])


def resized(frames: Frames, side: int) -> Frames:
    pictures = [Image.fromarray(frame).resize((side, side), Image.Resampling.BICUBIC) for frame in frames]
    return np.stack([np.asarray(picture) for picture in pictures])


def enlarged(frames: Frames) -> Frames:
    return frames if frames.shape[1] == SIZE else resized(frames, SIZE)


def grey(frames: Frames) -> Frames:
    luma = (frames @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
    return np.repeat(luma[..., None], 3, -1)


def cut_portraits(folder: Path, out: Path, count: int) -> None:
    """Write evenly spaced portraits, cut to squares of several sizes around the face."""
    with np.load(folder / "landmarks.npz") as data:
        names, meshes = data["files"], data["landmarks"].astype(np.float32)
    for row in np.linspace(0, len(names) - 1, count).round().astype(int):
        picture = np.asarray(Image.open(folder / "images" / str(names[row])).convert("RGB"))
        for share in SHARES:
            target = out / f"{share:.2f}" / f"{Path(str(names[row])).stem}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            square = face_square(meshes[row : row + 1], share)
            Image.fromarray(cut(picture[None], square)[0]).save(target)


def row_of_views(model: Animator, path: Path) -> Frames:
    """Show a picture and its copies with yaws of -40 to 40 degrees side by side."""
    source = to_tensor(square(np.asarray(Image.open(path).convert("RGB")))[None])
    augment = fomaug.MotionAugment("views yaw=-40:40:20 pitch=0 expressions=neutral", model=model, p=1.0)
    made = augment.apply(source, augment.draw([path.stem], copies=5))
    judged = [judge(one, Gates()) for one in score(model, source, made.image, made.flow, made.occlusion)]
    views = [params.view for params in made.params if params.view]
    shown = [resized(to_frames(image[None]), SHOWN)[0] for image in torch.cat([source, made.image])]
    for copy, view, reasons in zip(shown[1:], views, judged, strict=True):
        if reasons or view.replaced != "no":
            draw_edge(copy, RED if reasons else BLUE)
    order = np.argsort([view.asked[0] for view in views])
    return np.concatenate([shown[0], *(shown[1 + index] for index in order)], axis=1)


def square(picture: Frames) -> Frames:
    """Repeat the edge pixels of (H, W, 3) until it is a square, and bring it to 256 pixels."""
    missing = [max(picture.shape[:2]) - length for length in picture.shape[:2]]
    padded = np.pad(picture, [*((part // 2, part - part // 2) for part in missing), (0, 0)], mode="edge")
    return resized(padded[None], SIZE)[0]


def draw_edge(picture: Frames, colour: tuple[int, int, int], width: int = 3) -> None:
    """Draw an edge into a picture (H, W, 3), in place."""
    inside = picture[width:-width, width:-width].copy()
    picture[:] = colour
    picture[width:-width, width:-width] = inside


BORDERS: dict[str, Callable[[Frames, int], Frames]] = {"edge": repeat_edges, "reflect": reflect, "blur": blur_edges}
VARIANTS: dict[str, Callable[[Frames], Frames]] = {
    "tight, 112 px": lambda frames: resized(frames, 112),
    "tight, 64 px": lambda frames: resized(frames, 64),
    "tight, 48 px": lambda frames: resized(frames, 48),
    "tight, grey": grey,
}


if __name__ == "__main__":
    main()
