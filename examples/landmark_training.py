"""Train a landmark regressor on a few faces: every epoch shows each face with its landmarks in another pose.

    python examples/landmark_training.py            train on the example faces
    python examples/landmark_training.py --plain    train without motion, for comparison

The landmarks are the model's keypoints, so that the example needs no annotations; replace them by your own. The test
uses motions that are not in the training.
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
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset

import fomaug
from fomaug.data import MotionLoader

SIDE = 96
VIEWS = 4
Batches = Iterable[tuple[Tensor, Tensor]]


def main() -> None:
    """Read the faces, train, and print the mean error of the landmarks."""
    args = read_arguments()
    torch.manual_seed(0)
    augment = fomaug.MotionAugment(p=0.9, seed=0, purpose="landmarks")
    images = read_faces(args.folder)
    points = find_landmarks(augment.model, images)
    mean = points.mean(0)
    print(f"{len(images)} faces, one picture each, with {len(mean)} landmarks")

    # Each face is several times in the dataset, and each index has its own draw.
    faces = TensorDataset(images, points)
    loader = DataLoader(ConcatDataset([faces] * VIEWS), batch_size=11, shuffle=True)
    # points=1: the second part of each batch is (B, M, 2) pixels and moves with the pictures.
    batches = loader if args.plain else MotionLoader(loader, augment, points=1)
    net = Regressor(mean)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for epoch in range(args.epochs):
        loss = train_epoch(net, optimizer, batches)
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1}: mean distance {loss:.2f} px")

    unseen = fomaug.MotionAugment(augment.driving, augment.model, p=1.0, seed=1)
    views = list(MotionLoader(DataLoader(ConcatDataset([faces] * 2), batch_size=11), unseen, points=1))
    print(f"always the mean face: {error(MeanFace(mean), views):.2f} px off in pictures of {SIDE} px")
    print(f"trained, on unseen motions: {error(net, views):.2f} px off")


def read_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "faces")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--plain", action="store_true", help="train without moved faces")
    parser.add_argument("--quick", action="store_true", help="two epochs, to see that it runs")
    args = parser.parse_args()
    args.epochs = 2 if args.quick else args.epochs
    return args


def read_faces(folder: Path) -> Tensor:
    """Read all pictures below a folder, (N, 3, SIDE, SIDE) uint8."""
    pictures = []
    for path in sorted(folder.rglob("*.jpg")):
        with Image.open(path) as picture:
            pictures.append(np.array(ImageOps.fit(picture.convert("RGB"), (SIDE, SIDE))))
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def find_landmarks(model: fomaug.Animator, images: Tensor) -> Tensor:
    """Detect the model's keypoints as landmarks, (N, M, 2) pixels."""
    value = model.detect(images.to(model.device) / 255).value.cpu()
    return (value + 1) / 2 * (SIDE - 1)


class MeanFace(nn.Module):
    """A baseline that predicts the same landmarks (M, 2) for every picture."""

    def __init__(self, mean: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, SIDE, SIDE) uint8 to (B, M, 2) pixels."""
        return self.mean.expand(len(images), -1, -1)


class Regressor(MeanFace):
    """A small convolutional network that predicts offsets from the mean face."""

    def __init__(self, mean: Tensor, widths: tuple[int, ...] = (3, 16, 32, 64)) -> None:
        super().__init__(mean)
        blocks = [
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in pairwise(widths)
        ]
        features = widths[-1] * (SIDE // 2 ** len(blocks)) ** 2
        self.layers = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(features, mean.numel()))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, SIDE, SIDE) uint8 to (B, M, 2) pixels."""
        return self.mean + self.layers(images.float() / 127.5 - 1).view(-1, *self.mean.shape)


def distance(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean distance in pixels."""
    return (found - wanted).norm(dim=-1).mean()


def train_epoch(net: nn.Module, optimizer: torch.optim.Optimizer, batches: Batches) -> float:
    """Train on every batch once, and return the mean distance."""
    net.train()
    losses = []
    for images, points in batches:
        loss = distance(net(images), points)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses))


@torch.no_grad()
def error(net: nn.Module, batches: Batches) -> float:
    """Return the mean distance over all batches, in pixels."""
    net.eval()
    return float(torch.stack([distance(net(images), points) for images, points in batches]).mean())


if __name__ == "__main__":
    main()
