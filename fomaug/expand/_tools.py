"""The model and the driving pool of an expansion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from fomaug._errors import PoolError, did_you_mean
from fomaug.animator import Animator
from fomaug.augment import MotionAugment
from fomaug.driving import DrivingPool
from fomaug.expand._plan import ExpandPlan
from fomaug.weights import load_model

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
    settings = plan.draw_settings()
    return MotionAugment(
        driving=pool,
        model=animator,
        p=settings.p,
        strength_range=settings.strength_range,
        selection=settings.selection,
        relative=settings.relative,
        relative_jacobian=settings.relative_jacobian,
        adapt_scale=settings.adapt_scale,
        reference=settings.reference,
        region=settings.region,
        seed=settings.seed,
        yaw_range=settings.yaw_range,
        pitch_range=settings.pitch_range,
        batch_size=plan.batch_size,
    )


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
    return DrivingPool.from_clips(
        path,
        animator,
        labels=plan.clip_labels,
        crop=plan.clip_crop,
        on_error=plan.on_error,
        progress=progress,
        batch_size=plan.batch_size,
    )
