"""A plugin of imageio for pictures and animated pictures: Pillow, and OpenCV or tifffile for 16 bits per channel.

`fomaug.media.opening` passes the class to `imageio.v3.imopen`. It is not registered with imageio.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from imageio.core.request import IOMode, Request
from imageio.core.v3_plugin_api import ImageProperties, PluginV3
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fomaug.media.formats import PICTURE_FORMATS
from fomaug.media.frames import Frame, check_pixels, orientation_of, over_white, pixels_of, to_rgb, turn_upright
from fomaug.media.sixteen_bits import Tiff16, decode_png16, encode_png16, encode_tiff16, is_png16, is_tiff, open_tiff16

_XMP = 700  # tag of TIFF files
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
        self._tiff16: Tiff16 | None = None
        if request.mode.io_mode == IOMode.read:
            self._open(formats)

    def _open(self, formats: tuple[str, ...]) -> None:
        file: Any = self.request.get_file()
        start = file.read(4)
        file.seek(0)
        if not start:
            raise UnidentifiedImageError("it is empty")
        if "TIFF" in formats and is_tiff(start):
            self._tiff16 = open_tiff16(file)
        if self._tiff16 is None:
            try:
                self._image = Image.open(file, formats=formats)
            except UnidentifiedImageError as error:
                raise UnidentifiedImageError(f"it is of no known kind ({', '.join(formats)}), or damaged") from error

    @property
    def image(self) -> Image.Image:
        """Pillow's picture, for uses that need no more than 8 bits."""
        if self._image is None:
            assert self._tiff16 is not None
            self._image = Image.fromarray(over_white(self.read()))
        return self._image

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) as stored; nothing is decoded."""
        return self._tiff16.size if self._tiff16 is not None else self.image.size

    @property
    def format(self) -> str:
        """Pillow's name of the file's format."""
        return "TIFF" if self._tiff16 is not None else self.image.format or ""

    @property
    def num_frames(self) -> int:
        """Number of frames or pages; nothing is decoded."""
        return 1 if self._tiff16 is not None else int(getattr(self.image, "n_frames", 1))

    def reduce(self, least_side: int) -> None:
        """Let a JPEG be decoded at a half, a quarter or an eighth, as far as its longer side keeps `least_side`."""
        if self._tiff16 is None and self.format == "JPEG":
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
        if self._tiff16 is not None:
            array, orientation = self._tiff16.decode(), self._tiff16.orientation
            return np.ascontiguousarray(turn_upright(array, orientation)), self._tiff16.icc_profile
        if index != self.image.tell():
            self.image.seek(index)
        content = self._png16()
        if content is None:
            array, profile = pixels_of(self.image)
        else:
            array = decode_png16(content, self.image.info.get("transparency"))
            profile = self.image.info.get("icc_profile")
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
        if self._tiff16 is not None or (self._png16() is not None and self.num_frames == 1):
            yield 0.0, over_white(self.read())
            return
        index = 0
        while True:
            try:
                self.image.seek(index)
            except EOFError:
                return
            check_pixels(self._name, *self.image.size)  # a frame of a GIF may be larger than those before
            frame = to_rgb(self.image)  # decoded first, since the duration of a WebP frame is known only then
            yield self.image.info.get("duration", 0) / 1000, frame
            index += 1

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

    def xmp(self) -> bytes | str:
        """Return the XMP packet, empty if the file has none."""
        if self._tiff16 is not None:
            return self._tiff16.xmp
        packet: bytes | str = self.image.info.get("xmp") or self.image.info.get("XML:com.adobe.xmp", b"")
        return self.image.getexif().get(_XMP, packet) if self.format == "TIFF" else packet

    def properties(self, index: int = 0) -> ImageProperties:
        """Decode a frame and return the shape and dtype that `read` returns."""
        array = self.read(index=index)
        return ImageProperties(array.shape, array.dtype, n_images=self.num_frames)

    def metadata(self, index: int = 0, exclude_applied: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - imageio's
        """Return Pillow's metadata; the orientation has been applied already."""
        del exclude_applied
        if self._tiff16 is not None:
            return {"xmp": self._tiff16.xmp, "icc_profile": self._tiff16.icc_profile}
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
        file: Any = self.request.get_file()
        position = file.tell()
        file.seek(0)
        content: bytes = file.read(32)
        if is_png16(content):
            content += file.read()
        file.seek(position)
        return content if is_png16(content) else None
