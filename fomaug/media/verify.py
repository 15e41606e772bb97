"""Reading provenance marks back from files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from PIL import Image

from fomaug.errors import MediaError, UnsafeFileError, reason_of
from fomaug.files import ANY, PACKET, PICTURE, open_regular, read_regular
from fomaug.media.formats import PICTURE_FORMATS
from fomaug.media.images import sidecar_of
from fomaug.media.inputs import path_exists
from fomaug.media.opening import identify
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
        synthetic: True for a file that AI made or had a part in, according to its mark.
        source_type: last part of the DigitalSourceType, empty if there is none.
        model: name of the fomaug model that made the file, empty for other makers.
        properties: all values of the mark, by the name of the property.
    """

    synthetic: bool
    source_type: str
    model: str
    properties: dict[str, str]


def read_mark(path: str | Path) -> Mark:
    """Read the mark of an image, an MP4, MOV, GIF or WebP file.

    Raises:
        MediaError: there is no such file, or it is of another kind.
    """
    path = Path(path)
    if not path_exists(path) or path.is_dir():
        raise MediaError(f"{path} is a folder; give the files in it" if path.is_dir() else f"no file {path}")
    try:
        packet = _find_packet(path)
    except UnsafeFileError as cause:
        raise MediaError(str(cause)) from cause
    properties = _parse(packet, path) if packet else {}
    source_type = properties.get("Iptc4xmpExt:DigitalSourceType", "").rstrip("/").rpartition("/")[2]
    return Mark(source_type in _SYNTHETIC, source_type, properties.get("fomaug:Model", ""), properties)


def _find_packet(path: Path) -> bytes:
    with open_regular(path, ANY) as file:  # ANY, since little is read of a video or GIF, however large
        head = file.read(12)
        file.seek(0)
        if head[4:8] == b"ftyp":
            return find_in_iso_media(file)
        if head[:3] == b"GIF":
            return find_in_gif(file)
    packet = _find_in_picture(path)
    if not packet and sidecar_of(path).exists():
        packet = read_regular(sidecar_of(path), PACKET)
    return packet


def _find_in_picture(path: Path) -> bytes:
    try:
        with open_regular(path, PICTURE) as file, identify(file, PICTURE_FORMATS) as picture:
            packet = picture.xmp()
    except UnsafeFileError:
        raise
    except (OSError, Image.DecompressionBombError) as cause:
        reason = reason_of(cause)
        raise MediaError(f"{path} is neither an image, nor an MP4, MOV, GIF or WebP file: {reason}") from cause
    return packet.encode() if isinstance(packet, str) else bytes(packet)


def _parse(packet: bytes, path: Path) -> dict[str, str]:
    # Entities are the one way in which a small XML text becomes a huge one; no XMP writer needs them.
    if len(packet) > _PACKET_LIMIT or b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        raise MediaError(f"{path} carries an XMP packet that is too large or declares entities; it was not read")
    try:
        root = ElementTree.fromstring(packet.strip(b"\0 \r\n"))
    except ElementTree.ParseError as cause:
        raise MediaError(f"{path} carries an XMP packet that is not XML: {cause}") from cause
    found: dict[str, str] = {}
    for description in root.iter(f"{{{NAMESPACES['rdf']}}}Description"):
        found |= {_short(name): value for name, value in description.attrib.items()}
        found |= {_short(part.tag): _text(part) for part in description}
    return found


def _text(part: ElementTree.Element) -> str:
    resource = part.get(f"{{{NAMESPACES['rdf']}}}resource")
    return resource if resource is not None else "".join(part.itertext()).strip()


def _short(name: str) -> str:
    """Turn `{uri}Name` into `prefix:Name`."""
    uri, _, local = name.removeprefix("{").rpartition("}")
    prefixes = {uri: prefix for prefix, uri in NAMESPACES.items()}
    return f"{prefixes.get(uri, uri)}:{local}"
