"""Damaged files, made from good ones by seeded chance."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Iterator, Sequence

# Values that have broken parsers: for bytes, for words of a text, for lengths.
_BYTES = (b"", b"\0", b"\xff" * 8, b"\x80\x02", b".", b"{", b"[" * 2000, b"PK\x03\x04", b"\xed\xa0\x80", b"\n", b"\r")
_NUMBERS = (
    *("0", "-1", "1", "64", "1025", "65536", "2147483648", "9223372036854775808", "1" + "0" * 400, "9" * 5000),
    *("1.5", "-0.0", "1e5", "1.0e+400", "1e-400", "NaN", ".nan", "Infinity", "-.inf", "0x" + "f" * 60, "1e999"),
)
_WORDS = (
    *('"x"', "null", "true", "[]", "{}", "[[]]", '{"a": 1}', '""', '"\\ud800"', '"\\u001b[31m"', "~", "2020-13-45"),
    *("!!int abc", "!!timestamp x", "!!bool x", "!!int ''", "!!python/object:os.system x", "&a [*a]", "*b", "? [1]"),
    *("1:1:1:1", "<<: *a", "!!set {a}", "!!binary x", "'" * 3, "[1, 2, 3]", "C64", "F8_E4M3", "I64", "F16", "BF16"),
)
_VALUE = re.compile(rb'-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|true|false|null|"[^"\\]{0,80}"|[A-Za-z_]{2,}')


def mutations(seeds: Sequence[bytes], count: int, *, seed: int, region: int | None = None) -> Iterator[bytes]:
    """Damage good files.

    Args:
        seeds: contents of good files.
        count: number of damaged ones.
        seed: of the chance; the same seed gives the same files.
        region: bytes at a file's beginning that are damaged more often than the rest, by default all.
    """
    rng = random.Random(seed)
    for _ in range(count):
        content = rng.choice(seeds)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            content = rng.choice(_WAYS)(content, rng, region if rng.random() < 0.8 else None)
        yield content


def _place(content: bytes, rng: random.Random, region: int | None) -> int:
    return rng.randrange(max(1, min(len(content), region or len(content))))


def _flip(content: bytes, rng: random.Random, region: int | None) -> bytes:
    damaged = bytearray(content or b"\0")
    for _ in range(rng.choice((1, 1, 2, 8))):
        damaged[_place(damaged, rng, region)] = rng.randrange(256)
    return bytes(damaged)


def _cut(content: bytes, rng: random.Random, region: int | None) -> bytes:
    return content[: _place(content, rng, region)]


def _remove(content: bytes, rng: random.Random, region: int | None) -> bytes:
    start = _place(content, rng, region)
    return content[:start] + content[start + rng.choice((1, 2, 8, 64)) :]


def _repeat(content: bytes, rng: random.Random, region: int | None) -> bytes:
    start, length = _place(content, rng, region), rng.choice((1, 8, 64, 512))
    return (
        content[: start + length] + content[start : start + length] * rng.choice((1, 2, 40)) + content[start + length :]
    )


def _insert(content: bytes, rng: random.Random, region: int | None) -> bytes:
    start = _place(content, rng, region)
    return content[:start] + rng.choice(_BYTES) + content[start:]


def _number(content: bytes, rng: random.Random, region: int | None) -> bytes:
    """Write an extreme number over four or eight bytes, as lengths and sizes are stored."""
    start = _place(content, rng, region)
    value = rng.choice((0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1))
    form = rng.choice(("<I", ">I", "<Q"))
    return content[:start] + struct.pack(form, value) + content[start + struct.calcsize(form) :]


def _value(content: bytes, rng: random.Random, region: int | None) -> bytes:
    """Put a strange value in the place of a number or a word of a text, and keep a safetensors header's length."""
    found = list(_VALUE.finditer(content[: region or 20_000]))
    if not found:
        return content
    match = rng.choice(found)
    value = rng.choice(rng.choice((_NUMBERS, _WORDS))).encode()
    if content[8:9] == b"{":
        value = value if content[match.start() - 1 : match.start()] != b"\\" else value.replace(b'"', b'\\"')
        length = int.from_bytes(content[:8], "little") + len(value) - len(match.group())
        content = min(max(0, length), 2**64 - 1).to_bytes(8, "little") + content[8:]
    return content[: match.start()] + value + content[match.end() :]


_WAYS = (_flip, _cut, _remove, _repeat, _insert, _number, _value, _value, _value, _value)
