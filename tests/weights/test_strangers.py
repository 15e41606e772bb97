"""Harmful files: each kind of fault is rejected with its own message, quickly and with little memory."""

from __future__ import annotations

import copy
import io
import itertools
import json
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
import torch
import yaml
from harness import Outcome, run_mixed
from small_files import LITE, TINY, config_files, official_files, pool_files, weights_files

Case = tuple[str, bytes]


def states() -> dict[str, Any]:
    return torch.load(io.BytesIO(official_files()[0]), weights_only=True)


def saved(edit: Callable[[dict[str, Any]], Any], *, zipped: bool = True) -> bytes:
    content = states()
    file = io.BytesIO()
    torch.save(edit(content) or content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def with_bias(value: torch.Tensor, *, zipped: bool = True) -> Case:
    return "official", saved(lambda content: content["generator"].update({"final.bias": value}), zipped=zipped)


def quantised() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch plans to remove them
        return torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8)


def with_header(content: bytes, edit: Callable[[dict[str, Any]], None], *, data: bytes | None = None) -> bytes:
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    edit(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + (content[end:] if data is None else data)


def with_lite(**changes: Any) -> Case:
    """Write the lite model of the tests with other numbers in its configuration."""

    def edit(header: dict[str, Any]) -> None:
        header["__metadata__"]["config"] = json.dumps(merged(LITE, changes))

    return "weights", with_header(weights_files()[0], edit)


def with_metadata(**changes: str) -> Case:
    return "weights", with_header(weights_files()[0], lambda header: header["__metadata__"].update(changes))


def merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    values = copy.deepcopy(values)
    for key, value in changes.items():
        values[key] = merged(values[key], value) if isinstance(value, dict) else value
    return values


def with_numbers(number: float) -> Case:
    """Change one number of the first floating-point tensor of a model file."""
    content = weights_files()[0]
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    name = min(key for key, entry in header.items() if entry.get("dtype") == "F16")
    start = end + header[name]["data_offsets"][0]
    return "weights", content[:start] + struct.pack("<e", number) + content[start + 2 :]


def text(values: Any) -> bytes:
    return (values if isinstance(values, str) else yaml.safe_dump(values)).encode()


def model_config(section: str, **changes: Any) -> Case:
    values = yaml.safe_load(config_files()[0])
    part = values["model_params"]
    for name in section.split("."):
        part = part[name]
    part.update(changes)
    return "model configuration", text(values)


def training_config(section: str, value: Any) -> Case:
    values = yaml.safe_load(config_files()[0])
    *path, last = section.split(".")
    part = values
    for name in path:
        part = part[name]
    part[last] = value
    return "training configuration", text(values)


def yaml_value(value: str) -> Case:
    return "model configuration", config_files()[0].replace(b"num_kp: 3", f"num_kp: {value}".encode())


def nested_tuples(depth: int, end: bytes, start: bytes = b"") -> bytes:
    """Nest tuples that each contain the next one twice: a level takes a few bytes and doubles the number of values."""
    return b"\x80\x02" + start + b")" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(depth)) + end


def legacy(content: bytes) -> bytes:
    start = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    return b"".join(start) + content + pickle.dumps([], 2)


def storage_of(count: int) -> bytes:
    """Make an old checkpoint whose only storage has a stated length and no numbers."""
    key = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu" + b"\x8a\x06%bN" % count.to_bytes(
        6, "little"
    )
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + key + b"tQK\0(K\x01t(K\x01t\x89ccollections\nOrderedDict\n)RtR"
    return legacy(b"\x80\x02}X\t\0\0\0generator}X\x01\0\0\0a" + tensor + b"ss.")


def reduced(function: bytes, arguments: bytes) -> Case:
    return "official", legacy(b"\x80\x02c" + function + b"\n" + arguments + b"R.")


def repacked(edit: Callable[[zipfile.ZipFile, str, bytes], None]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(official_files()[0])) as old, zipfile.ZipFile(file, "w") as new:
        for member in old.infolist():
            edit(new, member.filename, old.read(member))
    return file.getvalue()


