"""Two processes that train one net together: they draw apart, and their nets stay alike."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from fomaug.augment import MotionAugment
from fomaug.data import MotionLoader

RANKS = 2


def train(rank: int, folder: str, augment: MotionAugment, images: torch.Tensor) -> None:
    """One rank: two epochs through the loader, then one batch through the module; writes down what it saw."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/ranks", rank=rank, world_size=RANKS)
    torch.manual_seed(rank)  # DistributedDataParallel begins with the weights of rank 0
    net = nn.parallel.DistributedDataParallel(nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(192, 8)))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    dataset = TensorDataset(images, torch.arange(len(images)))
    sampler = DistributedSampler(dataset, num_replicas=RANKS, rank=rank)
    log, losses = [], []
    loader = MotionLoader(DataLoader(dataset, batch_size=2, sampler=sampler), augment, log=log.extend)

    def step(moved: torch.Tensor, labels: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(moved), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    for epoch in range(2):
        loader.set_epoch(epoch)
        for moved, labels in loader:
            step(moved, labels)
    same = augment(images[:2])  # without keys, and the same pictures on both ranks
    step(same, torch.arange(2))
    (streamed,) = MotionLoader([images[:2]], augment)  # a loader that tells no index
    weights = {name: value.detach() for name, value in net.module.named_parameters()}
    rows = [param.to_dict() for param in log]
    seen = {"log": rows, "losses": losses, "module": same, "streamed": streamed, "weights": weights}
    torch.save(seen, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def seen(tiny_pool, tiny_model, tmp_path_factory):
    """What each of the ranks saw."""
    folder = tmp_path_factory.mktemp("ranks")
    augment = MotionAugment(tiny_pool, tiny_model, p=1.0, seed=3)
    images = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.multiprocessing.start_processes(train, (str(folder), augment, images), nprocs=RANKS, start_method="fork")
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


def test_ranks_divide_the_pictures_and_draw_like_one_process(seen, tiny_pool, tiny_model):
    augment = MotionAugment(tiny_pool, tiny_model, p=1.0, seed=3)
    for epoch in range(2):
        rows = [{row["key"]: row for row in one["log"] if row["epoch"] == epoch} for one in seen]
        assert not rows[0].keys() & rows[1].keys()
        both = rows[0] | rows[1]
        assert sorted(both) == list(range(8))
        for param in augment.draw(range(8), epoch=epoch):
            row = both[param.key]
            assert (row["clip"], row["frame"], row["strength"]) == (param.clip, param.frame, param.strength)


def test_pictures_without_names_move_differently_on_each_rank(seen):
    first, second = seen
    for kind in ("module", "streamed"):
        assert bool(((first[kind] - second[kind]).abs().amax((1, 2, 3)) > 1e-4).all())


def test_every_step_runs_and_the_nets_remain_equal(seen):
    first, second = seen
    assert len(first["losses"]) == len(second["losses"]) == 5
    assert first["losses"] != second["losses"]
    assert torch.isfinite(torch.tensor(first["losses"] + second["losses"])).all()
    for name, weight in first["weights"].items():
        assert torch.equal(weight, second["weights"][name])
