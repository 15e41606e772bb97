"""The settings of an expansion, as one value that prints as JSON, and the types of its keyword arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, get_args

from typing_extensions import TypedDict

from fomaug.errors import ArgumentError, check_choice, shortened
from fomaug.options import (
    AUTO,
    Crop,
    DrawSettings,
    FrameChoice,
    IncludeSources,
    Interval,
    OnError,
    OnMissing,
    Purpose,
    Region,
    Selection,
    check_flag,
    check_text,
    option,
    plain,
    recommended_driving,
    whole,
)

Format = Literal["folder", "webdataset", "parquet"]
ImageFormat = Literal["same", "jpeg", "png", "webp"]
EngineName = Literal["local", "ray"]
Processes = int | Literal["auto"]
LabelPolicy = Literal["keep", "from_clip", "drop"]
FaceOption = Literal["frame", "boxes", "detect"]
Split = Literal["train", "val", "test", "all"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
LabelOption = LabelPolicy | Mapping[str, str]
GateOption = Literal["on", "off"] | Mapping[str, float | None]

# Settings that may change when a job is resumed: no copy depends on them, but for inputs compared by their content.
_FREE: Final = (
    *("dataset", "out", "out_url", "annotations", "clip_labels", "driving", "model", "config", "purpose"),
    *("device", "workers", "on_error", "engine", "processes", "address"),
)


@dataclass(frozen=True)
class ExpandPlan:
    """All settings of one expansion: the options of `fomaug expand` and the arguments of `fomaug.expand`.

    The other fields carry their description as `help` in their metadata; it is the text of `fomaug expand --help`.

    Attributes:
        dataset: folder of class folders or of images, a list of pictures, archives, or a URL of one of these.
        out: folder to write to; a new one, or the one of the job that is resumed.
        out_url: URL of the storage that takes what is written, while `out` is a temporary folder; empty without one.
    """

    dataset: str
    out: str
    driving: str = option(
        AUTO,
        "Motion to borrow: builtin, gestures, parametric (also with ranges: 'parametric yaw=-45:45 "
        "pitch=-25:25'), views (head poses, see --views), a pool file, a clip or a folder of clips; auto: views in the "
        "range that the dataset shows, or builtin for annotated pictures and settings of clips.",
    )
    views: str | None = option(None, "Angles of --driving views in degrees: 'yaw=-40:40:20 pitch=-20,0,20 roll=0'.")
    purpose: Purpose | None = option(None, "Preset of options for a purpose; options that are given take precedence.")
    copies: int = option(8, "Number of copies of each source.")
    model: str = option("lite-256", "An installed model, or a model file.")
    config: str | None = option(
        None, "Configuration of an official checkpoint given as model: a YAML file or an official name."
    )
    seed: int = option(0, "Seed of all draws; equal settings give equal files.")
    format: Format = option(
        "folder", "Layout of the output: folders of images, numbered tar or numbered parquet files."
    )
    include_sources: IncludeSources = option(
        "none",
        "Originals in the output: none, or all of them as relative links (link) or as files (copy); in "
        "archives, their bytes are stored in both cases.",
    )
    image_format: ImageFormat = option("same", "Format of the written images; same keeps the format of each source.")
    quality: int = option(95, "Quality of JPEG and WebP, 1 to 100.")
    samples_per_shard: int = option(1000, "Number of copies in each tar or parquet file.")
    selection: Selection = option(
        "diverse", "Spread of motions: diverse copies, uniform draws, or a sequence of consecutive frames of one clip."
    )
    strength_range: Interval = option((0.3, 1.0), "Interval that the share of motion is drawn from: LOW HIGH.")
    region: Region = option("all", "Part of the face that moves.")
    reference: FrameChoice = option(
        "closest", "Frame of a clip that counts as no motion: closest, first or a number, at most the last frame."
    )
    relative: bool = option(
        True, "Add the clip's motion to the source's pose; otherwise the clip's pose replaces it.", off="absolute"
    )
    relative_jacobian: bool = option(
        True, "Add the clip's local deformation; otherwise it replaces the source's.", off="absolute-jacobian"
    )
    adapt_scale: bool = option(True, "Scale the motion to the size of the face.")
    yaw_range: Interval | None = option(None, "Interval of the driving head's turn in degrees: LOW HIGH.")
    pitch_range: Interval | None = option(None, "Interval of the driving head's nod in degrees: LOW HIGH.")
    mirror_probability: float = option(
        0.0, "Probability that a copy is mirrored, too; its labels follow, left and right swapped."
    )
    labels: LabelOption = option(
        "keep", "Label of a copy: keep, from_clip, drop, or OLD=NEW,... with * for all other labels."
    )
    faces: FaceOption = option(
        "frame", "Part of a source that is animated: the whole frame, annotated boxes, or detected faces."
    )
    on_missing: OnMissing = option(
        "skip", "Treatment of a source without a face: skip it, copy it once unchanged, or stop (error)."
    )
    annotations: str | None = option(
        None, "Landmarks, boxes or masks that move along: a COCO, CSV or .jsonl file, or a folder of files."
    )
    annotation_format: str | None = option(None, "Format of the annotations, if the path does not identify it.")
    clip_labels: str | None = option(
        None,
        "Labels of clips, for --labels from_clip: a CSV file with columns clip,label; or folders, where driving is a "
        "folder of clips.",
    )
    clip_weights: Mapping[str, float] | None = option(
        None, "CLIP=WEIGHT,...: relative frequency of clips by name or label; 0 excludes a clip."
    )
    clip_crop: Crop = option("face", "Part of a clip that is used: the moving face, or the whole frame.")
    split: Split = option(
        "train", "Split folder to expand, or all; datasets without split folders are expanded as a whole."
    )
    balance: bool = option(False, "Make more copies in small classes, so that all classes become equally large.")
    max_copies: int = option(100, "Largest number of copies of one source in a balanced dataset.")
    gates: GateOption = option("on", "Quality gates for copies: on, off, or NAME=THRESHOLD,... for some of them.")
    tries: int = option(3, "Number of draws for a copy that the gates reject; a sequence has one draw.")
    on_error: OnError = option(
        "skip", "Treatment of images, clips and annotations that cannot be used: skip and report, or raise."
    )
    max_pixels: int = option(64_000_000, "Largest number of pixels of a source that is read.")
    batch_size: int = option(16, "Number of copies in one pass through the model.")
    device: str = option("auto", "auto, cpu, cuda, ...")
    dtype: Dtype = option("auto", "auto, float32, bfloat16 or float16.")
    workers: int = option(2, "Number of threads that read and write, in each process.")
    engine: EngineName = option("local", "Where processes run: on this machine, or on a Ray cluster.")
    processes: Processes = option(1, "Number of processes, or auto: one for each GPU, or as many as the CPUs can run.")
    address: str | None = option(None, "Address of the Ray cluster; without one, Ray's own.")
    out_url: str = ""

    def __post_init__(self) -> None:
        for own in fields(self):
            object.__setattr__(self, own.name, _of_python(getattr(self, own.name)))
        for name in (*_TEXTS, *_OPTIONAL_TEXTS):
            if name in _TEXTS or getattr(self, name) is not None:
                check_text(name, getattr(self, name), _TEXTS.get(name, "leave it out for its default"))
        self.draw_settings()
        for name, kind in _CHOICES.items():
            check_choice(name, getattr(self, name), get_args(kind))
        for name in ("copies", "samples_per_shard", "max_copies", "tries", "max_pixels", "batch_size", "workers"):
            whole(name, getattr(self, name), 1)
        if not 1 <= whole("quality", self.quality) <= 100:
            raise ArgumentError(f"quality must be 1 to 100, got {self.quality}")
        if self.processes != "auto" and not (isinstance(self.processes, int) and self.processes >= 1):
            raise ArgumentError(f"processes must be a number from 1, or 'auto', got {self.processes!r}")
        if self.views is not None and self.driving not in ("views", AUTO):
            raise ArgumentError(f"views are the angles of driving='views', but driving is {self.driving!r}")
        if self.views is not None and not all("=" in word for word in self.views.split() or [""]):
            raise ArgumentError(f"views must be NAME=ANGLES words such as 'yaw=-40:40:20 roll=0', got {self.views!r}")
        check_flag("balance", self.balance)
        self._check_mappings()

    def _check_mappings(self) -> None:
        if isinstance(self.labels, str):
            check_choice("labels", self.labels, get_args(LabelPolicy))
        elif not self.labels or not _maps(self.labels, str):
            given = shortened(self.labels)
            raise ArgumentError(f"labels must be keep, from_clip, drop or a mapping from old to new ones, got {given}")
        if self.clip_weights is not None and not _maps(self.clip_weights, (int, float)):
            given = shortened(self.clip_weights)
            raise ArgumentError(f"clip_weights must be a mapping from names or labels of clips to numbers, got {given}")

    def draw_settings(self) -> DrawSettings:
        """Return the settings that decide a draw; every copy moves."""
        names = {field.name for field in fields(DrawSettings)} - {"p"}
        return DrawSettings(p=1.0, **{name: getattr(self, name) for name in names})

    @property
    def named_driving(self) -> str:
        """The driving pool with the angles of its views; for "auto", the one without the pictures of a dataset."""
        if self.views is not None:
            return f"views {self.views}"
        return self.recommended_driving if self.driving == AUTO else self.driving

    @property
    def recommended_driving(self) -> str:
        """The pool that "auto" names without the pictures of a dataset; labels of clips and annotations need clips."""
        needs_clips = self.labels == "from_clip" or bool(self.clip_labels or self.clip_weights)
        return "builtin" if needs_clips or self.annotations else recommended_driving(self.draw_settings())

    @property
    def target(self) -> str:
        """The output folder or URL, as the user gave it."""
        return self.out_url or self.out

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dict that `json.dumps` takes."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    def settings(self) -> dict[str, Any]:
        """Return the settings that must be equal for a job to be resumed."""
        return {name: value for name, value in self.to_dict().items() if name not in _FREE}


_CHOICES: Final[dict[str, Any]] = {
    "format": Format,
    "image_format": ImageFormat,
    "include_sources": IncludeSources,
    "clip_crop": Crop,
    "faces": FaceOption,
    "split": Split,
    "dtype": Dtype,
    "on_missing": OnMissing,
    "on_error": OnError,
    "engine": EngineName,
}
_FOLDER: Final = "give a folder, or . for the working folder"
_TEXTS: Final = {
    "dataset": _FOLDER,
    "out": _FOLDER,
    "driving": "give the name or the file of a pool, a clip or a folder of clips",
    "model": "give the name or the file of a model",
}
_OPTIONAL_TEXTS: Final = ("views", "annotations", "annotation_format", "clip_labels")


def _maps(value: object, kind: type | tuple[type, ...]) -> bool:
    """Return whether a value is a mapping from texts to values of a kind."""
    return isinstance(value, Mapping) and all(isinstance(k, str) and isinstance(v, kind) for k, v in value.items())


def _of_python(value: Any) -> Any:
    """Convert paths, and the numbers and arrays of NumPy and torch, to texts and numbers, which JSON has."""
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    return os.fspath(value) if isinstance(value, os.PathLike) else plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


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
    dtype: Dtype
    workers: int
    engine: EngineName
    processes: Processes
    address: str | None
