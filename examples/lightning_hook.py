"""Use motion in Lightning: on the device, on whole batches, after the loader.

Lightning calls `on_after_batch_transfer` after the transfer of a batch to the device and before the training step, so
this hook is suited to augmentation on a GPU. Run `python examples/lightning_hook.py`; with `--quick`, or if Lightning
is not installed, the hook is called on a plain object instead.
"""

from __future__ import annotations

import argparse
import importlib.util

import torch
from torch import Tensor, nn

import fomaug

SIZE = 64
Batch = tuple[Tensor, Tensor]


class MotionHooks:
    """A mixin with the two hooks; list it before `LightningModule`, and set `self.augment` in `__init__`."""

    augment: fomaug.MotionAugment
    current_epoch: int

    def on_train_epoch_start(self) -> None:
        """Set the epoch, so that every epoch has its own draws, also after a restart."""
        self.augment.set_epoch(self.current_epoch)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Move the faces; the identity labels stay.

        Validation needs no special case: Lightning sets the module to evaluation mode, in which `MotionAugment` returns
        its input.
        """
        images, labels = batch
        return self.augment(images), labels


class StandIn(MotionHooks, nn.Module):
    """The part of a `LightningModule` that the hooks use."""

    def __init__(self) -> None:
        super().__init__()
        self.augment = fomaug.MotionAugment(p=0.8, seed=0)
        self.current_epoch = 0


def make_batch(count: int) -> Batch:
    """Make pictures of smooth coloured noise, which suffice for the hook."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    images = nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear", align_corners=True)
    return images, torch.arange(count) % 2


def show_hook() -> None:
    """Call the hooks as Lightning would."""
    module = StandIn()
    images, labels = make_batch(4)
    module.on_train_epoch_start()
    moved, kept = module.on_after_batch_transfer((images, labels), 0)
    changed = (moved != images).flatten(1).any(1).sum().item()
    print(f"training: {changed} of {len(images)} images moved, labels {kept.tolist()}, on {moved.device}")
    module.eval()
    same, _ = module.on_after_batch_transfer((images, labels), 0)
    changed = 0 if same is images else (same != images).flatten(1).any(1).sum().item()
    print(f"validation: {changed} of {len(images)} images moved")


def train() -> None:
    """Train a small network with the hooks."""
    import lightning
    from torch.utils.data import DataLoader, TensorDataset

    class Recogniser(MotionHooks, lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.augment = fomaug.MotionAugment(p=0.8, seed=0)
            self.net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.head = nn.Linear(8, 2)

        def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
            images, labels = batch
            return nn.functional.cross_entropy(self.head(self.net(images)), labels)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    loader = DataLoader(TensorDataset(*make_batch(16)), batch_size=8)
    parts = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = lightning.Trainer(max_epochs=2, **dict.fromkeys(parts, False))
    trainer.fit(Recogniser(), loader)
    print(f"trained {trainer.global_step} steps with moving faces")


def main() -> None:
    """Parse the arguments and run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only call the hooks")
    arguments = parser.parse_args()
    if importlib.util.find_spec("lightning") is None:
        print("Lightning is not installed (pip install lightning); here are its two hooks on a plain object")
        show_hook()
    elif arguments.quick:
        show_hook()
    else:
        train()


if __name__ == "__main__":
    main()
