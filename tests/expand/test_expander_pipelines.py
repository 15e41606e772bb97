"""`fomaug.Expander` in Ray Data and in Hugging Face datasets."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomaug import Expander
from fomaug.media import save_image

Table = dict[str, list[object]]


@pytest.fixture
def options(saved: dict[str, str]) -> dict[str, object]:
    return {**saved, "copies": 2, "batch_size": 2, "gates": "off", "device": "cpu"}


@pytest.fixture
def table(face: Callable[..., np.ndarray], tmp_path: Path) -> Table:
    """Six pictures, one of them a bitmap, whose bytes end with zeros, and one broken file."""
    keys = [f"anna/{number}.png" for number in range(5)] + ["ben/5.bmp", "ben/6.png"]
    contents = []
    for number, key in enumerate(keys[:-1]):
        pixels = face(number)
        pixels[-2:] = 0
        contents.append(save_image(tmp_path / "in" / key.replace("/", "-"), pixels).read_bytes())
    return {"image": [*contents, b"broken"], "key": keys, "label": [key.partition("/")[0] for key in keys]}


@pytest.fixture
def expected(options: dict[str, object], table: Table) -> dict[str, tuple[object, ...]]:
    return by_key(Expander(**options, flaws="column")(table))


def by_key(made: Table) -> dict[str, tuple[object, ...]]:
    names = sorted(set(made) - {"key"})  # datasets sorts columns
    return {key: tuple(made[name][row] for name in names) for row, key in enumerate(made["key"])}


@pytest.fixture(scope="module")
def ray() -> Iterator[object]:
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
        yield ray
        ray.shutdown()


@pytest.mark.filterwarnings("ignore")
def test_ray_actors_make_the_same_rows(
    ray: object, options: dict[str, object], table: Table, expected: dict[str, tuple[object, ...]]
) -> None:
    from ray.data import ActorPoolStrategy, DataContext, from_items

    DataContext.get_current().enable_progress_bars = False
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    made = from_items(rows).map_batches(
        Expander,
        fn_constructor_kwargs={**options, "flaws": "column"},
        batch_size=3,
        compute=ActorPoolStrategy(size=2),
    )
    found = made.take_all()
    assert by_key({name: [row[name] for row in found] for name in found[0]}) == expected


@pytest.mark.filterwarnings("ignore")
def test_ray_takes_an_expander_itself_and_pictures_as_arrays(
    ray: object, options: dict[str, object], face: Callable[..., np.ndarray]
) -> None:
    from ray.data import from_items

    arrays = {f"{number}.png": face(number) for number in range(3)}
    rows = [{"key": key, "image": array} for key, array in arrays.items()]
    found = from_items(rows).map_batches(Expander(**options), batch_size=2).take_all()
    made = Expander(**options)({"key": list(arrays), "image": list(arrays.values())})
    assert by_key({name: [row[name] for row in found] for name in found[0]}) == by_key(made)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("processes", [None, 2])
def test_hugging_face_maps_make_the_same_rows(
    options: dict[str, object],
    table: Table,
    expected: dict[str, tuple[object, ...]],
    processes: int | None,
    tmp_path: Path,
) -> None:
    datasets = pytest.importorskip("datasets")
    given = datasets.Dataset.from_dict(table)
    mapped = given.map(
        Expander(**options, flaws="column"),
        batched=True,
        batch_size=3,
        remove_columns=given.column_names,
        num_proc=processes,
        cache_file_name=str(tmp_path / "cache.arrow"),
    )
    assert by_key(mapped.to_dict()) == expected


@pytest.mark.filterwarnings("ignore")
def test_hugging_face_image_columns_go_in_and_come_out(
    options: dict[str, object], table: Table, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    whole = {name: values[:5] for name, values in table.items()}
    given = datasets.Dataset.from_dict(whole).cast_column("image", datasets.Image())
    mapped = given.map(
        Expander(**options),
        batched=True,
        remove_columns=given.column_names,
        cache_file_name=str(tmp_path / "cache.arrow"),
    )
    shown = mapped.cast_column("image", datasets.Image())
    made = Expander(**options)(whole)
    for row, content in zip(shown, made["image"], strict=True):
        assert (np.asarray(row["image"]) == np.asarray(Image.open(io.BytesIO(content)))).all()
