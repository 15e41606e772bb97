"""Images a second: MotionAugment beside plain loading and beside the deformations people use now. Prints JSON.

    python benchmarks/throughput.py                      on the best device here
    python benchmarks/throughput.py --device cpu --threads 1 --seconds 20
    python benchmarks/throughput.py --out throughput.json

All candidates take turns in one run, so that whatever else the machine does hits them alike; each gets the median of
its turns. docs/benchmarks.md says what the regimes mean.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

import fomaug
from fomaug.data import MotionLoader

SIDE = 256
Turn = Callable[[], object]


def main() -> None:
    args = read_arguments()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = args.dtype or ("bfloat16" if device.type == "cuda" else "float32")
    model = fomaug.load_model(args.model, device=str(device), dtype=dtype)
    augment = fomaug.MotionAugment(fomaug.DrivingPool.builtin(model), model, p=1.0)
    batch = args.batch or (64 if device.type == "cuda" else 16)
    augment.batch_size = batch
    images = portraits(batch)
    report = {
        "machine": machine(device, args.threads),
        "settings": {"model": model.name, "dtype": dtype, "batch": batch, "size": SIDE, "seconds": args.seconds},
        "deformations": deformations(augment, images, args.seconds),
        "loading": loading(augment, images, args.seconds),
        "training": training(augment, images, args.seconds),
        "network": network(augment, images, args.seconds),
    }
    text = json.dumps(report, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lite-256")
    parser.add_argument("--device", help="cpu, cuda, ...; the best here if left out")
    parser.add_argument("--dtype", help="of the model; bfloat16 on CUDA and float32 elsewhere if left out")
    parser.add_argument("--batch", type=int, help="64 on CUDA and 16 elsewhere if left out")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=10.0, help="for each candidate of each part")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    return parser.parse_args()


def machine(device: torch.device, threads: int) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    cpu = next(
        (line.split(":")[1].strip() for line in cpu_lines() if line.startswith("model name")), platform.machine()
    )
    return {"device": name, "cpu": cpu, "threads": threads, "torch": torch.__version__, "fomaug": fomaug.__version__}


def cpu_lines() -> list[str]:
    info = Path("/proc/cpuinfo")
    return info.read_text().splitlines() if info.exists() else []


def portraits(count: int) -> Tensor:
    """Return (count, 3, 256, 256) uint8 pictures, smooth as photographs are."""
    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.random((count, 3, 16, 16), dtype=np.float32))
    large = nn.functional.interpolate(small, (SIDE, SIDE), mode="bicubic", align_corners=True)
    return (large.clamp(0, 1) * 255).byte()


def rates(turns: dict[str, Turn], count: int, seconds: float, device: torch.device) -> dict[str, float]:
    """Let all candidates take turns; return the images a second of each one's median turn."""
    times: dict[str, list[float]] = {name: [] for name in turns}
    for name, turn in turns.items():
        timed(turn, device)  # the first turn loads, compiles and allocates
        times[name] = []
    end = time.perf_counter() + seconds * len(turns)
    while time.perf_counter() < end or min(map(len, times.values())) < 3:
        for name, turn in turns.items():
            times[name].append(timed(turn, device))
    return {name: round(count / statistics.median(spent), 2) for name, spent in times.items()}


