"""Sources: their files, jobs, units and shards, and the stage that decodes a source and finds its faces."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fomaug.animator import Animator
from fomaug.errors import ArgumentError, MediaError, reason_of
from fomaug.expand.manifest import CopyId
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.readers import FileReader, Reader
from fomaug.faces import Detector, Square, check_finder, face_squares, find_squares
from fomaug.files import PICTURE, read_regular
from fomaug.labels import FaceLabels, Flaw, face_boxes
from fomaug.media import Picture, decode_picture, file_size
from fomaug.remote import is_url

SPLITS: Final = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Split by the name of a top folder, of an archive, or in a list."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One picture of a dataset; the object is small, because a job keeps one for each picture.

    Attributes:
        root: dataset folder.
        key: path below the dataset folder, with slashes on every system; also the key of the draws.
        label: class label, such as the name of the class folder; empty without one.
        split: train, val or test; empty in a dataset without splits.
        recorded_bytes: known size of the file, such as that at the start of the job; None if it is unknown.
        reader: reader of a picture that is not a file of the dataset folder; None for one that is.
    """

    root: Path
    key: str
    label: str = ""
    split: str = ""
    recorded_bytes: int | None = None
    reader: Reader | None = None

    @property
    def path(self) -> Path | None:
        """Path of the file; None for a picture in an archive or on remote storage."""
        if self.reader is None:
            return self.root / self.key
        is_file = isinstance(self.reader, FileReader) and not is_url(self.reader.name)
        return Path(self.reader.name) if isinstance(self.reader, FileReader) and is_file else None

    def read(self) -> bytes:
        """Read the bytes of the picture file.

        Raises:
            OSError: the file cannot be read.
        """
        return read_regular(self.root / self.key, PICTURE) if self.reader is None else self.reader.read()

    @property
    def id(self) -> str:
        """Short hash of the key; it identifies a source without its name."""
        return hashlib.sha256(self.key.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def num_bytes(self) -> int:
        """Size of the file in bytes, see `file_size`; 0 if it is not known."""
        if self.recorded_bytes is not None:
            return self.recorded_bytes
        return 0 if self.path is None else file_size(self.path)

    @property
    def folder(self) -> str:
        """Folder of the key without split and class; empty for none."""
        folder = self.key.rpartition("/")[0]
        for top in (self.split_folder, self.label):
            if top and folder.startswith(top) and folder[len(top) : len(top) + 1] in ("", "/"):
                folder = folder[len(top) + 1 :]
        return folder

    @property
    def below_split(self) -> str:
        """Key without the folder of the split."""
        top, slash, rest = self.key.partition("/")
        return rest if slash and self.split and top == self.split_folder else self.key

    @property
    def split_folder(self) -> str:
        """Name of the split's folder for the copies: that in the dataset, or the split; empty without splits."""
        top, slash, _ = self.key.partition("/")
        return top if slash and self.split and SPLITS.get(top.lower()) == self.split else self.split


@dataclass(frozen=True, slots=True)
class SourceJob:
    """A source and its copies.

    Attributes:
        source: source file.
        stem: stem of the file names of the copies.
        copies: number of copies.
    """

    source: SourceFile
    stem: str
    copies: int

    @property
    def copy_ids(self) -> list[CopyId]:
        """Identifiers of the copies."""
        return [(self.source.key, copy) for copy in range(self.copies)]


Unit = tuple[SourceJob, ...]  # sources that are loaded, animated and written together


@dataclass(frozen=True)
class Group:
    """Units that one worker makes: the content of one file for archives, about as many copies for folders.

    Attributes:
        number: position of the group in the job.
        name: name of the archive without its suffix; empty for folders.
        units: units in their order.
    """

    number: int
    name: str
    units: tuple[Unit, ...]

    @property
    def jobs(self) -> list[SourceJob]:
        """Sources of all units."""
        return [job for unit in self.units for job in unit]

    @property
    def copy_ids(self) -> list[CopyId]:
        """Identifiers of the copies."""
        return [copy_id for job in self.jobs for copy_id in job.copy_ids]


@dataclass(frozen=True, eq=False)
class Loaded:
    """A loaded source, or the reason why it cannot be used.

    Attributes:
        job: source and number of copies.
        picture: decoded image; None if it cannot be used.
        hash: sha256 of the file.
        reason: reason why the source cannot be used.
        squares: squares around the faces, each animated separately; empty for the whole picture.
        still: whether the source has no face and is copied once, unchanged.
        labels: labels of the source; None without annotations.
        flaws: annotations that were left out because they are for an image of another size.
    """

    job: SourceJob
    picture: Picture | None
    hash: str = ""
    reason: str = ""
    squares: tuple[Square, ...] = ()
    still: bool = False
    labels: FaceLabels | None = None
    flaws: tuple[Flaw, ...] = ()

    @property
    def parts(self) -> list[Picture]:
        """Pictures to animate: the faces, or the whole picture."""
        assert self.picture is not None
        return [square.cut_picture(self.picture) for square in self.squares] or [self.picture]


def load(job: SourceJob, max_pixels: int) -> Loaded:
    """Load the source of a job; the result has a reason if the file cannot be read."""
    try:
        content = job.source.read()
    except OSError as cause:
        return Loaded(job, None, reason=f"cannot be read: {reason_of(cause)}")
    return decode(job, content, max_pixels)


def decode(job: SourceJob, content: bytes, max_pixels: int) -> Loaded:
    """Decode the bytes of a source's file; the result has a reason if they are not a picture."""
    try:
        picture = decode_picture(content, Path(job.source.key).suffix, max_pixels=max_pixels)
    except MediaError as cause:
        return Loaded(job, None, reason=str(cause))
    return Loaded(job, picture, hashlib.sha256(content).hexdigest())


Locate = Callable[[Loaded], Loaded]
FitLabels = Callable[[str, tuple[int, int]], tuple[FaceLabels | None, tuple[Flaw, ...]]]
"""Function of a source's key and its (H, W); it returns the labels that fit, and those that were left out."""


def prepare(loaded: Loaded, fit_labels: FitLabels | None, locate: Locate | None) -> Loaded:
    """Add the labels of a decoded source, and find its faces.

    Args:
        loaded: source with a picture.
        fit_labels: function that finds the labels of a source; None without annotations.
        locate: function that finds the faces of a source; None for whole pictures.
    """
    assert loaded.picture is not None
    if fit_labels:
        labels, flaws = fit_labels(loaded.job.source.key, loaded.picture.size)
        loaded = replace(loaded, labels=labels, flaws=flaws)
    return locate(loaded) if locate else loaded


def make_locator(
    plan: ExpandPlan, animator: Animator, detector: Detector | None, *, annotated: bool = False
) -> Locate | None:
    """Make the function that adds the squares of its faces to a source; None if whole images are animated.

    Args:
        plan: plan with `faces` and `on_missing`.
        animator: model that finds faces if there is no detector.
        detector: function from (H, W, 3) uint8 RGB to face boxes (left, top, right, bottom) in pixels.
        annotated: whether sources have labels, for `faces="boxes"`.

    Raises:
        ArgumentError: the plan needs annotations, a detector or a model of faces, and there is none.
    """
    if plan.faces == "frame":
        return None
    if plan.faces == "boxes" and not annotated:
        raise ArgumentError("faces='boxes' takes the boxes of annotations; give annotations, or use faces='detect'")
    if plan.faces == "detect":
        check_finder(animator, detector)

    def locate(loaded: Loaded) -> Loaded:
        assert loaded.picture is not None
        if plan.faces == "boxes":
            squares = _annotated(loaded)
        else:
            squares = find_squares(loaded.picture.rgb, animator, detector=detector)
        return replace(loaded, squares=squares) if squares else _without_face(loaded, plan.on_missing)

    return locate


def _annotated(loaded: Loaded) -> tuple[Square, ...]:
    assert loaded.picture is not None
    if loaded.labels is None:
        return ()
    return face_squares(face_boxes(loaded.labels).tolist(), loaded.picture.size)


def _without_face(loaded: Loaded, on_missing: str) -> Loaded:
    if on_missing == "copy":
        return replace(loaded, still=True)
    return replace(loaded, picture=None, reason="has no face that can be used")
