from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from fomaug import warp
from fomaug._errors import ShapeError
from fomaug.data import MotionDataset, MotionLoader


@pytest.fixture
def sample(images):
    """Seven pictures with all that can move: points and boxes in pixels."""
    generator = torch.Generator().manual_seed(1)
    corners = torch.rand(7, 2, 2, 2, generator=generator) * 63
    return {
        "image": images,
        "mask": torch.randint(0, 5, (7, 64, 64), generator=generator),
        "planes": torch.rand(7, 2, 64, 64, generator=generator).half(),
        "boxes": torch.cat([corners.amin(2), corners.amax(2) + 1], -1).clamp(max=63),
        "points": torch.rand(7, 5, 2, generator=generator) * 63,
        "seen": torch.cat([torch.rand(7, 5, 2, generator=generator) * 63, torch.ones(7, 5, 1)], -1),
        "whole": torch.tensor([[3.0, 4, 50, 60]]).repeat(7, 1),
        "identity": torch.arange(7),
    }


PLACES = {"masks": ["mask", "planes"], "boxes": ["boxes", "whole"], "points": ["points", "seen"]}


@pytest.fixture
def expected(augment, sample):
    """Each picture and its labels on their own, by fomaug.warp."""

    def moved(row: int) -> SimpleNamespace:
        (param,) = augment.draw([row])
        result = augment.apply(sample["image"][[row]], [param])
        rows = {name: value[[row]] for name, value in sample.items()}
        rows["whole"] = rows["whole"][:, None]
        if not param.skipped:
            sizes = {"occlusion": result.occlusion, "size": (64, 64)}
            xy, visible = warp.points(rows["seen"][..., :2], result.flow, **sizes)
            rows |= {
                "image": result.image,
                "mask": warp.mask(rows["mask"], result.flow),
                "planes": warp.mask(rows["planes"], result.flow),
                "boxes": warp.boxes(rows["boxes"], result.flow, **sizes)[0],
                "whole": warp.boxes(rows["whole"], result.flow, **sizes)[0],
                "points": warp.points(rows["points"], result.flow, **sizes)[0],
                "seen": torch.cat([xy, visible[..., None].float()], -1),
            }
        rows["whole"] = rows["whole"][:, 0]
        return SimpleNamespace(skipped=param.skipped, **{name: value[0] for name, value in rows.items()})

    return moved


class Samples(Dataset):
    def __init__(self, sample):
        self.sample = sample

    def __len__(self):
        return 7

    def __getitem__(self, index):
        return {name: value[index] for name, value in self.sample.items()}


def check(found, expected, row):
    for name in ("image", "mask", "planes", "boxes", "whole", "points", "seen", "identity"):
        torch.testing.assert_close(found[name], getattr(expected, name), atol=2e-3, rtol=1e-4, msg=f"{name} of {row}")


def test_the_loader_moves_every_label_with_its_picture(augment, sample, expected):
    loader = MotionLoader(DataLoader(Samples(sample), batch_size=4), augment, **PLACES)
    rows = [
        {name: value[row] for name, value in batch.items()} for batch in loader for row in range(len(batch["mask"]))
    ]
    assert {expected(row).skipped for row in range(7)} == {True, False}
    for row, found in enumerate(rows):
        check(found, expected(row), row)
        assert {name: value.dtype for name, value in found.items()} == {n: v.dtype for n, v in sample.items()}


def test_the_dataset_moves_them_alike(augment, sample, expected):
    dataset = MotionDataset(Samples(sample), augment, **PLACES)
    for row in range(7):
        check(dataset[row], expected(row), row)


def test_a_lone_place_needs_no_list(augment, sample, expected):
    dataset = MotionDataset(Samples(sample), augment, masks="mask")
    assert torch.equal(dataset[0]["mask"], expected(0).mask)


def test_lists_of_labels_may_have_any_lengths(augment, sample, images):
    augment.p = 1.0
    boxes = [sample["boxes"][0, :1], sample["boxes"][1], sample["boxes"][2, :0]]
    batch = {"image": images[:3], "boxes": boxes}
    (found,) = MotionLoader([batch], augment, boxes="boxes")
    assert [len(rows) for rows in found["boxes"]] == [1, 2, 0]
    together = {"image": images[:2], "boxes": sample["boxes"][:2]}
    (same,) = MotionLoader([together], augment, boxes="boxes")
    torch.testing.assert_close(found["boxes"][1], same["boxes"][1])
    assert torch.equal(boxes[1], sample["boxes"][1])


def test_arrays_and_pil_masks_stay_what_they_are(augment, sample, expected):
    augment.p = 0.8
    row = next(row for row in range(7) if not expected(row).skipped)
    items = [None] * 7
    items[row] = {
        "image": sample["image"][row],
        "mask": Image.fromarray(sample["mask"][row].byte().numpy()),
        "points": sample["points"][row].numpy(),
        "rounded": sample["points"][row].round().long(),
    }
    found = MotionDataset(items, augment, masks="mask", points=["points", "rounded"])[row]
    np.testing.assert_array_equal(np.asarray(found["mask"]), expected(row).mask.numpy())
    assert isinstance(found["mask"], Image.Image)
    np.testing.assert_allclose(found["points"], expected(row).points.numpy(), atol=1e-3)
    assert found["rounded"].dtype == torch.int64


def test_labels_of_another_shape_are_an_error(augment, images):
    augment.p = 1.0
    for name, wrong in (("points", torch.zeros(7, 5, 4)), ("boxes", torch.zeros(7, 5, 2))):
        with pytest.raises(ShapeError, match=name):
            list(MotionLoader([{"image": images, name: wrong}], augment, **{name: [name]}))
