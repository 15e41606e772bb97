"""Every face of MotionAugment, all worn alike: one list that the contracts run over.

A new face is one more `@face` function. It takes the pool, the model and the settings, and returns a `Face`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, default_collate

from fomaug.augment import MotionAugment
from fomaug.data import MotionDataset, MotionLoader, motion_collate

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
TOLERANCE = {torch.uint8: 1, torch.float16: 2e-3, torch.bfloat16: 1e-2, torch.float32: 1e-5, torch.float64: 1e-5}


@dataclass
class Face:
    """One way to use the augmentation.

    Attributes:
        thing: what is built, pickled and restored.
        run: (thing, images (B, 3, H, W)) to moved images and the record from which they can be replayed.
        replay: (thing, images, record) to the same moved images.
        restart: begin the draws again from the seed.
        dtypes: of the images it takes.
        keyed: it takes names, so draws do not depend on the batch.
    """

    thing: Any
    run: Callable[[Any, Tensor], tuple[Tensor, Any]]
    replay: Callable[[Any, Tensor, Any], Tensor]
    restart: Callable[[Any], None]
    dtypes: tuple[torch.dtype, ...] = (torch.uint8, *FLOATS)
    keyed: bool = True
    differentiable: bool = True


FACES: dict[str, Callable[..., Face]] = {}


def face(build: Callable[..., Face]) -> Callable[..., Face]:
    FACES[build.__name__.removesuffix("_face")] = build
    return build


def keys_of(images: Tensor) -> list[int]:
    """Name images by their content, so that a single one has its name of the batch."""
    return [int(image.double().mul(1000).sum()) for image in images]


def same_layout(images: Tensor, like: Tensor) -> Tensor:
    """Rows that were taken out of a batch, in the batch's layout again."""
    layout = torch.contiguous_format if like.is_contiguous() else torch.channels_last
    return images.contiguous(memory_format=layout)


def replay(augment: MotionAugment, images: Tensor, params: Any) -> Tensor:
    return augment.apply(images, params).image


@face
def module_face(pool, model, **settings) -> Face:
    def run(augment, images):
        keys = keys_of(images)
        return augment(images, keys), augment.draw(keys)

    return Face(MotionAugment(pool, model, **settings), run, replay, lambda augment: augment.set_epoch(0))


@face
def counting_module_face(pool, model, **settings) -> Face:
    def run(augment, images):
        first = augment.count
        return augment(images), augment.draw(range(first, first + len(images)))

    thing = MotionAugment(pool, model, **settings)
    return Face(thing, run, replay, lambda augment: augment.set_epoch(0), keyed=False)


