"""Draw the figures of the documentation from the examples.

    python docs/draw_figures.py            writes docs/pictures/*.jpg
    python docs/draw_figures.py OUT        writes them to another folder

Everything is drawn by the shipped model with fixed seeds; a figure takes a few seconds of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import fomaug
from fomaug.motion import MotionParams
from fomaug.quality import Gates, Scores, judge, score
from fomaug.visual import contact_sheet, draw_flow, draw_keypoints, keypoint_pixels

ROOT = Path(__file__).parents[1]
SIDE, GAP, LINE = 224, 12, 22
INK, PAPER = (40, 40, 40), (255, 255, 255)

Picture = NDArray[np.uint8]
Cell = tuple[str, Picture | None]
FIGURES: dict[str, Callable[[], Image.Image]] = {}


def figure(draw: Callable[[], Image.Image]) -> Callable[[], Image.Image]:
    """Register a figure under the name of its function."""
    FIGURES[draw.__name__] = draw
    return draw


def read(name: str) -> torch.Tensor:
    """Read an example picture as (1, 3, 256, 256) in [0, 1]."""
    with Image.open(ROOT / "examples" / "faces" / name) as image:
        array = np.asarray(image.convert("RGB").resize((256, 256)))
    return torch.from_numpy(array.copy()).permute(2, 0, 1)[None].float() / 255


def show(image: torch.Tensor) -> Picture:
    """Convert (1, 3, H, W) in [0, 1] to (H, W, 3) uint8."""
    return (image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def grid(rows: list[list[Cell]]) -> Image.Image:
    """Lay pictures out in rows, each with its caption above; a cell without a picture stays empty."""
    width = max(len(row) for row in rows) * (SIDE + GAP) + GAP
    sheet = Image.new("RGB", (width, len(rows) * (SIDE + LINE + GAP) + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for row, cells in enumerate(rows):
        for column, (caption, picture) in enumerate(cells):
            left, top = GAP + column * (SIDE + GAP), GAP + row * (SIDE + LINE + GAP)
            pen.text((left, top), caption, INK, font)
            if picture is not None:
                sheet.paste(Image.fromarray(picture).resize((SIDE, SIDE)), (left, top + LINE))
    return sheet


def moved(source: torch.Tensor, params: list[MotionParams]) -> fomaug.MotionResult:
    """Animate copies of one source."""
    return _augment().apply(source.repeat(len(params), 1, 1, 1), params)


def _augment(**options: object) -> fomaug.MotionAugment:
    return fomaug.MotionAugment(**{"driving": "builtin", "p": 1.0, **options})  # type: ignore[arg-type]


@figure
def copies() -> Image.Image:
    """Four sources and five copies of each, as `fomaug expand` makes them by default."""
    faces, rows = ROOT / "examples" / "faces", []
    with TemporaryDirectory() as folder:
        fomaug.expand(faces, f"{folder}/copies", copies=5, device="cpu")
        for name in ("mona_lisa/leonardo.jpg", "pearl_earring/vermeer.jpg", "person_b/front.jpg", "person_g/front.jpg"):
            paths = [faces / name, *sorted(Path(folder, "copies", name).parent.iterdir())]
            rows.append([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    return Image.fromarray(contact_sheet(rows, cell=160))


@figure
def draw_fit_render() -> Image.Image:
    """The three steps for one copy: what is drawn, what is fitted, what is rendered."""
    source, model = read("person_d/front.jpg"), fomaug.load_model(device="cpu")
    augment = _augment(strength_range=(1.0, 1.0))
    params = next(one for one in augment.draw(["figure"], copies=12) if one.label == "look around")
    result = augment.apply(source, [params])
    track = augment.driving[params.clip]
    fitted = fomaug.motion.fit([params], model.detect(source), augment.driving, model.keypoint_names)
    blank = np.full((256, 256, 3), 238, np.uint8)
    reference = result.params[0].reference
    assert isinstance(reference, int)
    found = model.detect(source).value[0].numpy()
    drawn = (
        (f"draw: reference frame {reference}", draw_keypoints(blank, track.keypoints.value[reference].numpy())),
        (f"draw: driving frame {params.frame}", draw_keypoints(blank, track.keypoints.value[params.frame].numpy())),
    )
    rendered = (
        ("render: flow", draw_flow(show(source), result.flow[0].numpy())),
        ("render: the source, warped", show(fomaug.warp.image(source, result.flow))),
        ("render: the copy", show(result.image)),
    )
    fit_cells = (
        ("the source", show(source)),
        ("its keypoints", draw_keypoints(show(source), found)),
        ("fit: target keypoints", draw_keypoints(show(source), fitted.target.value[0].numpy())),
    )
    return grid([[*fit_cells[:1], *drawn, fit_cells[1]], [fit_cells[2], *rendered]])


@figure
def labels() -> Image.Image:
    """Landmarks, a box and a mask of a source, and where the flow moves them."""
    source, model = read("person_a/front.jpg"), fomaug.load_model(device="cpu")
    points = model.detect(source).value
    pixels = keypoint_pixels(points[0].numpy(), (256, 256))
    low, high = pixels.min(0), pixels.max(0)
    box = torch.tensor([[[*low, *high]]]).float()
    mask = _oval(low, high)
    augment = _augment(strength_range=(1.0, 1.0))
    drawn = augment.draw(["labels"], copies=24)
    flows = augment.apply(source.repeat(len(drawn), 1, 1, 1), drawn)
    still = fomaug.geometry.identity_grid((flows.flow.shape[1], flows.flow.shape[2]))
    liveliest = (flows.flow - still).abs().mean((1, 2, 3)).argsort(descending=True)[:2].tolist()
    cells: list[Cell] = [("source and its labels", _labelled(source, points, box, mask))]
    for row in liveliest:
        flow = flows.flow[row : row + 1]
        xy, _ = fomaug.warp.points(points, flow)
        xyxy, _ = fomaug.warp.boxes(box, flow, size=(256, 256))
        picture = _labelled(flows.image[row : row + 1], xy, xyxy, fomaug.warp.mask(mask, flow))
        cells.append((f"moved: {drawn[row].label}", picture))
    cells.insert(1, ("flow of the first copy", draw_flow(show(source), flows.flow[liveliest[0]].numpy())))
    return grid([cells])


def _oval(low: NDArray[np.float64], high: NDArray[np.float64]) -> torch.Tensor:
    """Mask (1, 256, 256) of the oval in a box."""
    image = Image.new("L", (256, 256))
    ImageDraw.Draw(image).ellipse((*low, *high), fill=1)
    return torch.from_numpy(np.asarray(image).astype(np.int64))[None]


def _labelled(image: torch.Tensor, points: torch.Tensor, boxes: torch.Tensor, mask: torch.Tensor) -> Picture:
    """Draw points, box and mask over a picture."""
    picture = show(image).astype(np.float32)
    picture[mask[0].numpy() == 1] = picture[mask[0].numpy() == 1] * 0.65 + np.array([60, 130, 255]) * 0.35
    canvas = Image.fromarray(draw_keypoints(picture.astype(np.uint8), points[0].numpy()))
    ImageDraw.Draw(canvas).rectangle(tuple(boxes[0, 0].tolist()), outline=(255, 220, 0), width=2)
    return np.asarray(canvas)


@figure
def seeds() -> Image.Image:
    """Copies of one picture by seed, key and number."""
    source = read("person_b/front.jpg")

    def row(title: str, key: str, seed: int, count: int = 4) -> list[Cell]:
        done = moved(source, _augment(seed=seed, strength_range=(0.7, 1.0)).draw([key], copies=count))
        return [(f"{title}, copy {i}", show(image[None])) for i, image in enumerate(done.image)]

    return grid(
        [row('seed 0, key "c/1"', "c/1", 0), row('seed 1, key "c/1"', "c/1", 1), row('seed 0, key "c/2"', "c/2", 0)]
    )


@figure
def references() -> Image.Image:
    """One driving frame, with the frame that is posed like the source as reference, and with the clip's first."""
    rows: list[list[Cell]] = []
    for name in ("pearl_earring/vermeer.jpg", "mona_lisa/leonardo.jpg"):
        source = read(name)
        first = _augment(strength_range=(1.0, 1.0), reference="first")
        params = [one for one in first.draw([name], copies=12) if one.label in ("turn right", "look around")][:1]
        like = moved(source, [replace(one, reference="closest") for one in params])
        cells = [
            ("the source", show(source)),
            ("reference: closest in pose", show(like.image)),
            ("reference: first frame", show(moved(source, params).image)),
        ]
        rows.append(cells)
    return grid(rows)


