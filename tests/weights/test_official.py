from __future__ import annotations

import collections
import io
import pickle
import pickletools
import sys
import zipfile
from pathlib import Path

import fresh
import pytest
import torch
import yaml
from safetensors.torch import load_file

from fomaug import Animator, load_model
from fomaug.errors import ArgumentError, ModelNotFoundError, WeightsError
from fomaug.networks import OFFICIAL, build_networks
from fomaug.weights import import_official


@pytest.fixture
def config(tmp_path: Path, tiny_config: dict) -> Path:
    path = tmp_path / "tiny.yaml"
    params = {key: value for key, value in tiny_config.items() if key != "size"}
    path.write_text(yaml.safe_dump({"model_params": params, "dataset_params": {"frame_shape": [64, 64, 3]}}))
    return path


def states(model: Animator, prefix: str = "") -> dict[str, dict[str, torch.Tensor]]:
    return {
        "kp_detector": {prefix + key: value for key, value in model.detector.state_dict().items()},
        "generator": {prefix + key: value for key, value in model.generator.state_dict().items()},
    }


def write(path: Path, content: object, **options: object) -> Path:
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("zipped", [True, False])
def test_every_layout_of_an_official_checkpoint_loads(
    tiny_model: Animator, tmp_path: Path, config: Path, prefix: str, reverse: bool, zipped: bool
) -> None:
    content: dict[str, object] = {**states(tiny_model, prefix), "epoch": 3, "optimizer_generator": {"state": {}}}
    if reverse:
        content = dict(reversed(content.items()))
    path = write(tmp_path / "tiny-cpk.pth.tar", content, _use_new_zipfile_serialization=zipped)
    loaded = load_model(path, config=config, device="cpu")
    assert loaded.name == "tiny"
    assert loaded.hash == tiny_model.hash


