import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from longtail.data.images.files import file_size
from longtail.data.images.formats import FORMATS, is_image
from longtail.data.images.reading import image_size, read_image, read_images
from longtail.errors import UserError

COLOR = (200, 40, 90)


def save(path: Any, mode: Any, size: Any = (5, 3), **settings: Any) -> Any:
    """Write an image of one color; size is (width, height)."""
    image = Image.new("RGB", size, COLOR)
    (image.quantize(4) if mode == "P" else image.convert(mode)).save(path, **settings)
    return path


@pytest.mark.parametrize(
    ("mode", "file"),
    [
        ("RGB", "a.png"),
        ("RGBA", "a.png"),
        ("P", "a.png"),
        ("P", "a.gif"),
        ("L", "a.png"),
        ("LA", "a.png"),
        ("1", "a.png"),
        ("CMYK", "a.tiff"),
        ("RGB", "a.bmp"),
    ],
)
def test_read_image_modes(tmp_path: Path, mode: Any, file: Any) -> None:
    image = read_image(save(tmp_path / file, mode))
    assert (image.shape, image.dtype) == ((3, 3, 5), torch.uint8)
    assert image.permute(1, 2, 0).is_contiguous()  # channels-last, as decoded
    if mode in ("L", "LA"):
        gray = Image.new("RGB", (1, 1), COLOR).convert("L").tobytes()[0]
        assert torch.equal(image, torch.full_like(image, gray))
    elif mode != "1":
        assert torch.equal(image, torch.tensor(COLOR, dtype=torch.uint8).view(3, 1, 1).expand_as(image))


def test_read_image_cmyk_jpeg(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "a.jpg", "CMYK", quality=95))
    assert (image.int() - torch.tensor(COLOR).view(3, 1, 1)).abs().max() < 12


def test_read_image_row_and_column_order(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png").permute(1, 2, 0).numpy(), pixels)
    assert image_size(tmp_path / "a.png") == (4, 6)


def truncated(path: Any) -> Any:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-900])
    return path


@pytest.mark.parametrize("file", ["a.jpg", "a.png"])
def test_read_image_truncated(tmp_path: Path, file: Any) -> None:
    path = truncated(tmp_path / file)
    assert image_size(path) == (40, 40)
    with pytest.raises(UserError, match=r"^image .*a\.\w+ cannot be read: [^\n]+$"):
        read_image(path)


@pytest.mark.parametrize("read", [read_image, image_size])
@pytest.mark.parametrize("content", [b"", b"this is no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0broken"])
def test_read_image_and_size_invalid_file(tmp_path: Path, read: Any, content: Any) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"^image .*a\.jpg cannot be read: [^\n]+$"):
        read(path)


@pytest.mark.parametrize("read", [read_image, image_size])
def test_read_image_and_size_missing_file(tmp_path: Path, read: Any) -> None:
    with pytest.raises(UserError, match=r"^image .*absent\.jpg does not exist$"):
        read(tmp_path / "absent.jpg")
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path)
    with pytest.raises(UserError, match="must not hold a NUL character"):
        read("a\0b")


def test_read_images_one_size(tmp_path: Path) -> None:
    paths = []
    for number in range(3):
        Image.new("RGB", (5, 3), (number, 0, 0)).save(tmp_path / f"{number}.png")
        paths.append(tmp_path / f"{number}.png")
    images = read_images(paths[::-1])
    assert images is not None
    assert images.shape == (3, 3, 3, 5)
    assert images[:, 0, 0, 0].tolist() == [2, 1, 0]


def test_read_images_several_sizes(tmp_path: Path) -> None:
    sizes = [(5, 3), (5, 4)]
    assert read_images([save(tmp_path / f"{height}.png", "RGB", (width, height)) for width, height in sizes]) is None


# Formats and files of the outside world


@pytest.mark.parametrize("suffix", ["eps", "ico", "tga", "dds", "pcx"])
def test_read_image_refuses_formats_that_are_not_listed(tmp_path: Path, suffix: str) -> None:
    """A file is read by its content, so that the name does not matter; EPS would start another program."""
    Image.new("RGB", (5, 3), COLOR).save(tmp_path / f"a.{suffix}")
    (tmp_path / f"a.{suffix}").rename(tmp_path / "a.jpg")
    for read in (read_image, image_size):
        with pytest.raises(UserError, match=r"it is not an image of a known format \(JPEG, PNG, GIF, "):
            read(tmp_path / "a.jpg")


def test_read_image_of_every_listed_format(tmp_path: Path) -> None:
    for name in FORMATS:
        Image.new("RGB", (5, 3), COLOR).save(tmp_path / "a", name, **({"lossless": True} if name == "WEBP" else {}))
        assert read_image(tmp_path / "a").shape == (3, 3, 5)
        assert is_image(str(tmp_path / "a"))


def test_is_image_knows_text_from_images(tmp_path: Path) -> None:
    for content in (b"", b"BMW is a car", b"P5 of the list", b"RIFF....WAVE", b"%!PS-Adobe"):
        (tmp_path / "a").write_bytes(content)
        assert not is_image(str(tmp_path / "a"))


@pytest.mark.parametrize("kind", [RuntimeError, NotImplementedError, AttributeError, MemoryError, TypeError])
def test_read_image_reports_every_exception_of_a_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def fail(image: Any) -> Any:
        raise kind("of the\ndecoder")

    monkeypatch.setattr("longtail.data.images.reading.rgb_pixels", fail)
    Image.new("RGB", (5, 3)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png cannot be read: of the decoder$"):
        read_image(tmp_path / "a.png")


def test_read_image_refuses_what_is_not_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero"):
        for read in (read_image, image_size):
            with pytest.raises(UserError, match="cannot be read: it is not a regular file"):
                read(path)
        assert file_size(str(path)) == 0
    Image.new("RGB", (5, 3)).save(tmp_path / "a.png")
    errors: dict[int, UserError] = {}
    assert read_images([tmp_path / "a.png", tmp_path / "fifo", "/dev/zero"], errors) is not None
    assert sorted(errors) == [1, 2]
