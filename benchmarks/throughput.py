"""Measure the images a second of MotionAugment, of plain loading, and of common random deformations. Prints JSON.

    python benchmarks/throughput.py --part deformations --threads 1
    python benchmarks/throughput.py --part loading training --device cuda
    python benchmarks/throughput.py --out throughput.json             all parts on the best device here

All candidates of a part take turns in one run, so that other programs on the machine affect all alike; the result of
each is the median of its turns. docs/evidence/benchmarks.md describes the parts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from resnet import resnet18
from timing import Times, Turn, machine, portraits, rates, take_turns, times_slower
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

import fomaug
from fomaug.data import MotionLoader

Measure = Callable[[dict[str, Turn]], Times]
BATCHES = {"cpu": 4, "cuda": 16}  # of a pass: nothing runs beside its beginning, which should weigh little


def main() -> None:
    args = read_arguments()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    gpu = device.type == "cuda"
    dtype = args.dtype or ("bfloat16" if gpu else "float32")
    batch = args.batch or (64 if gpu else 8)
    settings = {"model": args.model, "dtype": dtype, "batch": batch, "size": 256, "seconds": args.seconds}
    report = {"machine": machine(device), "settings": settings}
    report |= run(args.part, device, dtype, batch, args.seconds, turns=args.turns, model=args.model)
    text = json.dumps(report, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


def run(
    parts: Sequence[str],
    device: torch.device,
    dtype: str,
    batch: int,
    seconds: float,
    *,
    turns: int = 3,
    model: str = "lite-256",
) -> dict[str, Any]:
    """Measure parts; see the command's options."""
    animator = fomaug.load_model(model, device=str(device), dtype=dtype)
    augment = fomaug.MotionAugment("builtin", model=animator, p=1.0)
    measure = partial(take_turns, device=device, seconds=seconds, least=turns)
    return {part: PARTS[part](augment, portraits(batch), measure) for part in parts}


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS), help="all if left out")
    parser.add_argument("--model", default="lite-256")
    parser.add_argument("--device", help="cpu, cuda, ...; the best here if left out")
    parser.add_argument("--dtype", help="of the model; bfloat16 on CUDA and float32 elsewhere if left out")
    parser.add_argument("--batch", type=int, help="64 on CUDA and 8 elsewhere if left out")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=10.0, help="for each candidate")
    parser.add_argument("--turns", type=int, default=3, help="of each candidate at least, however long they take")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    return parser.parse_args()


def deformations(augment: fomaug.MotionAugment, images: Tensor, measure: Measure) -> dict[str, Any]:
    """Time each deformation of the same pictures: fomaug and kornia in batches, albumentations one by one."""
    there = images.to(augment.device)
    turns: dict[str, Turn] = {
        "fomaug MotionAugment": lambda: augment(there),
        "fomaug MotionAugment, one by one": lambda: [augment(image) for image in there.split(1)],
    }
    turns |= albumentations_turns(images) | kornia_turns(there)
    times = measure(turns)
    ours = "fomaug MotionAugment"
    slower = {name: times_slower({ours: times[ours], name: spent}, name)[ours] for name, spent in times.items()}
    return {"images_per_second": rates(times, len(images)), "times_as_fast_as_fomaug": slower}


def albumentations_turns(images: Tensor) -> dict[str, Turn]:
    try:
        import albumentations as A
        import cv2
    except ImportError:
        return {}
    cv2.setNumThreads(torch.get_num_threads())
    arrays = [np.ascontiguousarray(image.permute(1, 2, 0).numpy()) for image in images]
    names = {"ElasticTransform": A.ElasticTransform(p=1.0), "ThinPlateSpline": A.ThinPlateSpline(p=1.0)}

    def turn(transform: Any) -> Turn:
        return lambda: [transform(image=array)["image"] for array in arrays]

    return {f"albumentations {name}": turn(transform) for name, transform in names.items()}


def kornia_turns(images: Tensor) -> dict[str, Turn]:
    try:
        import kornia.augmentation as K
    except ImportError:
        return {}
    names = {
        "RandomThinPlateSpline": K.RandomThinPlateSpline(p=1.0),
        "RandomElasticTransform": K.RandomElasticTransform(p=1.0),
    }

    def turn(transform: Any) -> Turn:
        # uint8 in, uint8 out, like the others.
        return lambda: (transform(images.float() / 255) * 255).round().byte()

    return {f"kornia {name}": turn(transform.to(images.device)) for name, transform in names.items()}


