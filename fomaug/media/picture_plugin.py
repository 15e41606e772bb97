"""A plugin of imageio for pictures and animated pictures: Pillow, and OpenCV or tifffile for 16 bits per channel.

`fomaug.media.opening` passes the class to `imageio.v3.imopen`. It is not registered with imageio.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from imageio.core.request import IOMode, Request
from imageio.core.v3_plugin_api import ImageProperties, PluginV3
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fomaug.errors import shortened
from fomaug.media.formats import PICTURE_FORMATS
from fomaug.media.frames import (
    Frame,
    bytes_of,
    check_pixels,
    orientation_of,
    over_white,
    pixels_of,
    tagged_orientation,
    to_rgb,
    turn_upright,
)
from fomaug.media.opening import DAMAGE
from fomaug.media.sixteen_bits import (
    TiffPages,
    decode_png16,
    decode_ppm16,
    encode_png16,
    encode_tiff16,
    is_png16,
    is_tiff,
    open_tiff_pages,
)

_WIDTH, _LENGTH, _XMP = 256, 257, 700  # tags of TIFF files
_ENCODERS_16 = {"png": encode_png16, "tiff": encode_tiff16}


class PicturePlugin(PluginV3):
    """A picture or animated picture; opening it reads only its header.

    Args:
        request: imageio's request for an open file.
        formats: Pillow's names of the allowed formats.
        name: name of the file in messages.
    """

    def __init__(
        self, request: Request, *, formats: tuple[str, ...] = PICTURE_FORMATS, name: str = "the picture"
    ) -> None:
        super().__init__(request)
        self._name = name
        self._image: Image.Image | None = None
        self._pages: TiffPages | None = None
        self._ppm_white: int | None = None  # largest value of a PPM with 16 bits per channel
        if request.mode.io_mode == IOMode.read:
            self._open(formats)

    def _open(self, formats: tuple[str, ...]) -> None:
        file: Any = self.request.get_file()
        start = file.read(4)
        file.seek(0)
        if not start:
            raise UnidentifiedImageError("it is empty")
        if "TIFF" in formats and is_tiff(start):
            self._pages = open_tiff_pages(file)
        if self._pages is None:
            try:
                self._image = Image.open(file, formats=formats)
            except UnidentifiedImageError as error:
                layout = _layout_of_tiff(file) if "TIFF" in formats and is_tiff(start) else None
                reason = f"it is of no known kind ({', '.join(formats)}), or damaged"
                raise UnidentifiedImageError(layout or reason) from error
            _drop_broken_xmp(self._image)
            _scale_transparent_grey(self._image)
            self._ppm_white = _white_of_ppm16(self._image)

    @property
    def image(self) -> Image.Image:
        """Pillow's picture, for uses that need no more than 8 bits."""
        if self._image is None:
            assert self._pages is not None
            self._image = Image.fromarray(over_white(self.read()))
        return self._image

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) as stored; nothing is decoded."""
        if self._pages is not None:
            return self._pages[0].size
        image: Any = self.image
        # Pillow turns the size of a TIFF file by its orientation, depending on Pillow's version.
        return (image.tag_v2[_WIDTH], image.tag_v2[_LENGTH]) if image.format == "TIFF" else image.size

    @property
    def orientation(self) -> int:
        """EXIF orientation, 1 to 8; nothing is decoded."""
        return self._pages[0].orientation if self._pages is not None else tagged_orientation(self.image)

    @property
    def format(self) -> str:
        """Pillow's name of the file's format."""
        return "TIFF" if self._pages is not None else self.image.format or ""

    @property
    def num_frames(self) -> int:
        """Number of frames or pages; nothing is decoded."""
        return len(self._pages) if self._pages is not None else int(getattr(self.image, "n_frames", 1))

    def reduce(self, least_side: int) -> None:
        """Let a JPEG be decoded at a half, a quarter or an eighth, as far as its longer side keeps `least_side`."""
        if self.format == "JPEG":
            width, height = self.size
            scale = min(1.0, least_side / max(width, height))
            self.image.draft(self.image.mode, (max(1, int(width * scale)), max(1, int(height * scale))))

    def read(self, *, index: int = 0) -> NDArray[Any]:
        """Decode a frame, upright.

        Returns:
            (H, W, 1 to 4) uint8 or uint16: grey or RGB, with or without straight alpha.
        """
        return self.read_with_profile(index=index)[0]

    def read_with_profile(self, *, index: int = 0) -> tuple[NDArray[Any], bytes | None]:
        """Decode a frame, see `read`, and return it with the ICC profile of the decoded colours."""
        if self._pages is not None:
            page = self._pages[index]
            return np.ascontiguousarray(turn_upright(page.decode(), page.orientation)), page.icc_profile
        if index != self.image.tell():
            self._seek(index)
        content, profile = self._png16(), bytes_of(self.image.info.get("icc_profile"))
        if content is not None:
            array: NDArray[Any] = decode_png16(content, self.image.info.get("transparency"))
        elif self._ppm_white is not None:
            array = decode_ppm16(self._content(), self._ppm_white)
        else:
            array, profile = pixels_of(self.image)
        return np.ascontiguousarray(turn_upright(array, orientation_of(self.image))), profile

    def iter(self) -> Iterator[Frame]:
        """Decode all frames, (H, W, 3) uint8 RGB on white, upright."""
        for _, frame in self.timed():
            yield frame

    def timed(self) -> Iterator[tuple[float, Frame]]:
        """Decode all frames one by one.

        Yields:
            The duration in seconds, 0 where the file has none, and (H, W, 3) uint8 RGB on white, upright.
        """
        if self._pages is not None:
            yield from self._timed_pages(self._pages)
            return
        if self._png16() is not None and self.num_frames == 1:
            yield 0.0, over_white(self.read())
            return
        index = 0
        while True:
            try:
                self._seek(index)
            except EOFError:
                return
            check_pixels(self._name, *self.image.size)  # a frame of a GIF may be larger than those before
            frame = to_rgb(self.image)  # decoded first, since the duration of a WebP frame is known only then
            yield self.image.info.get("duration", 0) / 1000, frame
            index += 1

    def _seek(self, index: int) -> None:
        self.image.seek(index)
        _drop_broken_xmp(self.image)

    def _timed_pages(self, pages: TiffPages) -> Iterator[tuple[float, Frame]]:
        for index in range(len(pages)):
            check_pixels(self._name, *pages[index].size)
            yield 0.0, over_white(self.read(index=index))

    def write(self, ndimage: Any, *, encode_format: str = "png", **options: Any) -> None:
        """Encode a picture.

        Args:
            ndimage: pixels (H, W) or (H, W, 2 to 4); uint8, or uint16 for PNG and TIFF.
            encode_format: format, one of `jpeg`, `png`, `webp`, `tiff` and `bmp`.
            options: Pillow's options for 8 bits; `xmp` and `icc_profile` for 16.
        """
        file: Any = self.request.get_file()
        if ndimage.dtype == np.uint16:
            file.write(_ENCODERS_16[encode_format](ndimage, options.get("xmp"), options.get("icc_profile")))
        else:
            Image.fromarray(ndimage).save(file, encode_format, **options)

    def xmp(self) -> bytes:
        """Return the XMP packet, empty if the file has none."""
        if self._pages is not None:
            return self._pages[0].xmp
        image: Any = self.image
        if self.format == "TIFF":
            return bytes_of(image.tag_v2.get(_XMP)) or b""
        packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
        return packet.encode() if isinstance(packet, str) else bytes_of(packet) or b""

    def properties(self, index: int = 0) -> ImageProperties:
        """Decode a frame and return the shape and dtype that `read` returns."""
        array = self.read(index=index)
        return ImageProperties(array.shape, array.dtype, n_images=self.num_frames)

    def metadata(self, index: int = 0, exclude_applied: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - imageio's
        """Return Pillow's metadata; the orientation has been applied already."""
        del exclude_applied
        if self._pages is not None:
            return {"xmp": self._pages[index].xmp, "icc_profile": self._pages[index].icc_profile}
        if index:
            self.image.seek(index)
        return {str(name): value for name, value in self.image.info.items()}

    def close(self) -> None:
        """Close the picture, but not its file, which the caller closes."""
        image, self._image = getattr(self, "_image", None), None
        if image is not None:
            image.close()
        super().close()

    def _png16(self) -> bytes | None:
        """Return the bytes of the file if it is a PNG with 16 bits per channel, else None."""
        if self._image is None or self._image.format != "PNG":
            return None
        return self._content() if is_png16(self._content(32)) else None

    def _content(self, most: int = -1) -> bytes:
        """Return the bytes of the file, or its first `most`; its position stays the same."""
        file: Any = self.request.get_file()
        position = file.tell()
        file.seek(0)
        content: bytes = file.read(most)
        file.seek(position)
        return content


