"""Tests of decoding by the rules of OpenCV's imread: upright, no transparency, the upper 8 of 16 bits."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from longtail.data.images.reading import image_size, read_image, read_pixels
from longtail.errors import UserError

PIXELS = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 10
# EXIF orientation -> the upright image for stored pixels (CIPA DC-008).
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_rgb_pixels_exif_orientation(tmp_path: Path, form: Any, orientation: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{form.lower()}"
    Image.fromarray(PIXELS).save(path, exif=exif)
    expected = UPRIGHT[orientation](PIXELS)
    assert np.array_equal(read_pixels(path), expected)
    assert image_size(path) == expected.shape[:2]


def test_rgb_pixels_exif_orientation_of_jpeg(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 24), "red").save(tmp_path / "a.jpg", exif=exif)
    assert image_size(tmp_path / "a.jpg") == (40, 24)
    assert read_image(tmp_path / "a.jpg").shape == (3, 40, 24)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"Exif\0\0broken", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0II*\0\x08\0\0\0"])
def test_rgb_pixels_damaged_exif(tmp_path: Path, exif: Any) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_pixels(tmp_path / "a.png"), PIXELS)


@pytest.mark.parametrize("form", ["png", "tiff"])
def test_rgb_pixels_16_bit_gray(tmp_path: Path, form: Any) -> None:
    gray = np.array([[0, 255, 256, 0x8000, 0x80FF, 0xFFFF]], dtype=np.uint16)
    Image.fromarray(gray).save(tmp_path / f"a.{form}")
    assert read_pixels(tmp_path / f"a.{form}")[0].tolist() == [[v] * 3 for v in (0, 0, 1, 128, 128, 255)]


@pytest.mark.parametrize("mode", ["F", "I"])
def test_rgb_pixels_32_bit(tmp_path: Path, mode: Any) -> None:
    Image.new(mode, (4, 4)).save(tmp_path / "a.tiff")
    with pytest.raises(UserError, match=rf"pixels have 32 bits \(mode {mode}\); allowed: 8 or 16 bits per channel$"):
        read_image(tmp_path / "a.tiff")


def test_rgb_pixels_drops_alpha(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (10, 20, 30, 0))
    image.putpixel((1, 0), (200, 100, 50, 128))
    image.save(tmp_path / "a.png")
    assert read_pixels(tmp_path / "a.png").tolist() == [[[10, 20, 30], [200, 100, 50]]]


@pytest.mark.parametrize("transparency", [None, 0, bytes([0, 128])])
def test_rgb_pixels_palette(tmp_path: Path, transparency: Any) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", **({} if transparency is None else {"transparency": transparency}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_pixels(tmp_path / "a.png").tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_rgb_pixels_gray_with_alpha(tmp_path: Path) -> None:
    Image.new("LA", (1, 1), (77, 3)).save(tmp_path / "a.png")
    assert read_pixels(tmp_path / "a.png").tolist() == [[[77, 77, 77]]]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP"])
@pytest.mark.parametrize("from_memory", [False, True])
def test_read_image_over_pixel_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Any, from_memory: Any
) -> None:
    path = tmp_path / f"a.{form.lower()}"
    Image.new("RGB", (30, 20)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 299)
    expected = r"^image .*a\.\w+ cannot be read: it has 20 x 30 pixels; allowed: at most 598 pixels, [^\n]*$"
    with pytest.raises(UserError, match=expected):
        read_image(path, path.read_bytes() if from_memory else None)


def test_read_pixels_from_bytes(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG")
    assert np.array_equal(read_pixels("not there", buffer.getvalue()), PIXELS)


def test_pillow_applies_tiff_orientation(tmp_path: Path) -> None:
    """`decoding.orientation` relies on this; otherwise TIFF images would be rotated twice."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "a.tiff", exif=exif)
    with Image.open(tmp_path / "a.tiff") as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        assert "exif" not in image.info
        assert image.size == (2, 3)
