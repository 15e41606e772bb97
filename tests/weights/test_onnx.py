from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from fomaug import Animator
from fomaug._errors import MissingExtraError
from fomaug.weights.onnx import export_onnx


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


def test_a_missing_package_names_the_extra(
    tiny_model: Animator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fomaug\[export\]'"):
        export_onnx(tiny_model, tmp_path)
