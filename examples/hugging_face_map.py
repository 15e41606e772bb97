"""Use motion in Hugging Face datasets: `Dataset.map(batched=True)` makes several copies of every picture.

Run `python examples/hugging_face_map.py`; if `datasets` is not installed, the function is called directly with one
batch. `cast_column("image", Image())` decodes the copies.
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
    """Read columns of bytes, keys and labels; copies of undecoded JPEGs are JPEGs again."""
    paths = sorted(path for path in FACES.rglob("*") if path.suffix in (".jpg", ".png"))[:count]
    return {
        "image": [path.read_bytes() for path in paths],
        "key": [path.relative_to(FACES).as_posix() for path in paths],
        "label": [path.parent.name for path in paths],
    }


def expand_with_datasets(table: Table, expander: fomaug.Expander) -> Table:
    """Map a dataset; its old columns are removed, because the number of rows changes."""
    import datasets

    given = datasets.Dataset.from_dict(table)
    mapped = given.map(expander, batched=True, batch_size=2, remove_columns=given.column_names)
    shown = mapped.cast_column("image", datasets.Image())
    print(f"the first copy is a picture of {shown[0]['image'].size}")
    found: Table = mapped.to_dict()
    return found


def main() -> None:
    """Expand some pictures and print the number of copies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two pictures instead of eight")
    quick = parser.parse_args().quick
    # With one picture in a pass, the bytes of its copies do not depend on the batch.
    expander = fomaug.Expander(copies=2, batch_size=2, seed=0, device="cpu")
    table = read_table(2 if quick else 8)
    with_datasets = importlib.util.find_spec("datasets") is not None
    made = expand_with_datasets(table, expander) if with_datasets else expander(table)
    for key, label, content in zip(made["key"], made["label"], made["image"], strict=True):
        print(f"{key:40} {label:12} {len(content):7} bytes")
    print(f"{len(made['key'])} copies, made {'by Dataset.map' if with_datasets else 'without datasets'}")


if __name__ == "__main__":
    main()
