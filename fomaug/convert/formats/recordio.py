"""RecordIO: pictures in one file of records, in MXNet's layout, for face recognition.

A record is the number `MAGIC`, a 32-bit word, the payload, and zeros up to a multiple of four bytes. The lower 29 bits
of the word are the length of the payload, the upper 3 its part. Part 0 is a whole payload. A payload that contains the
magic number at a multiple of four bytes is split there into several records without the number: part 1 is the first
record, 2 a middle one, 3 the last. The payload is a header (flag, label, id, id2), then further labels if the flag is
their number, then the bytes of a picture.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, ClassVar, Final

from fomaug.convert.entries import Entry
from fomaug.convert.formats.registry import UNALIGNED, Context, Converter, register
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
        labels: one number, stored in the header, or several, stored after it.
        number: number of the record.
        content: bytes of the picture; empty for a record of an identity.
    """
    if len(labels) == 1:
        return _HEADER.pack(0, labels[0], number, 0) + content
    return _HEADER.pack(len(labels), 0.0, number, 0) + struct.pack(f"<{len(labels)}f", *labels) + content


def encode_record(payload: bytes) -> bytes:
    """Encode a payload as one record, or as several if it contains the magic number.

    >>> encode_record(b"abcde").hex(" ", 4)
    '0a23d7ce 05000000 61626364 65000000'
    """
    parts = _divide(payload)
    return b"".join(_encode_part(_kind(index, len(parts)), part) for index, part in enumerate(parts))


def _divide(payload: bytes) -> list[bytes]:
    """Split a payload at every magic number that begins at a multiple of four bytes."""
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
        raise LabelError(f"a record must have at most {_MOST} bytes, but the picture has {len(part)}")
    return _MAGIC + struct.pack("<I", kind << 29 | len(part)) + part + b"\0" * (-len(part) % 4)


@register
class RecordConverter(Converter):
    """Writer of `train.rec`, `train.idx`, `train.lst` and `property`.

    The labels of record 0 are the range of the records of identities: the first number, and the last plus one. Records
    1 and up are pictures, person by person. The labels of an identity's record are the range of its pictures.
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
        """Require pictures of one size, and add notes on left-out splits and missing alignment."""
        if len(survey.sizes) > 1:
            raise LabelError("recordio needs pictures of one size, but this dataset has several; use align=112")
        notes = super().check(survey, plan)
        others = sum(count for split, count in survey.splits.items() if split != "train")
        if others:
            notes.append(f"{others} pictures of other splits are left out; verification and lfw-pairs use them")
        if plan.align is None:
            notes.append(UNALIGNED)
        return notes

    def add(self, entry: Entry) -> bool:
        """Append the record of a picture."""
        if entry.split != "train":
            return False
        if entry.label not in self.numbers:
            self.left_out["pictures without a class label"] += 1
            return False
        content = self.pictures.content(entry)
        number, label = self.number + 1, self.numbers[entry.label]
        if self.number == 0:
            # Record 0 is written again at the end with the number of pictures; its length stays the same.
            self._write(0, encode_record(pack_payload((0.0, 0.0), 0, b"")))
        self._write(number, encode_record(pack_payload((float(label),), number, content)))
        self.number = number
        first, _ = self.ranges.get(label, (number, 0))
        self.ranges[label] = first, number + 1
        self.outputs.text("train.lst").write(f"1\t{entry.split}/{entry.name}\t{label}\n")
        return True

    def finish(self) -> None:
        """Append the records of the identities, and write record 0 and the properties."""
        if not self.number:
            raise LabelError("recordio needs a picture to train on, but none could be used")
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
