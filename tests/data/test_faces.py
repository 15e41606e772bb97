"""Faces in larger pictures, through the dataset, the loader and `collate_fn`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from fomaug import MotionAugment, warp
from fomaug.data import MotionDataset, MotionLoader, motion_collate
from fomaug.errors import ArgumentError, MediaError

SIZE = (96, 120)
LEFT, RIGHT = (10.0, 20.0, 40.0, 50.0), (70.0, 30.0, 100.0, 60.0)
BOXES = torch.tensor([[(*LEFT, 1), (*RIGHT, 1)], [(*RIGHT, 1), (*LEFT, 0)], [(*LEFT, 0), (*RIGHT, 0)]])


class People(Dataset[dict[str, Any]]):
    """Three pictures: two faces, one that is seen, none that is seen."""

    images = torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < 3:
            raise IndexError
        mask = (self.images[index, 0] > 0.5).long()
        points = torch.tensor([[25.0, 35.0, 1.0], [85.0, 45.0, 1.0]])
        return {"image": self.images[index], "boxes": BOXES[index], "mask": mask, "points": points, "number": index}


PLACES = {"faces": "boxes", "boxes": "boxes", "masks": "mask", "points": "points"}


@pytest.fixture
def augment(tiny_model, tiny_pool) -> MotionAugment:
    return MotionAugment(tiny_pool, tiny_model, p=1.0, seed=3)


@pytest.fixture
def expected(augment):
    return augment.apply(People.images, augment.draw(range(3)), faces=BOXES)


def close(first, second):
    torch.testing.assert_close(first, second, atol=1e-4, rtol=0)


def test_the_loader_moves_faces_and_labels_by_the_composed_flow(augment, expected):
    log = []
    (batch,) = MotionLoader(DataLoader(People(), batch_size=3), augment, **PLACES, log=log.extend)
    close(batch["image"], expected.image)
    assert log == expected.params
    masks = torch.stack([item["mask"] for item in People()])
    assert torch.equal(batch["mask"], warp.mask(masks, expected.flow))
    boxes, seen = warp.boxes(BOXES[..., :4], expected.flow, occlusion=expected.occlusion, size=SIZE)
    close(batch["boxes"][:2, :, :4], boxes[:2])
    assert torch.equal(batch["boxes"][:2, :, 4], BOXES[:2, :, 4] * seen[:2])


def test_pictures_without_a_face_and_their_labels_are_unchanged(augment):
    (batch,) = MotionLoader(DataLoader(People(), batch_size=3), augment, **PLACES)
    for name, value in People()[2].items():
        assert torch.equal(batch[name][2], torch.as_tensor(value))


@pytest.mark.parametrize("batch_size", [1, 2])
def test_dataset_loader_and_collate_agree(augment, expected, batch_size):
    from_dataset = [MotionDataset(People(), augment, **PLACES)[number] for number in range(3)]
    collate = motion_collate(augment, **PLACES, keys="number")
    loaders = (
        MotionLoader(DataLoader(People(), batch_size=batch_size), augment, **PLACES),
        DataLoader(People(), batch_size=batch_size, collate_fn=collate),
        DataLoader(from_dataset, batch_size=batch_size),
    )
    for loader in loaders:
        batches = list(loader)
        for name in ("image", "boxes", "points"):
            moved = torch.cat([batch[name] for batch in batches])
            close(moved[..., :4] if name == "boxes" else moved, reference(expected, name))


def reference(expected, name: str) -> torch.Tensor:
    if name == "image":
        return expected.image
    plain = torch.stack([item[name] for item in People()])
    move = warp.boxes if name == "boxes" else warp.points
    width = 4 if name == "boxes" else 2
    moved, seen = move(plain[..., :width], expected.flow, occlusion=expected.occlusion, size=SIZE)
    moved[2] = plain[2, :, :width]
    return moved if name == "boxes" else torch.cat([moved, seen[..., None].float()], -1)


def test_a_detector_can_find_the_faces(augment, expected):
    shown = {tuple(np.asarray(picture[0, 0])): number for number, picture in enumerate(bytes_of(People.images))}

    def detect(picture: np.ndarray) -> list[list[float]]:
        boxes = BOXES[shown[tuple(picture[0, 0])]]
        return boxes[boxes[:, 4] > 0, :4].tolist()

    (batch,) = MotionLoader(DataLoader(People(), batch_size=3), augment, faces=detect)
    close(batch["image"], expected.image)


def bytes_of(images: torch.Tensor) -> np.ndarray:
    return (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def test_pil_pictures_and_lists_of_boxes_move_too(augment):
    picture = Image.fromarray(bytes_of(People.images)[0])
    item = {"image": picture, "boxes": [list(RIGHT)]}
    moved = MotionDataset([item], augment, faces="boxes", boxes="boxes")[0]
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
    wanted = augment.apply(pixels, augment.draw([0]), faces=[[RIGHT]])
    np.testing.assert_array_equal(np.asarray(moved["image"]), wanted.image[0].permute(1, 2, 0).numpy())
    box, _ = warp.boxes(torch.tensor([[RIGHT]]), wanted.flow, occlusion=wanted.occlusion, size=SIZE)
    np.testing.assert_allclose(moved["boxes"], box[0], atol=1e-3)


def test_a_missing_face_can_be_an_error(tiny_model, tiny_pool):
    strict = MotionAugment(tiny_pool, tiny_model, p=1.0, on_missing="error")
    with pytest.raises(MediaError, match="image 2 has no face"):
        list(MotionLoader(DataLoader(People(), batch_size=3), strict, faces="boxes"))
    with pytest.raises(MediaError, match="image 2 has no face"):
        MotionDataset(People(), strict, faces="boxes")[2]


def test_only_moved_images_have_the_label_of_the_clip(augment):
    relabel = MotionDataset(People(), augment, faces="boxes", relabel=lambda item, params: params.clip)
    assert [isinstance(relabel[number], str) for number in range(3)] == [True, True, False]


def test_a_model_that_cannot_find_faces_is_an_error(augment):
    with pytest.raises(ArgumentError, match="are not known points of the face"):
        MotionDataset(People(), augment, faces="auto")[0]
