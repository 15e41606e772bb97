from __future__ import annotations

import inspect
import json
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import click
import numpy as np
import pytest

from fomaug.animator import Animator
from fomaug.cli import main
from fomaug.cli.datasets import expand as command
from fomaug.driving import DrivingPool
from fomaug.expand import ExpandPlan, ExpandReport, Failure
from fomaug.expand import expand as function
from fomaug.expand.plan import ExpandOptions
from fomaug.media import save_image
from fomaug.weights import save_model


def test_options_are_those_of_the_function_and_the_plan() -> None:
    ours = {option.name: option.default for option in command.params if option.name not in ("dataset", "out")}
    plan = {field.name: field.default for field in fields(ExpandPlan)}
    assert set(ours) == set(plan) - {"dataset", "out", "out_url"} | {
        "resume",
        "dry_run",
        "prepare",
        "shard",
        "finish",
        "profile",
        "progress",
        "quiet",
        "as_json",
    }
    for name in set(plan) & set(ours):
        assert ours[name] == plan[name] or (plan[name] is None and not isinstance(ours[name], str)), name
    for name, parameter in inspect.signature(function).parameters.items():
        if name in plan and parameter.default is not inspect.Parameter.empty:
            assert parameter.default == plan[name], name


OPTIONS = [
    ("--driving", "text", "auto"),
    ("--views", "text", None),
    ("--purpose", "recognition|landmarks|expression|detection|forgery|auto", None),
    ("--copies", "integer", 8),
    ("--model", "text", "lite-256"),
    ("--config", "text", None),
    ("--seed", "integer", 0),
    ("--format", "folder|webdataset|parquet", "folder"),
    ("--include-sources", "copy|link|none", "none"),
    ("--image-format", "same|jpeg|png|webp", "same"),
    ("--quality", "integer", 95),
    ("--samples-per-shard", "integer", 1000),
    ("--selection", "diverse|uniform|sequence", "diverse"),
    ("--strength-range", "2 float", (0.3, 1.0)),
    ("--region", "all|head|mouth|eyes|expression", "all"),
    ("--reference", "text", "closest"),
    ("--relative --absolute", "boolean", True),
    ("--relative-jacobian --absolute-jacobian", "boolean", True),
    ("--adapt-scale --no-adapt-scale", "boolean", True),
    ("--yaw-range", "2 float", None),
    ("--pitch-range", "2 float", None),
    ("--mirror-probability", "float", 0.0),
    ("--labels", "text", "keep"),
    ("--faces", "frame|boxes|detect", "frame"),
    ("--on-missing", "skip|copy|error", "skip"),
    ("--annotations", "text", None),
    ("--annotation-format", "text", None),
    ("--clip-labels", "text", None),
    ("--clip-weights", "text", None),
    ("--clip-crop", "face|frame", "face"),
    ("--split", "train|val|test|all", "train"),
    ("--balance --no-balance", "boolean", False),
    ("--max-copies", "integer", 100),
    ("--gates", "text", "on"),
    ("--tries", "integer", 3),
    ("--on-error", "skip|raise", "skip"),
    ("--max-pixels", "integer", 64_000_000),
    ("--batch-size", "integer", 16),
    ("--device", "text", "auto"),
    ("--dtype", "auto|float32|bfloat16|float16", "auto"),
    ("--workers", "integer", 2),
    ("--engine", "local|ray", "local"),
    ("--processes", "text", 1),
    ("--address", "text", None),
    ("--resume --no-resume", "boolean", False),
    ("--dry-run", "boolean", False),
    ("--prepare", "boolean", False),
    ("--shard", "text", None),
    ("--finish", "boolean", False),
    ("--profile", "boolean", False),
    ("--progress --no-progress", "boolean", True),
    ("-q --quiet", "boolean", False),
    ("--json", "boolean", False),
]


def test_names_types_and_defaults_of_the_options_are_fixed() -> None:
    values = command.make_context("expand", ["faces", "out"]).params
    found = []
    for option in command.params:
        if isinstance(option, click.Option):
            kind = "|".join(option.type.choices) if isinstance(option.type, click.Choice) else option.type.name
            kind = kind if option.nargs == 1 else f"{option.nargs} {kind}"
            found.append((" ".join([*option.opts, *option.secondary_opts]), kind, values.get(option.name, False)))
    assert found == OPTIONS


def test_typed_keywords_of_the_function_are_the_fields_of_the_plan() -> None:
    named, plan = get_type_hints(function), get_type_hints(ExpandPlan)
    typed = {name: hint for name, hint in get_type_hints(ExpandOptions).items() if name not in named}
    for name, hint in typed.items():
        assert hint == plan[name], name
    assert set(typed) == set(plan) - set(named) - {"out_url"}, "the URL is given as out"
    assert not set(get_type_hints(ExpandOptions)) & set(named)


