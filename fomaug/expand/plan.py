"""Everything that is asked of an expansion, as one value that prints as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from fomaug.errors import ArgumentError, check_choice
from fomaug.motion import DrawSettings

Format = Literal["folder", "webdataset", "parquet"]
ImageFormat = Literal["same", "jpeg", "png", "webp"]
LabelPolicy = Literal["keep", "from_clip", "drop"]
OnError = Literal["skip", "raise"]
Selection = Literal["diverse", "uniform", "sequence"]
Region = Literal["all", "head", "mouth", "eyes", "expression"]
ClipCrop = Literal["face", "frame"]
FaceOption = Literal["frame", "boxes", "detect"]
OnMissing = Literal["skip", "copy", "error"]

# What may differ when a job is resumed: how the work is done, and names of things that are compared by their content.
_FREE = ("dataset", "out", "annotations", "clip_labels", "driving", "model", "config", "device", "workers", "on_error")


@dataclass(frozen=True)
class ExpandPlan:
    """One expansion; the fields are the options of `fomaug expand` and the arguments of `fomaug.expand`.

    Attributes:
        dataset: folder of class folders, or of pictures.
        out: folder to write to; new, or with --resume the one of the job to go on with.
        driving: "builtin", "gestures", "parametric", a pool file, a clip, or a folder of clips.
        copies: of each picture.
        model: an installed model, or the path of a model file.
        config: of an official checkpoint given as model: its YAML file or the name of an official configuration.
        seed: of all draws.
        format: folders of pictures; numbered tar files; or numbered parquet files.
        image_format: of the pictures written; "same" as each source.
        quality: of JPEG and WebP, 1 to 100.
        samples_per_shard: in each tar or parquet file.
        selection: see `fomaug.MotionAugment`, as for the next nine.
        strength_range: share of the motion, lowest and highest.
        region: part of the face that moves.
        reference: frame of a clip that counts as no motion: "closest", "first" or a number; clips that are shorter take
            their last.
        relative: add the clip's motion to the source's pose; otherwise the clip's pose replaces it.
        relative_jacobian: the same for the local deformation.
        adapt_scale: scale the motion to the size of the face.
        yaw_range: lowest and highest turn of the driving head, in degrees.
        pitch_range: the same for its nod.
        labels: "keep" the source's, take it "from_clip", "drop" it, or a mapping from old to new; "*" is any other.
            What is copied as it is keeps its own, unless labels are dropped.
        faces: what is animated: the whole "frame"; or the annotated "boxes", or what is found ("detect"), blended back.
        on_missing: what becomes of a picture without a face: "skip" it, "copy" it once as it is, or raise an "error".
        annotations: landmarks, boxes or masks that move along: a COCO or CSV file, a metadata.jsonl, or a folder of
            `.pts` files or mask PNGs.
        annotation_format: its name, where the path does not tell.
        clip_labels: CSV file with columns clip,label, where a clip is a track of the pool; or "folders", when driving
            is a folder of clips.
        clip_weights: how often clips are drawn, by their name or label; others keep 1, and 0 is never.
        clip_crop: the moving face, or the whole frame of each clip.
        split: which of the folders train, val and test to expand, or "all"; "train" is everything where there are none.
        balance: make more copies in small classes, so that pictures and copies together are as many in each.
        max_copies: of one picture, whatever the balance asks for.
        gates: what a copy must pass: "on" for the defaults of `fomaug.quality.Gates`, "off", or thresholds by name.
        tries: draws for a copy, if the gates refuse it, before it is given up; always 1 in a sequence.
        on_error: skip a picture, clip or annotation that cannot be used, and name it, or raise.
        max_pixels: larger pictures are not read.
        batch_size: copies that go through the model together.
        device: "auto", "cpu", "cuda", ...
        dtype: "auto", "float32", "bfloat16" or "float16".
        workers: threads that read and write.
    """

    dataset: str
    out: str
    driving: str = "builtin"
    copies: int = 8
    model: str = "lite-256"
    config: str | None = None
    seed: int = 0
    format: Format = "folder"
    image_format: ImageFormat = "same"
    quality: int = 95
    samples_per_shard: int = 1000
    selection: Selection = "diverse"
    strength_range: tuple[float, float] = (0.3, 1.0)
    region: Region = "all"
    reference: Literal["closest", "first"] | int = "closest"
    relative: bool = True
    relative_jacobian: bool = True
    adapt_scale: bool = True
    yaw_range: tuple[float, float] | None = None
    pitch_range: tuple[float, float] | None = None
    labels: LabelPolicy | Mapping[str, str] = "keep"
    faces: FaceOption = "frame"
    on_missing: OnMissing = "skip"
    annotations: str | None = None
    annotation_format: str | None = None
    clip_labels: str | None = None
    clip_weights: Mapping[str, float] | None = None
    clip_crop: ClipCrop = "face"
    split: str = "train"
    balance: bool = False
    max_copies: int = 100
    gates: Literal["on", "off"] | Mapping[str, float | None] = "on"
    tries: int = 3
    on_error: OnError = "skip"
    max_pixels: int = 64_000_000
    batch_size: int = 16
    device: str = "auto"
    dtype: str = "auto"
    workers: int = 2

    def __post_init__(self) -> None:
        self.draw_settings()
        for name, kind in _CHOICES.items():
            check_choice(name, getattr(self, name), get_args(kind))
        for name in ("copies", "samples_per_shard", "max_copies", "tries", "max_pixels", "batch_size", "workers"):
            if getattr(self, name) < 1:
                raise ArgumentError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if not 1 <= self.quality <= 100:
            raise ArgumentError(f"quality must be 1 to 100, got {self.quality}")
        if isinstance(self.labels, str):
            check_choice("labels", self.labels, get_args(LabelPolicy))

    def draw_settings(self) -> DrawSettings:
        """Take out what decides a draw; every copy moves."""
        names = {field.name for field in fields(DrawSettings)} - {"p"}
        return DrawSettings(p=1.0, **{name: getattr(self, name) for name in names})

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dict that `json.dumps` takes."""
        values = asdict(self)
        for name in ("strength_range", "yaw_range", "pitch_range"):
            values[name] = list(values[name]) if values[name] is not None else None
        for name in ("labels", "gates"):
            option = getattr(self, name)
            values[name] = option if isinstance(option, str) else dict(option)
        values["clip_weights"] = None if self.clip_weights is None else dict(self.clip_weights)
        return values

    def settings(self) -> dict[str, Any]:
        """Return what must be the same for a job to be resumed."""
        return {name: value for name, value in self.to_dict().items() if name not in _FREE}


_CHOICES: dict[str, Any] = {
    "format": Format,
    "image_format": ImageFormat,
    "clip_crop": ClipCrop,
    "faces": FaceOption,
    "on_missing": OnMissing,
    "on_error": OnError,
}
