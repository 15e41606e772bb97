"""One run: train a network on one choice of pictures in one arm, and score it on every test picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fomaug.study.arms import PLAIN, Mixture, degrade
from fomaug.study.augmentation import MIRRORED_POINTS, Copies, apply_classic, draw_classic, mirror_visible, move_points
from fomaug.study.data import StudyData
from fomaug.study.design import Rows, Split
from fomaug.study.plan import StudyPlan

_WIDTH: Final = 24
_HIDDEN: Final = 128


class SmallNetwork(nn.Module):
    """A small convolutional network: a strided stem, three residual blocks and two linear layers.

    The linear layers have weights for each position of the map, because the faces are roughly aligned.

    Args:
        channels: number of channels C of the input.
        outputs: number of classes, or twice the number of landmarks.
        side: side S of the square input in pixels.
        generator: generator of the initial weights; the same state gives the same network.
    """

    def __init__(self, channels: int, outputs: int, *, side: int, generator: torch.Generator) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=()):  # Layers draw their own weights, replaced below.
            self.stem = nn.Sequential(
                nn.Conv2d(channels, _WIDTH, 5, 2, 2, bias=False), nn.BatchNorm2d(_WIDTH), nn.ReLU()
            )
            self.blocks = nn.Sequential(
                _Block(_WIDTH, 2 * _WIDTH), _Block(2 * _WIDTH, 4 * _WIDTH), _Block(4 * _WIDTH, 4 * _WIDTH)
            )
            self.head = _head(side, outputs)
        _draw_weights(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        """Turn images (B, C, S, S) float in [0, 1] into (B, outputs)."""
        found: Tensor = self.head(self.blocks(self.stem((images - 0.5) * 4)))
        return found


class _Block(nn.Module):
    """Two convolutions and a shortcut, which halve the map."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.shortcut_norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        path = self.second_norm(self.second(F.relu(self.first_norm(self.first(x)))))
        halved = F.avg_pool2d(x, 2, ceil_mode=True)
        return F.relu(path + self.shortcut_norm(self.shortcut(halved)))


def _head(side: int, outputs: int) -> nn.Sequential:
    for _ in range(4):
        side = math.ceil(side / 2)
    hidden = nn.Linear(4 * _WIDTH * side * side, _HIDDEN, bias=False)
    return nn.Sequential(nn.Flatten(), hidden, nn.BatchNorm1d(_HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, outputs))


def _draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    nn.init.normal_(last.weight, std=0.01, generator=generator)


_RATE: Final = 3e-3
_DECAY: Final = 0.05
_WARM_UP: Final = 0.15  # Share of the steps.
_SMOOTHING: Final = 0.1  # Label smoothing of classes.
_TEST_BATCH: Final = 256


@dataclass(frozen=True, eq=False)
class Run:
    """The inputs of a run.

    Attributes:
        data: dataset of the study.
        split: training and test pictures.
        plan: settings of the study; the task, the steps, the batch size and the share of copies are used.
        classic: whether classic augmentation is applied.
        copies: copies of the training pictures; None in arms without copies.
        seeds: index of the choice and index of the seed; the runs of all arms with the same two start with the same
            weights, see the same training pictures in the same order, and draw the same classic augmentation.
        mixture: settings of the copies that differ from those of the plan.
    """

    data: StudyData
    split: Split
    plan: StudyPlan
    classic: bool
    copies: Copies | None
    seeds: tuple[int, int]
    mixture: Mixture = PLAIN


@dataclass(frozen=True, eq=False)
class Scored:
    """The result of a run.

    Attributes:
        test: (T,) score of each test picture: 1 for right and 0 for wrong, or the normalised error of landmarks.
        train: mean score of the training pictures, which shows whether the network has learned them.
    """

    test: NDArray[np.float64]
    train: float


@dataclass(frozen=True, eq=False)
class _Batch:
    images: Tensor
    labels: Tensor
    points: Tensor | None = None
    visible: Tensor | None = None


