from __future__ import annotations

import io
import json
import os
import signal
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import fresh
import numpy as np
import pytest
from PIL import Image

from fomaug import Animator, DrivingPool, expand, load_model, save_model
from fomaug.expand import ExpandReport
from fomaug.expand.fork_server import context_of_workers, ending_fork_server
from fomaug.media import save_image


def make_face(seed: int, height: int = 48, width: int = 48, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    """A smooth picture of its own for every seed."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    array = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(dtype)
    array = array * 257 if dtype == np.uint16 else array
    alpha = np.full((height, width, 1), np.iinfo(dtype).max, dtype)
    alpha[:, : width // 3] = 0
    layouts = {1: array[..., 0], 2: np.dstack([array[..., :1], alpha]), 3: array, 4: np.dstack([array, alpha])}
    return layouts[channels]


@pytest.fixture(autouse=True)
def _small_sheets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make the pictures of contact sheets small: a sheet takes a quarter of the time of a small job."""
    with pytest.MonkeyPatch.context() as patch:  # of its own, because tests undo what theirs has changed
        if not request.node.path.name.startswith("test_contact"):
            patch.setattr("fomaug.expand.card.CELL", 32)
        yield


@pytest.fixture
def face() -> Callable[..., np.ndarray]:
    return make_face


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Three people, five pictures, two of them of another size."""
    for seed, name in enumerate(["anna/1.png", "anna/2.png", "ben/1.png", "ben/2.jpg", "carla/1.png"]):
        side = 40 if name.endswith("2.png") else 48
        (tmp_path / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        save_image(tmp_path / "faces" / name, make_face(seed, side, side))
    return tmp_path / "faces"


@pytest.fixture
def run(tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path) -> Callable[..., ExpandReport]:
    """Expand the faces with annotations."""

    def call(annotations: Path, out: str = "out", **options: object) -> ExpandReport:
        options = {"copies": 2, "gates": "off", **options}
        return expand(
            faces, tmp_path / out, driving=tiny_pool, model=tiny_model, annotations=str(annotations), **options
        )

    return call


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """All files below a folder."""
    return lambda root: {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def fork_server() -> Iterator[None]:
    """A fork server for several jobs, each of which would otherwise start its own and import torch there."""
    with ending_fork_server():
        context_of_workers(on_cpu=True)
        yield


class Jobs:
    """Jobs of the command line in processes of their own, for tests that kill them."""

    @staticmethod
    def start(folder: Path, *words: str) -> fresh.Process:
        """Start `fomaug expand` with the tiny model and pool of a folder."""
        options = ["--model", "tiny.safetensors", "--driving", "pool.safetensors", "--device", "cpu", "--gates", "off"]
        options += ["--batch-size", "4", "--no-progress"]
        words = words if "--finish" in words else (*words, *options)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
        return fresh.start(["-m", "fomaug", "expand", *words], cwd=folder, env=environment)

    @staticmethod
    def finish(process: fresh.Process) -> str:
        """Wait for a process that must succeed, and return its output."""
        out, complaint = process.communicate()
        assert process.returncode == 0, complaint.decode()
        return out.decode()

    @staticmethod
    def children(pid: int) -> list[int]:
        """List the living children of a process."""
        try:
            tasks = list(Path(f"/proc/{pid}/task").iterdir())
            return [int(word) for task in tasks for word in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):  # the process has ended
            return []

    @classmethod
    def descendants(cls, pid: int) -> list[int]:
        """List the living children of a process, their children, and so on."""
        children = cls.children(pid)
        return children + [found for child in children for found in cls.descendants(child)]

    @staticmethod
    def kill(pid: int) -> None:
        """Kill a process that may have ended already."""
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return


@pytest.fixture
def jobs() -> type[Jobs]:
    return Jobs


@pytest.fixture
def as_list(faces: Path) -> Path:
    """A CSV list of the faces, beside their folder's files."""
    keys = sorted(path.relative_to(faces).as_posix() for path in faces.rglob("*.*"))
    rows = [f"{key},{key.partition('/')[0]}" for key in keys]
    (faces / "list.csv").write_text("\n".join(["file,label", *rows, ""]))
    return faces / "list.csv"


@pytest.fixture
def as_tars(faces: Path, tmp_path: Path) -> Path:
    """Two tar files of the faces, with a label in a .json file or a .cls file."""
    keys = sorted(path.relative_to(faces).as_posix() for path in faces.rglob("*.*"))
    (tmp_path / "tars").mkdir()
    for number, part in enumerate((keys[:2], keys[2:])):
        with tarfile.open(tmp_path / "tars" / f"{number:03d}.tar", "w") as archive:
            for key in part:
                label = key.partition("/")[0]
                own = (".json", json.dumps({"label": label})) if number else (".cls", f"{label}\n")
                add_member(archive, key, (faces / key).read_bytes())
                add_member(archive, key.rpartition(".")[0] + own[0], own[1].encode())
    return tmp_path / "tars"


def add_member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def as_parquet(faces: Path, tmp_path: Path) -> Path:
    """A parquet file of the faces as `datasets` writes them, in row groups of two."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    keys = sorted(path.relative_to(faces).as_posix() for path in faces.rglob("*.*"))
    names = sorted({key.partition("/")[0] for key in keys})
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    table = arrow.table(
        {
            "image": [{"bytes": (faces / key).read_bytes(), "path": key} for key in keys],
            "label": [names.index(key.partition("/")[0]) for key in keys],
        }
    )
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, tmp_path / "faces.parquet", row_group_size=2, compression="none", use_dictionary=False)
    return tmp_path / "faces.parquet"


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """A bucket of a stand-in for S3, by its URL."""
    fsspec = pytest.importorskip("fsspec")
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
    server.stop()


@pytest.fixture
def run_small(tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path) -> Callable[..., ExpandReport]:
    """Function that expands the faces with the small model: two copies each, four in an archive."""

    def call(out: str, **options: object) -> ExpandReport:
        options = {"gates": "off", "copies": 2, "samples_per_shard": 4, "batch_size": 4, "workers": 1, **options}
        return expand(faces, tmp_path / out, model=tiny_model, **{"driving": tiny_pool, **options})

    return call


@pytest.fixture
def saved(tiny_model: Animator, tiny_pool: DrivingPool, tmp_path: Path) -> dict[str, str]:
    """Options that name a small model and its pool by their files."""
    save_model(tiny_model, tmp_path / "tiny.safetensors")
    loaded = load_model(tmp_path / "tiny.safetensors", device="cpu")
    DrivingPool(tiny_pool.tracks, loaded.name, loaded.hash).save(tmp_path / "pool.safetensors")
    return {"model": str(tmp_path / "tiny.safetensors"), "driving": str(tmp_path / "pool.safetensors")}
