from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

import fomaug
from fomaug.errors import ArgumentError, ShapeError
from fomaug.geometry import identity_grid
from fomaug.quality import Gates, Scores, judge, score
from fomaug.quality.gates import _oval
from fomaug.types import Keypoints

ROOT = Path(__file__).parents[2]
GOOD = Scores(
    folded=0.0,
    stretch=0.1,
    occluded=0.1,
    keypoint_error=0.01,
    residual=0.01,
    sharpness=0.8,
    motion=0.1,
    identity=0.9,
)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"folded": 0.2}, "folded 0.200 > 0.05"),
        ({"stretch": 0.7}, "stretch 0.700 > 0.6"),
        ({"occluded": 0.9}, "occluded 0.900 > 0.6"),
        ({"keypoint_error": 0.2}, "keypoint_error 0.200 > 0.07"),
        ({"residual": 0.3}, "residual 0.300 > 0.045"),
        ({"sharpness": 0.1}, "sharpness 0.100 < 0.4"),
        ({"sharpness": float("nan")}, "sharpness nan < 0.4"),
        ({"motion": 0.0}, "motion 0.000 < 0.02"),
        ({"identity": 0.1}, "identity 0.100 < 0.5"),
    ],
)
def test_each_gate_gives_a_reason(change: dict[str, float], reason: str) -> None:
    gates = Gates(min_motion=0.02, min_identity=0.5)
    assert judge(GOOD, gates) == []
    assert reason in judge(Scores(**{**GOOD.to_dict(), **change}), gates)


def test_a_disabled_gate_rejects_nothing() -> None:
    closed = dict.fromkeys(Gates().to_dict())
    assert judge(Scores(1, 1, 1, 1, 1, 0, 0), Gates(**closed)) == []


@pytest.mark.parametrize("threshold", ["0.5", True, float("nan")])
def test_thresholds_are_numbers(threshold: object) -> None:
    with pytest.raises(ArgumentError, match="gate max_folded must be a number or None, got "):
        Gates(max_folded=threshold)


def test_unknown_gates_and_odd_thresholds_are_errors() -> None:
    with pytest.raises(ArgumentError, match="did you mean 'max_folded'"):
        Gates.from_dict({"max_fold": 1})
    with pytest.raises(ArgumentError, match="must be a number or None"):
        Gates.from_dict({"max_folded": "much"})
    with pytest.raises(ArgumentError, match="needs a face embedder"):
        judge(Scores(0, 0, 0, 0, 0, 1, 1), Gates(min_identity=0.5))


def test_a_picture_that_did_not_move_scores_as_itself(tiny_model: fomaug.Animator) -> None:
    image = torch.rand(2, 3, 96, 80)
    flow, occlusion = identity_grid((16, 16)).expand(2, -1, -1, -1), torch.ones(2, 1, 16, 16)
    scores = score(tiny_model, image, image, flow, occlusion, embed=lambda x: x.mean((2, 3)))
    for found in scores:
        assert found.folded == found.occluded == found.motion == 0
        assert found.stretch < 1e-3
        assert found.keypoint_error < 1e-5
        assert found.residual < 1e-5
        assert found.sharpness == pytest.approx(1)
        assert found.identity == pytest.approx(1)


def test_an_enlarged_face_has_no_stretch_and_a_distorted_one_has(tiny_model: fomaug.Animator) -> None:
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))  # the position of the face
    grid, occlusion = identity_grid((64, 64)), torch.ones(2, 1, 64, 64)
    wax = grid + 0.12 * torch.sin(2 * np.pi * grid.flip(-1)) + 0.12 * torch.sin(2 * np.pi * grid)
    enlarged, waxen = score(tiny_model, image, image, torch.stack([grid * 0.5, wax]), occlusion)
    assert enlarged.stretch < 1e-3
    assert waxen.stretch > 0.6


def test_the_oval_of_a_face_fills_its_box_but_for_the_corners() -> None:
    oval = _oval(torch.tensor([[[-0.5, -0.25], [0.0, 0.75]], [[-1.0, -1.0], [1.0, 1.0]]]))
    half = oval.shape[2] / 2
    for row, area in enumerate((0.25, 1.0)):
        assert oval[row].mean() == pytest.approx(torch.pi / 4 * area * 0.5 ** (row == 0), rel=0.05)
    assert oval[0, 0, int(1.25 * half), int(0.75 * half)] == 1
    assert oval[1, 0, [0, 0, -1, -1], [0, -1, 0, -1]].sum() == 0


@pytest.mark.parametrize("size", [0.5, 1.0])
def test_the_residual_is_measured_in_the_oval_of_the_face(size: float, tiny_model: fomaug.Animator) -> None:
    image = torch.full((1, 3, 512, 512), 0.25)
    middle, half = torch.tensor([-0.4, 0.2]), size * torch.tensor([0.4, 0.6])
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    keypoints = Keypoints((middle + half * corners)[None], None)
    results = image.repeat(2, 1, 1, 1)
    _brighten(results[0], middle + half * torch.tensor([0.6, 0.2]), 0.1 * half)  # on a cheek
    _brighten(results[1], middle + half * torch.tensor([0.85, 0.85]), 0.1 * half)  # at a corner of the face's box
    flow, occlusion = identity_grid((64, 64)).expand(2, -1, -1, -1), torch.ones(2, 1, 64, 64)
    found = keypoints.repeat_interleave(2)
    cheek, corner = score(tiny_model, image, results, flow, occlusion, keypoints=keypoints, found=found)
    share = (1 / 10) ** 2 / (3 / 16) ** 2  # of the patch that the square covers
    assert cheek.residual == pytest.approx(0.5 * share, rel=0.05)
    assert corner.residual < 1e-3


