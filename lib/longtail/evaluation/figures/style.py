"""The common style of all figures: colors and fonts; and saving of figures."""

import os
from typing import TYPE_CHECKING, Any, Literal

from longtail.files import atomic_write
from longtail.user_files import translating

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
FONT = "DejaVu Sans"  # comes with matplotlib
FURTHER_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Micro Hei", "Noto Sans", "Arial Unicode MS")
# Paul Tol's "high contrast" triple: distinct with any color vision, and in gray.
SHOT_COLORS = {"many": "#004488", "medium": "#DDAA33", "few": "#BB5566"}
INK = "#222222"
FAINT = "#8A8A8A"
GRID = "#E4E4E4"
TRAIN = "#8A8A8A"
VALID = "#004488"
EXPERT = "#33A18A"


def label_font() -> list[str]:
    """Return the installed font families for class names; later ones supply characters that earlier ones lack."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return [FONT, *(family for family in FURTHER_FONTS if family in installed)]


def label_of(name: str, other: str, longest: int = 22) -> str:
    """Return a class name for figures, truncated if it is long; `other` if no installed font has its characters."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    fonts = [get_font(findfont(FontProperties(family=[family]))) for family in label_font()]
    text = " ".join(name.split())
    if not text or any(all(font.get_char_index(ord(char)) == 0 for font in fonts) for char in text):
        return other
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> "Figure":
    """Return an empty figure of `width` x `height` inches with its own canvas, independent of pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Write the figure as a PNG file, atomically.

    Raises:
        UserError: It cannot be written.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):  # a "$" in the name of a class or a run is not mathematics
        text.set_parse_math(False)
    with translating(path, "figure"), atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=DPI, facecolor="white")


def dress(axes: "Axes", title: str = "", x: str = "", y: str = "", grid: bool = True, size: float = 9) -> None:
    """Set title, labels and style of axes; `size` is the font size in points."""
    axes.set_title(title, fontsize=size + 2, fontweight="bold", color=INK, loc="left", pad=size)
    axes.set_xlabel(x, fontsize=size, color=INK)
    axes.set_ylabel(y, fontsize=size, color=INK)
    axes.tick_params(which="both", labelsize=size - 0.5, color=FAINT, labelcolor=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(True, which="major", color=GRID, linewidth=0.8)


def legend(axes: "Axes", size: float = 8.5, **options: Any) -> None:
    """Add a plain legend if anything in the axes has a label."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=size, frameon=False, labelcolor=INK, **options)


def plain_log(axis: Any, *, fractions: bool = False) -> None:
    """Label a logarithmic axis with plain numbers (1, 10, 100, 1,000) instead of powers, which `save` cannot write.

    Args:
        axis: Axis of matplotlib.
        fractions: Label values below 1 as well (0.01).
    """
    from matplotlib.ticker import FuncFormatter, NullFormatter

    def label(value: float, _: int) -> str:
        if value >= 1 or value == 0:
            return f"{value:,.0f}"
        return f"{value:g}" if fractions else ""

    axis.set_major_formatter(FuncFormatter(label))
    axis.set_minor_formatter(NullFormatter())
