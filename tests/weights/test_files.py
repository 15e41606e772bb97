from __future__ import annotations

import itertools
import math
import os
from pathlib import Path

import pytest
import torch

from fomaug import Animator, load_model, save_model
from fomaug.errors import ArgumentError, ModelNotFoundError, WeightsError
from fomaug.weights import list_models, model_info, read_pickle


@pytest.fixture
def saved(tiny_model: Animator, tmp_path: Path) -> Path:
    return save_model(tiny_model, tmp_path / "tiny.safetensors", facts={"licence": "MIT"}, half=False)


def test_a_saved_model_is_the_same_model(tiny_model: Animator, saved: Path) -> None:
    loaded = load_model(saved, device="cpu")
    images = torch.rand(2, 3, 64, 64)
    assert loaded.hash == tiny_model.hash
    assert loaded.facts["licence"] == "MIT"
    expected = tiny_model.animate(tiny_model.encode(images), tiny_model.detect(images.flip(0))).image
    found = loaded.animate(loaded.encode(images), loaded.detect(images.flip(0))).image
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_a_saved_model_has_the_permissions_of_other_new_files(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    assert saved.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_equal_models_become_equal_files(tiny_model: Animator, tmp_path: Path) -> None:
    names = [tmp_path / str(number) / "tiny.safetensors" for number in range(8)]
    contents = {save_model(tiny_model, name).read_bytes() for name in names}
    assert len(contents) == 1


def test_folding_removes_batch_norms_and_keeps_the_results(saved: Path) -> None:
    folded, plain = load_model(saved, device="cpu"), load_model(saved, device="cpu", fold=False)
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(folded.detect(images).value, plain.detect(images).value, atol=1e-5, rtol=0)
    assert sum(1 for m in folded.modules() if isinstance(m, torch.nn.BatchNorm2d)) < sum(
        1 for m in plain.modules() if isinstance(m, torch.nn.BatchNorm2d)
    )


def test_model_info_describes_a_saved_model(saved: Path) -> None:
    info = model_info(saved)
    assert (info.name, info.architecture, info.size, info.facts) == ("tiny", "fomm", 64, {"licence": "MIT"})
    assert info.bytes == saved.stat().st_size


def test_a_model_in_the_users_folder_is_found_by_name(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOMAUG_HOME", str(tmp_path / "home"))
    target = tmp_path / "home" / "models" / "mine.safetensors"
    target.parent.mkdir(parents=True)
    target.write_bytes(saved.read_bytes())
    assert load_model("mine", device="cpu").name == "mine"
    assert "mine" in [info.name for info in list_models()]


BROKEN = {"empty": b"", "cut": b"\x40\0\0\0\0\0\0\0{", "page": b"<html>", "pickle": b"\x80\x02"}


@pytest.fixture
def broken(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder of models with one intact file and several broken ones."""
    monkeypatch.setenv("FOMAUG_HOME", str(tmp_path / "home"))
    folder = tmp_path / "home" / "models"
    folder.mkdir(parents=True)
    saved.rename(folder / "mine.safetensors")
    for name, content in BROKEN.items():
        (folder / f"{name}.safetensors").write_bytes(content)
    os.mkfifo(folder / "pipe.safetensors")
    (folder / "gone.safetensors").symlink_to(folder / "nowhere")
    return folder


def test_broken_files_hide_no_other_model_and_are_named(broken: Path) -> None:
    damages: list[str] = []
    assert {"mine", "lite-256"} == {info.name for info in list_models(on_damage=damages.append)}
    for name in (*BROKEN, "pipe", "gone"):
        assert sum(str(broken / f"{name}.safetensors") in damage for damage in damages) == 1
    assert not any("()" in damage for damage in damages)


def test_broken_models_are_warned_of_by_default(broken: Path) -> None:
    for name in ("empty", "cut", "page", "pickle", "gone"):
        (broken / f"{name}.safetensors").unlink()
    with pytest.warns(UserWarning, match=r"a model is left out of the list: .*pipe\.safetensors: it is a named pipe"):
        list_models()


@pytest.mark.parametrize("content", [b"\x80\x02", b"\x80\x02}"])
def test_a_truncated_checkpoint_is_an_error_with_a_reason(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pth.tar").write_bytes(content)
    with pytest.raises(WeightsError, match=r"x\.pth\.tar is damaged \(.*\w.*\)"):
        read_pickle(tmp_path / "x.pth.tar")


def test_the_error_for_a_missing_official_model_explains_the_import() -> None:
    with pytest.raises(ModelNotFoundError, match=r"fomaug model import vox-256\.pth\.tar --config vox-256"):
        load_model("vox-256")


def test_the_error_for_a_misspelt_name_suggests_the_nearest() -> None:
    with pytest.raises(ModelNotFoundError, match="did you mean 'vox-256'"):
        load_model("vox256")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"\x1f\x8b\x08rest", "is an archive"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00{broken}", "not an intact safetensors"),
        (b"\xff" * 64, "not an intact safetensors"),
    ],
)
def test_files_of_another_format_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        load_model(path)


@pytest.mark.parametrize("start", [b"\x80", b" <"], ids=["as a pickle does", "as a web page does"])
def test_a_file_is_known_whatever_the_length_of_its_header_looks_like(
    tiny_model: Animator, tmp_path: Path, start: bytes
) -> None:
    path = tmp_path / "tiny.safetensors"
    save_model(tiny_model, path, facts={"pad": "x"}, half=False)
    length = int.from_bytes(path.read_bytes()[:8], "little")  # of the header, the first number of the file
    wanted = next(n for n in itertools.count(length, 8) if n.to_bytes(8, "little").startswith(start))
    save_model(tiny_model, path, facts={"pad": "x" * (1 + wanted - length)}, half=False)
    assert path.read_bytes().startswith(start)
    assert load_model(path, device="cpu").hash == tiny_model.hash


def test_a_truncated_file_is_refused(saved: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match="cut short"):
        load_model(cut)


def test_an_official_checkpoint_in_place_of_a_model_file_names_the_import(tmp_path: Path) -> None:
    torch.save({"generator": {}}, tmp_path / "vox-cpk.pth.tar")
    with pytest.raises(WeightsError, match=r"`fomaug model import` converts official checkpoints"):
        model_info(tmp_path / "vox-cpk.pth.tar")


def test_another_safetensors_file_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="no fomaug model"):
        load_model(path)


def test_folded_models_are_not_saved(saved: Path, tmp_path: Path) -> None:
    from fomaug.networks import fold_batch_norms

    folded = fold_batch_norms(load_model(saved, device="cpu", fold=False))
    for module in list(folded.modules()):  # Folding keeps the batch norms of pre-activated blocks.
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.BatchNorm2d):
                setattr(module, name, torch.nn.Identity())
    with pytest.raises(ArgumentError, match="fold=False"):
        save_model(folded, tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("fact", "message"),
    [(float("inf"), "a number is not finite: inf"), ("x" * 70_000, "up to 65536 characters"), ("\x1b[2J", "printable")],
)
def test_facts_that_no_reader_accepts_are_not_saved(
    tiny_model: Animator, tmp_path: Path, fact: object, message: str
) -> None:
    with pytest.raises(ArgumentError, match=rf"x\.safetensors could not be read again: .*{message}"):
        save_model(tiny_model, tmp_path / "x.safetensors", facts={"note": fact})
    assert not (tmp_path / "x.safetensors").exists()


def test_a_missing_measure_among_the_facts_is_saved_and_read(tiny_model: Animator, tmp_path: Path) -> None:
    path = save_model(tiny_model, tmp_path / "x.safetensors", facts={"loss": float("nan")})
    assert math.isnan(model_info(path).facts["loss"])


def test_an_unknown_dtype_and_a_surplus_config_are_refused(saved: Path) -> None:
    with pytest.raises(ArgumentError, match="did you mean 'float16'"):
        load_model(saved, dtype="flat16")
    with pytest.raises(ArgumentError, match="has its own configuration"):
        load_model(saved, config="vox-256")


def test_loading_a_model_does_not_change_the_global_random_state() -> None:
    before = torch.get_rng_state()
    load_model("lite-256", device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