@pytest.fixture
def tools(tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return options for the tiny model and its pool; the model is not folded, so that it can be saved to a file."""
    tiny_pool.save(tmp_path / "pool.safetensors")
    monkeypatch.setattr("fomaug.expand.resources.load_model", lambda *_, **__: tiny_model)
    return [
        "--driving",
        str(tmp_path / "pool.safetensors"),
        "--model",
        "tiny",
        "--copies",
        "2",
        "--no-progress",
        "--gates",
        "off",
    ]


@pytest.fixture
def faces(tmp_path: Path, rng: np.random.Generator) -> Path:
    for name in ("anna", "ben"):
        save_image(tmp_path / "faces" / name / "1.png", rng.integers(0, 256, (32, 32, 3), np.uint8))
    return tmp_path / "faces"


def test_expand_prints_the_paths_of_its_output(
    faces: Path, tmp_path: Path, tools: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["expand", str(faces), str(out), *tools]) == 0
    text = capsys.readouterr().out
    assert "4 copies of 2 pictures, 4 of them new" in text
    assert f"contact sheet  {out / '.contact_sheet.png'}" in text
    assert len((out / "manifest.jsonl").read_text().splitlines()) == 4


def test_a_second_expand_is_refused_and_resume_does_nothing(
    faces: Path, tmp_path: Path, tools: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["expand", str(faces), str(tmp_path / "out"), *tools]
    assert main(words) == 0
    assert main(words) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0
    assert "0 of them new" in capsys.readouterr().out
    assert main([*words, "--resume", "--seed", "1"]) == 2
    assert ": seed: was 0, is 1" in capsys.readouterr().err


def test_a_picture_that_fails_ends_with_3_and_is_named(
    faces: Path, tmp_path: Path, tools: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (faces / "anna" / "2.png").write_bytes(b"hello")
    assert main(["expand", str(faces), str(tmp_path / "out"), *tools]) == 3
    found = capsys.readouterr()
    assert "1 picture could not be used" in found.err
    assert "anna/2.png: cannot be read" in found.err
    assert main(["expand", str(faces), str(tmp_path / "b"), *tools, "--on-error", "raise"]) == 2


def test_a_dry_run_writes_nothing(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["expand", str(faces), str(tmp_path / "out"), "--dry-run", "--model", "nowhere"]) == 2
    assert "no model named 'nowhere'" in capsys.readouterr().err
    assert main(["expand", str(faces), str(tmp_path / "out"), "--dry-run"]) == 0
    assert "2 pictures, 16 copies, about" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_a_dry_run_names_pictures_in_no_split(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faces.rename(tmp_path / "train")
    (tmp_path / "faces").mkdir()
    (tmp_path / "train").rename(faces / "train")
    save_image(faces / "preview.png", np.zeros((32, 32, 3), np.uint8))
    assert main(["expand", str(faces), str(tmp_path / "out"), "--dry-run"]) == 0
    found = capsys.readouterr()
    assert "2 pictures, 16 copies" in found.out
    assert "1 picture could not be used:\n  preview.png: is outside the split folders" in found.err


def test_values_of_all_options_are_passed(faces: Path, tmp_path: Path, tools: list[str]) -> None:
    words = ["--strength-range", "0.5", "0.6", "--labels", "anna=x,*=y", "--reference", "3", "--absolute", "--balance"]
    words += ["--clip-weights", "nod=2"]
    assert main(["expand", str(faces), str(tmp_path / "out"), *tools, *words]) == 0
    settings = json.loads((tmp_path / "out" / "expand.json").read_text())["settings"]
    assert settings["strength_range"] == [0.5, 0.6]
    assert settings["clip_weights"] == {"nod": 2.0}
    assert settings["labels"] == {"anna": "x", "*": "y"}
    assert (settings["reference"], settings["relative"], settings["balance"]) == (3, False, True)


def test_a_purpose_leaves_the_other_options_at_their_defaults(faces: Path, tmp_path: Path, tools: list[str]) -> None:
    assert main(["expand", str(faces), str(tmp_path / "out"), *tools, "--purpose", "forgery"]) == 0
    settings = json.loads((tmp_path / "out" / "expand.json").read_text())
    assert settings["given"]["purpose"] == "forgery"


def test_copies_within_the_dataset_are_not_sources_of_the_next_job(
    faces: Path, tmp_path: Path, tools: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["expand", str(faces), str(faces / "copies"), *tools]) == 0
    capsys.readouterr()
    assert main(["expand", str(faces), str(tmp_path / "out"), *tools]) == 0
    found = capsys.readouterr()
    assert "4 copies of 2 pictures" in found.out
    assert "copies is an expanded dataset and was left out" in found.err
    assert json.loads((tmp_path / "out" / "expand.json").read_text())["expanded"] == ["copies"]


def test_no_manifest_is_named_where_none_was_written(
    faces: Path, tmp_path: Path, tools: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("anna", "ben"):
        (faces / name / "1.png").write_bytes(b"hello")
    assert main(["expand", str(faces), str(tmp_path / "out"), *tools]) == 3
    found = capsys.readouterr().out
    assert "0 copies of 2 pictures" in found
    assert "manifest.jsonl" not in found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--reference", "nearest"], "neither closest, first nor the number of a frame"),
        (["--labels", "=x"], "OLD=NEW"),
        (["--copies", "none"], "Invalid value for '--copies'"),
        (["--driving", "bultin"], "did you mean 'builtin'"),
        (["--copys", "2"], "--copies"),
        (["--yaw-range", "90", "95"], "no driving frame has yaw in (90.0, 95.0): the pool spans yaw ("),
        (["--region", "mouth"], "mouth"),
        (["--reference", "999999"], "reference 999999 is a frame of no clip"),
        (["--split", "val"], "has no split folders"),
        (["--clip-labels", "nope.csv"], "cannot read the labels in nope.csv"),
    ],
)
def test_wrong_values_end_with_2(
    faces: Path, tmp_path: Path, tools: list[str], capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["expand", str(faces), str(tmp_path / "out"), *tools, *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_long_lists_of_failures_are_cut(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = tuple(Failure(f"{i}.png", "damaged") for i in range(30))
    monkeypatch.setattr("fomaug.expand.expand", lambda *_, **__: ExpandReport(tmp_path, 30, 30, failed=failures))
    assert main(["expand", str(faces), str(tmp_path / "out")]) == 3
    found = capsys.readouterr().err
    assert found.count("damaged") == 10
    assert "all of them are in" in found


def test_a_job_is_prepared_made_in_shares_and_finished(
    faces: Path, tmp_path: Path, tools: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert main(["expand", str(faces), out, *tools, "--prepare"]) == 0
    assert f"4 copies of 2 pictures are prepared in {out}" in capsys.readouterr().out
    assert main(["expand", out, "--shard", "0/2", "--no-progress", "--profile"]) == 0
    found = capsys.readouterr()
    assert "share 0/2: 4 of 4 copies, 4 of them new" in found.out
    assert f"fomaug expand {out} --finish" in found.out
    assert "limits the speed: " in found.err
    assert main(["report", out]) == 0
    assert "4" in capsys.readouterr().out
    assert main(["expand", out, "--finish", "--no-progress"]) == 0
    assert "4 copies of 2 pictures, 0 of them new" in capsys.readouterr().out
    whole = str(tmp_path / "whole")
    assert main(["expand", str(faces), whole, *tools]) == 0
    assert (tmp_path / "out" / "manifest.jsonl").read_bytes() == (tmp_path / "whole" / "manifest.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["out"], "Missing argument 'OUT'"),
        (["out", "--finish", "--seed", "3"], "--seed is read from out/expand.json; leave it out, or give DATASET, too"),
        (["out", "--finish", "--dry-run"], "--dry-run is read from"),
        (["out", "--finish"], "holds no expand.json"),
        (["faces", "out", "--shard", "2/2"], "shard 2/2 is none"),
        (["faces", "out", "--processes", "none"], "'none' is neither auto nor a number from 1"),
    ],
)
def test_wrong_uses_of_shares_end_with_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["expand", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_job_whose_copies_are_all_rejected_says_where_the_reasons_are(
    tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool, capsys: pytest.CaptureFixture[str]
) -> None:
    save_image(tmp_path / "faces" / "1.png", np.full((32, 32, 3), 90, np.uint8))
    save_model(tiny_model, tmp_path / "tiny.safetensors", half=False)
    tiny_pool.save(tmp_path / "pool.safetensors")
    words = [
        str(tmp_path / "faces"),
        str(tmp_path / "out"),
        "--copies",
        "1",
        "--model",
        str(tmp_path / "tiny.safetensors"),
    ]
    words += ["--driving", str(tmp_path / "pool.safetensors"), "--gates", "max_stretch=-1", "--quiet"]
    assert main(["expand", *words]) == 0
    said = capsys.readouterr().err
    assert said.startswith("note: the gates rejected every copy; ")
    assert str(tmp_path / "out" / "rejected.jsonl") in said
