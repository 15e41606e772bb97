"""Weights, pools, configurations and what a job left behind: whole, broken, and made to harm."""

from __future__ import annotations

import io
import json
import pickle
import struct
from collections.abc import Callable
from typing import Any

import torch
from item import Item, bad, good
from small_files import config_files, manifest_files, official_files, pool_files, weights_files

_SHARES = (1, 10, 50, 90, 99)


def weights() -> list[Item]:
    """Model files, and official checkpoints as `.pth.tar`."""
    zipped, old = official_files()
    items = [good(f"whole {number}.safetensors", content) for number, content in enumerate(weights_files())]
    items += [good("zipped.pth.tar", zipped), good("old.pth.tar", old)]
    for name, content in (("model.safetensors", weights_files()[0]), ("zipped.pth.tar", zipped), ("old.pth.tar", old)):
        items += [bad(f"cut {share} {name}", content[: len(content) * share // 100]) for share in _SHARES]
    edits: dict[str, Callable[[dict[str, Any]], object]] = {
        "no numbers": lambda states: states["generator"].update({"final.bias": torch.full((3,), torch.nan)}),
        "endless": lambda states: states["generator"].update({"final.bias": torch.full((3,), torch.inf)}),
        "complex": lambda states: states["generator"].update({"final.bias": torch.zeros(3, dtype=torch.complex64)}),
        "other shape": lambda states: states["generator"].update({"final.bias": torch.zeros(5)}),
        "stride 0": lambda states: states["generator"].update({"final.bias": torch.zeros(1).expand(4 * 10**9)}),
        "no tensor": lambda states: states["generator"].update({"final.bias": "x"}),
        "sparse": lambda states: states["generator"].update({"final.bias": torch.zeros(3).to_sparse()}),
        "one missing": lambda states: states["generator"].pop("final.bias"),
        "no detector": lambda states: states.pop("kp_detector"),
        "a list": lambda states: states.update(generator=[1, 2]),
    }
    items += [bad(f"{name}.pth.tar", _edited(edit)) for name, edit in edits.items()]
    items += [bad(f"{name}.pth.tar", content) for name, content in _pickles().items()]
    others = {
        "empty": b"",
        "text": b"no weights\n",
        "zeros": bytes(300),
        "long header": b"\xff" * 7 + b"\0{}",
        "zip": b"PK\5\6" + bytes(18),
    }
    return items + [
        bad(f"{name}.{suffix}", content) for name, content in others.items() for suffix in ("safetensors", "pth.tar")
    ]


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("touch ran",)


def _pickles() -> dict[str, bytes]:
    tuples = b"\x80\x02)" + b"".join(b"q%ch%c\x86" % (level, level) for level in range(60)) + b"."
    file = io.BytesIO()
    torch.save({"generator": _Runs(), "kp_detector": {}}, file)
    return {
        "runs": pickle.dumps(_Runs(), 2),
        "runs zipped": file.getvalue(),
        "tuples": tuples,
        "number": pickle.dumps(3),
    }


def _edited(edit: Callable[[dict[str, Any]], object]) -> bytes:
    states = torch.load(io.BytesIO(official_files()[0]), weights_only=True)
    edit(states)
    file = io.BytesIO()
    torch.save(states, file)
    return file.getvalue()


def pools() -> list[Item]:
    """Driving pools."""
    (content,) = pool_files()
    items = [good("whole.safetensors", content)]
    items += [bad(f"cut {share}.safetensors", content[: len(content) * share // 100]) for share in _SHARES]
    changes: list[dict[str, Any]] = [
        *({"fps": value} for value in (0, -1, 10**400, float("nan"), "x", None)),
        *({"weight": value} for value in (-1, 10**400, float("inf"), "x")),
        *({"name": value} for value in (3, None, [])),
        *({"crop": value} for value in ("x", [1, 2], [1.5, 2, 3, 4])),
        {"facts": [1]},
        {"label": 3},
    ]
    return items + [
        bad(f"change {number}.safetensors", _with_track(content, change)) for number, change in enumerate(changes)
    ]


def _with_track(content: bytes, change: dict[str, Any]) -> bytes:
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    pool = json.loads(header["__metadata__"]["fomaug.pool"])
    pool["tracks"][0].update(change)
    header["__metadata__"]["fomaug.pool"] = json.dumps(pool)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[end:]


def configurations() -> list[Item]:
    """Configurations of official checkpoints."""
    items = [good(f"whole {number}.yaml", content) for number, content in enumerate(config_files())]
    numbers = ("0", "-1", "1e5", "x", "[3]", "!!int abc", "2020-13-45", ".nan", "9" * 900, "100000", "null", "2.5")
    items += [bad(f"keypoints {i}.yaml", _with(b"num_kp: 3", b"num_kp: " + n.encode())) for i, n in enumerate(numbers)]
    items.append(bad("blocks.yaml", _with(b"num_bottleneck_blocks: 1", b"num_bottleneck_blocks: 100000")))
    items.append(bad("unknown.yaml", _with(b"num_bottleneck_blocks: 1", b"num_botleneck_blocks: 1")))
    laughs = b"a: &a [x, x]\n" + b"".join(
        b"%c: &%c [*%c, *%c, *%c]\n" % (i + 1, i + 1, i, i, i) for i in range(97, 119)
    )
    others = (
        b"",
        b"[]",
        b"3",
        b"x",
        b"{",
        b"? [1]\n: 2",
        b"a: &a [*a]",
        laughs,
        b"[" * 60_000,
        b"a: 1\n" * 10**6,
        b"\xff\xfe",
    )
    items += [bad(f"other {number}.yaml", content) for number, content in enumerate(others)]
    return [*items, bad("code.yaml", b"!!python/object/apply:os.system ['touch ran']\n")]


def _with(old: bytes, new: bytes) -> bytes:
    content = config_files()[0]
    assert old in content
    return content.replace(old, new)


def manifests() -> list[Item]:
    """Folders of finished jobs: `expand.json`, a zero byte, and `manifest.jsonl`."""
    (whole,) = manifest_files()
    summary, _, rows = whole.partition(b"\0")
    first = json.loads(rows.splitlines()[0])
    changes: list[dict[str, Any]] = [
        *({name: None} for name in ("file", "source", "copy", "bytes", "size", "motion", "source_hash")),
        *(
            {"motion": value}
            for value in (3, {}, [], {**first["motion"], "strength": "x"}, {**first["motion"], "others": 3})
        ),
        *({"size": value} for value in ([1], ["a", "b"], 3)),
        *({"bytes": value} for value in (-1, 10**400, 1.5, "x")),
        *({"scores": value} for value in (3, [1])),
    ]
    items = [good("whole", whole)]
    items += [
        bad(f"row {i}", summary + b"\0" + json.dumps({**first, **change}).encode() + b"\n" + rows)
        for i, change in enumerate(changes)
    ]
    texts = (b"{\n", b"x\n", b"[]\n", b"\xff\xfe\n", b"[" * 10**5 + b"\n", b"null\n", bytes(100) + b"\n")
    items += [bad(f"text {number}", summary + b"\0" + rows + text) for number, text in enumerate(texts)]
    others = (b"", b"{", b"[]", b"3", b"\xff\xfe", b'{"a": Infinity}', b"[" * 10**5)
    return items + [bad(f"summary {number}", text + b"\0" + rows) for number, text in enumerate(others)]
