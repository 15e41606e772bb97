from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from fomaug.errors import ArgumentError, MediaError, ShapeError
from fomaug.media import Provenance, decode_picture, encode_image, read_mark, save_image

PROVENANCE = Provenance(
    "lite-256", model_hash="ab" * 32, pool_hash="cd" * 32, source_hash="ef" * 32, source_id="12" * 8
)


def picture(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.linspace(0, top, int(np.prod(shape))).reshape(shape).astype(dtype)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "PNG"])
def test_every_format_contains_the_mark_and_the_origin(tmp_path: Path, suffix: str) -> None:
    path = save_image(tmp_path / f"a.{suffix}", picture(9, 7, 3), provenance=PROVENANCE)
    mark = read_mark(path)
    assert mark.synthetic
    assert mark.source_type == "trainedAlgorithmicMedia"
    assert mark.model == "lite-256"
    assert mark.properties["fomaug:SourceHash"] == "ef" * 32
    assert mark.properties["Iptc4xmpExt:AISystemUsed"] == "fomaug lite-256"


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)])
def test_lossless_formats_return_the_pixels(tmp_path: Path, suffix: str, channels: tuple[int, ...]) -> None:
    array = picture(5, 6, *channels)
    path = save_image(tmp_path / f"a.{suffix}", array, provenance=PROVENANCE)
    found = np.asarray(Image.open(path))
    wanted = (
        array if suffix != "bmp" or channels in ((), (3,)) else array[..., 0] if channels == (2,) else array[..., :3]
    )
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)])
def test_sixteen_bits_are_read_back_by_a_decoder_of_others(
    tmp_path: Path, suffix: str, channels: tuple[int, ...]
) -> None:
    av = pytest.importorskip("av")
    array = picture(5, 6, *channels, dtype=np.uint16)
    path = save_image(tmp_path / f"a.{suffix}", array, provenance=PROVENANCE, icc_profile=b"not a profile")
    layout = {(): "gray16le", (2,): "ya16le", (3,): "rgb48le", (4,): "rgba64le"}[channels]
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    if channels == (2,):
        found = frame.reformat(format="rgba64le").to_ndarray()[..., [0, 3]]
    else:
        found = frame.to_ndarray(format=layout)
    np.testing.assert_array_equal(found, array)
    assert read_mark(path).synthetic


def test_sixteen_bits_are_rounded_where_the_format_has_eight() -> None:
    array = np.array([[0, 128, 129, 65535]], np.uint16)
    content = encode_image(array, "bmp")
    assert np.asarray(Image.open(__import__("io").BytesIO(content))).tolist() == [[0, 0, 1, 255]]


def test_equal_pictures_make_equal_bytes() -> None:
    for encode_format in ("jpeg", "png", "webp", "tiff", "bmp"):
        first, second = (encode_image(picture(8, 8, 3), encode_format, provenance=PROVENANCE) for _ in range(2))
        assert first == second


def test_without_provenance_there_is_no_mark(tmp_path: Path) -> None:
    mark = read_mark(save_image(tmp_path / "a.png", picture(4, 4, 3)))
    assert (mark.synthetic, mark.model) == (False, "")


def test_composites_and_generated_pictures_are_distinguished(tmp_path: Path) -> None:
    composite = Provenance("lite-256", source_type="composite")
    assert read_mark(save_image(tmp_path / "a.jpg", picture(4, 4, 3), provenance=composite)).source_type == (
        "compositeWithTrainedAlgorithmicMedia"
    )


def test_marks_of_other_makers_are_understood(tmp_path: Path) -> None:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
        "<Iptc4xmpExt:DigitalSourceType "
        'rdf:resource="http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia"/></rdf:Description></rdf:RDF></x:xmpmeta>'
    )
    Image.fromarray(picture(4, 4, 3)).save(tmp_path / "a.webp", xmp=packet.encode())
    assert read_mark(tmp_path / "a.webp") == read_mark(tmp_path / "a.webp")
    assert read_mark(tmp_path / "a.webp").source_type == "algorithmicMedia"
    assert read_mark(tmp_path / "a.webp").synthetic


def test_a_packet_with_entities_is_not_read(tmp_path: Path) -> None:
    packet = b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    Image.fromarray(picture(4, 4, 3)).save(tmp_path / "a.jpg", xmp=packet)
    with pytest.raises(MediaError, match="declares entities"):
        read_mark(tmp_path / "a.jpg")


@pytest.mark.parametrize("content", [b"", b"hello", b"<html>"])
def test_verify_refuses_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(MediaError, match="neither an image"):
        read_mark(tmp_path / "a.jpg")


def test_unknown_suffixes_are_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"did you mean '.jpg'"):
        save_image(tmp_path / "a.jgp", picture(4, 4))


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4, 5), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4), np.uint8)]
)
def test_arrays_that_are_no_pictures_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="a picture must be"):
        encode_image(array, "png")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_image(tmp_path / "a.png", picture(4, 4))
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_image(path, picture(8, 8))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("encode_format", ["png", "tiff"])
@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)])
def test_sixteen_bits_keep_mark_and_profile(tmp_path: Path, encode_format: str, channels: tuple[int, ...]) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    array = picture(17, 19, *channels, dtype=np.uint16)
    plain = encode_image(array, encode_format)
    content = encode_image(array, encode_format, provenance=PROVENANCE, icc_profile=profile)
    assert content == encode_image(array, encode_format, provenance=PROVENANCE, icc_profile=profile)
    (tmp_path / "a").write_bytes(content)
    assert read_mark(tmp_path / "a").model == "lite-256"
    found = decode_picture(content, f".{encode_format}")
    assert found.icc_profile == profile
    np.testing.assert_array_equal(found.whole, decode_picture(plain, f".{encode_format}").whole)
    assert decode_picture(plain, f".{encode_format}").icc_profile is None
    with Image.open(tmp_path / "a") as other:
        other.load()
        assert other.info["icc_profile"] == profile
