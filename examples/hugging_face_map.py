"""Motion in Hugging Face datasets: `Dataset.map(batched=True)` turns every picture into several copies.

Run `python examples/hugging_face_map.py`; where `datasets` is not installed, the same batch goes through the function
itself. `cast_column("image", Image())` shows the copies as pictures.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

import fomaug

FACES = Path(__file__).parent / "faces"
Table = dict[str, list[Any]]


def read_table(count: int) -> Table:
    """Columns of bytes, keys and labels; with bytes instead of decoded pictures, JPEGs stay JPEGs."""
    paths = sorted(path for path in FACES.rglob("*") if path.suffix in (".jpg", ".png"))[:count]
    return {
        "image": [path.read_bytes() for path in paths],
        "key": [path.relative_to(FACES).as_posix() for path in paths],
        "label": [path.parent.name for path in paths],
    }


def expand_with_datasets(table: Table, expander: fomaug.Expander) -> Table:
    """Map a dataset; its own columns are removed, since there are more rows than before."""
    import datasets

    given = datasets.Dataset.from_dict(table)
    mapped = given.map(expander, batched=True, batch_size=2, remove_columns=given.column_names)
    shown = mapped.cast_column("image", datasets.Image())
    print(f"the first copy is a picture of {shown[0]['image'].size}")
    found: Table = mapped.to_dict()
    return found


def main() -> None:
    """Expand some pictures and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two pictures instead of eight")
    quick = parser.parse_args().quick
    # Passes of one picture: its copies have the same bytes in whatever batch it comes.
    expander = fomaug.Expander(copies=2, batch_size=2, seed=0, device="cpu")
    table = read_table(2 if quick else 8)
    with_datasets = importlib.util.find_spec("datasets") is not None
    made = expand_with_datasets(table, expander) if with_datasets else expander(table)
    for key, label, content in zip(made["key"], made["label"], made["image"], strict=True):
        print(f"{key:40} {label:12} {len(content):7} bytes")
    print(f"{len(made['key'])} copies, made {'by Dataset.map' if with_datasets else 'without datasets'}")


if __name__ == "__main__":
    main()
