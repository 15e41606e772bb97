from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from fomaug import MotionAugment, warp
from fomaug.data import MotionDataset, MotionLoader
from fomaug.data.labels import image_like, image_tensor, label_like, label_tensor
from fomaug.errors import ShapeError

ARRAY = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.fixture
def augment(tiny_model, tiny_pool) -> MotionAugment:
    """Of seven pictures some move and some do not."""
    return MotionAugment(tiny_pool, tiny_model, p=0.6, seed=3)


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


FIELDS = {"masks": ["mask", "planes"], "boxes": ["boxes", "whole"], "points": ["points", "seen"]}


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
    loader = MotionLoader(DataLoader(Samples(sample), batch_size=4), augment, **FIELDS)
    rows = [
        {name: value[row] for name, value in batch.items()} for batch in loader for row in range(len(batch["mask"]))
    ]
    assert {expected(row).skipped for row in range(7)} == {True, False}
    for row, found in enumerate(rows):
        check(found, expected(row), row)
        assert {name: value.dtype for name, value in found.items()} == {n: v.dtype for n, v in sample.items()}


def test_the_dataset_moves_every_label_alike(augment, sample, expected):
    dataset = MotionDataset(Samples(sample), augment, **FIELDS)
    for row in range(7):
        check(dataset[row], expected(row), row)


def test_a_lone_path_needs_no_list(augment, sample, expected):
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


def test_arrays_and_pil_masks_keep_their_type(augment, sample, expected):
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


COLOURS = np.array([[0, 0, 0], [250, 10, 0], [0, 90, 200], [7, 7, 7], [1, 255, 3]], np.uint8)


@pytest.mark.parametrize("kind", ["pil", "array", "one channel", "channels first", "tensor"])
def test_masks_with_channels_move_as_their_pictures_do(augment, sample, expected, kind):
    row = next(row for row in range(7) if not expected(row).skipped)
    colours = COLOURS[sample["mask"][row].numpy()]
    mask = {
        "pil": Image.fromarray(colours),
        "array": colours,
        "one channel": colours[..., :1],
        "channels first": colours.transpose(2, 0, 1),
        "tensor": torch.from_numpy(colours).permute(2, 0, 1),
    }[kind]
    items = [None] * 7
    items[row] = {"image": sample["image"][row], "mask": mask}
    found = MotionDataset(items, augment, masks="mask")[row]["mask"]
    assert type(found) is type(mask)
    array = np.asarray(found)
    wanted = COLOURS[expected(row).mask.numpy()]
    wanted = wanted.transpose(2, 0, 1) if kind in ("channels first", "tensor") else wanted
    np.testing.assert_array_equal(array, wanted[..., :1] if kind == "one channel" else wanted)


def test_a_loader_recognises_the_channels_of_masks(augment, sample, expected):
    colours = torch.from_numpy(COLOURS)[sample["mask"]]
    (found,) = MotionLoader([{"image": sample["image"], "mask": colours}], augment, masks="mask")
    for row in range(7):
        assert torch.equal(found["mask"][row], torch.from_numpy(COLOURS)[expected(row).mask])


def test_masks_may_be_of_other_sizes_than_their_pictures(augment, images):
    augment.p = 1.0
    for shape in ((3, 32, 32), (32, 32, 3), (19, 33, 32), (1, 16, 40)):
        given = np.zeros(shape, np.uint8)
        assert MotionDataset([{"image": images[0], "mask": given}], augment, masks="mask")[0]["mask"].shape == shape


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.bool])
def test_masks_may_be_of_any_dtype(augment, sample, expected, dtype):
    batch = {"image": sample["image"], "mask": sample["mask"].to(dtype)}
    (found,) = MotionLoader([batch], augment, masks="mask")
    assert found["mask"].dtype == dtype
    for row in range(7):
        assert torch.equal(found["mask"][row], expected(row).mask.to(dtype))


