"""The parsers that are fuzzed: one line each in `PARSERS`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import input_parsers
import job_parsers
import label_parsers
import media_parsers
from parser import Parser
from small_files import TINY, config_files, manifest_files, official_files, pool_files, weights_files


def _read_weights(path: Path) -> None:
    from fomaug import load_model
    from fomaug.weights import model_info

    load_model(path, device="cpu")
    json.dumps(model_info(path).facts)


def _read_official(path: Path) -> None:
    from fomaug import load_model

    load_model(path, config=TINY, device="cpu")


def _read_model_config(path: Path) -> None:
    from fomaug.weights.official import official_config

    official_config(path, path)


def _read_training_config(path: Path) -> None:
    from fomaug.training import read_config

    read_config(path)


def _read_pool(path: Path) -> None:
    from fomaug import DrivingPool

    pool = DrivingPool.load(path)
    assert len(pool.hash) == 64


def _read_manifest(path: Path) -> None:
    from fomaug.expand import find_leaks, summarise

    summary, _, manifest = path.read_bytes().partition(b"\0")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "expand.json").write_bytes(summary)
        (Path(folder) / "manifest.jsonl").write_bytes(manifest)
        summarise(Path(folder))
        find_leaks([Path(folder)])


PARSERS = {
    "weights": Parser(_read_weights, weights_files, ".safetensors"),
    "official": Parser(_read_official, official_files, ".pth.tar"),
    "model configuration": Parser(_read_model_config, config_files, ".yaml"),
    "training configuration": Parser(_read_training_config, config_files, ".yaml"),
    "pool": Parser(_read_pool, pool_files, ".safetensors"),
    "manifest": Parser(_read_manifest, manifest_files),
    **media_parsers.PARSERS,
    **label_parsers.PARSERS,
    **job_parsers.PARSERS,
    **input_parsers.PARSERS,
}
