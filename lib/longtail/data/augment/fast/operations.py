"""Color and blur operations on one image (H, W, 3) uint8 with OpenCV.

Each returns a new image and does not modify its input. Against Pillow, with the same parameters:

- invert, posterize, solarize, autocontrast and equalize are equal;
- brightness, grayscale, contrast, color and sharpness differ by at most 2 gray levels: OpenCV rounds where Pillow
  truncates, and keeps fewer bits of the weights of red, green and blue;
- blur differs by at most 3 gray levels on photographs: Pillow approximates the Gaussian by three box filters.
"""

import cv2
import numpy as np

Pixels = np.ndarray  # (H, W, 3) uint8

_RAMP = np.arange(256, dtype=np.float32)
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], dtype=np.float32) / 13  # Pillow's ImageFilter.SMOOTH
_LUMA = np.array([0.299, 0.587, 0.114])
_TRUNCATE = -0.499  # turns OpenCV's rounding of a blend into truncation


def look_up(pixels: Pixels, table: np.ndarray) -> Pixels:
    """Map every value by a table of 256 numbers, which are clipped to 0..255 and truncated as in Pillow."""
    return cv2.LUT(pixels, table.clip(0, 255).astype(np.uint8))


def brightness(pixels: Pixels, factor: float) -> Pixels:
    """Blend with black: 0 is black, 1 the original image."""
    return cv2.addWeighted(pixels, factor, pixels, 0, _TRUNCATE)


def contrast(pixels: Pixels, factor: float) -> Pixels:
    """Blend with the mean gray: 0 is constant gray, 1 the original image."""
    mean = int(cv2.mean(_luma(pixels))[0] + 0.5)
    return cv2.addWeighted(pixels, factor, pixels, 0, mean * (1 - factor) + _TRUNCATE)


def color(pixels: Pixels, factor: float) -> Pixels:
    """Blend with the gray image: 0 is gray, 1 the original image."""
    mix = np.full((3, 4), _TRUNCATE)
    mix[:, :3] = factor * np.eye(3) + (1 - factor) * _LUMA
    return cv2.transform(pixels, mix)


def sharpness(pixels: Pixels, factor: float) -> Pixels:
    """Blend with a smoothed image: 0 is smoothed, 1 the original image, 2 sharpened; the border is unchanged."""
    if min(pixels.shape[:2]) < 3:
        return pixels.copy()
    smooth = cv2.filter2D(pixels, -1, _SMOOTH)
    smooth[[0, -1]], smooth[:, [0, -1]] = pixels[[0, -1]], pixels[:, [0, -1]]
    return _blend(smooth, pixels, factor)


def grayscale(pixels: Pixels) -> Pixels:
    """Convert to luma in all three channels."""
    return cv2.cvtColor(_luma(pixels), cv2.COLOR_GRAY2RGB)


def invert(pixels: Pixels) -> Pixels:
    """Invert all values."""
    return cv2.bitwise_not(pixels)


def posterize(pixels: Pixels, bits: int) -> Pixels:
    """Keep the highest bits, 1..8, of every value."""
    return np.bitwise_and(pixels, np.uint8(256 - 2 ** (8 - bits)))


def solarize(pixels: Pixels, threshold: int) -> Pixels:
    """Invert the values that are at least the threshold, 0..256."""
    return look_up(pixels, np.where(threshold > _RAMP, _RAMP, 255 - _RAMP))


def solarize_add(pixels: Pixels, add: int) -> Pixels:
    """Add a number to the values below 128."""
    return look_up(pixels, np.where(_RAMP < 128, _RAMP + add, _RAMP))


def autocontrast(pixels: Pixels) -> Pixels:
    """Stretch every channel to 0..255; a constant channel is unchanged."""
    return cv2.merge([_stretch(plane) for plane in cv2.split(pixels)])


def equalize(pixels: Pixels) -> Pixels:
    """Equalize the histogram of every channel."""
    return cv2.merge([_equalize(plane) for plane in cv2.split(pixels)])


def blur(pixels: Pixels, radius: float) -> Pixels:
    """Blur with a Gaussian of a standard deviation in pixels, with replicated borders."""
    return cv2.GaussianBlur(pixels, (0, 0), radius, borderType=cv2.BORDER_REPLICATE)


def _luma(pixels: Pixels) -> np.ndarray:
    """Return the luma, (H, W) uint8."""
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def _blend(degenerate: Pixels, pixels: Pixels, factor: float) -> Pixels:
    return cv2.addWeighted(pixels, factor, degenerate, 1 - factor, _TRUNCATE)


def _stretch(plane: np.ndarray) -> np.ndarray:
    low, high, _, _ = cv2.minMaxLoc(plane)
    if low == high:
        return plane
    scale = 255.0 / (high - low)  # float64 and this order of operations, as in Pillow
    return look_up(plane, _RAMP.astype(np.float64) * scale + -low * scale)


def _equalize(plane: np.ndarray) -> np.ndarray:
    histogram = cv2.calcHist([plane], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    step = (plane.size - int(histogram[np.flatnonzero(histogram)[-1]])) // 255
    if not step:
        return plane
    below = histogram.cumsum() - histogram
    return look_up(plane, (below + step // 2) // step)