def train(run: Run, *, progress: Callable[[int], object]) -> Scored:
    """Train a network from scratch and test it.

    Args:
        run: data, arm and seeds of the run.
        progress: function that receives 1 after each step.
    """
    network = _network(run)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate_share(step, run.plan.steps))
    for batch in _batches(run):
        optimiser.zero_grad(set_to_none=True)
        loss = _loss(network(batch.images), batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        progress(1)
    return Scored(_scores(network, run.data, run.split.test), float(_scores(network, run.data, run.split.train).mean()))


def _network(run: Run) -> SmallNetwork:
    data = run.data
    outputs = len(data.class_names) if data.points is None else 2 * data.points.shape[1]
    network = SmallNetwork(
        data.images.shape[1],
        outputs,
        side=data.images.shape[-1],
        generator=make_generator(run, 0),
    )
    if data.points is not None:  # An untrained network returns the mean face.
        last = network.head[-1]
        assert isinstance(last, torch.nn.Linear)
        with torch.no_grad():
            last.bias.copy_(data.points[run.split.train].mean(0).flatten())
    return network.train()


def _batches(run: Run) -> Iterator[_Batch]:
    """Yield the batches of a run; their pictures and classic augmentation depend on the seeds and not on the arm."""
    rng = np.random.default_rng([run.plan.seed, *run.seeds, 1])
    generator = make_generator(run, 2)
    size, count = run.plan.batch_size, len(run.split.train)
    degrading = np.random.default_rng([run.plan.seed, *run.seeds, 3])
    order = np.concatenate([rng.permutation(count) for _ in range(-(-run.plan.steps * size // count))])
    for step in range(run.plan.steps):
        indices = order[step * size : (step + 1) * size]
        batch = _mixed(run, indices, rng.random(size), step / run.plan.steps, degrading)
        yield _augmented(batch, generator) if run.classic else batch


def _mixed(run: Run, indices: Rows, picks: NDArray[np.float64], progress: float, rng: np.random.Generator) -> _Batch:
    """Gather training pictures, and replace the first share of the batch by copies of them.

    A picture without copies stays itself.
    """
    data, copies = run.data, run.copies
    rows = torch.from_numpy(run.split.train[indices])
    parts = [data.images[rows], data.points, data.visible]
    if data.points is not None and data.visible is not None:
        parts = [parts[0], data.points[rows], data.visible[rows]]
    if copies is not None:
        share = run.mixture.share_at(progress, run.plan)
        synthetic = (np.arange(len(indices)) < round(share * len(indices))) & (copies.counts[indices] > 0)
        chosen = _choose(copies, indices[synthetic], picks[synthetic], run.mixture, progress)
        slots, sources = torch.from_numpy(np.flatnonzero(synthetic)), torch.from_numpy(chosen)
        for part, copied in zip(parts, (copies.images, copies.points, copies.visible), strict=True):
            if part is not None and copied is not None:
                part[slots] = copied[sources]
        if run.mixture.degrade and parts[0] is not None:
            parts[0][slots] = degrade(parts[0][slots], run.mixture.degrade, rng)
    images, points, visible = parts
    assert images is not None
    return _Batch(images.float() / 255, torch.from_numpy(data.labels)[rows], points, visible)


def _choose(copies: Copies, sources: Rows, picks: NDArray[np.float64], mixture: Mixture, progress: float) -> Rows:
    """Choose a copy of each source, in the mixture's order."""
    window = mixture.window(progress)
    numbers = (picks * np.ceil(window * copies.counts[sources])).astype(np.int64)
    indices = copies.starts[sources] + numbers
    found: Rows = indices if mixture.order == "any" else copies.order[indices]
    return found


def _augmented(batch: _Batch, generator: torch.Generator) -> _Batch:
    flip = batch.points is None or batch.points.shape[1] in MIRRORED_POINTS
    params = draw_classic(tuple(batch.images.shape), generator, flip=flip)
    images = apply_classic(batch.images, params)
    if batch.points is None or batch.visible is None:
        return _Batch(images, batch.labels)
    return _Batch(images, batch.labels, move_points(batch.points, params), mirror_visible(batch.visible, params))


def _loss(found: Tensor, batch: _Batch) -> Tensor:
    if batch.points is None or batch.visible is None:
        return F.cross_entropy(found, batch.labels, label_smoothing=_SMOOTHING)
    apart = F.smooth_l1_loss(found.view_as(batch.points), batch.points, reduction="none", beta=0.05).sum(-1)
    return (apart * batch.visible).sum() / batch.visible.sum().clamp(min=1)


def _scores(network: SmallNetwork, data: StudyData, rows: Rows) -> NDArray[np.float64]:
    network.eval()
    with torch.no_grad():
        found = torch.cat(
            [
                network(data.images[part].float() / 255)
                for part in torch.from_numpy(rows).tensor_split(list(range(_TEST_BATCH, len(rows), _TEST_BATCH)))
            ]
        )
    if data.points is None or data.visible is None or data.scale is None:
        right: NDArray[np.float64] = (found.argmax(1).numpy() == data.labels[rows]).astype(np.float64)
        return right
    seen = data.visible[rows]
    apart = (found.view(len(rows), -1, 2) - data.points[rows]).norm(dim=2) * seen
    error: NDArray[np.float64] = (apart.sum(1) / seen.sum(1).clamp(min=1) / data.scale[rows]).double().numpy()
    return error


def _rate_share(step: int, steps: int) -> float:
    """Return the share of the learning rate at a step: a linear warm-up, then a cosine to 0."""
    start = max(1, round(_WARM_UP * steps))
    if step < start:
        return (step + 1) / start
    return 0.5 + 0.5 * float(np.cos(np.pi * (step - start) / max(1, steps - start)))


def make_generator(run: Run, purpose: int) -> torch.Generator:
    """Return the generator for one purpose of a run; it is the same in all arms."""
    state = np.random.SeedSequence([run.plan.seed, *run.seeds, purpose]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))
