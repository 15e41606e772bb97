"""Provenance marks: XMP packets that describe how a file was made, their positions in files, and their reading.

The terms are those of the IPTC photo metadata standard (2025.1) for media made with AI systems; facts without
such a term use fomaug's own namespace.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final, Literal
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from fomaug import __version__
from fomaug.errors import MediaError, UnsafeFileError, reason_of
from fomaug.files import ANY, PACKET, PICTURE, exists, read_regular
from fomaug.media.formats import PICTURE_FORMATS
from fomaug.media.opening import DAMAGE, MediaFile, MediaInput, identify, media_file

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
_SYNTHETIC: Final = (
    "trainedAlgorithmicMedia",
    "compositeWithTrainedAlgorithmicMedia",
    "compositeSynthetic",
    "algorithmicMedia",
)


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
        return _packet(self)

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


@lru_cache(maxsize=64)  # all copies of a source have the same provenance
def _packet(provenance: Provenance) -> bytes:
    attributes = "".join(f"\n   {name}={quoteattr(value)}" for name, value in provenance._properties().items() if value)
    spaces = "".join(f"\n   xmlns:{name}={quoteattr(uri)}" for name, uri in NAMESPACES.items() if name != "rdf")
    return (
        f'{_HEAD}\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n <rdf:RDF xmlns:rdf={quoteattr(NAMESPACES["rdf"])}>\n'
        f'  <rdf:Description rdf:about=""{spaces}{attributes}/>\n </rdf:RDF>\n</x:xmpmeta>\n{_TAIL}'
    ).encode()


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


def sidecar_of(path: Path) -> Path:
    """Return the path of the separate file for the mark of a picture whose format cannot contain it."""
    return path.with_name(f"{path.name}.xmp")


@dataclass(frozen=True)
class Mark:
    """The provenance mark of a file.

    Attributes:
        synthetic: whether the file was made by AI or with AI, according to its mark.
        source_type: last part of the DigitalSourceType, empty if there is none.
        model: name of the fomaug model that made the file, empty for other makers.
        properties: all values of the mark, by the name of the property.
    """

    synthetic: bool
    source_type: str
    model: str
    properties: dict[str, str]


def read_mark(given: MediaInput) -> Mark:
    """Read the mark of an image, an MP4, MOV, GIF or WebP file.

    Args:
        given: path, bytes, or a file that is open for reading bytes.

    Raises:
        MediaError: there is no such file, or it is of another kind.
    """
    file = media_file(given)
    if file.content is None and (not exists(file.path, unclear=MediaError) or file.is_dir):
        raise MediaError(f"{file} is a folder; give the files in it" if file.is_dir else f"there is no file {file}")
    packet = _find_packet(file)
    properties = _parse(packet, file.path) if packet else {}
    source_type = properties.get("Iptc4xmpExt:DigitalSourceType", "").rstrip("/").rpartition("/")[2]
    return Mark(source_type in _SYNTHETIC, source_type, properties.get("fomaug:Model", ""), properties)


def _find_packet(file: MediaFile) -> bytes:
    with file.open(ANY) as content:  # ANY, since only a small part of a large video or GIF is read
        head = content.read(12)
        content.seek(0)
        if head[4:8] == b"ftyp":
            return find_in_iso_media(content)
        if head[:3] == b"GIF":
            return find_in_gif(content)
    packet = _find_in_picture(file)
    if not packet and file.content is None and sidecar_of(file.path).exists():
        packet = _read_sidecar(sidecar_of(file.path))
    return packet


def _find_in_picture(file: MediaFile) -> bytes:
    with file.open(PICTURE) as content:
        try:
            with identify(content, PICTURE_FORMATS) as picture:
                return picture.xmp()
        except DAMAGE as cause:
            reason = reason_of(cause)
            raise MediaError(f"{file} is neither an image, nor an MP4, MOV, GIF or WebP file: {reason}") from cause


def _read_sidecar(path: Path) -> bytes:
    try:
        return read_regular(path, PACKET)
    except UnsafeFileError as cause:
        raise MediaError(str(cause)) from cause


def _parse(packet: bytes, path: Path) -> dict[str, str]:
    # Only entities can expand a small XML text to a huge one, and no XMP writer needs them.
    if len(packet) > _PACKET_LIMIT or b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        raise MediaError(f"{path} has an XMP packet that is too large or declares entities; it was not read")
    try:
        root = ElementTree.fromstring(packet.strip(b"\0 \r\n"))
    except ElementTree.ParseError as cause:
        raise MediaError(f"{path} has an XMP packet that is not XML: {cause}") from cause
    found: dict[str, str] = {}
    for description in root.iter(f"{{{NAMESPACES['rdf']}}}Description"):
        found |= {_short(name): value for name, value in description.attrib.items()}
        found |= {_short(part.tag): _text(part) for part in description}
    return found


def _text(part: ElementTree.Element) -> str:
    resource = part.get(f"{{{NAMESPACES['rdf']}}}resource")
    return resource if resource is not None else "".join(part.itertext()).strip()


def _short(name: str) -> str:
    """Convert `{uri}Name` to `prefix:Name`."""
    uri, _, local = name.removeprefix("{").rpartition("}")
    prefixes = {uri: prefix for prefix, uri in NAMESPACES.items()}
    return f"{prefixes.get(uri, uri)}:{local}"
