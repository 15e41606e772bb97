"""The training loop of the light face model."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fomaug.faces import mesh_keypoints
from fomaug.networks.lite_detector import Observation
from fomaug.training.faces.augmentation import degrade, disturb, normal, tint, uniform
from fomaug.training.faces.losses import closeup_losses, detector_losses, fold_loss, generator_losses, heatmap_loss
from fomaug.training.faces.pairs import Pair, Views
from fomaug.training.faces.run import FaceTrainConfig, TrainState, export_model
from fomaug.training.faces.store import ClipStore, StillStore
from fomaug.types import Keypoints
from fomaug.weights import find_model, pick_device

Losses = dict[str, Tensor]


def train_faces(
    config: FaceTrainConfig,
    data: Path,
    run: Path,
    *,
    init: str | os.PathLike[str] | None = None,
    device: str | torch.device = "cpu",
    stop: Callable[[], bool] = lambda: False,
) -> TrainState:
    """Train a detector and a generator; a run whose folder has a state is continued.

    After the last step, the folder of the run has the model as `model.safetensors`.

    Args:
        config: configuration of the run.
        data: folder of packed images.
        run: folder for the state, the log and sample images.
        init: name or file of a model whose weights a new run starts from.
        device: device of the training; "auto" is the fastest available one.
        stop: function that is called after every step; if it returns True, the state is saved and returned early.

    Returns:
        The state after the last step.
    """
    state = _open_run(config, run, init, pick_device(device))
    stills, clips = StillStore.open(data, state.device), ClipStore.open(data, state.device)
    totals: Losses = {}
    started = saved = time.monotonic()
    stopped = False
    while state.step < config.steps and not stopped:
        pair, views = _draw(state, stills, clips)
        for name, value in train_step(state, pair, views).items():
            totals[name] = totals.get(name, 0) + value / 50
        if state.step % 50 == 0:
            seconds = round(time.monotonic() - started, 1)
            _log(run, {"step": state.step, "seconds": seconds, **{name: float(x) for name, x in totals.items()}})
            totals = {}
        stopped = stop()
        if stopped or time.monotonic() - saved > 240 or state.step == config.steps:
            state.save(run / "state.pt")
            _picture(state, Pair(*(field[:8] for field in pair)), run / "sample.png")
            saved = time.monotonic()
    if state.step >= config.steps:
        export_model(state, run / "model.safetensors")
    return state


def _open_run(
    config: FaceTrainConfig, run: Path, init: str | os.PathLike[str] | None, device: torch.device
) -> TrainState:
    run.mkdir(parents=True, exist_ok=True)
    state = TrainState(config, device)
    if (run / "state.pt").exists():
        state.load(run / "state.pt")
    elif init is not None:
        state.start_from(find_model(init))
    return state


def _draw(state: TrainState, stills: StillStore, clips: ClipStore) -> tuple[Pair, Views]:
    config, how = state.config, (state.generator, state.config.framing)
    pair = Pair.cat([stills.draw(config.stills, *how), clips.draw(config.clips, *how)])
    views = [stills.views(config.still_views, *how), clips.views(config.clip_views, *how)]
    return pair, Views.cat(views)


def train_step(state: TrainState, pair: Pair, views: Views) -> Losses:
    """Make one step of both networks, and return the parts of the loss."""
    state.advance()
    degradation = state.config.degradation
    source, driving = tint((pair.source, pair.driving), state.generator, degradation.grey_share)
    source, driving = degrade((source, driving), state.generator, degradation)
    pair = pair._replace(source=source, driving=driving)
    true = Keypoints.cat([mesh_keypoints(pair.source_mesh), mesh_keypoints(pair.driving_mesh)])
    clean = uniform(state.generator, len(source)) < 0.5
    seen = _detect(state, torch.cat([source, driving]), clean, views)
    all_true = Keypoints.cat([true, mesh_keypoints(views.mesh)])
    parts = detector_losses(seen.coarse, all_true) | heatmap_loss(seen.heatmap, all_true)
    parts |= closeup_losses(seen.keypoints, all_true)
    b = len(source)
    found = seen.keypoints[: 2 * b]
    joint = state.step >= state.config.joint_from * state.config.steps
    used = _mixed(true, found, clean, state) if joint else _shaken(true, state.generator)
    with state.autocast():
        network = state.generator_of(state.networks)
        output, painted = network.draw(source, network.encode(source), used[:b], used[b:])
    parts |= generator_losses(output, painted, pair, true[b:])
    parts["fold"] = state.config.fold_weight * fold_loss(output.deformation)
    _update(state, parts)
    return {name: value.detach() for name, value in parts.items()}


def _update(state: TrainState, parts: dict[str, Tensor]) -> None:
    for optimiser in state.optimisers.values():
        optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(torch.stack(list(parts.values())).sum())
    for name, optimiser in state.optimisers.items():
        torch.nn.utils.clip_grad_norm_(state.networks[name].parameters(), 5.0)
        optimiser.step()
    state.step += 1
    state.follow()


def _detect(state: TrainState, image: Tensor, clean: Tensor, views: Views) -> Observation:
    """Detect in both images of every pair, which are changed unless the pair is clean, and in single images."""
    disturbed = disturb(torch.cat([image, views.image]), state.generator)
    image = torch.where(clean.repeat(2)[:, None, None, None], image, disturbed[: len(image)])
    with state.autocast():
        return state.detector_of(state.networks).observe(torch.cat([image, disturbed[len(image) :]]))


def _shaken(true: Keypoints, generator: torch.Generator) -> Keypoints:
    """Add errors of a detector to true keypoints; most of the error is common to all, so that blinks stay visible."""
    assert true.jacobian is not None
    b = len(true)
    amount = uniform(generator, b, 1, 1)
    together = 0.007 * normal(generator, b, 1, 2)
    value = true.value + amount * (together + 0.004 * normal(generator, *true.value.shape))
    jacobian = true.jacobian + 0.06 * amount[..., None] * normal(generator, *true.jacobian.shape)
    return Keypoints(value, jacobian)


def _mixed(true: Keypoints, found: Keypoints, clean: Tensor, state: TrainState) -> Keypoints:
    """Combine detected keypoints of the clean pairs with true ones plus errors of the other pairs."""
    assert found.jacobian is not None
    shaken = _shaken(true, state.generator)
    assert shaken.jacobian is not None
    weight, own = state.config.joint_weight, clean.repeat(2)
    value = _scaled_gradient(found.value, weight)
    jacobian = _scaled_gradient(found.jacobian, weight)
    return Keypoints(
        torch.where(own[:, None, None], value, shaken.value),
        torch.where(own[:, None, None, None], jacobian, shaken.jacobian),
    )


def _scaled_gradient(x: Tensor, weight: float) -> Tensor:
    return x * weight + x.detach() * (1 - weight)


def _log(run: Path, line: dict[str, float]) -> None:
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps({name: round(value, 5) for name, value in line.items()}) + "\n")


@torch.no_grad()
def _picture(state: TrainState, pair: Pair, path: Path) -> None:
    """Write rows of source, driving, prediction, warped source and blend, by the averaged networks."""
    detector, generator = state.average["detector"], state.generator_of(state.average)
    output = generator(pair.source, generator.encode(pair.source), detector(pair.source), detector(pair.driving))
    rows = [pair.source, pair.driving, output.prediction, output.deformed, output.blend.expand(-1, 3, -1, -1)]
    sheet = torch.cat([torch.cat(list(row), 2) for row in rows], 1).clamp(0, 1)  # (3, 5 S, B S)
    Image.fromarray((sheet.permute(1, 2, 0).cpu().numpy() * 255).astype(np.uint8)).save(path)
