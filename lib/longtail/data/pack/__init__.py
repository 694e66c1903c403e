"""Packing of a data set: a copy of every image with a given length of the shorter side.

A photograph of several megapixels is read and decoded completely for a crop of 224 pixels; a packed copy of 256 or 512
pixels is read and decoded many times faster. Crops of a smaller copy have less detail, so accuracies may differ from
those of the original images. There are two formats:

- `jpeg`: one file per image, which takes little space;
- `uint8`: the pixels of all images of a split in one file, which is mapped into memory. Nothing is decoded, and only
  the pages of a crop are read, but an image of 256 x 341 takes 262 KB.

FOLDER/train.json, valid.json and test.json are annotation files of the copies. They are written last, so that they
exist only if all their images do. Every image is read back and checked. If packing is interrupted, the same command
continues with the images that are missing or damaged.
"""

from longtail.data.pack.pack import pack
from longtail.data.pack.settings import Settings

__all__ = ["Settings", "pack"]
