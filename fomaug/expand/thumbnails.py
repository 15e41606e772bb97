"""Save thumbnails for the contact sheet with the copies, so that no archive is read again at the end of a job."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import MediaError
from fomaug.expand.manifest import THUMBNAILS, Row
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import SourceFile
from fomaug.expand.storage import push
from fomaug.files import write_file
from fomaug.media import decode_picture, encode_image, read_picture, thumbnail

MOST: Final = 12  # sources on the sheet, and copies of each
CELL: Final = 128  # side of a picture on the sheet

_LEAST_SIDE: Final = 3 * CELL  # of a reduced JPEG: the thumbnail then looks as if it were made from all pixels


def reduce(content: bytes, name: str) -> NDArray[np.uint8]:
    """Make the thumbnail of a picture from the bytes of its file; a JPEG is reduced while it is decoded.

    Raises:
        MediaError: the picture cannot be read.
    """
    picture = decode_picture(content, PurePosixPath(name).suffix, least_side=_LEAST_SIDE)
    return thumbnail(picture.eight_bits, CELL)


def keep_thumbnail(plan: ExpandPlan, row: Row, content: bytes, name: str) -> None:
    """Keep the thumbnail of a copy, if it may be on the sheet.

    Args:
        plan: settings of the job.
        row: row of the copy.
        content: bytes of its file.
        name: name of its file.
    """
    if row["copy"] < MOST:
        file = _name(row)
        write_file(Path(plan.out, file), encode_image(reduce(content, name), "png"))
        push(plan, file)


def kept_thumbnail(out: Path, row: Row) -> NDArray[np.uint8] | None:
    """Return the thumbnail of a copy; None if it was not kept, or is damaged."""
    path = out / _name(row)
    try:
        return read_picture(path).rgb if path.is_file() else None
    except MediaError:
        return None


def remove_thumbnails(out: Path) -> None:
    """Remove the thumbnails of a job that has its sheet."""
    shutil.rmtree(out / THUMBNAILS, ignore_errors=True)


def _name(row: Row) -> str:
    # The row of a manifest may be damaged, but for what every reader of rows checks.
    source = SourceFile(Path(), row["source"])
    return f"{THUMBNAILS}/{source.id}-{row['copy']}.png"
