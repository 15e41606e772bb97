"""`fomaug verify`: is this file synthetic?"""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file, with everything that the mark says.")
def verify(files: tuple[Path, ...], *, as_json: bool) -> int:
    """Say of each of FILES whether it is marked as synthetic, and by which model.

    Reads JPEG, PNG, WebP, TIFF, GIF, MP4 and MOV, and for BMP the .xmp file beside it. The mark says what the maker
    wrote into the file; a file without it may still be synthetic.

    Exit codes: 0 all are marked as synthetic, 1 some are not, 2 some cannot be read.
    """
    from fomaug.errors import MediaError
    from fomaug.media import read_mark

    code = 0
    for path in files:
        try:
            mark = read_mark(path)
        except MediaError as error:  # the next file shall still be looked at
            click.echo(f"{path}: {error}", err=True)
            code = 2
            continue
        code = max(code, 0 if mark.synthetic else 1)
        if as_json:
            row = {"file": str(path), "synthetic": mark.synthetic, "model": mark.model, "mark": mark.properties}
            click.echo(json.dumps(row, ensure_ascii=False))
        else:
            maker = mark.model or mark.properties.get("xmp:CreatorTool", "") or "an unnamed maker"
            kind = f"synthetic, by {maker} ({mark.source_type})" if mark.synthetic else "not marked as synthetic"
            click.echo(f"{path}: {kind}")
    return code