def loading(augment: fomaug.MotionAugment, images: Tensor, measure: Measure) -> dict[str, Any]:
    """Time passes over the data: plain, with the network alone, with the module, with the loader."""
    plain = batches_of(images, augment)
    moved = MotionLoader(plain, augment)
    alone = network_alone(augment, images)
    turns: dict[str, Turn] = {
        "plain loading": lambda: exhaust(plain),
        "network alone": lambda: [alone() for _ in range(len(plain))],
        "module": lambda: [augment(batch.to(augment.device)) for (batch,) in plain],
        "MotionLoader": lambda: exhaust(moved),
    }
    times = measure(turns)
    slower = times_slower(times, "network alone")
    overhead = {name: round(slower[name] - 1, 3) for name in ("module", "MotionLoader")}
    return {"images_per_second": rates(times, len(plain) * len(images)), "overhead_beyond_network": overhead}


def batches_of(images: Tensor, augment: fomaug.MotionAugment) -> DataLoader[Any]:
    batches = BATCHES[augment.device.type]
    return DataLoader(TensorDataset(images.repeat(batches, 1, 1, 1)), batch_size=len(images))


def network_alone(augment: fomaug.MotionAugment, images: Tensor) -> Turn:
    """Encode and animate one batch, from uint8 to uint8: the part that every wrapper includes."""
    model, there = augment.model, images.to(augment.device)
    keypoints = drawn_keypoints(augment, there)

    def turn() -> Tensor:
        animated = model.animate(model.encode(there.float() / 255), keypoints)
        return (animated.image * 255).round().byte()

    return turn


def drawn_keypoints(augment: fomaug.MotionAugment, images: Tensor) -> fomaug.Keypoints:
    """Compute the target keypoints of draws, because a network without motion reads less memory."""
    params = augment.apply(images, augment.draw(range(len(images)))).params
    frames = {track.name: track.keypoints for track in augment.driving.tracks}
    driving = fomaug.Keypoints.cat([frames[param.clip][param.frame] for param in params]).to(images.device)
    reference = fomaug.Keypoints.cat([frames[param.clip][int(param.reference)] for param in params]).to(images.device)
    strength = torch.tensor([param.strength for param in params], device=images.device)
    return fomaug.transfer(augment.model.detect(images.float() / 255), driving, reference, strength=strength)


def exhaust(batches: Any) -> None:
    for _ in batches:
        pass


def training(augment: fomaug.MotionAugment, images: Tensor, measure: Measure) -> dict[str, Any]:
    """Time passes of a ResNet-18 over pictures of 224, without and with animated faces."""
    net = resnet18().to(augment.device)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    plain = batches_of(images, augment)
    half = fomaug.MotionAugment(augment.driving, augment.model, p=0.5)

    def passes(batches: Any, move: Callable[[Tensor], Tensor] | None = None) -> Turn:
        own = move or nn.Identity()
        return lambda: [step(net, optimizer, own(batch.to(augment.device))) for (batch,) in batches]

    turns = {
        "plain": passes(plain),
        "module, p=1": passes(plain, augment),
        "MotionLoader, p=1": passes(MotionLoader(plain, augment)),
        "MotionLoader, p=0.5": passes(MotionLoader(plain, half)),
    }
    times = measure(turns)
    return {"images_per_second": rates(times, len(plain) * len(images)), "times_slower": times_slower(times, "plain")}


def step(net: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor) -> None:
    crop = images[..., 16:240, 16:240].float() / 255
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=images.device.type == "cuda"):
        loss = nn.functional.cross_entropy(net(crop), torch.arange(len(images), device=images.device))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def network(augment: fomaug.MotionAugment, images: Tensor, measure: Measure) -> dict[str, Any]:
    """Count the network's operations for an image, and its share of the machine's measured ceiling."""
    turn = network_alone(augment, images)
    with FlopCounterMode(display=False) as counter:
        turn()
    operations = counter.get_total_flops() / len(images)
    side = 8192 if augment.device.type == "cuda" else 1024
    square = torch.rand(side, side, device=augment.device, dtype=augment.model.dtype)
    found = rates(measure({"network": turn, "matrix product": lambda: square @ square}), 1)
    ceiling = found["matrix product"] * 2 * side**3
    frames = found["network"] * len(images)
    return {
        "gflop_per_frame": round(operations / 1e9, 3),
        "frames_per_second": round(frames, 1),
        "tflops_used": round(frames * operations / 1e12, 3),
        "tflops_of_a_large_matrix_product": round(ceiling / 1e12, 3),
        "share_of_ceiling": round(frames * operations / ceiling, 4),
    }


PARTS = {"deformations": deformations, "loading": loading, "training": training, "network": network}

if __name__ == "__main__":
    main()