def _brighten(image: torch.Tensor, middle: torch.Tensor, half: torch.Tensor) -> None:
    """Brighten a box of an image (3, S, S) by 0.5."""
    (left, top), (right, bottom) = (((middle + sign * half + 1) / 2 * 511).round().int().tolist() for sign in (-1, 1))
    image[:, top:bottom, left:right] += 0.5


def test_a_source_may_have_several_results_and_known_keypoints(tiny_model: fomaug.Animator) -> None:
    rng = torch.Generator().manual_seed(0)
    source, result = torch.rand(2, 3, 64, 48, generator=rng), torch.rand(6, 3, 64, 48, generator=rng)
    flow = identity_grid((16, 12)) + 0.05 * torch.rand(6, 16, 12, 2, generator=rng)
    occlusion = torch.rand(6, 1, 16, 12, generator=rng)
    embed = lambda x: x.mean((2, 3)) - 0.5  # noqa: E731
    each = score(tiny_model, source.repeat_interleave(3, 0), result, flow, occlusion, embed=embed)
    known = tiny_model.encode(source).keypoints
    for found in (
        score(tiny_model, source, result, flow, occlusion, embed=embed),
        score(tiny_model, source, result, flow, occlusion, keypoints=known, embed=embed),
    ):
        for own, wanted in zip(found, each, strict=True):
            assert own.to_dict() == pytest.approx(wanted.to_dict(), abs=1e-4)
    assert len({own.motion for own in each}) == 6
    with pytest.raises(ShapeError, match="2 sources need the keypoints of 2 frames, got 1"):
        score(tiny_model, source, result, flow, occlusion, keypoints=known[:1])


def test_an_embedder_returns_a_vector_for_each_image(tiny_model: fomaug.Animator) -> None:
    image = torch.rand(2, 3, 64, 64)
    flow, occlusion = identity_grid((4, 4)).expand(2, -1, -1, -1), torch.ones(2, 1, 4, 4)
    mean = lambda x: x.mean((2, 3))  # noqa: E731
    wrong = (lambda x: x, lambda x: mean(x).squeeze(), lambda x: mean(x)[:1], lambda x: mean(x).numpy())
    for source, embed in zip((image, image[:1], image, image), wrong, strict=True):
        with pytest.raises(ShapeError, match=r"embed must map images \(\d, 3, 64, 64\) to a tensor \(N, D\), got "):
            score(tiny_model, source, image, flow, occlusion, embed=embed)


def test_flows_and_results_must_have_equal_numbers(tiny_model: fomaug.Animator) -> None:
    image = torch.rand(2, 3, 64, 64)
    with pytest.raises(ShapeError, match="each of 2 results needs one source, one flow and one occlusion map"):
        score(tiny_model, image[:1], image, identity_grid((4, 4))[None], torch.ones(1, 1, 4, 4))


@pytest.fixture(scope="module")
def spoil() -> ModuleType:
    """Spoil a frame in one of the four ways of the calibration script."""
    spec = importlib.util.spec_from_file_location("calibrate_gates", ROOT / "benchmarks" / "calibrate_gates.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_good_frames_pass_and_broken_ones_do_not(spoil: ModuleType) -> None:
    model = fomaug.load_model("lite-256", device="cpu")
    aug = fomaug.MotionAugment(driving=fomaug.DrivingPool.builtin(model), model=model, p=1.0, seed=3)
    rng = np.random.default_rng(0)
    passed: dict[str, list[bool]] = {}
    for path in sorted((ROOT / "examples" / "faces").rglob("*.jpg"))[:8]:
        picture = Image.open(path).convert("RGB")
        image = torch.tensor(np.asarray(picture)).permute(2, 0, 1)[None].float() / 255
        result = aug.apply(image, aug.draw([path.name], copies=2))
        for i in range(2):
            good = result.image[i : i + 1], result.flow[i : i + 1]
            points = spoil.points_of(model, good[0])
            frames = {
                "good": good,
                "melted": spoil.melted(*good, rng),
                "folded": spoil.folded(*good, rng),
                "two noses": spoil.two_noses(*good, rng, points),
                "blank": spoil.blank(*good, rng),
            }
            for kind, (changed, flow) in frames.items():
                (found,) = score(model, image, changed, flow, result.occlusion[i : i + 1])
                passed.setdefault(kind, []).append(not judge(found, Gates()))
    good = passed.pop("good")
    assert np.mean(good) >= 0.9
    assert np.mean([not ok for kind in passed.values() for ok in kind]) >= 0.95