def shrunk_storages(new: zipfile.ZipFile, name: str, content: bytes) -> None:
    new.writestr(name, content[:4] if "/data/" in name else content)


def twice(new: zipfile.ZipFile, name: str, content: bytes) -> None:
    new.writestr(name, content)
    new.writestr(name.upper() if name.endswith("data/0") else name + "x", content)


def with_track(**changes: Any) -> Case:
    def edit(header: dict[str, Any]) -> None:
        description = json.loads(header["__metadata__"]["fomaug.pool"])
        description["tracks"][0].update(changes)
        header["__metadata__"]["fomaug.pool"] = json.dumps(description)

    return "pool", with_header(pool_files()[0], edit)


def with_tracks(tracks: str) -> Case:
    """A pool whose description has other tracks."""

    def edit(header: dict[str, Any]) -> None:
        description = json.loads(header["__metadata__"]["fomaug.pool"])
        text = json.dumps(description | {"tracks": None})
        header["__metadata__"]["fomaug.pool"] = text.replace("null", tracks)

    return "pool", with_header(pool_files()[0], edit)


def with_pool_version(version: int) -> Case:
    def edit(header: dict[str, Any]) -> None:
        description = json.loads(header["__metadata__"]["fomaug.pool"])
        header["__metadata__"]["fomaug.pool"] = json.dumps(description | {"version": version})

    return "pool", with_header(pool_files()[0], edit)


def pool_shape(shape: list[int]) -> Case:
    return "pool", with_header(
        pool_files()[0], lambda header: header.update({"0.value": {**header["0.value"], "shape": shape}})
    )


def empty_pool_shape(shape: list[int]) -> Case:
    """Make a pool whose tensor has no numbers, but large sizes."""

    def edit(header: dict[str, Any]) -> None:
        del header["0.jacobian"], header["1.jacobian"]
        header["0.value"] = header["1.value"] = {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}

    return "pool", with_header(pool_files()[0], edit, data=b"")


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in itertools.pairwise("abcdefghijklmn")
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{b}: &{b}\n  <<: [*{a}, *{a}, *{a}]\n" for a, b in itertools.pairwise("abcdefghijklmnopqrstuvwxyz")
)
GOOGOL = 10**400

