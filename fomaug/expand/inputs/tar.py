"""Tar files in the layout of WebDataset: the files of a sample follow one another, with one name up to the first dot.

An archive is indexed by its headers and never unpacked. A source is read from its position.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, cast

from fomaug.errors import ArgumentError, FomaugError, MediaError, reason_of
from fomaug.expand.inputs.names import Found, Listed, check_listed, is_hidden, safe_key, split_of
from fomaug.expand.readers import TarReader
from fomaug.expand.report import Failure
from fomaug.expand.sources import SourceFile
from fomaug.files import ARCHIVE
from fomaug.media import read_suffixes, unread_suffixes
from fomaug.remote import open_any
from fomaug.untrusted import load_json

_SUFFIXES: Final = frozenset((*read_suffixes, *unread_suffixes))
_MOST_LABEL_BYTES: Final = 1 << 20  # of a file with the label of a sample
_MOST_READ: Final = 16 << 20  # bytes at a time
_LABELS: Final = ("label", "class", "cls")  # keys of a .json file


def list_tars(archives: Iterable[str]) -> Listed:
    """List the pictures of tar files.

    The label of a sample is `label`, `class` or `cls` in its `.json` file, or its `.cls` file. The split is that of the
    archive, see `split_of`.

    Args:
        archives: paths or URLs.

    Raises:
        ArgumentError: an archive cannot be read, or is compressed.
    """
    failed: list[Failure] = []
    found = [item for archive in archives for item in _list_tar(archive, failed)]
    return check_listed(found, failed)


def _list_tar(archive: str, failed: list[Failure]) -> Iterator[Found]:
    try:
        with open_any(archive, ARCHIVE) as file:
            yield from _samples(archive, file, failed)
    except (tarfile.TarError, RecursionError, ValueError, OverflowError) as cause:  # of hostile headers
        raise ArgumentError(
            f"{archive} cannot be read as a tar file ({reason_of(cause)}); compressed ones must be unpacked first"
        ) from cause
    except OSError as cause:
        raise ArgumentError(f"{archive} cannot be read: {reason_of(cause)}") from cause


class _Headers:
    """A tar file of which no more than headers and labels are read at a time, whatever length a header claims."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        """Read a header, or the file with a label."""
        if not 0 <= size <= _MOST_READ:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        return self._file.read(size)


def _samples(archive: str, file: BinaryIO, failed: list[Failure]) -> Iterator[Found]:
    with tarfile.open(fileobj=cast(Any, _Headers(file)), mode="r:") as opened:
        for _, group in groupby(_members(opened), lambda member: _stem(member.name)):
            members = list(group)
            pictures = _pictures([member for member in members if _suffix(member.name) in _SUFFIXES])
            if not pictures:
                continue
            try:
                label = _label(members, opened)
            except FomaugError as cause:
                failed += [Failure(f"{archive}: {member.name}", f"has no label: {cause}") for member in pictures]
                continue
            for member in pictures:
                if member.isreg() and not member.issparse():
                    yield _found(archive, member, label)
                else:
                    failed.append(Failure(f"{archive}: {member.name}", "is not a regular file in its archive"))


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := archive.next()) is not None:
        if member.size < 0:  # the archive would never end
            raise tarfile.ReadError("a member has a negative size")
        archive.members = []  # type: ignore[attr-defined] # the archive would keep all of them
        if not member.isdir() and not is_hidden(member.name):
            yield member


def _pictures(members: list[tarfile.TarInfo]) -> list[tarfile.TarInfo]:
    """Choose the pictures of a sample: those with one suffix (.jpg), or all (.left.jpg and .right.jpg)."""
    plain = [member for member in members if PurePosixPath(member.name).name.count(".") == 1]
    return plain or members


def _found(archive: str, member: tarfile.TarInfo, label: str) -> Found:
    reader = TarReader(archive, member.offset_data, member.size)
    source = SourceFile(Path(), safe_key(member.name), label, split_of(archive), member.size, reader)
    return Found(source, PurePosixPath(safe_key(archive)).stem, f"{archive}: {member.name}")


def _stem(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}"


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _label(members: Iterable[tarfile.TarInfo], archive: tarfile.TarFile) -> str:
    """Read the label of a sample; empty if it has none.

    Raises:
        MediaError: the file with the label is too large, or damaged.
    """
    by_suffix = {_suffix(member.name): member for member in members if member.isreg() and not member.issparse()}
    if ".json" in by_suffix:
        values = load_json(_content(by_suffix[".json"], archive), by_suffix[".json"].name, MediaError, finite=False)
        found = [values[name] for name in _LABELS if values.get(name) is not None] if isinstance(values, dict) else []
        if found:
            return label_text(found[0])
    if ".cls" in by_suffix:
        return _content(by_suffix[".cls"], archive).decode("utf-8", "replace").strip()
    return ""


def _content(member: tarfile.TarInfo, archive: tarfile.TarFile) -> bytes:
    if member.size > _MOST_LABEL_BYTES:
        raise MediaError(f"{member.name} has {member.size:,} bytes")
    file = archive.extractfile(member)
    assert file is not None  # of regular members
    return file.read()


def label_text(value: Any) -> str:
    """Return a label as text.

    Raises:
        MediaError: it is neither a text nor a whole number.
    """
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    raise MediaError(f"a label must be a text or a whole number, got {value!s:.80}")