def _drop_broken_xmp(image: Image.Image) -> None:
    """Remove an XMP packet of a wrong type, since Pillow, which looks for an orientation in it, would fail."""
    if image.format == "TIFF" and bytes_of(image.info.get("xmp")) is None:
        image.info.pop("xmp", None)


def _layout_of_tiff(file: BinaryIO) -> str | None:
    """Describe the layout of a TIFF file that is not read; return None for a damaged file."""
    import tifffile

    file.seek(0)
    try:
        page: Any = tifffile.TiffFile(file, name="picture.tif").pages[0]
        layout = f"{page.samplesperpixel} channels of {shortened(page.bitspersample)} bits ({page.dtype})"
    except DAMAGE:
        return None
    return f"it is a TIFF file of {layout}, which is not read; convert it to grey or RGB of 8 or 16 bits"


def _scale_transparent_grey(image: Image.Image) -> None:
    """Scale the transparent grey of a PNG of 2 or 4 bits to 8 bits, as Pillow scales the pixels."""
    top = {"L;2": 3, "L;4": 15}.get(str(_raw_mode(image)))
    if image.format == "PNG" and top and isinstance(grey := image.info.get("transparency"), int):
        image.info["transparency"] = (grey & top) * 255 // top


def _white_of_ppm16(image: Image.Image) -> int | None:
    """Return the largest value of a PPM with 16 bits per channel, which Pillow would reduce to 8; otherwise None."""
    match _raw_mode(image):
        case ("RGB", int(white)) if image.format == "PPM" and white > 255:
            return white
    return None


def _raw_mode(image: Image.Image) -> object:
    """Return Pillow's description of the stored pixels of a picture that is not decoded yet."""
    tiles = getattr(image, "tile", [])
    return tiles[0].args if len(tiles) == 1 else None