def timed(turn: Turn, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    turn()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def deformations(augment: fomaug.MotionAugment, images: Tensor, seconds: float) -> dict[str, Any]:
    """One batch through each deformation: ours, albumentations' one picture after the other, kornia's as a batch."""
    there = images.to(augment.device)
    turns: dict[str, Turn] = {"fomaug MotionAugment": lambda: augment(there)}
    turns |= albumentations_turns(images) | kornia_turns(there)
    found = rates(turns, len(images), seconds, augment.device)
    ours = found["fomaug MotionAugment"]
    return {
        "images_per_second": found,
        "times_as_fast_as_fomaug": {name: round(rate / ours, 2) for name, rate in found.items()},
    }


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
    # uint8 in, uint8 out, like the others.
    names = {
        "RandomThinPlateSpline": K.RandomThinPlateSpline(p=1.0),
        "RandomElasticTransform": K.RandomElasticTransform(p=1.0),
    }

    def turn(transform: Any) -> Turn:
        return lambda: (transform(images.float() / 255) * 255).round().byte()

    return {f"kornia {name}": turn(transform.to(images.device)) for name, transform in names.items()}


def loading(augment: fomaug.MotionAugment, images: Tensor, seconds: float) -> dict[str, Any]:
    """Passes over four batches: plain, through the network alone, through the module, through the loader."""
    batches = 4
    dataset = TensorDataset(images.repeat(batches, 1, 1, 1))
    plain = DataLoader(dataset, batch_size=len(images))
    moved = MotionLoader(plain, augment)
    alone = network_alone(augment, images)
    turns: dict[str, Turn] = {
        "plain loading": lambda: exhaust(plain),
        "network alone": lambda: [alone() for _ in range(batches)],
        "module": lambda: [augment(batch.to(augment.device)) for (batch,) in plain],
        "MotionLoader": lambda: exhaust(moved),
    }
    found = rates(turns, batches * len(images), seconds, augment.device)
    overhead = {name: round(found["network alone"] / found[name] - 1, 4) for name in ("module", "MotionLoader")}
    return {"images_per_second": found, "overhead_beyond_network": overhead}


def network_alone(augment: fomaug.MotionAugment, images: Tensor) -> Turn:
    """Encode and animate one batch, from uint8 to uint8: what no wrapper can do without."""
    model, there = augment.model, images.to(augment.device)
    keypoints = model.detect(there.float() / 255)

    def turn() -> Tensor:
        animated = model.animate(model.encode(there.float() / 255), keypoints)
        return (animated.image * 255).round().byte()

    return turn


def exhaust(batches: Any) -> None:
    for _ in batches:
        pass


def training(augment: fomaug.MotionAugment, images: Tensor, seconds: float) -> dict[str, Any]:
    """Steps of a ResNet-18 on pictures of 224, without and with moved faces."""
    net = resnet18().to(augment.device)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    plain = DataLoader(TensorDataset(images.repeat(4, 1, 1, 1)), batch_size=len(images))
    half = fomaug.MotionAugment(augment.driving, augment.model, p=0.5, batch_size=augment.batch_size)

    def passes(batches: Any) -> Turn:
        return lambda: [step(net, optimizer, batch.to(augment.device)) for (batch,) in batches]

    turns = {
        "plain": passes(plain),
        "MotionLoader, p=0.5": passes(MotionLoader(plain, half)),
        "MotionLoader, p=1": passes(MotionLoader(plain, augment)),
    }
    found = rates(turns, 4 * len(images), seconds, augment.device)
    return {"images_per_second": found, "times_slower": {n: round(found["plain"] / r, 3) for n, r in found.items()}}


def step(net: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor) -> None:
    crop = images[..., 16:240, 16:240].float() / 255
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=images.device.type == "cuda"):
        loss = nn.functional.cross_entropy(net(crop), torch.arange(len(images), device=images.device))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


class Residual(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(given, made, 3, stride, 1, bias=False), nn.BatchNorm2d(made), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(made, made, 3, 1, 1, bias=False), nn.BatchNorm2d(made))
        self.shortcut = nn.Conv2d(given, made, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(self.first(x)) + self.shortcut(x))


def resnet18() -> nn.Module:
    def stages() -> Iterator[nn.Module]:
        for given, made, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
            yield Residual(given, made, stride)
            yield Residual(made, made, 1)

    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *stages(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def network(augment: fomaug.MotionAugment, images: Tensor, seconds: float) -> dict[str, Any]:
    """Count the network's work a frame, and how much of the machine's measured ceiling it uses."""
    turn = network_alone(augment, images)
    with FlopCounterMode(display=False) as counter:
        turn()
    operations = counter.get_total_flops() / len(images)
    side = 4096 if augment.device.type == "cuda" else 1024
    square = torch.ones(side, side, device=augment.device, dtype=augment.model.dtype)
    turns: dict[str, Turn] = {"network": turn, "matrix product": lambda: square @ square}
    found = rates(turns, 1, seconds, augment.device)
    ceiling = found["matrix product"] * 2 * side**3
    used = found["network"] * len(images) * operations
    return {
        "gflop_per_frame": round(operations / 1e9, 3),
        "frames_per_second": round(found["network"] * len(images), 1),
        "tflops_used": round(used / 1e12, 3),
        "tflops_of_a_large_matrix_product": round(ceiling / 1e12, 3),
        "share_of_ceiling": round(used / ceiling, 4),
    }


if __name__ == "__main__":
    main()
