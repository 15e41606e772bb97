"""Motion in a Lightning training: on the device, for whole batches, after the loader.

Lightning calls `on_after_batch_transfer` when a batch has reached the device and before the training step sees it: the
place for augmentation that wants a GPU. Run `python examples/lightning_hook.py`; with `--quick`, or where Lightning
is not installed, the hook is shown on a plain object instead.
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
    """The two hooks; put it before `LightningModule` in a class's bases, and make `self.augment` in `__init__`."""

    augment: fomaug.MotionAugment
    current_epoch: int

    def on_train_epoch_start(self) -> None:
        """Each pass over the data gets draws of its own, the same ones after a restart."""
        self.augment.set_epoch(self.current_epoch)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Move the faces; who they are stays.

        No question about training or validation is needed: Lightning puts the module into evaluation mode for
        validation, and in evaluation mode `MotionAugment` gives its input back.
        """
        images, labels = batch
        return self.augment(images), labels


class StandIn(MotionHooks, nn.Module):
    """What of a `LightningModule` the hooks need."""

    def __init__(self) -> None:
        super().__init__()
        self.augment = fomaug.MotionAugment(p=0.8, seed=0)
        self.current_epoch = 0


def make_batch(count: int) -> Batch:
    """Smooth coloured noise: the hook does not mind what it shows."""
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
    """Train a small net with the hooks in place."""
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
    """Read the arguments and run."""
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
