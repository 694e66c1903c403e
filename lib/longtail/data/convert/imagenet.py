"""ImageNet-LT (Liu et al., arXiv 1904.05160), from its split lists."""

from pathlib import Path

from longtail.data.convert.lists import convert_lists


def convert_imagenet(
    input_path: str | Path, image_path: str | Path, output_path: str | Path, check: bool = True, force: bool = False
) -> None:
    """Turn ImageNet_LT_{train,val,test}.txt into annotation files; see `convert_lists`."""
    convert_lists("ImageNet_LT", "ImageNet-LT", 1000, input_path, image_path, output_path, check, force)
