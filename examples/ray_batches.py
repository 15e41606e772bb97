"""Motion in Ray Data: actors that each load the model once, and make the copies of `fomaug.expand`.

Run `python examples/ray_batches.py`; where Ray is not installed, the same batches go through the function itself. On a
cluster, read with `ray.data.read_images(..., include_paths=True)` or `ray.data.read_parquet`, and give every actor a
GPU with `num_gpus=1`.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

import fomaug

FACES = Path(__file__).parent / "faces"
Row = dict[str, Any]


def read_rows(count: int) -> list[Row]:
    """Bytes of the pictures, their keys and their labels; the draws of a picture go by its key."""
    paths = sorted(path for path in FACES.rglob("*") if path.suffix in (".jpg", ".png"))[:count]
    return [
        {"image": path.read_bytes(), "key": path.relative_to(FACES).as_posix(), "label": path.parent.name}
        for path in paths
    ]


def expand_with_ray(rows: list[Row], options: dict[str, Any]) -> list[Row]:
    """Let two actors make the copies of batches of two pictures."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    dataset = ray.data.from_items(rows).map_batches(
        fomaug.Expander,
        fn_constructor_kwargs=options,
        batch_size=2,
        compute=ray.data.ActorPoolStrategy(size=2),
    )
    found: list[Row] = dataset.take_all()
    ray.shutdown()
    return found


def expand_here(rows: list[Row], options: dict[str, Any]) -> list[Row]:
    """Do the same without Ray."""
    made = fomaug.Expander(**options)({name: [row[name] for row in rows] for name in rows[0]})
    return [dict(zip(made, values, strict=True)) for values in zip(*made.values(), strict=True)]


def main() -> None:
    """Expand some pictures and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two pictures instead of eight")
    quick = parser.parse_args().quick
    # Passes of one picture: its copies have the same bytes in whatever batch it comes.
    options = {"copies": 2, "batch_size": 2, "seed": 0, "device": "cpu"}
    with_ray = importlib.util.find_spec("ray") is not None
    rows = (expand_with_ray if with_ray else expand_here)(read_rows(2 if quick else 8), options)
    for row in rows:
        print(f"{row['key']:40} {row['label']:12} {len(row['image']):7} bytes")
    print(f"{len(rows)} copies, made {'by Ray actors' if with_ray else 'without Ray, which is not installed'}")


if __name__ == "__main__":
    main()
