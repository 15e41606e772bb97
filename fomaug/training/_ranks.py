"""One process or many: who this one is, and what it shares."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Ranks:
    """The place of this process among those that `torchrun` started."""

    rank: int
    count: int
    device: torch.device

    @classmethod
    def join(cls, device: str | torch.device = "auto") -> Ranks:
        """Meet the other processes, if `torchrun` started this one."""
        count, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        if device == "auto":
            local = int(os.environ.get("LOCAL_RANK", 0))
            device = f"cuda:{local}" if torch.cuda.is_available() else "cpu"
        own = torch.device(device)
        if count > 1:
            torch.distributed.init_process_group("nccl" if own.type == "cuda" else "gloo")
        return cls(rank, count, own)

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def synchronise(self, networks: Network) -> Network:
        """Move networks to the device; share batch statistics where there are several GPUs."""
        if self.count > 1 and self.device.type == "cuda":
            networks = nn.SyncBatchNorm.convert_sync_batchnorm(networks)  # type: ignore[no-untyped-call]
        return networks.to(self.device)

    def wrap(self, networks: nn.Module) -> nn.Module:
        """Share gradients."""
        if self.count == 1:
            return networks
        # Each phase uses some networks and not others. Buffers: batch statistics are shared where it matters, above.
        return DistributedDataParallel(networks, find_unused_parameters=True, broadcast_buffers=False)

    def leave(self) -> None:
        """Part from the other processes."""
        if self.count > 1:
            torch.distributed.destroy_process_group()
