"""Names of pictures: their keys, which stay below OUT, and their labels and splits, which may come from folders."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from fomaug.errors import ArgumentError
from fomaug.expand.output import CARD, CONTACT_SHEET, MANIFEST, PARTS, POOL_FILE, REJECTED, SOURCES, SUMMARY, THUMBNAILS
from fomaug.expand.report import Failure
from fomaug.expand.samples import check_label
from fomaug.expand.sources import SPLITS, SourceFile
from fomaug.remote import is_url

_MAX_NAME_BYTES: Final = 255  # limit of all common file systems
_OWN: Final = (CARD, SUMMARY, MANIFEST, REJECTED, SOURCES, POOL_FILE, CONTACT_SHEET, PARTS, THUMBNAILS)


class Found(NamedTuple):
    """A source of an input, before its names are checked.

    Attributes:
        source: the source.
        home: name of the archive of the source; empty outside of archives.
        where: file and row, for messages.
    """

    source: SourceFile
    home: str = ""
    where: str = ""


class Listed(NamedTuple):
    """The sources of an input.

    Attributes:
        sources: sources, in the order of the input.
        failed: entries of the input that are not valid sources.
    """

    sources: list[SourceFile]
    failed: list[Failure]


def safe_key(name: str) -> str:
    """Return the key of a picture by its path, URL or name in an archive: a path that stays below any folder.

    Scheme and drive, slashes at the start, and dots at the start of each part are left out.

    >>> safe_key("anna/1.png"), safe_key("../x/./1.png"), safe_key("/data/.cache/1.png"), safe_key("s3://b/anna/1.png")
    ('anna/1.png', 'x/1.png', 'data/cache/1.png', 'b/anna/1.png')
    """
    name = name.partition("://")[2] if is_url(name) else re.sub(r"^[A-Za-z]:(?=[/\\])", "", name)
    parts = (part.lstrip(".") for part in name.replace("\\", "/").split("/"))
    return "/".join(part for part in parts if part)


def is_hidden(name: str) -> bool:
    """Return whether a file or one of its folders is hidden, like the leftovers of file systems and browsers.

    >>> is_hidden("a/._1.jpg"), is_hidden("./a/1.jpg"), is_hidden("../1.jpg")
    (True, False, False)
    """
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def split_of(file: str) -> str:
    """Return the split of an archive by its folder, or by the first word of its name; empty if neither is a split.

    >>> split_of("faces/val/00000.tar"), split_of("data/train-00000-of-00002.parquet"), split_of("faces.tar")
    ('val', 'train', '')
    """
    path = PurePosixPath(file.replace("\\", "/"))
    word = re.split(r"[-_.]", path.name.lower(), maxsplit=1)[0]
    return SPLITS.get(path.parent.name.lower()) or SPLITS.get(word) or ""


def named_by_folders(keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield label and split of each picture by its path below the dataset.

    Args:
        keys: paths with slashes.
    """
    divided = _is_divided(keys)
    for key in keys:
        top, _, rest = key.partition("/")
        split = SPLITS.get(top.lower(), "") if divided and rest else ""
        if split:
            top, _, rest = rest.partition("/")
        yield sys.intern(top) if rest else "", split


def _is_divided(keys: Iterable[str]) -> bool:
    """Return whether top folders are splits: one is named train, or all of them have names of splits.

    Beside a train folder, every folder with the name of a split is a split, whatever the other folders are, so that
    test images stay test images. Without a train folder, a folder named dev among others is a class.
    """
    tops = {top.lower() for top, slash, _ in (key.partition("/") for key in keys) if slash}
    splits = {SPLITS.get(top, "") for top in tops}
    return "train" in splits or (bool(splits) and "" not in splits)


def check_listed(found: Iterable[Found], failed: Iterable[Failure] = ()) -> Listed:
    """Check the names of sources; unusable ones are failures.

    If two archives have pictures of one name, all keys begin with the name of their archive.

    Args:
        found: sources of an input.
        failed: earlier failures.
    """
    everything = list(found)
    if _repeats_between_homes(everything):
        everything = [
            item._replace(source=replace(item.source, key=f"{item.home}/{item.source.key}")) for item in everything
        ]
    problems = list(failed)
    sources, seen = [], dict[str, str]()
    for item in everything:
        reason = _reason_against(item, seen)
        if reason:
            problems.append(Failure(item.where or item.source.key, reason))
        else:
            seen[item.source.key] = item.where
            sources.append(item.source)
    return Listed(sources, problems)


def _repeats_between_homes(found: list[Found]) -> bool:
    homes: dict[str, str] = {}
    return any(homes.setdefault(item.source.key, item.home) != item.home for item in found)


def _reason_against(item: Found, seen: dict[str, str]) -> str:
    """Return the reason why a source cannot be used by its names; empty if it can."""
    key, label = item.source.key, item.source.label
    if not key or not can_name_a_file(key + label):
        return "has a name or label that no file can have"
    if key in seen:
        other = f" ({seen[key]})" if seen[key] else ""
        return f"has the key {key!r} of another picture{other}; rename one of them"
    return "; ".join(_reasons_against(key.split("/"), label))


def can_name_a_file(name: str) -> bool:
    """Return whether a name has no null characters and no lone surrogates, which only JSON can represent."""
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def _reasons_against(parts: list[str], label: str) -> Iterator[str]:
    if any(len(os.fsencode(part)) > _MAX_NAME_BYTES for part in parts[:-1]):
        yield "is in a folder whose name is too long"
    if len(parts) > 1 and parts[0] in _OWN:
        yield f"is in a folder called {parts[0]}, which is the name of a file of fomaug"
    if not label:
        return
    try:
        check_label(label)
    except ArgumentError:
        yield f"has the label {label[:80]!r}, which cannot name a folder; rename it"
    if label.startswith(".") or label in _OWN or len(os.fsencode(label)) > _MAX_NAME_BYTES:
        yield f"has the label {label[:80]!r}, which cannot name a folder; rename it"
