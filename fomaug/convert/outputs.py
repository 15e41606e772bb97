"""Write the files of a conversion: pictures one by one, and all label files at the end."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, TextIO

from fomaug.convert.entries import Entry
from fomaug.expand.samples import path_inside
from fomaug.expand.shards import fold
from fomaug.files import link_relative, replacing, write_file
from fomaug.media import decode_picture, encode_image, sidecar_of
from fomaug.options import IncludeSources

_STARTS: Final = {"jpeg": b"\xff\xd8\xff", "png": b"\x89PNG"}
_SUFFIXES: Final = {"jpeg": (".jpg", ".jpeg"), "png": (".png",)}


class Outputs:
    """The label files of a conversion, under temporary names until `finish`.

    Args:
        dest: folder of the converted dataset.
    """

    def __init__(self, dest: Path) -> None:
        self.dest = dest
        self.names: list[str] = []
        self._stack = ExitStack()
        self._texts: dict[str, TextIO] = {}
        self._binaries: dict[str, BinaryIO] = {}
        self._spools: dict[str, TextIO] = {}

    def text(self, name: str, head: str = "") -> TextIO:
        """Return a text file, opened and started with `head` on the first call."""
        if name not in self._texts:
            temporary = self._stack.enter_context(replacing(self._path(name)))
            file = temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="\n")
            self._texts[name] = self._stack.enter_context(file)
            file.write(head)
        return self._texts[name]

    def binary(self, name: str) -> BinaryIO:
        """Return a binary file, opened on the first call."""
        if name not in self._binaries:
            temporary = self._stack.enter_context(replacing(self._path(name)))
            self._binaries[name] = self._stack.enter_context(temporary.open("wb"))
        return self._binaries[name]

    def spool(self, name: str) -> TextIO:
        """Return a temporary text file, opened on the first call, for text that depends on all pictures."""
        if name not in self._spools:
            self._spools[name] = self._stack.enter_context(_temporary_text())
        return self._spools[name]

    def write(self, name: str, content: bytes | str) -> None:
        """Write a whole file under its final name at once, such as the labels of one picture."""
        data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        write_file(path_inside(self.dest, name), data)

    def finish(self) -> None:
        """Close all files, and rename them to their final names."""
        self._stack.close()

    def abandon(self) -> None:
        """Delete the unfinished files."""
        # On an error, the stack deletes the temporary files instead of renaming them.
        self._stack.__exit__(InterruptedError, InterruptedError(), None)

    def _path(self, name: str) -> Path:
        self.names.append(name)
        return path_inside(self.dest, name)


class Pictures:
    """The picture files of a conversion.

    Args:
        dest: folder of the converted dataset.
        mode: value of `ConvertPlan.include_sources`; a re-encoded picture is never a link.
        encode: "jpeg" or "png", the format of re-encoded pictures; empty to keep all bytes.
        suffixes: suffixes of the files that are kept; others become PNGs. Empty to keep all.
        quality: quality of re-encoded JPEGs.
    """

    def __init__(
        self,
        dest: Path,
        mode: IncludeSources,
        *,
        encode: str = "",
        suffixes: Collection[str] = (),
        quality: int = 95,
    ) -> None:
        self.dest, self.mode, self.encode, self.suffixes, self.quality = dest, mode, encode, suffixes, quality
        self._taken: set[str] = set()

    def place(self, entry: Entry, name: str, *, spaces: bool = True) -> str:
        """Write the file of a picture, unless it exists.

        Args:
            entry: picture.
            name: path of the file below the folder; its suffix is replaced if needed.
            spaces: whether white space is kept; in a list it would separate fields.

        Returns:
            Path of the file below the folder; it differs from `name` if another picture has that name.
        """
        if encode := self._encode(entry):
            name = str(PurePosixPath(name).with_suffix(_SUFFIXES[encode][0]))
        name = self._free(name if spaces else re.sub(r"\s+", "_", name))
        path = path_inside(self.dest, name)
        if path.is_symlink() or not path.exists():
            self._write(entry, path)
        return name

    def content(self, entry: Entry) -> bytes:
        """Return the bytes of a picture, upright and in the format of the conversion."""
        content, encode = entry.load(), self._encode(entry)
        if not entry.turned and (not encode or content.startswith(_STARTS[encode])):
            return content
        picture = decode_picture(content, Path(entry.name).suffix)
        encode_format = encode or picture.encode_format
        return encode_image(
            picture.whole,
            encode_format,
            provenance=entry.provenance,
            quality=self.quality,
            icc_profile=picture.icc_profile,
        )

    def _write(self, entry: Entry, path: Path) -> None:
        if self.mode == "link" and self._is_link(entry):
            assert entry.path is not None
            link_relative(path, entry.path)
            return
        if entry.provenance is not None and path.suffix.lower() == ".bmp":
            write_file(sidecar_of(path), entry.provenance.to_xmp())
        write_file(path, self.content(entry))

    def _is_link(self, entry: Entry) -> bool:
        if entry.path is None or entry.turned:
            return False
        encode = self._encode(entry)
        return not encode or entry.load().startswith(_STARTS[encode])

    def _encode(self, entry: Entry) -> str:
        """Return the format that a picture is re-encoded in; empty to keep its bytes."""
        kept = not self.suffixes or PurePosixPath(entry.name).suffix.lower() in self.suffixes
        return self.encode or ("" if kept else "png")

    def _free(self, name: str) -> str:
        path = PurePosixPath(name)
        number = 1
        while fold(found := name if number == 1 else str(path.with_stem(f"{path.stem}-{number}"))) in self._taken:
            number += 1
        self._taken.add(fold(found))
        return found


class UniqueStems:
    """Names of pictures with unique stems, because each label file is named by the stem of its picture."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def claim(self, name: str) -> str:
        """Return the name, or one with another stem if an earlier name has its stem.

        >>> stems = UniqueStems()
        >>> stems.claim("anna/1.png"), stems.claim("anna/1.jpg")
        ('anna/1.png', 'anna/1-jpg-2.jpg')
        """
        path = found = PurePosixPath(name)
        number = 1
        while (stem := fold(str(found.with_suffix("")))) in self._taken:
            number += 1
            found = path.with_stem(f"{path.stem}-{path.suffix[1:]}-{number}")
        self._taken.add(stem)
        return str(found)


def with_content(entry: Entry, content: bytes, suffix: str) -> Entry:
    """Return the entry with new bytes and a new suffix."""
    name = str(PurePosixPath(entry.name).with_suffix(suffix))
    return replace(entry, name=name, load=lambda: content, path=None, turned=False)


def _temporary_text() -> TextIO:
    return tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape", newline="\n")