@figure
def views() -> Image.Image:
    """Views of one source: the yaw in the columns, the pitch in the rows."""
    source = read("person_a/front.jpg")
    augment = _augment(driving="views yaw=-40:40:20 pitch=-20,0,20 expressions=neutral")
    result = augment.apply(source.repeat(15, 1, 1, 1), augment.draw(["views"], copies=15))
    cells: dict[tuple[float, float], Cell] = {}
    for params, image in zip(result.params, result.image, strict=True):
        assert params.view is not None
        yaw, pitch, _ = params.view.asked
        replaced = "" if params.view.replaced == "no" else f" ({params.view.replaced})"
        cells[pitch, yaw] = (f"yaw {yaw:.0f}, pitch {pitch:.0f}{replaced}", show(image[None]))
    ordered = [cells[key] for key in sorted(cells)]
    return grid([ordered[row : row + 5] for row in range(0, 15, 5)])


@figure
def gates() -> Image.Image:
    """Copies that pass the gates, and flows that were made worse on purpose, with the scores that reject them."""
    source, model = read("person_f/front.jpg"), fomaug.load_model(device="cpu")
    augment = _augment(strength_range=(1.0, 1.0))
    done = augment.apply(source.repeat(2, 1, 1, 1), augment.draw(["gates"], copies=2))
    cells: list[Cell] = [("the source", show(source))]
    for i in range(2):
        part = slice(i, i + 1)
        (scores,) = score(model, source, done.image[part], done.flow[part], done.occlusion[part])
        cells.append((f"kept: {_worst(scores)}", show(done.image[part])))
    melted = _melted(done.flow[:1])
    broken = fomaug.warp.image(source, melted)
    (scores,) = score(model, source, broken, melted, done.occlusion[:1])
    reasons = judge(scores, Gates())
    assert reasons
    cells.append((f"rejected: {_worst(scores)}", show(broken)))
    return grid([cells])


def _melted(flow: torch.Tensor) -> torch.Tensor:
    """Disturb a flow (1, h, w, 2) by smooth noise, so that parts of it fold."""
    noise = torch.randn(1, 2, 9, 9, generator=torch.Generator().manual_seed(3)) * 0.14
    smooth = torch.nn.functional.interpolate(noise, flow.shape[1:3], mode="bicubic", align_corners=True)
    return flow + smooth.permute(0, 2, 3, 1)


def _worst(scores: Scores) -> str:
    return f"folded {scores.folded:.2f}, stretch {scores.stretch:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--only", choices=FIGURES, help="draw this one")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name, draw in FIGURES.items():
        if options.only in (None, name):
            draw().save(options.out / f"{name}.jpg", quality=88, optimize=True)
            print(options.out / f"{name}.jpg")


if __name__ == "__main__":
    main()
