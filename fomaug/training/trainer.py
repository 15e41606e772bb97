"""The trainer: batches, training steps and the state of one process, alone or among the ranks of `torchrun`."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from fomaug.animator import Animator
from fomaug.errors import MediaError, ResumeError
from fomaug.training.config import TrainConfig
from fomaug.training.model import Batch, Features, ThinPlateSpline, TrainedNetworks
from fomaug.training.pairs import ClipPairs, Frames, epoch_order
from fomaug.weights import pick_device

Network = TypeVar("Network", bound=nn.Module)
Precision = Literal["float32", "bfloat16"]
_PARTS = {"generator": "lr_generator", "discriminator": "lr_discriminator", "kp_detector": "lr_kp_detector"}
_MAY_CHANGE = ("num_epochs", "checkpoint_steps", "keep_checkpoints")


@dataclass(frozen=True)
class Ranks:
    """The rank and the device of this process among those that `torchrun` started."""

    rank: int
    count: int
    device: torch.device

    @classmethod
    def join(cls, device: str | torch.device = "auto") -> Ranks:
        """Join the process group if `torchrun` started this process."""
        count, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        own = own_device(device, local_rank=int(os.environ.get("LOCAL_RANK", 0)), cuda=torch.cuda.is_available())
        pick_device(own)
        if count > 1:
            torch.distributed.init_process_group("nccl" if own.type == "cuda" else "gloo")
        return cls(rank, count, own)

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    @property
    def shares_statistics(self) -> bool:
        """Whether batch norms use the batches of all processes; torch has such a layer for GPUs only."""
        return self.count > 1 and self.device.type == "cuda"

    def synchronise(self, networks: Network) -> Network:
        """Move networks to the device, and share batch statistics if there are several GPUs."""
        return (share_statistics(networks) if self.shares_statistics else networks).to(self.device)

    def wrap(self, networks: nn.Module) -> nn.Module:
        """Share gradients among the processes."""
        if self.count == 1:
            return networks
        # Each phase uses only some of the networks. Buffers are not broadcast, because `synchronise` shares statistics.
        return DistributedDataParallel(networks, find_unused_parameters=True, broadcast_buffers=False)

    def leave(self) -> None:
        """Leave the process group."""
        if self.count > 1:
            torch.distributed.destroy_process_group()


def own_device(device: str | torch.device, *, local_rank: int, cuda: bool) -> torch.device:
    """Choose the device of this process: its own GPU by local rank, unless `device` has an index."""
    wanted = torch.device(("cuda" if cuda else "cpu") if device == "auto" else device)
    return torch.device("cuda", local_rank) if wanted.type == "cuda" and wanted.index is None else wanted


def share_statistics(networks: Network) -> Network:
    """Replace every batch norm by `SyncBatchNorm`; names and values of the weights stay the same."""
    converted: Network = nn.SyncBatchNorm.convert_sync_batchnorm(networks)  # type: ignore[no-untyped-call]
    return converted


def _frozen(extract: Features, device: torch.device) -> Features:
    """Move a feature extractor that is a network to the device, and freeze it."""
    if isinstance(extract, nn.Module):
        return extract.to(device).eval().requires_grad_(False)  # noqa: FBT003 (torch's signature)
    return extract


class Trainer:
    """Networks, optimisers and averages of one process."""

    def __init__(self, config: TrainConfig, extract: Features, ranks: Ranks, *, init: Animator | None = None) -> None:
        self.config, self.ranks, self.step = config, ranks, 0
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(config.seed)  # initial weights of the CPU are the same on every rank
            networks = TrainedNetworks(config, _frozen(extract, ranks.device))
        if init is not None:
            networks.kp_detector.load_state_dict(init.detector.state_dict())
            networks.generator.load_state_dict(init.generator.state_dict())
        self.networks = ranks.synchronise(networks)
        self.shared = ranks.wrap(self.networks)
        moving = get_ema_multi_avg_fn(config.ema)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(self.networks, multi_avg_fn=moving, use_buffers=True)
        self.optimisers = {
            part: torch.optim.Adam(
                getattr(self.networks, part).parameters(), lr=getattr(config, rate), betas=(0.5, 0.999)
            )
            for part, rate in _PARTS.items()
        }

    def batches(self, clips: list[Frames], workers: int) -> Iterator[Batch]:
        """Yield the remaining batches of all epochs; a resumed run continues within its epoch."""
        config, size = self.config, self.config.model.size or 256
        for epoch in itertools.count(0):
            pairs = ClipPairs(
                clips,
                size=size,
                augment=config.augment,
                id_sampling=config.id_sampling,
                num_repeats=config.num_repeats,
                seed=config.seed,
                epoch=epoch,
            )
            if len(pairs) < self.ranks.count:
                raise MediaError(
                    f"an epoch has {len(pairs)} pairs, which is too few for {self.ranks.count} processes; add clips, "
                    "raise num_repeats or start fewer processes"
                )
            per_epoch = max(1, len(pairs) // self.ranks.count // config.batch_size)
            if epoch >= config.num_epochs:
                return
            done = self.step - epoch * per_epoch
            if done >= per_epoch:
                continue
            order = list(epoch_order(len(pairs), config.seed, epoch, self.ranks.rank, self.ranks.count))
            start, end = done * config.batch_size, per_epoch * config.batch_size
            loader = DataLoader(
                pairs,
                config.batch_size,
                sampler=order[start:end],
                num_workers=workers,
                generator=torch.Generator(),  # without it, the loader would use the global generator
            )
            self._set_rates(epoch)
            for source, driving in loader:
                yield Batch(source, driving, self._spline(len(source)))

    def train_step(self, batch: Batch, precision: Precision) -> tuple[dict[str, float], Tensor]:
        """Update detector and generator, then the discriminator, and return the losses and the prediction."""
        batch = batch.to(self.ranks.device)
        self.networks.train()
        with self._autocast(precision):
            losses, prediction = self.shared(batch)
        self._update(losses, ("generator", "kp_detector"))
        if self.config.weights.generator_gan:
            with self._autocast(precision):
                judged, _ = self.shared(batch, prediction.detach())
            self._update(judged, ("discriminator",))
            losses = {**losses, **judged}
        if self.config.ema:
            self.average.update_parameters(self.networks)
        self.step += 1
        return {name: float(value.detach()) for name, value in losses.items()}, prediction.detach()

    def state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        return {
            "step": self.step,
            "config": json.dumps(asdict(self.config), sort_keys=True),
            "networks": self.networks.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": {part: optimiser.state_dict() for part, optimiser in self.optimisers.items()},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore a state.

        Raises:
            ResumeError: the state is from another configuration; the message names the settings that differ.
        """
        old, new = json.loads(state["config"]), json.loads(json.dumps(asdict(self.config)))
        changed = [key for key in new if old.get(key) != new[key] and key not in _MAY_CHANGE]
        if changed:
            raise ResumeError(
                f"the run was started with other settings: {', '.join(changed)}; resume with the same ones"
            )
        self.step = state["step"]
        self.networks.load_state_dict(state["networks"])
        self.average.load_state_dict(state["average"])
        for part, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][part])

    def animator(self) -> Animator:
        """Make an animator of the current networks."""
        networks = self.average.module if self.config.ema else self.networks
        assert isinstance(networks, TrainedNetworks)
        return Animator(self.config.model, networks.kp_detector, networks.generator, name="trained")

    def _update(self, losses: dict[str, Tensor], parts: tuple[str, ...]) -> None:
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        torch.stack([value.float() for value in losses.values()]).sum().backward()  # type: ignore[no-untyped-call]
        for part in parts:
            self.optimisers[part].step()

    def _set_rates(self, epoch: int) -> None:
        factor = 0.1 ** sum(epoch >= milestone for milestone in self.config.epoch_milestones)
        for part, rate in _PARTS.items():
            for group in self.optimisers[part].param_groups:
                group["lr"] = getattr(self.config, rate) * factor

    def _spline(self, count: int) -> ThinPlateSpline:
        rng = np.random.default_rng([self.config.seed, self.step, self.ranks.rank])
        return ThinPlateSpline.draw(count, rng=rng, **asdict(self.config.transform))

    def _autocast(self, precision: Precision) -> AbstractContextManager[None]:
        return torch.autocast(self.ranks.device.type, torch.bfloat16, enabled=precision == "bfloat16")
