"""Sources, read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fomaug.errors import MediaError, reason_of
from fomaug.expand.compose import crop
from fomaug.expand.jobs import Job
from fomaug.faces import Region
from fomaug.files import PICTURE, read_regular
from fomaug.labels import FaceLabels, Flaw
from fomaug.media import Picture, decode_picture


@dataclass(frozen=True, eq=False)
class Loaded:
    """A source, read; or why it cannot be.

    Attributes:
        job: what it is.
        picture: its pixels, None if it cannot be read.
        hash: sha256 of the file.
        reason: why it cannot be read.
        regions: where its faces are, each to be animated on its own; empty for the whole picture.
        still: it has no face, and shall be written as it is, once.
        labels: its annotations; None if it has none.
        flaws: annotations that belong to a picture of another size, and were left out.
    """

    job: Job
    picture: Picture | None
    hash: str = ""
    reason: str = ""
    regions: tuple[Region, ...] = ()
    still: bool = False
    labels: FaceLabels | None = None
    flaws: tuple[Flaw, ...] = ()

    @property
    def parts(self) -> list[Picture]:
        """What is to be animated: the faces cut out, or the whole picture."""
        assert self.picture is not None
        return [crop(self.picture, region) for region in self.regions] or [self.picture]


def load(job: Job, max_pixels: int) -> Loaded:
    """Read the source of a job; a picture that cannot be read is a result, too."""
    try:
        content = read_regular(job.source.path, PICTURE)
    except OSError as cause:
        return Loaded(job, None, reason=f"cannot be read: {reason_of(cause)}")
    try:
        picture = decode_picture(content, Path(job.source.key).suffix, max_pixels=max_pixels)
    except MediaError as cause:
        return Loaded(job, None, reason=str(cause))
    return Loaded(job, picture, hashlib.sha256(content).hexdigest())
