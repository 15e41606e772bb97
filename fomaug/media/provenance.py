"""Provenance marks: XMP packets that describe how a file was made, and their positions in video files.

The terms are those of the IPTC photo metadata standard (2025.1) for media made with AI systems; facts without
such a term use fomaug's own namespace.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from pathlib import Path
from typing import BinaryIO, Final, Literal
from xml.sax.saxutils import quoteattr

from fomaug import __version__

SourceType = Literal["generated", "composite"]

SOURCE_TYPES: Final[dict[str, str]] = {
    "generated": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
    "composite": "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia",
}

NAMESPACES: Final = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "fomaug": "urn:fomaug:provenance:1#",
}

# The identifier in a packet's head is a constant of the XMP specification.
_HEAD: Final = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_TAIL: Final = '<?xpacket end="w"?>'

_BOX_ID: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # type of the XMP box in ISO media files
_GIF_HEAD: Final = b"\x21\xff\x0bXMP DataXMP"
_GIF_TAIL: Final = (
    b"\x01" + bytes(range(255, -1, -1)) + b"\0"
)  # ends the block for readers that follow its length bytes
_PACKET_LIMIT: Final = 1 << 20


@dataclass(frozen=True)
class Provenance:
    """The origin of a synthetic picture; files are given only by hashes, so that no person is named.

    Attributes:
        model: name of the model.
        model_hash: sha256 of its configuration and weights.
        pool_hash: sha256 of the driving pool or clip.
        source_hash: sha256 of the source picture's file.
        source_id: sha256 of the source's name within its dataset, shortened.
        source_type: `generated` for a picture that is generated as a whole, `composite` for a face that is pasted back
            into a photograph.
    """

    model: str
    model_hash: str = ""
    pool_hash: str = ""
    source_hash: str = ""
    source_id: str = ""
    source_type: SourceType = "generated"

    def to_xmp(self) -> bytes:
        """Return the XMP packet; equal provenance results in equal bytes.

        >>> b"trainedAlgorithmicMedia" in Provenance("lite-256").to_xmp()
        True
        """
        attributes = "".join(f"\n   {name}={quoteattr(value)}" for name, value in self._properties().items() if value)
        spaces = "".join(f"\n   xmlns:{name}={quoteattr(uri)}" for name, uri in NAMESPACES.items() if name != "rdf")
        return (
            f'{_HEAD}\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n <rdf:RDF xmlns:rdf={quoteattr(NAMESPACES["rdf"])}>\n'
            f'  <rdf:Description rdf:about=""{spaces}{attributes}/>\n </rdf:RDF>\n</x:xmpmeta>\n{_TAIL}'
        ).encode()

    def _properties(self) -> dict[str, str]:
        ours = {f"fomaug:{_title(field.name)}": getattr(self, field.name) for field in fields(self)[1:-1]}
        return {
            "xmp:CreatorTool": f"fomaug {__version__}",
            "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPES[self.source_type],
            "Iptc4xmpExt:AISystemUsed": f"fomaug {self.model}",
            "Iptc4xmpExt:AISystemVersionUsed": f"{__version__} {self.model_hash[:12]}".strip(),
            "fomaug:Model": self.model,
            **ours,
        }


def _title(name: str) -> str:
    """Convert a field's name to that of a property: `pool_hash` to `PoolHash`."""
    return name.title().replace("_", "")


def mark_iso_media(path: Path, xmp: bytes) -> None:
    """Append the packet to an MP4 or MOV file as a separate box."""
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", 24 + len(xmp), b"uuid") + _BOX_ID + xmp)


def find_in_iso_media(file: BinaryIO) -> bytes:
    """Find the packet among the outermost boxes, and read only their headers; return b"" if there is none."""
    end = file.seek(0, 2)
    file.seek(0)
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        read = 8
        if size == 1:
            size, read = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))[0], 16
        if kind == b"uuid" and file.read(16) == _BOX_ID:
            return file.read(min(size - read - 16, _PACKET_LIMIT + 1)) if size else file.read(_PACKET_LIMIT + 1)
        read += 16 if kind == b"uuid" else 0
        # A size of 0 extends to the end of the file; one below the header's or beyond the end is damage.
        if not read <= size <= read + end - file.tell():
            break
        file.seek(size - read, 1)
    return b""


def mark_gif(path: Path, xmp: bytes) -> None:
    """Put the packet before the last byte of a GIF file."""
    with path.open("r+b") as file:
        file.seek(-1, 2)
        trailer = file.read(1)
        assert trailer == b"\x3b"
        file.seek(-1, 2)
        file.write(_GIF_HEAD + xmp + _GIF_TAIL + trailer)


def find_in_gif(file: BinaryIO) -> bytes:
    """Find the packet near the end of a GIF file; return b"" if there is none."""
    file.seek(0, 2)
    file.seek(max(0, file.tell() - _PACKET_LIMIT))
    before, found, after = file.read().rpartition(_GIF_HEAD)
    del before
    return after.partition(_GIF_TAIL)[0] if found else b""


def mark_webp(path: Path, xmp: bytes) -> None:
    """Append the packet as a chunk of an animated WebP file and set its flag in the header."""
    with path.open("r+b") as file:
        head = file.read(21)
        assert head[12:16] == b"VP8X", "an animation always has the extended header"
        file.seek(0, 2)
        file.write(b"XMP " + struct.pack("<I", len(xmp)) + xmp + b"\0" * (len(xmp) % 2))
        size = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", size))
        file.seek(20)
        file.write(bytes([head[20] | 0x04]))
