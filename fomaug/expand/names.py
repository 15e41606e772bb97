"""Class labels and file names of copies; names are unique on every file system and stay inside the output folder."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, LabelError
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import SourceFile
from fomaug.media import sidecar_of

_SUFFIXES: Final = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif", "bmp": ".bmp"}
_MAX_NAME_BYTES: Final = 255  # limit of all common file systems


def parse_labels(text: str) -> str | dict[str, str]:
    """Parse the option `labels`: a policy, or OLD=NEW pairs separated by commas.

    >>> parse_labels("keep"), parse_labels("*=fake"), parse_labels("glad=happy,*=other")
    ('keep', {'*': 'fake'}, {'glad': 'happy', '*': 'other'})
    """
    if "=" not in text:
        return text
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if not all(old.strip() and equals for old, equals, _ in pairs):
        raise ArgumentError(f"labels must be OLD=NEW pairs with commas between, got {text!r}")
    return {old.strip(): new.strip() for old, _, new in pairs}


def copy_label(
    policy: str | Mapping[str, str], source_label: str, clip_label: str | None, *, still: bool = False
) -> str:
    """Return the label of one copy; empty for no label.

    Args:
        policy: a label policy, or a mapping from old to new labels.
        source_label: label of the source.
        clip_label: label of the driving clip.
        still: True for an unchanged copy, which keeps the label of its source.
    """
    if policy == "drop":
        return ""
    if policy == "keep" or still:
        return source_label
    if policy == "from_clip":
        if not clip_label:
            raise LabelError("the clip has no label")
        return check_label(clip_label)
    assert not isinstance(policy, str)
    return check_label(policy.get(source_label, policy.get("*", source_label)))


def check_policy(plan: ExpandPlan, sources: Iterable[SourceFile], pool: DrivingPool) -> None:
    """Check that the label policy has a label for every possible copy.

    Raises:
        LabelError: clips have no label, or the mapping does not fit the dataset.
        ArgumentError: a label cannot name a folder.
    """
    if plan.labels == "from_clip":
        nameless = [track.name for track in pool.tracks if not track.label]
        if nameless:
            raise LabelError(
                f"labels='from_clip', but {len(nameless)} of {len(pool)} driving clips have no label "
                f"({', '.join(nameless[:3])}); give clip_labels, a CSV file with columns clip,label"
            )
        for label in {track.label for track in pool.tracks}:
            check_label(label or "")
    elif not isinstance(plan.labels, str):
        _check_mapping(plan.labels, {source.label for source in sources})


def _check_mapping(mapping: Mapping[str, str], labels: set[str]) -> None:
    if "*" not in mapping and (missing := sorted(labels - set(mapping))):
        raise LabelError(
            f"labels maps {', '.join(sorted(mapping))}, but the dataset also has {', '.join(missing)}; "
            "map them, too, or all others by '*'"
        )
    if unknown := sorted(set(mapping) - labels - {"*"}):
        raise LabelError(f"labels maps {', '.join(unknown)}, but the dataset has {', '.join(sorted(labels)) or 'none'}")
    for new in mapping.values():
        check_label(new)


def check_label(label: str) -> str:
    """Return a label that can name a folder.

    Raises:
        ArgumentError: the label cannot name a folder.
    """
    if label in (".", "..") or any(sign in label for sign in "/\\\0:"):
        raise ArgumentError(f"label {label!r} cannot name a folder; map it to another with labels")
    return label


def list_classes(plan: ExpandPlan, sources: Iterable[SourceFile], pool: DrivingPool) -> tuple[str, ...]:
    """Return all labels that copies can have, sorted; archives number the classes in this order."""
    own = {source.label for source in sources}
    if plan.labels == "from_clip":
        labels = {track.label or "" for track in pool.tracks}
    else:
        labels = {copy_label(plan.labels, label, None) for label in own}
    if plan.faces != "frame" and plan.on_missing == "copy":
        labels |= {copy_label(plan.labels, label, None, still=True) for label in own}
    return tuple(sorted(labels - {""}))


def unique_stems(sources: Iterable[SourceFile], *, merged: bool = False, dotless: bool = False) -> dict[str, str]:
    """Choose the stem of the copies of each source, by the source's key.

    The stem is that of the source file. If another file of the folder has the same stem up to capitals and the encoding
    of accents, the suffix and a number are appended.

    Args:
        sources: source files; earlier ones keep their stem.
        merged: True if copies of several classes share a folder.
        dotless: True to replace dots by dashes, for archives in which the first dot ends a name.
    """
    taken: set[str] = set()
    stems: dict[str, str] = {}
    for source in sources:
        path = PurePosixPath(source.key)
        folder = PurePosixPath(source.split_folder) / source.folder if merged else path.parent
        base = path.stem.replace(".", "-") if dotless else path.stem
        stem, number = base, 1
        while (folded := fold(str(folder / stem))) in taken:
            number += 1
            plain = f"{base}-{path.suffix[1:].lower()}"
            stem = plain if number == 2 else f"{plain}-{number}"
        taken.add(folded)
        stems[source.key] = stem
    return stems


def fold(name: str) -> str:
    """Map names that are equal on some file system to one string."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def copy_name(source: SourceFile, stem: str, copy: int, label: str, encode_format: str) -> str:
    """Return the path of a copy below the output folder: split, class and folders of the source, `stem_m000.suffix`.

    A stem that is too long for a file name is cut and ends in a short hash.
    """
    parts = [part for part in (source.split_folder, label) if part]
    ending = f"_m{copy:03d}{_SUFFIXES[encode_format]}"
    longest = sidecar_of(Path(ending)).name if encode_format == "bmp" else ending
    fitting = _cut(stem, _MAX_NAME_BYTES - len(longest))
    return str(PurePosixPath(*parts) / source.folder / f"{fitting}{ending}")


def _cut(stem: str, size: int) -> str:
    """Shorten a stem to a number of bytes, between two characters; different stems stay different."""
    if len(os.fsencode(stem)) <= size:
        return stem
    mark = f"-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:12]}"
    kept = stem[:size]
    while len(os.fsencode(kept)) > size - len(mark):
        kept = kept[:-1]
    return kept + mark


def path_inside(out: Path, name: str) -> Path:
    """Return the path of a name below `out`.

    Raises:
        ArgumentError: the path is outside of `out`: an absolute name, `..`, or a link to another folder.
    """
    pure = PurePosixPath(name)
    path = out / pure
    leaves = pure.is_absolute() or ".." in pure.parts or Path(name).drive
    if leaves or not path.parent.resolve().is_relative_to(out.resolve()):
        raise ArgumentError(f"{name!r} would be written outside of {out}; nothing was")
    return path
