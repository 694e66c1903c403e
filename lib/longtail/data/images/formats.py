"""The image formats that are read, and how their files are recognized.

The list is fixed: some formats that Pillow supports start other programs (EPS runs Ghostscript), and many others are
read by rarely used code.
"""

import os

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")  # Pillow's names; PPM includes PGM and PBM
SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".webp"),
        *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
    )
)
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_HEAD = 16  # bytes that identify the format


def is_image(path: str) -> bool:
    """Return whether a file is an image by its suffix or, with any other suffix, by its first bytes.

    Raises:
        OSError: The file cannot be read.
    """
    if os.path.splitext(path)[1].lower() in SUFFIXES:
        return True
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    bmp = head[:2] == b"BM" and head[6:10] == bytes(4)
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    pnm = (
        head[:1] == b"P"
        and head[1:2] in b"123456"
        and head[2:3].isspace()
        and (head[3:4].isdigit() or head[3:4] == b"#")
    )
    return head.startswith(_STARTS) or bmp or webp or pnm
