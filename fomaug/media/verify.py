"""Read provenance marks back from files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from fomaug.errors import MediaError, UnsafeFileError, reason_of
from fomaug.files import ANY, PACKET, PICTURE, exists, read_regular
from fomaug.media.formats import PICTURE_FORMATS
from fomaug.media.images import sidecar_of
from fomaug.media.inputs import MediaFile, MediaInput, media_file
from fomaug.media.opening import DAMAGE, identify
from fomaug.media.provenance import NAMESPACES, find_in_gif, find_in_iso_media

_SYNTHETIC: Final = (
    "trainedAlgorithmicMedia",
    "compositeWithTrainedAlgorithmicMedia",
    "compositeSynthetic",
    "algorithmicMedia",
)
_PACKET_LIMIT: Final = 1 << 20


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
