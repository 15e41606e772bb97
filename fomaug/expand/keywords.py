"""The keyword arguments of `fomaug.expand` that its signature does not name, with their types."""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import TypedDict

from fomaug.expand.plan import EngineName, FaceOption, GateOption, ImageFormat, Processes, Split
from fomaug.options import Crop, FrameChoice, IncludeSources, Interval, OnMissing, Purpose, Region


class ExpandOptions(TypedDict, total=False):
    """Keyword arguments of `fomaug.expand` that its signature does not name; the fields of `ExpandPlan` say more."""

    config: str | None
    include_sources: IncludeSources
    image_format: ImageFormat
    quality: int
    samples_per_shard: int
    region: Region
    reference: FrameChoice
    relative: bool
    relative_jacobian: bool
    adapt_scale: bool
    yaw_range: Interval | None
    pitch_range: Interval | None
    mirror_probability: float
    faces: FaceOption
    on_missing: OnMissing
    annotations: str | None
    annotation_format: str | None
    clip_labels: str | None
    clip_weights: Mapping[str, float] | None
    views: str | None
    purpose: Purpose | None
    clip_crop: Crop
    split: Split
    balance: bool
    max_copies: int
    gates: GateOption
    tries: int
    max_pixels: int
    batch_size: int
    device: str
    dtype: str
    workers: int
    engine: EngineName
    processes: Processes
    address: str | None