@pytest.mark.parametrize("nothing", [[], torch.tensor([]), torch.zeros(0, 4), np.zeros((0, 4)), np.array([])])
@pytest.mark.parametrize("name", ["boxes", "points", "masks"])
def test_pictures_may_have_no_objects(augment, images, nothing, name):
    augment.p = 1.0
    item = {"image": images[0], "labels": nothing}
    assert MotionDataset([item], augment, **{name: "labels"})[0]["labels"] is nothing
    (found,) = MotionLoader([{"image": images[:2], "labels": [nothing, nothing]}], augment, **{name: "labels"})
    assert found["labels"][0] is nothing


@pytest.mark.parametrize("nothing", [[], torch.zeros(7, 0, 4), torch.tensor([])])
def test_batches_may_have_no_objects(augment, images, nothing):
    (found,) = MotionLoader([{"image": images, "labels": nothing}], augment, boxes="labels")
    assert found["labels"] is nothing


def test_a_batch_may_hold_a_list_of_labels_of_any_kind(augment, sample, expected):
    masks = [Image.fromarray(mask.byte().numpy()) for mask in sample["mask"]]
    batch = {"image": sample["image"], "mask": masks, "points": [points.tolist() for points in sample["points"]]}
    (found,) = MotionLoader([batch], augment, masks="mask", points="points")
    for row in range(7):
        assert isinstance(found["mask"][row], Image.Image)
        np.testing.assert_array_equal(np.asarray(found["mask"][row]), expected(row).mask.numpy())
        np.testing.assert_allclose(found["points"][row], expected(row).points.numpy(), atol=2e-3)


def test_labels_of_another_shape_are_an_error(augment, images):
    augment.p = 1.0
    for name, wrong in (("points", torch.zeros(7, 5, 4)), ("boxes", torch.zeros(7, 5, 2))):
        with pytest.raises(ShapeError, match=name):
            list(MotionLoader([{"image": images, name: wrong}], augment, **{name: [name]}))


# Images and labels of every kind ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "picture",
    [
        torch.from_numpy(ARRAY).permute(2, 0, 1),
        ARRAY,
        ARRAY[..., 0],
        ARRAY[..., :1],
        (ARRAY / 255).astype(np.float32),
        Image.fromarray(ARRAY),
        Image.fromarray(ARRAY[..., 0]),
    ],
)
def test_there_and_back_is_the_same_picture(picture):
    tensor = image_tensor(picture)
    assert tensor.shape[1:] == (6, 8)
    back = image_like(tensor, picture)
    assert type(back) is type(picture) or isinstance(back, Image.Image)
    assert getattr(back, "mode", None) == getattr(picture, "mode", None)
    np.testing.assert_array_equal(np.asarray(back), np.asarray(picture))
    assert np.asarray(back).dtype == np.asarray(picture).dtype


@pytest.mark.parametrize(
    "label",
    [torch.ones(2, 2), np.ones((2, 2), np.int64), [[1.0, 2.0]], Image.fromarray(ARRAY[..., 0])],
)
def test_labels_keep_their_kind(label):
    back = label_like(label_tensor(label), label)
    assert isinstance(back, type(label))
    np.testing.assert_array_equal(np.asarray(back), np.asarray(label))


def test_a_palette_mask_keeps_its_palette():
    mask = Image.fromarray(ARRAY[..., 0] % 4).convert("P")
    mask.putpalette(list(range(12)))
    back = label_like(label_tensor(mask), mask)
    assert back.mode == "P"
    assert back.getpalette()[:12] == list(range(12))


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (torch.zeros(1, 3, 8, 8), r"\(C, H, W\) tensor, got \(1, 3, 8, 8\)"),
        (np.zeros((1, 2, 3, 4)), r"array, got \(1, 2, 3, 4\)"),
        (Image.new("RGBA", (4, 4)), r"RGB or L, got RGBA; use picture.convert"),
        (Image.new("I;16", (4, 4)), "RGB or L, got I;16; scale its values to 0 to 255"),
        (Image.new("F", (4, 4)), "RGB or L, got F; scale its values to 0 to 255"),
        ("picture.jpg", "got str"),
    ],
)
def test_invalid_pictures_are_errors(picture, message):
    with pytest.raises(ShapeError, match=message):
        image_tensor(picture)
