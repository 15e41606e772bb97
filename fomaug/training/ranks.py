"""Training in one process or in several: the rank of this process, its device, and shared gradients."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from fomaug.weights import pick_device

Network = TypeVar("Network", bound=nn.Module)


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
