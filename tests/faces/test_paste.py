from __future__ import annotations

import pytest
import torch

from fomaug import warp
from fomaug.faces import FaceMotion, Region, compose_motion, fades, paste
from fomaug.geometry import identity_grid

SIZE = (180, 240)
REGION = Region(60, 20, 188, 148)
OTHER = Region(160, 40, 224, 104)  # over the edge of the first


@pytest.fixture
def whole() -> torch.Tensor:
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def flows(count: int) -> torch.Tensor:
    shifts = 0.05 * torch.arange(1, count + 1)[:, None, None, None] * torch.tensor([1.0, -1.0])
    return identity_grid((32, 32)) * 0.95 + shifts


def test_a_batch_is_pasted_as_its_singles(whole: torch.Tensor) -> None:
    part, flow = torch.rand(2, 3, *REGION.size), flows(2)
    together = paste(whole, part, flow, REGION)
    for row in range(2):
        alone = paste(whole[[row]], part[[row]], flow[[row]], REGION)
        torch.testing.assert_close(together[[row]], alone, atol=1e-6, rtol=0)


def test_one_picture_takes_many_faces(whole: torch.Tensor) -> None:
    """As in a video: frames of one face, pasted into one picture."""
    part, flow = torch.rand(5, 3, *REGION.size), flows(5)
    together = paste(whole[:1], part, flow, REGION)
    assert torch.equal(together, paste(whole[:1].repeat(5, 1, 1, 1), part, flow, REGION))


def test_pasting_leaves_the_picture_and_all_outside_as_they_were(whole: torch.Tensor) -> None:
    before = whole.clone()
    pasted = paste(whole, torch.rand(2, 3, *REGION.size), flows(2), REGION)
    assert torch.equal(whole, before)
    changed = (pasted != whole).any(1)
    assert REGION.cut(changed)[:, 40:80, 40:80].all()
    REGION.cut(changed)[:] = False
    assert not changed.any()


def test_motion_composes_as_its_singles() -> None:
    faces = [FaceMotion(region, flows(2) * 1.0, torch.rand(2, 1, 16, 16)) for region in (REGION, OTHER)]
    flow, occlusion = compose_motion(SIZE, (90, 120), faces)
    assert flow.shape == (2, 90, 120, 2)
    assert occlusion.shape == (2, 1, 90, 120)
    for row in range(2):
        alone = [FaceMotion(face.region, face.flow[[row]], face.occlusion[[row]]) for face in faces]
        for one, both in zip(compose_motion(SIZE, (90, 120), alone), (flow, occlusion), strict=True):
            torch.testing.assert_close(one, both[[row]], atol=1e-6, rtol=0)


def test_a_point_in_the_middle_moves_as_in_the_region_alone() -> None:
    flow, _ = compose_motion(SIZE, SIZE, [FaceMotion(REGION, flows(1), torch.ones(1, 1, 32, 32))])
    place = torch.tensor([[[130.0, 90.0]]])
    corner = torch.tensor([REGION.left, REGION.top])
    inside, _ = warp.points(place - corner, flows(1), size=REGION.size)
    moved, visible = warp.points(place, flow, size=SIZE)
    assert visible.all()
    torch.testing.assert_close(moved, inside + corner, atol=0.05, rtol=0)


def test_weights_fade_one_after_the_other() -> None:
    for weight in fades(REGION, SIZE):
        assert weight[0].max() == weight[-1].max() == weight[:, 0].max() == weight[:, -1].max() == 0
        assert weight[64, 64] == 1
        assert max(weight.diff(dim=0).abs().max(), weight.diff(dim=1).abs().max()) < 0.2
    calm, cross = fades(REGION, SIZE)
    assert (calm[cross > 0] == 1).all()
    assert calm[cross == 0].max() > 0.95, "one begins where the other ends"


def test_at_the_edge_of_the_picture_there_is_no_seam() -> None:
    for weight in fades(Region(0, 0, 64, 64), (64, 100)):
        assert (weight[:, :40] == 1).all()
        assert weight[32, -1] == 0
