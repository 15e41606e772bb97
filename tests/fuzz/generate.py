"""Files that hypothesis makes up: right in their outer form, and anything within it."""

from __future__ import annotations

import json
import pickle
import pickletools

import generate_labels
import generate_media
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from small_files import LITE, config_files, manifest_files, pool_files, weights_files
from structure import changed, names_in


def _with_metadata(content: bytes, **metadata: str) -> bytes:
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"].update(metadata)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[end:]


def _weights() -> st.SearchStrategy[bytes]:
    content = weights_files()[0]
    config = changed(LITE, names_in(json.dumps(LITE).encode()))
    facts = changed({"licence": "MIT", "measures": {"l1": 0.1}}, ["licence"])
    return st.tuples(config, facts).map(
        lambda both: _with_metadata(content, config=json.dumps(both[0]), facts=json.dumps(both[1]))
    )


def _official() -> st.SearchStrategy[bytes]:
    """Old checkpoints of any opcodes, with arguments of the right length and any value."""
    start = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    words = st.sampled_from(
        [
            b"collections\nOrderedDict\n",
            b"torch._utils\n_rebuild_tensor_v2\n",
            b"torch\nFloatStorage\n",
            b"os\nsystem\n",
        ]
    )
    plain = st.sampled_from([opcode.code.encode("latin-1") for opcode in pickletools.opcodes])
    step = st.one_of(
        plain.flatmap(lambda code: st.binary(max_size=8).map(lambda argument: code + argument)),
        st.sampled_from(
            [b")", b"}", b"]", b"(", b"t", b"R", b"s", b"u", b"a", b"e", b"\x85", b"\x86", b"Q", b"b", b"N"]
        ),
        words.map(lambda name: b"c" + name),
        st.integers(0, 255).map(lambda number: b"K" + bytes([number])),
        st.integers(0, 3).flatmap(lambda number: st.sampled_from([b"q%c" % number, b"h%c" % number])),
        st.sampled_from([b"X\x07\0\0\0storage", b"X\x09\0\0\0generator", b"X\x0b\0\0\0kp_detector"]),
    )
    return st.lists(step, max_size=40).map(lambda steps: start + b"\x80\x02" + b"".join(steps) + b"." + b"\x80\x02].")


def _config() -> st.SearchStrategy[bytes]:
    import yaml

    whole = yaml.safe_load(config_files()[0])
    # JSON is YAML, lone surrogates aside, which are written as YAML does not read them.
    return changed(whole, names_in(config_files()[0])).map(lambda values: json.dumps(values).encode())


def _pool() -> st.SearchStrategy[bytes]:
    content = pool_files()[0]
    end = 8 + int.from_bytes(content[:8], "little")
    description = json.loads(json.loads(content[8:end])["__metadata__"]["fomaug.pool"])
    made = changed(description, ["name", "fps", "weight", "crop", "facts"])
    return made.map(lambda values: _with_metadata(content, **{"fomaug.pool": json.dumps(values)}))


def _manifest() -> st.SearchStrategy[bytes]:
    summary, _, rows = manifest_files()[0].partition(b"\0")
    first, *rest = rows.splitlines(keepends=True)
    names = names_in(first)
    made = st.tuples(changed(json.loads(summary), names), changed(json.loads(first), names))
    return made.map(
        lambda both: json.dumps(both[0]).encode() + b"\0" + json.dumps(both[1]).encode() + b"\n" + b"".join(rest)
    )


STRATEGIES = {
    **generate_labels.STRATEGIES,
    **generate_media.STRATEGIES,
    "weights": _weights,
    "official": _official,
    "model configuration": _config,
    "training configuration": _config,
    "pool": _pool,
    "manifest": _manifest,
}


def generated(parser: str, count: int, *, number: int) -> list[bytes]:
    """Make up files for a parser; the same number gives the same files."""
    found: list[bytes] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(STRATEGIES[parser]())
    def collect(case: bytes) -> None:
        found.append(case)

    collect()
    return found
