"""Several processes: real ones on a CPU, and the choice of devices for GPUs."""

from __future__ import annotations

import os
import pickle
import socket
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import fresh
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fomaug
from fomaug import Animator, load_model, save_model
from fomaug.training import TrainConfig
from fomaug.training.model import Batch, ThinPlateSpline, pixels
from fomaug.training.trainer import Ranks, Trainer, own_device, share_statistics

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("device", "cuda", "expected"),
    [
        ("auto", True, "cuda:3"),
        ("auto", False, "cpu"),
        ("cuda", True, "cuda:3"),
        ("cuda:1", True, "cuda:1"),
        ("cpu", True, "cpu"),
    ],
)
def test_each_process_of_a_machine_takes_a_gpu_of_its_own(device: str, cuda: bool, expected: str) -> None:
    assert own_device(device, local_rank=3, cuda=cuda) == torch.device(expected)


@pytest.mark.parametrize(
    ("count", "device", "shared"), [(1, "cuda:0", False), (2, "cuda:1", True), (1, "cpu", False), (2, "cpu", False)]
)
def test_batch_statistics_are_shared_between_gpus_only(count: int, device: str, shared: bool) -> None:
    assert Ranks(0, count, torch.device(device)).shares_statistics == shared


def test_shared_batch_norms_keep_names_weights_and_results(tiny_train: TrainConfig) -> None:
    trainer = Trainer(tiny_train, pixels, Ranks(0, 1, CPU))
    plain, shared = trainer.networks.generator, share_statistics(Trainer(tiny_train, pixels, Ranks(0, 1, CPU)).networks)
    kinds = {type(module) for module in shared.modules()}
    assert nn.SyncBatchNorm in kinds and nn.BatchNorm2d not in kinds
    expected, found = trainer.networks.state_dict(), shared.state_dict()
    assert list(found) == list(expected)
    assert all(found[name].equal(value) for name, value in expected.items())
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before, after = plain.eval().encode(picture), shared.generator.eval().encode(picture)
    torch.testing.assert_close(after, before)


def test_a_model_with_shared_batch_norms_is_saved_like_any_other(tiny_model: Animator, tmp_path: Path) -> None:
    plain = load_model(save_model(tiny_model, tmp_path / "plain.safetensors", half=False), device="cpu", fold=False)
    shared = Animator(plain.config, share_statistics(plain.detector), share_statistics(plain.generator), name="shared")
    path = save_model(shared, tmp_path / "shared.safetensors", half=False)
    assert load_model(path, device="cpu").hash == tiny_model.hash


def start(script: str, arguments: list[str], tmp_path: Path) -> list[int]:
    """Run a script in two processes, as torchrun starts them."""
    (tmp_path / "run.py").write_text(textwrap.dedent(script))
    environment = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    environment.update({"MASTER_PORT": free_port(), "SECOND_PORT": free_port()})
    folders = [Path(fomaug.__file__).parents[1], Path(__file__).parent, Path(fresh.__file__).parent]
    environment["PYTHONPATH"] = os.pathsep.join(map(str, folders))
    command = [tmp_path / "run.py", *arguments]
    processes = [fresh.start(command, env={**environment, "RANK": str(rank)}) for rank in (0, 1)]
    try:
        return [process.wait(timeout=180) for process in processes]
    finally:
        for process in processes:
            process.kill()
            sys.stderr.write("".join(text.decode() for text in process.communicate()))


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


SCRIPT = """
    import os, pickle, sys
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    from fomaug.training import train
    from fomaug.training.model import pixels
    from fomaug.training.trainer import Ranks
    from fomaug.training.trainer import Trainer
    from test_ranks import make_batch
    config, clips, run = (Path(word) for word in sys.argv[1:])
    config = pickle.loads(config.read_bytes())
    ranks = Ranks.join("cpu")
    trainer = Trainer(config, pixels, ranks)
    losses, _ = trainer.shared(make_batch(ranks.rank))
    sum(losses.values()).backward()
    grads = {name: p.grad for name, p in trainer.networks.named_parameters() if p.grad is not None}
    torch.save(grads, run.with_name(f"grads{ranks.rank}.pt"))
    ranks.leave()
    os.environ["MASTER_PORT"] = os.environ["SECOND_PORT"]  # at the first one they may still find those who just left
    train(config, clips, run, max_steps=2, progress=False, device="cpu")
"""


def make_batch(rank: int) -> Batch:
    frames = torch.rand(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(rank))
    return Batch(frames[0], frames[1], ThinPlateSpline.draw(2, rng=np.random.default_rng(rank)))


def gradients(config: TrainConfig, rank: int) -> dict[str, Tensor]:
    trainer = Trainer(config, pixels, Ranks(0, 1, CPU))
    losses, _ = trainer.networks(make_batch(rank))
    torch.stack(list(losses.values())).sum().backward()
    return {name: p.grad for name, p in trainer.networks.named_parameters() if p.grad is not None}


def test_two_processes_train_one_model_by_the_mean_of_their_gradients(
    tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path
) -> None:
    config = replace(tiny_train, batch_size=2)
    (tmp_path / "config").write_bytes(pickle.dumps(config))
    assert start(SCRIPT, [str(tmp_path / "config"), str(moving_shapes), str(tmp_path / "run")], tmp_path) == [0, 0]
    single = [gradients(config, rank) for rank in (0, 1)]
    for rank in (0, 1):
        for name, found in torch.load(tmp_path / f"grads{rank}.pt", weights_only=True).items():
            expected = (single[0][name] + single[1][name]) / 2
            torch.testing.assert_close(found, expected, atol=1e-5 + 1e-4 * float(expected.abs().max()), rtol=0)
    assert len((tmp_path / "run" / "losses.jsonl").read_text().splitlines()) == 2
    assert load_model(tmp_path / "run" / "model.safetensors", device="cpu").size == 64