@face
def multiply_face(pool, model, **settings) -> Face:
    def run(augment, images):
        keys = keys_of(images)
        big, index = augment.multiply(images, 2, keys)
        assert index.tolist() == [row // 2 for row in range(2 * len(images))]
        params = [param for param in augment.draw(keys, copies=2) if param.copy == 1]
        return same_layout(big[1::2], big), params

    return Face(MotionAugment(pool, model, **settings), run, replay, lambda augment: augment.set_epoch(0))


@face
def dataset_face(pool, model, **settings) -> Face:
    def run(augment, images):
        dataset = MotionDataset(TensorDataset(images), augment, keys=keys_of(images))
        params = [dataset.params(row) for row in range(len(images))]
        return torch.stack([dataset[row][0] for row in range(len(images))]), params

    return Face(MotionAugment(pool, model, **settings), run, replay, lambda augment: augment.set_epoch(0))


def with_key(items):
    (images,) = default_collate(items)
    return {"image": images, "key": keys_of(images)}


@face
def loader_face(pool, model, **settings) -> Face:
    def run(augment, images):
        log = []
        # Batches as they are: a collate function would choose the layout.
        batches = [{"image": images, "key": keys_of(images)}]
        (batch,) = MotionLoader(batches, augment, keys="key", log=log.extend)
        return batch["image"], log

    return Face(MotionAugment(pool, model, **settings), run, replay, lambda augment: augment.set_epoch(0))


@face
def collate_face(pool, model, **settings) -> Face:
    def run(augment, images):
        collate = motion_collate(augment, with_key, keys="key")
        moved = [batch["image"] for batch in DataLoader(TensorDataset(images), batch_size=3, collate_fn=collate)]
        return torch.cat(moved), augment.draw(keys_of(images))

    # torch's default_collate decides about layout and gradients.
    thing = MotionAugment(pool, model, **settings)
    return Face(thing, run, replay, lambda augment: augment.set_epoch(0), differentiable=False)


@face
def kornia_face(pool, model, *, seed=0, **settings) -> Face:
    pytest.importorskip("kornia")
    from fomaug.integrations.kornia import MotionAugment as KorniaMotion

    def run(augment, images):
        moved = augment(images)
        return moved, copy.deepcopy(augment._params)

    return Face(
        KorniaMotion(pool, model, **settings),
        run,
        lambda augment, images, params: augment(images, params=params),
        lambda _: torch.manual_seed(seed),
        dtypes=(torch.float32, torch.float64),
        keyed=False,
    )


@face
def torchvision_face(pool, model, *, seed=0, differentiable=False, **settings) -> Face:
    # Without its compiled half torchvision fails in its own way; tests/integrations makes up for it in a whole run.
    pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))
    from fomaug.integrations.torchvision import MotionAugment as VisionMotion

    def run(augment, images):
        params = augment.make_params([images])
        return augment.transform(images, params), params["motions"]

    def again(augment, images, motions):
        return augment._engines[0].apply(images, motions).image

    thing = VisionMotion(pool, model, **settings)
    return Face(thing, run, again, lambda _: torch.manual_seed(seed), keyed=False, differentiable=False)


@face
def albumentations_face(pool, model, *, seed=0, differentiable=False, **settings) -> Face:
    pytest.importorskip("albumentations")
    import albumentations as A

    from fomaug.integrations.albumentations import MotionAugment as AlbumentationsMotion

    def array(image: Tensor) -> np.ndarray:
        return np.ascontiguousarray(image.permute(1, 2, 0).numpy())

    def run(compose, images):
        found = [compose(image=array(image)) for image in images]
        moved = torch.stack([torch.from_numpy(sample["image"]).permute(2, 0, 1) for sample in found])
        return moved.contiguous(), [sample["replay"] for sample in found]

    def again(compose, images, replays):
        found = [
            A.ReplayCompose.replay(saved, image=array(image)) for saved, image in zip(replays, images, strict=True)
        ]
        return torch.stack([torch.from_numpy(sample["image"]).permute(2, 0, 1) for sample in found])

    return Face(
        A.ReplayCompose([AlbumentationsMotion(pool, model, **settings)]),
        run,
        again,
        lambda compose: compose.set_random_seed(seed),
        dtypes=(torch.uint8, torch.float32),
        keyed=False,
        differentiable=False,
    )


@pytest.fixture(params=FACES)
def build(request, tiny_pool, tiny_model) -> Callable[..., Face]:
    """Build the face that the contract is about, with some settings."""

    def made(**settings) -> Face:
        found = FACES[request.param](tiny_pool, tiny_model, **settings)
        found.restart(found.thing)
        return found

    return made


@pytest.fixture
def images() -> Tensor:
    return torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _own_torch_seed():
    """Some libraries draw from torch's global generator; what they do to it must not leave the test."""
    with torch.random.fork_rng():
        yield


def as_dtype(images: Tensor, dtype: torch.dtype) -> Tensor:
    return (images * 255).byte() if dtype == torch.uint8 else images.to(dtype)


@pytest.fixture
def kinds() -> SimpleNamespace:
    return SimpleNamespace(as_dtype=as_dtype, tolerance=TOLERANCE)
