"""RecordIO: pictures in one file of records, as recognisers read them with MXNet's layout.

A record is the number `MAGIC`, a word with its length in the lower 29 bits and its part in the upper 3, the payload,
and zeros up to a multiple of four bytes. A payload that holds the magic number at a multiple of four bytes is divided
there into several records: the magic number is left out, and the part says whether a record is the first (1), a middle
(2) or the last one (3) of its payload; 0 is a whole one. The payload is a header (flag, label, id, id2), further labels
if the flag counts them, and the bytes of a picture.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, ClassVar, Final

from fomaug.convert.entries import Entry
from fomaug.convert.formats.registry import Context, Converter, register
from fomaug.convert.plan import ConvertPlan
from fomaug.convert.survey import CLASSES, Survey
from fomaug.errors import LabelError

MAGIC: Final = 0xCED7230A
_MAGIC: Final = struct.pack("<I", MAGIC)
_HEADER: Final = struct.Struct("<IfQQ")
_MOST: Final = (1 << 29) - 1


def pack_payload(labels: tuple[float, ...], number: int, content: bytes) -> bytes:
    """Put the header before the bytes of a picture.

    Args:
        labels: one number, which stands in the header, or several, which follow it.
        number: number of the record.
        content: bytes of the picture; empty for records about other records.
    """
    if len(labels) == 1:
        return _HEADER.pack(0, labels[0], number, 0) + content
    return _HEADER.pack(len(labels), 0.0, number, 0) + struct.pack(f"<{len(labels)}f", *labels) + content


def encode_record(payload: bytes) -> bytes:
    """Encode a payload as one record, or as several where it holds the magic number.

    >>> encode_record(b"abcde").hex(" ", 4)
    '0a23d7ce 05000000 61626364 65000000'
    """
    parts = _divide(payload)
    return b"".join(_encode_part(_kind(index, len(parts)), part) for index, part in enumerate(parts))


def _divide(payload: bytes) -> list[bytes]:
    """Divide a payload at every magic number that begins at a multiple of four bytes."""
    parts, start, found = [], 0, payload.find(_MAGIC)
    while found >= 0:
        if found % 4 == 0:
            parts.append(payload[start:found])
            start = found + 4
            found = payload.find(_MAGIC, start)
        else:
            found = payload.find(_MAGIC, found + 1)
    return [*parts, payload[start:]]


def _kind(index: int, count: int) -> int:
    if count == 1:
        return 0
    return 1 if index == 0 else 3 if index == count - 1 else 2


def _encode_part(kind: int, part: bytes) -> bytes:
    if len(part) > _MOST:
        raise LabelError(f"a record holds up to {_MOST} bytes, and the picture has {len(part)}")
    return _MAGIC + struct.pack("<I", kind << 29 | len(part)) + part + b"\0" * (-len(part) % 4)


@register
class RecordConverter(Converter):
    """Writer of `train.rec`, `train.idx`, `train.lst` and `property`.

    Record 0 says which records are identities: its labels are the first of them and the one behind the last. Records 1
    and up are pictures, person by person; each identity's record has the first of its pictures and the one behind its
    last.
    """

    name: ClassVar[str] = "recordio"
    summary: ClassVar[str] = "RecordIO: train.rec, .idx, .lst and property, for face recognition"
    needs = (CLASSES,)
    holds = frozenset({CLASSES})
    encode: ClassVar[str] = "jpeg"
    by_label: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        names = [name for name in context.survey.class_names if name in context.survey.train_classes]
        self.numbers = {name: number for number, name in enumerate(names)}
        self.number = 0
        self.ranges: dict[int, tuple[int, int]] = {}
        self.offset = 0

    @classmethod
    def check(cls, survey: Survey, plan: ConvertPlan) -> list[str]:
        """Require pictures of one size, and tell that only pictures to train on go in."""
        if len(survey.sizes) > 1:
            raise LabelError("recordio needs pictures of one size, and this dataset has several; use align=112")
        notes = super().check(survey, plan)
        others = sum(count for split, count in survey.splits.items() if split != "train")
        if others:
            notes.append(f"{others} pictures of other splits stay out; verification and lfw-pairs are made of those")
        if plan.align is None:
            notes.append("recognisers expect aligned faces; align=112 aligns them")
        return notes

    def add(self, entry: Entry) -> None:
        """Append the record of a picture."""
        if entry.split != "train":
            return
        if entry.label not in self.numbers:
            self.left_out["pictures without a class label"] += 1
            return
        content = self.pictures.content(entry)
        number, label = self.number + 1, self.numbers[entry.label]
        if self.number == 0:
            # The number of pictures is known only at the end, and floats of all numbers have the same length.
            self._write(0, encode_record(pack_payload((0.0, 0.0), 0, b"")))
        self._write(number, encode_record(pack_payload((float(label),), number, content)))
        self.number = number
        first, _ = self.ranges.get(label, (number, 0))
        self.ranges[label] = first, number + 1
        self.outputs.text("train.lst").write(f"1\t{entry.split}/{entry.name}\t{label}\n")

    def finish(self) -> None:
        """Append the records of the identities, and write record 0 and the properties."""
        if not self.number:
            raise LabelError("no picture to train on could be used, so there is no recordio to write")
        first = self.number + 1
        for index, label in enumerate(sorted(self.ranges)):
            low, high = self.ranges[label]
            self._write(first + index, encode_record(pack_payload((float(low), float(high)), first + index, b"")))
        head = encode_record(pack_payload((float(first), float(first + len(self.ranges))), 0, b""))
        self._rewind(head)
        (height, width), *_ = self.survey.sizes
        self.outputs.text("property").write(f"{len(self.numbers)},{height},{width}\n")

    def _write(self, number: int, record: bytes) -> None:
        self._file.write(record)
        self.outputs.text("train.idx").write(f"{number}\t{self.offset}\n")
        self.offset += len(record)

    def _rewind(self, head: bytes) -> None:
        self._file.seek(0)
        self._file.write(head)
        self._file.seek(0, 2)

    @property
    def _file(self) -> BinaryIO:
        return self.outputs.binary("train.rec")
