"""Make the pictures for the figures of docs/model-card-lite-256.md, and measure the cost of the model.

    python benchmarks/model_card.py reconstruct CLIPS OUT        each clip from its first frame, absolute transfer
    python benchmarks/model_card.py across PORTRAITS CLIPS OUT   every tenth portrait driven by clips, relative transfer
    python benchmarks/model_card.py heads HEADS OUT              rendered heads: frames 1 to 7 from frame 0, by group
    python benchmarks/model_card.py cost                         floating point operations and frames per second

`reconstruct` writes one `.npy` file for each clip, which any script that compares videos can score. The others write
`.npz` files for `model_card_scores.py`, which needs face recognisers and therefore a separate environment.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

import fomaug
from fomaug import Keypoints
from fomaug.animator import Animator

Frames = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lite-256")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, folders in (("reconstruct", ["clips"]), ("across", ["portraits", "clips"]), ("heads", ["heads"])):
        command = commands.add_parser(name)
        for folder in [*folders, "out"]:
            command.add_argument(folder, type=Path)
        command.add_argument("--step", type=int, default=5, help="every STEP-th frame, as the score reads them")
        command.add_argument("--every", type=int, default=10, help="every N-th portrait")
        command.add_argument("--frames", type=int, default=4, help="frames a pair of portrait and clip")
        command.add_argument("--clips-each", type=int, default=1, help="clips that drive each portrait, in turn")
    commands.add_parser("cost").add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    model = fomaug.load_model(args.model, device="cpu")
    if args.command == "cost":
        cost(model, args.threads)
        return
    args.out.mkdir(parents=True, exist_ok=True)
    {"reconstruct": reconstruct, "across": across, "heads": heads}[args.command](model, args)


def reconstruct(model: Animator, args: argparse.Namespace) -> None:
    for path in sorted(args.clips.glob("*.mp4")):
        frames = read_clip(path)
        rows = list(range(args.step, len(frames), args.step))
        result = np.zeros_like(frames)
        result[rows] = driven(model, frames[0], model.detect(to_tensor(frames[rows])))
        np.save(args.out / f"{path.stem}.npy", result)
        print(path.stem, len(rows))


def across(model: Animator, args: argparse.Namespace) -> None:
    """Write {pred, source, driver, first}, (T, H, W, 3) each, for every pair."""
    clips = [read_clip(path) for path in sorted(args.clips.glob("*.mp4"))]
    tracks = [model.detect(to_tensor(clip)) for clip in clips]
    pictures = sorted((args.portraits / "images").iterdir())[:: args.every]
    for row, path in enumerate(pictures):
        source = np.asarray(Image.open(path).convert("RGB"))
        for turn in range(args.clips_each):
            which = (row * args.clips_each + turn) % len(clips)
            clip, track = clips[which], tracks[which]
            rows = np.linspace(len(clip) // args.frames, len(clip) - 1, args.frames).round().astype(int).tolist()
            pred = relative(model, source, track[rows], track[0])
            target = args.out / f"{path.stem}-{which}.npz"
            np.savez(target, pred=pred, source=source, driver=clip[rows], first=clip[0])


def heads(model: Animator, args: argparse.Namespace) -> None:
    """Clips as `render.py` writes them: frames (T, H, W, 3), attrs (male, age, skin tone)."""
    for path in sorted(args.heads.glob("*.npz")):
        with np.load(path) as data:
            frames, attrs = data["frames"], data["attrs"]
        pred = driven(model, frames[0], model.detect(to_tensor(frames[1:])))
        np.savez(args.out / path.name, pred=pred, true=frames[1:], attrs=attrs)


def driven(model: Animator, source: Frames, keypoints: Keypoints) -> Frames:
    animated = model.animate(model.encode(to_tensor(source[None])), keypoints)
    return to_frames(animated.image)


def relative(model: Animator, source: Frames, driving: Keypoints, reference: Keypoints) -> Frames:
    encoded = model.encode(to_tensor(source[None]))
    moved = fomaug.transfer(encoded.keypoints, driving, reference)
    return to_frames(model.animate(encoded, moved).image)


def cost(model: Animator, threads: int) -> None:
    torch.set_num_threads(threads)
    frame = torch.rand(1, 3, model.size, model.size)
    source, keypoints = model.encode(frame), model.detect(frame)
    calls: dict[str, Callable[[], object]] = {
        "detect": lambda: model.detect(frame),
        "encode": lambda: model.encode(frame),
        "animate": lambda: model.animate(source, keypoints),
        "frame": lambda: model.animate(source, model.detect(frame)),
    }
    for name, call in calls.items():
        with FlopCounterMode(display=False) as counter:
            call()
        print(f"{name:8s} {counter.get_total_flops() / 1e9:.3f} GFLOP  {1 / seconds(call):.1f} a second")


def seconds(call: Callable[[], object], rounds: int = 30) -> float:
    """Measure the median time of a call, after three calls to warm up."""
    times = []
    for _ in range(rounds + 3):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times[3:]))


def read_clip(path: Path) -> Frames:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def to_tensor(frames: Frames) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255


def to_frames(images: torch.Tensor) -> Frames:
    return (images.clamp(0, 1).permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)


if __name__ == "__main__":
    main()
