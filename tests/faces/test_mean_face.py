"""The canonical face."""

from __future__ import annotations

import numpy as np

from fomaug.faces.canonical import mean_face, mean_mesh


def test_mean_face_ignores_position_size_and_rotation() -> None:
    rng = np.random.default_rng(0)
    face = mean_mesh().numpy()
    meshes = []
    for _ in range(400):
        turn, _ = np.linalg.qr(np.eye(3) + 0.05 * rng.normal(size=(3, 3)))
        turn = turn * np.sign(np.diag(turn))
        meshes.append(face @ turn.T * rng.uniform(0.8, 1.25) + rng.normal(size=3))
    found = mean_face(np.asarray(meshes, np.float32))
    assert np.allclose(found / np.linalg.norm(found), face / np.linalg.norm(face), atol=2e-3)
