"""Pictures, clips and marks: their parsers, and small good files for them."""

from __future__ import annotations

import io
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from parser import Parser
from PIL import Image

MOST_PIXELS = 4_000_000
_MOST_FRAMES = 16
_GB = 2**30  # frames of 32 megapixels are read


def smooth(height: int, width: int, channels: int = 3, seed: int = 0, dtype: type = np.uint8) -> Any:
    """Make a picture (H, W, C), or (H, W) for one channel, of slow gradients and little noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
    plane = np.stack([rows, columns, rows * columns, 0.5 + rows / 2], axis=2)[..., :channels]
    array = ((plane * 0.9 + rng.random(plane.shape) * 0.1) * np.iinfo(dtype).max).astype(dtype)
    return array[..., 0] if channels == 1 else array


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@cache
def picture_files() -> list[bytes]:
    from fomaug.media import encode_image

    rgb = Image.fromarray(smooth(20, 24))
    alpha = Image.fromarray(smooth(20, 24, 4))
    files = [encoded(rgb, form) for form in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "MPO")]
    files += [encoded(rgb, form, exif=_turned()) for form in ("JPEG", "PNG", "WEBP")]
    files += [encoded(rgb.convert("CMYK"), "JPEG"), encoded(rgb, "JPEG", progressive=True)]
    files += [encoded(alpha, form) for form in ("PNG", "TIFF")] + [encoded(alpha, "WEBP", lossless=True)]
    files += [encoded(rgb, "TIFF", compression=name) for name in ("tiff_lzw", "packbits", "tiff_adobe_deflate")]
    files += [encoded(rgb.convert(mode), "PNG") for mode in ("1", "L", "LA", "P")]
    for channels in (1, 3, 4):
        wide = smooth(20, 24, channels, dtype=np.uint16)
        files += [encode_image(wide, form) for form in ("png", "tiff")]
    return files


@cache
def mask_files() -> list[bytes]:
    classes = Image.fromarray((smooth(48, 48, 1) // 64).astype(np.uint8))
    palette = classes.convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    wide = Image.fromarray((smooth(48, 48, 1, dtype=np.uint16) // 200).astype(np.uint16))
    return [encoded(mask, "PNG") for mask in (classes, palette, wide, classes.convert("1"))]


@cache
def animation_files(form: str) -> list[bytes]:
    first, *others = (Image.fromarray(smooth(24, 32, seed=number)) for number in range(4))
    options: dict[str, Any] = {"save_all": True, "append_images": others, "duration": 40}
    palettes = [frame.quantize(16) for frame in (first, *others)]
    small = {**options, "append_images": palettes[1:], "transparency": 3, "disposal": 2}
    gifs = [encoded(first, "GIF", **options), encoded(palettes[0], "GIF", **small)]
    return gifs if form == "GIF" else [encoded(first, form, **options) for form in ("WEBP", "PNG")]


@cache
def video_files() -> list[bytes]:
    import av

    files = []
    kinds = (("mp4", "libx264", "mp4"), ("webm", "libvpx", "webm"), ("avi", "mjpeg", "avi"))
    with tempfile.TemporaryDirectory() as folder:
        for suffix, codec, container in kinds:
            path = Path(folder) / f"clip.{suffix}"
            with av.open(str(path), "w", format=container) as out:
                stream: Any = out.add_stream(codec, rate=25)
                stream.width, stream.height = 48, 32
                stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
                stream.codec_context.thread_count = 1
                for number in range(5):
                    out.mux(stream.encode(av.VideoFrame.from_ndarray(smooth(32, 48, seed=number), format="rgb24")))
                out.mux(stream.encode())
            files.append(path.read_bytes())
    return files


@cache
def marked_files() -> list[bytes]:
    """Marked files of every kind: pictures, then videos and animations."""
    from fomaug.media import Provenance, encode_image, open_video

    mark = Provenance("tiny", "ab" * 32, "cd" * 32, "ef" * 32)
    files = [encode_image(smooth(20, 24), form, provenance=mark) for form in ("png", "jpeg", "webp", "tiff")]
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".mp4", ".gif", ".webp"):
            path = Path(folder) / f"clip{suffix}"
            with open_video(path, fps=25, provenance=mark) as writer:
                for number in range(3):
                    writer.write(smooth(32, 48, seed=number))
            files.append(path.read_bytes())
    return files


@cache
def sidecar_files() -> list[bytes]:
    from fomaug.media import Provenance

    return [Provenance("tiny", "ab" * 32, "cd" * 32, "ef" * 32).to_xmp()]


def _read_picture(path: Path) -> None:
    from fomaug.media import decode_picture

    picture = decode_picture(path.read_bytes(), path.suffix, max_pixels=MOST_PIXELS)
    assert picture.pixels.shape[2] in (1, 3)
    assert picture.eight_bits.dtype == np.uint8


def _read_clip(path: Path) -> None:
    from fomaug.media import read_clip

    clip = read_clip(path, max_frames=_MOST_FRAMES)
    damage: list[str] = []
    for frame in clip.frames(on_damage=damage.append):
        assert frame.shape == (*clip.size, 3)
    refuse(*damage)


def refuse(*reasons: object) -> None:
    """Raise `FomaugError` if there are reasons: what was noted and left out counts as refused."""
    from fomaug import FomaugError

    if reasons:
        raise FomaugError(str(reasons[0]))


def _read_mark(path: Path) -> None:
    from fomaug.media import read_mark

    refuse(*[] if read_mark(path).synthetic else ["it has lost its mark"])


def _read_sidecar(path: Path) -> None:
    from fomaug.media import sidecar_of

    path.with_suffix(".bmp").write_bytes(encoded(Image.new("RGB", (16, 16)), "BMP"))
    sidecar_of(path.with_suffix(".bmp")).write_bytes(path.read_bytes())
    _read_mark(path.with_suffix(".bmp"))


PARSERS = {
    "picture": Parser(_read_picture, picture_files),
    "GIF": Parser(_read_clip, partial(animation_files, "GIF"), ".gif", _GB),
    "animation": Parser(_read_clip, partial(animation_files, "others"), ".webp", _GB),
    "video": Parser(_read_clip, video_files, ".mp4", _GB, 0.2),
    "mark": Parser(_read_mark, marked_files, refused=0.05),
    "sidecar": Parser(_read_sidecar, sidecar_files),
}