CASES: dict[str, tuple[Callable[[], Case], str]] = {
    # Configurations
    "a hundred thousand blocks": (
        lambda: model_config("generator_params", num_bottleneck_blocks=100_000),
        "num_bottleneck_blocks must be a whole number from 0 to 64",
    ),
    "a hundred thousand blocks in a model file": (
        lambda: with_lite(generator={"encoder_blocks": 100_000}),
        "encoder_blocks must be a whole number from 0 to 64",
    ),
    "billions of keypoints": (
        lambda: model_config("common_params", num_kp=10**9),
        "num_kp must be a whole number from 1",
    ),
    "no keypoints": (lambda: model_config("common_params", num_kp=0), "num_kp must be a whole number from 1"),
    "a googol": (lambda: model_config("common_params", num_kp=GOOGOL), "got a number of hundreds of digits"),
    "a googol in a model file": (lambda: with_lite(size=GOOGOL), "size must be a whole number from 1 to 1024"),
    "digits without end": (lambda: yaml_value("9" * 900), "got a number of hundreds of digits"),
    "hexadecimal digits without end": (lambda: yaml_value("0x" + "f" * 900), "got a number of hundreds of digits"),
    "a negative width": (lambda: model_config("kp_detector_params", max_features=-1), "max_features must be"),
    "a temperature of zero": (
        lambda: model_config("kp_detector_params", temperature=0),
        "temperature must be a number",
    ),
    "a temperature that is not a number": (
        lambda: model_config("kp_detector_params", temperature=float("nan")),
        "temperature must be a number from",
    ),
    "a scale of zero": (lambda: model_config("kp_detector_params", scale_factor=0.0), "scale_factor must be"),
    "forty levels": (lambda: model_config("kp_detector_params", num_blocks=40), "num_blocks must be"),
    "a size that cannot be halved": (lambda: model_config("kp_detector_params", num_blocks=5), "a multiple of 32"),
    "a grid that cannot be halved": (lambda: with_lite(generator={"motion": {"size": 15}}), "must be a multiple of 2"),
    "two numbers of keypoints": (
        lambda: with_lite(generator={"num_keypoints": 2}),
        "num_keypoints must be the detector's 3, got 2",
    ),
    "a configuration that is a list": (lambda: with_metadata(config="[]"), "must have keys and values"),
    "a configuration that is a number": (lambda: with_metadata(config="1"), "must have keys and values"),
    "an architecture that is a list": (lambda: with_lite(architecture=["lite"]), "architecture must be"),
    # Facts
    "facts that are a list": (lambda: with_metadata(facts="[1]"), "facts must be keys and values"),
    "facts that are a number": (lambda: with_metadata(facts="3"), "facts must be keys and values"),
    "facts without end": (lambda: with_metadata(facts=json.dumps({"a": "x" * 10**6})), "facts must have up to"),
    "facts that write to the terminal": (lambda: with_metadata(facts='{"a": "\\u001b[2J"}'), "facts must be printable"),
    "facts that are no Unicode": (lambda: with_metadata(facts='{"licence": ["\\ud800"]}'), "facts must be printable"),
    "facts that nest": (lambda: with_metadata(facts="[" * 10**5), "damaged header"),
    "digits without end in facts": (lambda: with_metadata(facts='{"a": %s}' % ("9" * 5000)), "damaged header"),
    # YAML
    "a date that is none": (lambda: yaml_value("2020-13-45"), "is not a YAML file"),
    "a word called a number": (lambda: yaml_value("!!int abc"), "is not a YAML file"),
    "nothing called a number": (lambda: yaml_value("!!int ''"), "is not a YAML file"),
    "a word called a date": (lambda: yaml_value("!!timestamp x"), "is not a YAML file"),
    "a word called a switch": (lambda: yaml_value("!!bool x"), "is not a YAML file"),
    "a billion laughs": (lambda: ("model configuration", text(LAUGHS)), "aliases stand for more than 10000 values"),
    "a billion merges": (lambda: ("model configuration", text(MERGES)), "aliases stand for more than 10000 values"),
    "a list that holds itself": (lambda: ("model configuration", b"a: &a [*a]"), "aliases stand for more than"),
    "a key that is a list": (lambda: ("model configuration", b"? [1]\n: 2"), "is not a YAML file"),
    "a key that is a number": (lambda: ("model configuration", b"1: 2"), "lacks model_params"),
    "a large YAML file": (lambda: ("model configuration", b"a: 1\n" * 10**6), "more than the 65,536"),
    "YAML that nests": (lambda: ("model configuration", b"[" * 60_000), "is not a YAML file"),
    # Training configurations
    **{
        f"{section} as {value!r:.20}": (
            lambda section=section, value=value: training_config(section, value),
            message,
        )
        for section, value, message in (
            ("train_params", [1], "train_params must hold keys and values"),
            ("dataset_params", [1], "dataset_params must hold keys and values"),
            ("train_params.loss_weights", [1], "loss_weights must hold keys and values"),
            ("train_params.loss_weights.perceptual", "abc", "perceptual must be a list"),
            ("train_params.loss_weights.generator_gan", GOOGOL, "generator_gan must be a number from"),
            ("train_params.epoch_milestones", 5, "epoch_milestones must be a list"),
            ("train_params.scales", 1, "scales must be a list"),
            ("train_params.scales", [GOOGOL], "scales must be a number from"),
            ("train_params.lr_generator", GOOGOL, "lr_generator must be a number from"),
            ("train_params.batch_size", GOOGOL, "batch_size must be a whole number from"),
            ("dataset_params.frame_shape", 32, "frame_shape must be a list"),
            ("dataset_params.frame_shape", ["x"], "frame_shape must be a whole number"),
            ("dataset_params.frame_shape", [GOOGOL], "frame_shape must be a whole number"),
            ("dataset_params.id_sampling", "no", "id_sampling must be true or false"),
            ("dataset_params.augmentation_params.resize_param.ratio", 3, "zoom_range must be two numbers"),
            ("dataset_params.augmentation_params.resize_param.ratio", [1, 1, 1], "zoom_range must be two numbers"),
            ("model_params.discriminator_params.scales", "x", "scales must be a list"),
        )
    },
    # Numbers of weights
    "a weight that is not a number": (lambda: with_numbers(float("nan")), "not finite"),
    "an endless weight": (lambda: with_numbers(float("inf")), "not finite"),
    "no number in a checkpoint": (lambda: with_bias(torch.full((3,), torch.nan)), "not finite"),
    "a double that no float can hold": (lambda: with_bias(torch.full((3,), 1e300, dtype=torch.float64)), "not finite"),
    "complex weights": (lambda: with_bias(torch.zeros(3, dtype=torch.complex64)), "is complex64, one of float16"),
    "whole weights": (lambda: with_bias(torch.zeros(3, dtype=torch.int32)), "is int32, one of float16"),
    "negative variances": (
        lambda: ("official", saved(lambda c: c["generator"].update({"first.norm.running_var": -torch.ones(2)}))),
        "negative variances",
    ),
    # Tensors of other kinds
    "sparse tensors": (lambda: with_bias(torch.zeros(3).to_sparse()), "contains sparse tensors"),
    "meta tensors": (lambda: with_bias(torch.zeros(3, device="meta")), "contains tensors without numbers"),
    "quantised tensors": (
        lambda: with_bias(quantised()),
        "contains quantised tensors",
    ),
    "a tensor of stride 0": (
        lambda: with_bias(torch.zeros(1).expand(4 * 10**9)),
        "describes a tensor of 4000000000 numbers, but its storage has 1",
    ),
    "a tensor of stride 0 in an old checkpoint": (
        lambda: with_bias(torch.zeros(1).expand(40_000, 100_000), zipped=False),
        "describes a tensor of 40000x100000 numbers, but its storage has 1",
    ),
    "a storage that the file does not hold": (
        lambda: ("official", storage_of(2**40)),
        "describes tensors of more numbers than the file contains",
    ),
    "storages cut short in the archive": (lambda: ("official", repacked(shrunk_storages)), "is damaged"),
    # Pickles
    "nested tuples": (
        lambda: ("official", legacy(nested_tuples(60, b"."))),
        "contains a value of more than 2000000 parts",
    ),
    "deeply nested tuples as a key": (
        lambda: ("official", legacy(nested_tuples(60, b"K\x01s.", b"}"))),
        "contains a value of more than 2000000 parts",
    ),
    "nested tuples as a key": (
        lambda: ("official", legacy(nested_tuples(18, b"K\x01s.", b"}"))),
        "contains a key of more than 1000 parts",
    ),
    "a memo of billions": (
        lambda: ("official", legacy(b"\x80\x02]r\xff\xff\xff\xff.")),
        "it has a memo index of 4294967295",
    ),
    "a string of gigabytes": (lambda: ("official", legacy(b"\x80\x02X\xff\xff\xff\x7fx.")), "is damaged"),
    "a string of exabytes": (lambda: ("official", legacy(b"\x80\x04\x8d" + b"\xff" * 7 + b"\x0fx.")), "is damaged"),
    "instructions without end": (
        lambda: ("official", legacy(b"\x80\x02" + b"]" + b"K\x01a" * 300_000 + b".")),
        "has more than 400000 instructions",
    ),
    "an array of gigabytes": (lambda: reduced(b"__builtin__\nbytearray", b"(J\xff\xff\xff\x7ft"), "could run code"),
    "a storage made by a call": (lambda: reduced(b"torch\nFloatStorage", b"(J\xff\xff\xff\x7ft"), "could run code"),
    "a tensor made by a call": (lambda: reduced(b"torch\nTensor", b"(J\xff\xff\xff\x7ft"), "could run code"),
    "a container that was never begun": (lambda: ("official", legacy(b"\x80\x02t.")), "is damaged"),
    "a checkpoint whose keys are tuples": (lambda: ("official", saved(lambda c: {(1, 2): 3})), "lacks 'kp_detector'"),
    # Archives
    "two members of one name": (lambda: ("official", repacked(twice)), "two of its members have the same name"),
    "an archive of many members": (
        lambda: ("official", official_files()[0][:-10] + struct.pack("<II", 2**30, 0) + b"\0\0"),
        "its central directory has 1073741824 bytes",
    ),
    # Model files
    "a header of gigabytes": (
        lambda: ("weights", (2**33).to_bytes(8, "little") + weights_files()[0][8:]),
        "is not an intact safetensors file|neither",
    ),
    "tensors that share numbers": (
        lambda: (
            "weights",
            with_header(
                weights_files()[0],
                lambda header: [entry.update(data_offsets=[0, 4]) for key, entry in header.items() if key[0] != "_"],
            ),
        ),
        "is not an intact safetensors file",
    ),
    # Pools
    "a googol of frames a second": (
        lambda: with_track(fps=GOOGOL),
        "fps must be more than 0, got inf",
    ),
    "a googol as a weight": (
        lambda: with_track(weight=GOOGOL),
        "weight must be 0 or more, got inf",
    ),
    "a googol in a crop": (lambda: with_track(crop=[0, 0, 1, GOOGOL]), "crop of a track is"),
    "millions of tracks": (
        lambda: with_tracks("[" + "1," * 3_900_000 + "1]"),
        "its tensors do not match its 3900001 tracks",
    ),
    "many millions of tracks": (
        lambda: with_tracks("[" + "1," * 7_900_000 + "1]"),
        "has more than 4000000 values",
    ),
    "millions of empty tracks": (
        lambda: with_tracks("[" + "{}," * 5_000_000 + "1]"),
        "has more than 1000000 lists and objects",
    ),
    "a googol as the version of a pool": (
        lambda: with_pool_version(10**300),
        r"has pool format 10+\.\.\.0+, this fomaug reads 1 and 2",
    ),
    "a version without end": (
        lambda: with_metadata(version="9" * 10**5),
        r"has format version '9{30,40}\.\.\.9{30,40}', '1' was expected",
    ),
    "a pool of five axes": (lambda: pool_shape([1, 1, 4, 5, 2]), r"0.value must be .*got \(1, 1, 4, 5, 2\)"),
    "a pool of swapped axes": (lambda: pool_shape([5, 2, 4]), "keypoints must be"),
    "a pool of no frames and endless points": (lambda: empty_pool_shape([0, 2**40, 2]), "up to"),
    "a pool of endless frames and no points": (lambda: empty_pool_shape([2**62, 0, 2]), "up to|damaged"),
}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    return dict(zip(CASES, run_mixed(make() for make, _ in CASES.values()), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_harmful_files_are_rejected_quickly_and_with_little_memory(case: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[case]
    assert outcome.kind == "refused", outcome
    with pytest.raises(ValueError, match=CASES[case][1]):
        raise ValueError(outcome.text)


def test_every_cut_of_an_old_checkpoint_is_refused() -> None:
    content = official_files()[1]
    found = run_mixed(("official", content[:end]) for end in range(1, len(content), len(content) // 150))
    assert {outcome.kind for outcome in found} == {"refused"}, [one for one in found if one.kind != "refused"][:2]


def test_ordinary_values_pass_the_scan_of_a_pickle() -> None:
    whole = {"size": torch.Size([3]), "milestones": {3, 4}, "bytes": b"abc", "kind": torch.float16, "c": 1j, "p": None}
    parameter = torch.nn.Parameter(torch.zeros(3))
    views = torch.zeros(4, 6)
    files = [
        saved(
            lambda c: {**c, **whole, "parameter": parameter, "views": [views[1:, ::2], views.T, views[:0]]},
            zipped=zipped,
        )
        for zipped in (True, False)
    ]
    found = run_mixed(("official", content) for content in files)
    assert [outcome.kind for outcome in found] == ["read", "read"], found


def test_the_small_models_have_the_keypoints_that_the_cases_expect() -> None:
    assert TINY["common_params"]["num_kp"] == LITE["detector"]["num_keypoints"] == 3
