"""Recognition with a given model of features: a picture is assigned to the person with the nearest mean embedding."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fomaug.errors import ShapeError
from fomaug.study.augmentation import apply_classic, draw_classic
from fomaug.study.data import StudyData
from fomaug.study.design import Rows
from fomaug.study.train import Run, Scored, make_generator

Embed = Callable[[Tensor], Any]
"""Function from images (B, 3, S, S) float in [0, 1] to embeddings (B, D)."""

_BATCH_SIZE: Final = 64


def describe(embed: Embed) -> str:
    """Return the import path of a model of features, with the hash of its weights if it is a torch module."""
    named: Any = embed if hasattr(embed, "__qualname__") else type(embed)
    name = f"{named.__module__}:{named.__qualname__}"
    if not isinstance(embed, nn.Module):
        return name
    digest = hashlib.sha256()
    for key, value in embed.state_dict().items():
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return f"{name} {digest.hexdigest()[:16]}"


def match(run: Run, embed: Embed, *, progress: Callable[[int], object]) -> Scored:
    """Enrol every person by the mean of views of their training pictures, and find the nearest to each test picture.

    In the arm without augmentation, the only view of a picture is the picture itself. In all other arms, there are as
    many further views as there are copies, with classic augmentation; in arms with copies, a share of them are copies.

    Args:
        run: data, arm and seeds of the run.
        embed: model of features.
        progress: function that receives the number of embedded views after each batch.

    Raises:
        ShapeError: the model does not return (B, D).
    """
    train, test = run.split.train, run.split.test
    real = _unit(embed, _inputs(run.data.images[torch.from_numpy(train)]), progress)
    views = torch.stack([real, *_views(run, embed, progress)])  # (V, N, D)
    gallery = _gallery(views.mean(0), run.data.labels[train])
    found = _unit(embed, _inputs(run.data.images[torch.from_numpy(test)]), progress)
    return Scored(_right(found, gallery, run.data, test), float(_right(real, gallery, run.data, train).mean()))


def num_views(run: Run) -> int:
    """Return the number of views that a run embeds."""
    return len(run.split.test) + len(run.split.train) * (1 + run.plan.copies * run.classic)


def _views(run: Run, embed: Embed, progress: Callable[[int], object]) -> list[Tensor]:
    """Return the embeddings (N, D) of each further view of the training pictures."""
    if not run.classic:
        return []
    rows, copies = run.split.train, run.copies
    generator = make_generator(run, 2)
    synthetic = 0 if copies is None else round(run.mixture.share_at(0.0, run.plan) * run.plan.copies)
    found = []
    for view in range(run.plan.copies):
        images = run.data.images[torch.from_numpy(rows)]
        if copies is not None and view < synthetic:
            has = np.flatnonzero(copies.counts)  # A picture whose copies were all rejected stays itself.
            images[torch.from_numpy(has)] = copies.images[
                torch.from_numpy(copies.starts[has] + view % copies.counts[has])
            ]
        batch = images.float() / 255
        params = draw_classic(tuple(batch.shape), generator)
        found.append(_unit(embed, _inputs(apply_classic(batch, params) * 255), progress))
    return found


def _inputs(images: Tensor) -> Tensor:
    return (images.float() / 255).expand(-1, 3, -1, -1)


def _unit(embed: Embed, images: Tensor, progress: Callable[[int], object]) -> Tensor:
    """Return the embeddings (B, D) of images, scaled to length 1."""
    parts = []
    with torch.no_grad():
        for part in images.split(_BATCH_SIZE):  # type: ignore[no-untyped-call]
            found = torch.as_tensor(embed(part)).detach().float().cpu()
            if found.ndim != 2 or len(found) != len(part):
                raise ShapeError(
                    f"the model of features must turn {tuple(part.shape)} into ({len(part)}, D), "
                    f"got {tuple(found.shape)}"
                )
            parts.append(F.normalize(found))
            progress(len(part))
    return torch.cat(parts)


def _gallery(embeddings: Tensor, labels: NDArray[np.int64]) -> Tensor:
    """Return the mean embedding of each class, scaled to length 1: (classes, D)."""
    index = torch.from_numpy(labels)
    sums = torch.zeros(int(labels.max()) + 1, embeddings.shape[1]).index_add_(0, index, embeddings)
    return F.normalize(sums)


def _right(found: Tensor, gallery: Tensor, data: StudyData, rows: Rows) -> NDArray[np.float64]:
    nearest = (found @ gallery.T).argmax(1).numpy()
    right: NDArray[np.float64] = (nearest == data.labels[rows]).astype(np.float64)
    return right
