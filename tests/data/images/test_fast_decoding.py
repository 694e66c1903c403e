"""Decoding with simplejpeg: the pixels of Pillow, and Pillow's errors."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from longtail.data.images import jpeg as jpeg_module
from longtail.data.images.fast_decoding import FastDecoder, check_packages
from longtail.data.images.reading import read_image, read_images
from longtail.errors import UserError
from tests.helpers.photographs import jpeg, photograph


def write(folder: Path, content: bytes, name: str = "image.jpg") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def exif(orientation: int) -> bytes:
    data = Image.Exif()
    data[0x0112] = orientation
    return data.tobytes()


KINDS: dict[str, dict[str, Any]] = {
    "420": {"subsampling": 2},
    "422": {"subsampling": 1},
    "444": {"subsampling": 0},
    "progressive": {"progressive": True},
    "low_quality": {"quality": 30},
    "gray": {"mode": "L"},
    **{f"orientation_{number}": {"exif": exif(number)} for number in range(9)},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(150, 200), (67, 65)])
def test_fast_decoder_equals_pillow(tmp_path: Path, kind: str, size: tuple[int, int]) -> None:
    path = write(tmp_path, jpeg(photograph(*size), **KINDS[kind]))
    decoder = FastDecoder()
    image = decoder(path)
    assert image.equal(read_image(path))
    assert decoder(path, path.read_bytes()).equal(image)
    assert decoder.take_refused() == []


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("kind", [*KINDS, "cmyk", "png"])
def test_small_images_equal_those_of_pillow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, installed: bool
) -> None:
    if not installed:
        monkeypatch.setattr(jpeg_module, "simplejpeg", None)
    options = KINDS.get(kind, {"mode": "CMYK"} if kind == "cmyk" else {})
    paths = [write(tmp_path, jpeg(photograph(32, 32), **options), f"{number}.jpg") for number in range(2)]
    if kind == "png":
        for path in paths:
            Image.fromarray(photograph(32, 32)).save(path, format="PNG")
    images = read_images(paths)
    assert images is not None and images.is_contiguous()
    for image, path in zip(images, paths, strict=True):
        assert image.equal(read_image(path))


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0" + bytes(50), b"text"])
def test_small_images_that_cannot_be_read_have_the_error_of_pillow(tmp_path: Path, content: bytes) -> None:
    paths = [write(tmp_path, jpeg(photograph(32, 32)), "0.jpg"), write(tmp_path, content, "1.jpg")]
    with pytest.raises(UserError) as expected:
        read_image(paths[1])
    with pytest.raises(UserError) as found:
        read_images(paths)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize(
    "between", [b"", b"\xff\xe2\x01\x02" + bytes(256), b"\xff\xff\xff", b"\xff\xe1\x00\x09http://" * 2]
)
def test_fast_decoder_finds_the_orientation_behind_other_blocks(tmp_path: Path, between: bytes) -> None:
    plain = jpeg(photograph(60, 80), exif=exif(6))
    place = plain.index(b"\xff\xe1")
    path = write(tmp_path, plain[:place] + between + plain[place:])
    image = FastDecoder()(path)
    assert image.shape == (3, 80, 60)
    assert image.equal(read_image(path))


def test_fast_decoder_reads_cmyk_with_pillow_and_counts_it(tmp_path: Path) -> None:
    path = write(tmp_path, jpeg(photograph(), mode="CMYK"))
    decoder = FastDecoder()
    assert decoder(path).equal(read_image(path))
    assert decoder.take_refused() == [str(path)]
    assert decoder.take_refused() == []


def test_fast_decoder_reads_other_formats_with_pillow(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(photograph()).save(path)
    decoder = FastDecoder()
    assert decoder(path).equal(read_image(path))
    assert decoder.take_refused() == []


@pytest.mark.parametrize("damage", ["truncated", "empty", "header"])
def test_fast_decoder_has_the_errors_of_pillow(tmp_path: Path, damage: str) -> None:
    content = jpeg(photograph())
    path = write(tmp_path, {"truncated": content[:2000], "empty": b"", "header": content[:2]}[damage])
    with pytest.raises(UserError) as expected:
        read_image(path)
    with pytest.raises(UserError) as error:
        FastDecoder()(path)
    assert str(error.value) == str(expected.value)


def test_fast_decoder_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        FastDecoder()(tmp_path / "absent.jpg")


def test_fast_decoder_leaves_damaged_data_to_pillow(tmp_path: Path) -> None:
    content = bytearray(jpeg(photograph()))
    content[len(content) // 2 : len(content) // 2 + 40] = b"\xff\xd1" * 20  # restart markers that do not belong there
    path = write(tmp_path, bytes(content))
    decoder = FastDecoder()
    assert decoder(path).equal(read_image(path))
    assert decoder.take_refused() == [str(path)]


def test_fast_decoder_leaves_large_images_to_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, jpeg(photograph()))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.raises(UserError, match="decompression bombs"):
        FastDecoder()(path)


def test_check_packages_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name == "simplejpeg":
            raise ImportError("No module named 'simplejpeg'")
        return original(name, *args, **options)

    check_packages()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="pip install simplejpeg opencv-python-headless"):
        check_packages()


def test_photograph_is_not_constant() -> None:
    assert np.std(photograph()) > 30
