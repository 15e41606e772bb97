"""The model and the driving pool of an expansion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from fomaug._errors import ArgumentError, MediaError, PoolError, did_you_mean
from fomaug.animator import Animator
from fomaug.augment import MotionAugment
from fomaug.driving import DrivingPool, find_clips, read_clip
from fomaug.expand._plan import ExpandPlan
from fomaug.weights import load_model

GIVEN: Final = "a given pool"
POOL_FILE: Final = "driving.safetensors"

_MADE: Final[dict[str, Callable[[Animator], DrivingPool]]] = {
    "builtin": DrivingPool.builtin,
    "gestures": DrivingPool.gestures,
    "parametric": DrivingPool.parametric,
}


def load_tools(
    plan: ExpandPlan, driving: DrivingPool | None = None, model: Animator | None = None, *, progress: bool = False
) -> MotionAugment:
    """Load what a plan names, unless it is given.

    Args:
        plan: names of model and driving.
        driving: a pool made for the model.
        model: an animator.
        progress: show a bar while clips are read.
    """
    animator = model or load_model(plan.model, config=plan.config, device=plan.device, dtype=plan.dtype)
    pool = driving or load_pool(plan, animator, progress=progress)
    if plan.clip_weights is not None:
        pool = pool.weighted(plan.clip_weights)
    return MotionAugment(pool, animator, **plan.draw_settings().to_dict(), batch_size=plan.batch_size)


def parse_weights(text: str) -> dict[str, float]:
    """Read the option: CLIP=WEIGHT pairs with commas between.

    >>> parse_weights("talk=0,nod=2.5")
    {'talk': 0.0, 'nod': 2.5}
    """
    pairs = [pair.rpartition("=") for pair in text.split(",") if pair]
    try:
        return {name.strip(): float(weight) for name, _, weight in pairs if _check_name(name)}
    except ValueError as cause:
        raise ArgumentError(f"clip weights must be CLIP=WEIGHT pairs with commas between, got {text!r}") from cause


def _check_name(name: str) -> str:
    if not name.strip():
        raise ValueError("no name")
    return name


def load_pool(plan: ExpandPlan, animator: Animator, *, progress: bool = False) -> DrivingPool:
    """Make or read the driving pool that a plan names.

    Raises:
        PoolError: there is no such file or folder, it holds no clip that can be read, or is of another model.
    """
    if plan.driving in _MADE:
        return _MADE[plan.driving](animator)
    path = Path(plan.driving)
    if path.suffix == ".safetensors":
        return DrivingPool.load(path, animator)
    if not path.exists():
        hint = did_you_mean(plan.driving, _MADE)
        raise PoolError(f"driving must be {', '.join(_MADE)}, a pool file or clips; no {plan.driving!r} is here{hint}")
    return _reload(path, Path(plan.out) / POOL_FILE) or DrivingPool.from_clips(
        path,
        animator,
        labels=plan.clip_labels,
        crop=plan.clip_crop,
        on_error=plan.on_error,
        progress=progress,
        batch_size=plan.batch_size,
    )


def keep_pool(plan: ExpandPlan, pool: DrivingPool) -> None:
    """Save a pool that was made from clips: another device would find slightly other keypoints when it resumes."""
    if plan.driving in _MADE or plan.driving == GIVEN or Path(plan.driving).suffix == ".safetensors":
        return
    path = Path(plan.out) / POOL_FILE
    if not path.exists():
        pool.save(path)


def _reload(clips: Path, saved: Path) -> DrivingPool | None:
    """Take the pool of the job that is resumed, if it was made from just these clips."""
    if not saved.is_file():
        return None
    pool = DrivingPool.load(saved)
    hashes: set[str] = set()
    skipped: list[tuple[str, str]] = []
    for path in find_clips(clips):
        try:
            hashes.add(read_clip(path).hash)
        except MediaError as error:
            skipped.append((path.stem, str(error)))
    if hashes != {track.clip_hash for track in pool.tracks}:
        return None
    return DrivingPool(pool.tracks, pool.model_name, pool.model_hash, skipped=skipped)
