"""Rendering of drawings as PNG, for pages that show pictures only."""

import io
import warnings

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, Polygon
from matplotlib.patheffects import withStroke

from search.report.figures.drawing import LIGHT, Drawing, Item, Mark, Stroke, Text, outline

_DPI = 100.0
_POINTS_PER_PIXEL = 72.0 / _DPI
_FONT_SCALE = 0.9
"""Factor on font sizes: Matplotlib's own font, present on every machine, is wide."""
_HALO = withStroke(linewidth=3.0 * _POINTS_PER_PIXEL, foreground=LIGHT["paper"])
_ALIGNMENT = {"start": "left", "middle": "center", "end": "right"}


def png(drawing: Drawing) -> bytes:
    """Render a drawing in light colours, one pixel of the image per pixel of the drawing."""
    # Without pyplot: it would open a window where there is a display, and keep every figure alive.
    canvas = Canvas(figsize=(drawing.width / _DPI, drawing.height / _DPI), dpi=_DPI)
    FigureCanvasAgg(canvas)
    axes = canvas.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0.0, drawing.width)
    axes.set_ylim(drawing.height, 0.0)
    for order, item in enumerate(drawing.items):
        if isinstance(item, Text):
            axes.text(
                *item.at,
                # A dollar sign would begin a formula.
                item.text.replace("$", r"\$"),
                color=LIGHT[item.ink],
                fontsize=item.size * _POINTS_PER_PIXEL * _FONT_SCALE,
                fontweight="bold" if item.is_bold else "normal",
                horizontalalignment=_ALIGNMENT[item.anchor],
                verticalalignment="baseline",
                path_effects=[_HALO] if item.has_halo else None,
                zorder=order,
            )
        else:
            artist = _artist(item, order)
            axes.add_line(artist) if isinstance(artist, Line2D) else axes.add_patch(artist)
    file = io.BytesIO()
    with warnings.catch_warnings():
        # Names of classes may be in a script that Matplotlib's own font lacks; they are numbered.
        warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)
        canvas.savefig(file, format="png", dpi=_DPI, facecolor=LIGHT["paper"])
    return file.getvalue()


def _artist(item: Item, order: int) -> Line2D | Patch:
    if isinstance(item, Mark):
        return _mark(item, order)
    assert isinstance(item, Stroke)
    if item.is_filled:
        return Polygon(
            list(item.points),
            facecolor=LIGHT[item.ink],
            linewidth=0.0,
            alpha=item.opacity,
            zorder=order,
        )
    return Line2D(
        [x for x, _ in item.points],
        [y for _, y in item.points],
        color=LIGHT[item.ink],
        linewidth=item.width * _POINTS_PER_PIXEL,
        linestyle="--" if item.is_dashed else "-",
        alpha=item.opacity,
        zorder=order,
    )


def _mark(mark: Mark, order: int) -> Patch:
    face, edge = ("paper", mark.ink) if mark.is_hollow else (mark.ink, "paper")
    width = (1.6 if mark.is_hollow else 0.8) * _POINTS_PER_PIXEL
    if mark.shape == "circle":
        return Circle(
            mark.at,
            mark.size,
            facecolor=LIGHT[face],
            edgecolor=LIGHT[edge],
            linewidth=width,
            alpha=mark.opacity,
            zorder=order,
        )
    return Polygon(
        list(outline(mark)),
        facecolor=LIGHT[face],
        edgecolor=LIGHT[edge],
        linewidth=width,
        alpha=mark.opacity,
        zorder=order,
    )