def test_an_imported_model_is_found_by_name(
    tiny_model: Animator, tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOMAUG_HOME", str(tmp_path / "home"))
    path = write(tmp_path / "tiny-cpk.pth.tar", states(tiny_model))
    written = import_official(path, config=config)
    assert written == tmp_path / "home" / "models" / "tiny.safetensors"
    assert load_model("tiny", device="cpu").hash == tiny_model.hash


def test_a_model_is_replaced_only_if_the_user_says_so(tiny_model: Animator, tmp_path: Path, config: Path) -> None:
    path = write(tmp_path / "tiny-cpk.pth.tar", states(tiny_model))
    written = import_official(path, config=config, folder=tmp_path)
    before = written.read_bytes()
    content = states(tiny_model)
    content["generator"]["final.bias"] = content["generator"]["final.bias"] + 1
    other = write(tmp_path / "other.pth.tar", content)
    with pytest.raises(ArgumentError, match=r"tiny\.safetensors exists already; give another name"):
        import_official(other, config=config, name="tiny", folder=tmp_path)
    assert written.read_bytes() == before
    import_official(other, config=config, name="tiny", folder=tmp_path, overwrite=True)
    assert written.read_bytes() != before


@pytest.mark.parametrize("name", ["lite-256", "../evil", "a/b", "a.b", "a\\b"])
def test_a_name_that_would_hide_a_model_or_not_be_found_is_refused(
    tiny_model: Animator, tmp_path: Path, config: Path, name: str
) -> None:
    path = write(tmp_path / "tiny-cpk.pth.tar", states(tiny_model))
    with pytest.raises(ArgumentError, match="give another name"):
        import_official(path, config=config, name=name, folder=tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.golden
@pytest.mark.parametrize("name", ["tiny", "zero-order"])
def test_an_imported_checkpoint_computes_what_the_official_code_did(shared: Path, tmp_path: Path, name: str) -> None:
    folder = shared / "fomm-golden"
    golden = load_file(folder / f"{name}-outputs.safetensors")
    written = import_official(folder / f"{name}-cpk.pth.tar", folder=tmp_path)  # the YAML file lies beside it
    model = load_model(written, device="cpu")
    torch.testing.assert_close(model.detect(golden["driving"]).value, golden["kp_driving.value"], atol=1e-5, rtol=0)
    driving = model.detect(golden["driving"][:2])
    found = model.animate(model.encode(golden["source"]), driving).image
    torch.testing.assert_close(found, golden["align_true.generator.prediction"], atol=1e-5, rtol=0)


def test_the_configuration_in_the_folder_of_a_checkpoint_is_used(
    tiny_model: Animator, tmp_path: Path, config: Path
) -> None:
    path = write(tmp_path / "tiny-cpk.pth.tar", states(tiny_model))
    assert config == tmp_path / "tiny.yaml"
    assert load_model(path, device="cpu").hash == tiny_model.hash
    config.rename(tmp_path / "other.yaml")
    with pytest.raises(ArgumentError, match="has no configuration in its folder"):
        load_model(path, device="cpu")


def test_a_configuration_file_has_precedence_over_the_official_name(
    tiny_model: Animator, tmp_path: Path, config: Path
) -> None:
    config.rename(tmp_path / "vox-256.yaml")
    assert load_model(write(tmp_path / "vox-cpk.pth.tar", states(tiny_model)), device="cpu").size == 64


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> object:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_runs_nothing(
    tiny_model: Animator, tmp_path: Path, config: Path, zipped: bool
) -> None:
    target = tmp_path / "ran"
    content = {**states(tiny_model), "x": Bomb(target)}
    path = write(tmp_path / "evil.pth.tar", content, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="could run code; no code of it was run"):
        load_model(path, config=config)
    assert not target.exists()


def test_a_bare_pickle_that_would_run_code_runs_nothing(tmp_path: Path, config: Path) -> None:
    target = tmp_path / "ran"
    path = tmp_path / "evil.pth.tar"
    path.write_bytes(pickle.dumps(Bomb(target)))
    with pytest.raises(WeightsError):
        load_model(path, config=config)
    assert not target.exists()


def test_missing_surplus_and_misshapen_tensors_are_named(tiny_model: Animator, tmp_path: Path, config: Path) -> None:
    def change(name: str, edit) -> Path:
        content = states(tiny_model)
        edit(content["generator"])
        return write(tmp_path / name, content)

    missing = change("a.pth.tar", lambda state: state.pop("final.bias"))
    surplus = change("b.pth.tar", lambda state: state.update(extra=torch.zeros(1)))
    misshapen = change("c.pth.tar", lambda state: state.update({"final.bias": torch.zeros(7)}))
    with pytest.raises(WeightsError, match=r"lacks 1 tensors \(generator\.final\.bias\)"):
        load_model(missing, config=config)
    with pytest.raises(WeightsError, match=r"surplus 1 tensors \(generator\.extra\)"):
        load_model(surplus, config=config)
    with pytest.raises(WeightsError, match=r"generator\.final\.bias is \(7,\), the configuration expects \(3,\)"):
        load_model(misshapen, config=config)


def test_a_checkpoint_without_networks_is_refused(tmp_path: Path, config: Path) -> None:
    path = write(tmp_path / "x.pth.tar", {"model": {}})
    with pytest.raises(WeightsError, match="lacks 'kp_detector'"):
        load_model(path, config=config)
    path = write(tmp_path / "y.pth.tar", [1, 2])
    with pytest.raises(WeightsError, match="must contain a mapping like official checkpoints, got a list"):
        load_model(path, config=config)


def test_truncated_checkpoints_are_refused(tiny_model: Animator, tmp_path: Path, config: Path) -> None:
    for zipped in (True, False):
        path = write(tmp_path / "t.pth.tar", states(tiny_model), _use_new_zipfile_serialization=zipped)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(WeightsError, match="cut short"):
            load_model(path, config=config)


def test_a_zip_around_the_checkpoint_is_refused(tmp_path: Path, config: Path) -> None:
    path = tmp_path / "vox.pth.tar"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vox-cpk.pth.tar", b"x")
    with pytest.raises(WeightsError, match="is a zip archive; unpack it"):
        load_model(path, config=config)


def test_a_zip_that_unpacks_to_more_than_twice_its_size_is_refused(tmp_path: Path, config: Path) -> None:
    path = tmp_path / "bomb.pth.tar"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(5_000_000))
    with pytest.raises(WeightsError, match="would unpack to more than twice its size"):
        load_model(path, config=config)


def test_invalid_configurations_are_refused(tiny_model: Animator, tmp_path: Path, tiny_config: dict) -> None:
    path = write(tmp_path / "some.pth.tar", states(tiny_model))
    with pytest.raises(ArgumentError, match="has no configuration in its folder"):
        load_model(path)
    with pytest.raises(ArgumentError, match="did you mean 'vox-256'"):
        load_model(path, config="vox256")
    bad = tmp_path / "bad.yaml"
    for text in ("a: [", "[" * 50_000):
        bad.write_text(text)
        with pytest.raises(ArgumentError, match="is not a YAML file"):
            load_model(path, config=bad)
    with pytest.raises(ArgumentError, match="unknown key 'num_kps'; did you mean 'num_kp'"):
        load_model(path, config={**tiny_config, "common_params": {"num_kps": 4}})
    with pytest.raises(ModelNotFoundError, match="no such file"):
        import_official(tmp_path / "nothing.pth.tar")


def test_ordered_dictionaries_are_read(tiny_model: Animator, tmp_path: Path, config: Path) -> None:
    content = {part: collections.OrderedDict(state) for part, state in states(tiny_model).items()}
    assert load_model(write(tmp_path / "o.pth.tar", content), config=config, device="cpu").hash == tiny_model.hash


def test_a_value_of_a_configuration_that_is_refused_is_named_with_its_file(tmp_path: Path, config: Path) -> None:
    config.write_text(config.read_text().replace("num_kp: 4", "num_kp: 0"))
    write(tmp_path / "a.pth.tar", {})
    with pytest.raises(ArgumentError, match=r"tiny\.yaml: .*num_kp must be"):
        load_model(tmp_path / "a.pth.tar", config=config)


REFUSED = """
import sys, time
from pathlib import Path
from fomaug import FomaugError, load_model


def megabytes(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) >> 10


load_model("lite-256", device="cpu")
Path("/proc/self/clear_refs").write_text("5")  # The peak starts again.
before, start = megabytes("VmRSS"), time.process_time()
try:
    load_model(sys.argv[1], config="vox-256", device="cpu")
except FomaugError as error:
    print(time.process_time() - start, megabytes("VmHWM") - before, error)
assert "torch._dynamo" not in sys.modules, "it takes a second"
"""


def refusal(path: Path) -> tuple[float, int, str]:
    """The processor time in seconds, the additional memory in megabytes and the message of a refusal."""
    done = fresh.run(["-c", REFUSED, path], check=True)
    seconds, extra, message = done.stdout.split(" ", 2)
    return float(seconds), int(extra), message


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by /proc")
@pytest.mark.parametrize("zipped", [True, False])
def test_a_large_checkpoint_of_other_shapes_is_refused_before_its_tensors_are_read(
    tmp_path: Path, zipped: bool
) -> None:
    path = tmp_path / "large.pth.tar"
    content = {"kp_detector": {"x": torch.zeros(50_000_000)}, "generator": {"y": torch.zeros(100_000_000)}}
    write(path, content, _use_new_zipfile_serialization=zipped)
    del content
    seconds, extra, message = refusal(path)
    path.unlink()
    assert "lacks 271 tensors" in message
    assert seconds < 1
    assert extra < 50, "megabytes; the file has 600"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by /proc")
@pytest.mark.parametrize("zipped", [True, False])
def test_an_official_checkpoint_with_one_bad_number_is_refused_without_a_copy(tmp_path: Path, zipped: bool) -> None:
    detector, generator = build_networks(OFFICIAL["vox-256"])
    generator.final.bias.data[0] = torch.nan
    content = {
        "kp_detector": detector.state_dict(),
        "generator": generator.state_dict(),
        "optimizer_generator": {"state": {0: {"exp_avg": torch.zeros(100_000_000)}}},
    }
    path = write(tmp_path / "vox-cpk.pth.tar", content, _use_new_zipfile_serialization=zipped)
    seconds, extra, message = refusal(path)
    path.unlink()
    assert "generator.final.bias contains numbers that are not finite" in message
    assert seconds < 2
    assert extra < 300, "megabytes; the networks have 240, the file 640"


def test_an_old_checkpoint_computes_what_the_official_code_did(shared: Path, tmp_path: Path) -> None:
    folder = shared / "fomm-golden"
    content = torch.load(folder / "tiny-cpk.pth.tar", weights_only=True)
    content["optimizer_generator"] = {"state": {0: torch.ones(1000), 1: torch.ones(3, dtype=torch.int64)}}
    old = write(tmp_path / "tiny-cpk.pth.tar", content, _use_new_zipfile_serialization=False)
    model = load_model(old, config=folder / "tiny.yaml", device="cpu")
    assert model.hash == load_model(folder / "tiny-cpk.pth.tar", device="cpu").hash


def test_tensors_of_old_checkpoints_may_share_a_storage(tiny_model: Animator, tmp_path: Path, config: Path) -> None:
    content = states(tiny_model)
    flat = torch.cat([tensor.flatten() for tensor in content["generator"].values() if tensor.is_floating_point()])
    start = 0
    for name, tensor in content["generator"].items():
        if tensor.is_floating_point():
            content["generator"][name] = flat[start : start + tensor.numel()].view(tensor.shape)
            start += tensor.numel()
    content["generator"]["final.weight"] = (
        content["generator"]["final.weight"].transpose(2, 3).contiguous().transpose(2, 3)
    )
    path = write(tmp_path / "tiny-cpk.pth.tar", content, _use_new_zipfile_serialization=False)
    assert load_model(path, config=config, device="cpu").hash == tiny_model.hash


def old_parts(content: bytes) -> tuple[bytes, list[str], bytes]:
    """Split an old checkpoint into its first four pickles, the keys of its storages, and their numbers."""
    file = io.BytesIO(content)
    ends = [sum(1 for _ in pickletools.genops(file)) and file.tell() for _ in range(4)]
    return content[: ends[3]], pickle.load(file), content[file.tell() :]


@pytest.mark.parametrize("fault", ["missing", "twice", "unknown", "length"])
def test_an_old_checkpoint_whose_list_of_storages_is_wrong_is_refused(
    tiny_model: Animator, tmp_path: Path, config: Path, fault: str
) -> None:
    path = write(tmp_path / "tiny-cpk.pth.tar", states(tiny_model), _use_new_zipfile_serialization=False)
    start, keys, numbers = old_parts(path.read_bytes())
    changed = {
        "missing": keys[:-1],
        "twice": [*keys, "".join([*keys[0]])],
        "unknown": [*keys[:-1], "x"],
        "length": keys,
    }[fault]
    numbers = bytes([numbers[0] ^ 1]) + numbers[1:] if fault == "length" else numbers
    path.write_bytes(start + pickle.dumps(changed, 2) + numbers)
    with pytest.raises(WeightsError, match=r"is damaged: (its list of storages|a storage has another length)"):
        load_model(path, config=config, device="cpu")
