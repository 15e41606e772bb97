from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fomaug import Animator, load_model
from fomaug.cli import main
from fomaug.errors import MissingExtraError
from fomaug.weights import export_onnx

FACES = Path(__file__).parents[2] / "examples" / "faces"


def test_exported_files_compute_what_the_model_computes(tiny_model: Animator, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    differences = export_onnx(tiny_model, tmp_path)
    assert set(differences) == {"detector.onnx", "encoder.onnx", "generator.onnx"}
    assert max(differences.values()) < 1e-4
    session = runtime.InferenceSession(str(tmp_path / "detector.onnx"), providers=["CPUExecutionProvider"])
    frames = torch.rand(3, 3, 64, 64)
    value, jacobian = session.run(None, {"image": frames.numpy()})
    expected = tiny_model.detect(frames)
    np.testing.assert_allclose(value, expected.value.numpy(), atol=1e-4)
    assert expected.jacobian is not None
    np.testing.assert_allclose(jacobian, expected.jacobian.numpy(), atol=1e-4)


def test_the_command_exports_the_shipped_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    assert main(["export", "lite-256", str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == [
        str(tmp_path / f"{part}.onnx") for part in ("detector", "encoder", "generator")
    ]
    assert all(float(line.split()[-1]) < 1e-4 for line in said)
    check_whole_way(load_model("lite-256", device="cpu"), tmp_path, runtime)


def check_whole_way(model: Animator, folder: Path, runtime: Any) -> None:
    """Animate by the three files alone, on pictures that the export did not use."""

    def run(part: str, **inputs: torch.Tensor) -> list[np.ndarray]:
        session = runtime.InferenceSession(str(folder / f"{part}.onnx"), providers=["CPUExecutionProvider"])
        return session.run(None, {name: np.asarray(value) for name, value in inputs.items()})

    with Image.open(next((FACES / "person_a").iterdir())) as picture:
        source = torch.tensor(np.asarray(picture.convert("RGB").resize((256, 256)))).permute(2, 0, 1)[None] / 255
    driving = source.flip(3)
    points = {
        f"{role}_{name}": value
        for role, picture in (("source", source), ("driving", driving))
        for name, value in zip(("value", "jacobian"), run("detector", image=picture), strict=True)
    }
    features = {f"features_{i}": value for i, value in enumerate(run("encoder", image=source))}
    found = run("generator", image=source, **features, **points)[0]
    expected = model.animate(model.encode(source), model.detect(driving)).image
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_an_unknown_model_is_not_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "lite-257", str(tmp_path / "out")]) == 2
    assert "did you mean 'lite-256'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_package_names_the_extra(
    tiny_model: Animator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fomaug\[export\]'"):
        export_onnx(tiny_model, tmp_path)
