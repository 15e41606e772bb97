"""Train a small face recognition model on one picture a person: every epoch shows each face in another pose.

    python examples/train_recognition.py                      train on the example faces
    python examples/train_recognition.py FACES --epochs 40    train on a folder with a subfolder for each person
    python examples/train_recognition.py --plain              train without motion, for comparison

The last picture of each person with several pictures is held out for the test. If all persons have one picture, the
test uses motions that are not in the training.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import fomaug
from fomaug.data import MotionLoader

SIDE = 96
Batches = Iterable[tuple[Tensor, Tensor]]


def main() -> None:
    """Read the faces, train, and print the accuracy."""
    args = read_arguments()
    torch.manual_seed(0)
    train, test = read_faces(args.folder)
    people = int(train.tensors[1].max()) + 1
    print(f"{people} people, {len(train)} pictures to learn from, {len(test)} kept for the test")

    augment = fomaug.MotionAugment(p=0.8, seed=0)
    loader = DataLoader(train, batch_size=16, shuffle=True)
    batches = loader if args.plain else MotionLoader(loader, augment)
    net = recogniser(people)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    for epoch in range(args.epochs):
        loss = train_epoch(net, optimizer, batches)
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1}: loss {loss:.3f}")

    if len(test):
        print(f"accuracy on kept pictures: {accuracy(net, DataLoader(test, batch_size=16)):.2f}")
    else:
        unseen = fomaug.MotionAugment(augment.driving, augment.model, p=1.0, seed=1)
        print(
            f"accuracy on unseen motions: {accuracy(net, MotionLoader(DataLoader(train, batch_size=16), unseen)):.2f}"
        )


def read_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "faces")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--plain", action="store_true", help="train without moved faces")
    parser.add_argument("--quick", action="store_true", help="two epochs, to see that it runs")
    args = parser.parse_args()
    args.epochs = 2 if args.quick else args.epochs
    return args


def read_faces(folder: Path) -> tuple[TensorDataset, TensorDataset]:
    """Read pictures (N, 3, SIDE, SIDE) uint8 and the index of each person, for training and for the test."""
    parts: tuple[list[tuple[Tensor, int]], list[tuple[Tensor, int]]] = ([], [])
    people = sorted(path for path in folder.iterdir() if path.is_dir())
    for number, person in enumerate(people):
        pictures = [read_picture(path) for path in sorted(person.iterdir()) if path.suffix in (".jpg", ".jpeg", ".png")]
        kept = 1 if len(pictures) > 1 else 0
        for row, picture in enumerate(pictures):
            parts[row >= len(pictures) - kept].append((picture, number))
    train, test = (to_dataset(part) for part in parts)
    return train, test


def read_picture(path: Path) -> Tensor:
    """Read one picture, (3, SIDE, SIDE) uint8."""
    with Image.open(path) as picture:
        square = ImageOps.fit(picture.convert("RGB"), (SIDE, SIDE))
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)


def to_dataset(rows: list[tuple[Tensor, int]]) -> TensorDataset:
    """Make a dataset of pictures and indices of persons."""
    if not rows:
        return TensorDataset(torch.zeros(0, 3, SIDE, SIDE, dtype=torch.uint8), torch.zeros(0, dtype=torch.long))
    return TensorDataset(torch.stack([picture for picture, _ in rows]), torch.tensor([number for _, number in rows]))


def recogniser(people: int) -> nn.Module:
    """Build a small convolutional network."""
    widths = (3, 16, 32, 64)
    blocks = [
        nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()) for a, b in pairwise(widths)
    ]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64 * 16, people))


def to_input(images: Tensor) -> Tensor:
    """Scale uint8 pictures to [-1, 1]."""
    return images.float() / 127.5 - 1


def train_epoch(net: nn.Module, optimizer: torch.optim.Optimizer, batches: Batches) -> float:
    """Train on every batch once, and return the mean loss."""
    net.train()
    losses = []
    for images, people in batches:
        loss = nn.functional.cross_entropy(net(to_input(images)), people)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses))


@torch.no_grad()
def accuracy(net: nn.Module, batches: Batches) -> float:
    """Return the share of pictures whose person is recognised."""
    net.eval()
    right = [net(to_input(images)).argmax(1) == people for images, people in batches]
    return float(torch.cat(right).float().mean())


if __name__ == "__main__":
    main()
