"""What a written file says about its making, as an XMP packet.

The terms are those of the IPTC photo metadata standard (2025.1) for media made with AI systems; what it has no term for
stands in a namespace of our own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, Literal
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


@dataclass(frozen=True)
class Provenance:
    """What a picture was made from, without naming anyone: names of files are given as hashes only.

    Attributes:
        model: name of the model.
        model_hash: sha256 of its configuration and weights.
        pool_hash: sha256 of the driving pool or clip.
        source_hash: sha256 of the source picture's file.
        source_id: sha256 of the source's name within its dataset, shortened.
        source_type: `generated` for a whole generated picture, `composite` for one pasted back into a photograph.
    """

    model: str
    model_hash: str = ""
    pool_hash: str = ""
    source_hash: str = ""
    source_id: str = ""
    source_type: SourceType = "generated"

    def to_xmp(self) -> bytes:
        """Make the XMP packet; equal provenance gives equal bytes.

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
    """Turn a field's name into a property's: `pool_hash` into `PoolHash`."""
    return name.title().replace("_", "")
