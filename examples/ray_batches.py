"""Use motion in Ray Data: each actor loads the model once, and makes the same copies as `fomaug.expand`.

Run `python examples/ray_batches.py`; if Ray is not installed, the function is called directly. On a cluster, read with
`ray.data.read_images(..., include_paths=True)` or `ray.data.read_parquet`, and set `num_gpus=1` for one GPU per actor.
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
    """Read rows of bytes, keys and labels; the draws of a picture depend on its key."""
    paths = sorted(path for path in FACES.rglob("*") if path.suffix in (".jpg", ".png"))[:count]
    return [
        {"image": path.read_bytes(), "key": path.relative_to(FACES).as_posix(), "label": path.parent.name}
        for path in paths
    ]


def expand_with_ray(rows: list[Row], options: dict[str, Any]) -> list[Row]:
    """Make the copies with two actors, in batches of two pictures."""
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
    """Make the copies without Ray."""
    made = fomaug.Expander(**options)({name: [row[name] for row in rows] for name in rows[0]})
    return [dict(zip(made, values, strict=True)) for values in zip(*made.values(), strict=True)]


def main() -> None:
    """Expand some pictures and print the number of copies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two pictures instead of eight")
    quick = parser.parse_args().quick
    # With one picture in a pass, the bytes of its copies do not depend on the batch.
    options = {"copies": 2, "batch_size": 2, "seed": 0, "device": "cpu"}
    with_ray = importlib.util.find_spec("ray") is not None
    rows = (expand_with_ray if with_ray else expand_here)(read_rows(2 if quick else 8), options)
    for row in rows:
        print(f"{row['key']:40} {row['label']:12} {len(row['image']):7} bytes")
    print(f"{len(rows)} copies, made {'by Ray actors' if with_ray else 'without Ray, which is not installed'}")


if __name__ == "__main__":
    main()
