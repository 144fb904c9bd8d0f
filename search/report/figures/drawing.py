"""Drawings made of lines, marks and text in pixels, and their rendering as SVG.

Inks are names, not colours: the page's style sheet gives them a light and a dark value, so that a
figure follows the reader's theme. `search.report.figures.png` draws the same items in the light
ones.
"""

import math
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]

LIGHT = {
    "ink": "#1a1d21",
    "muted": "#5c646d",
    "grid": "#dfe3e7",
    "band": "#eef0f2",
    "paper": "#ffffff",
    "run": "#8b949e",
    "reference": "#d55e00",
    "advised": "#6a3d9a",
    "best": "#0072b2",
    "scaled": "#009e73",
    "off": "#1a1d21",
    "down": "#0072b2",
    "up": "#d55e00",
    "leave": "#6b737b",
    "inconclusive": "#b0568a",
}
"""Colours by ink: Okabe and Ito's palette, which colour-blind readers can tell apart, and greys.

Its reddish purple is darkened, for on white the original has too little contrast.
"""
DARK = {
    "ink": "#e6e9ec",
    "muted": "#9ca5ae",
    "grid": "#2d3339",
    "band": "#22272c",
    "paper": "#14171a",
    "run": "#78818a",
    "reference": "#f0874a",
    "advised": "#b794e0",
    "best": "#56b4e9",
    "scaled": "#2fbd93",
    "off": "#e6e9ec",
    "down": "#56b4e9",
    "up": "#f0874a",
    "leave": "#9ca5ae",
    "inconclusive": "#e0a0c5",
}
"""Colours by ink on a dark page, lightened for contrast."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stroke:
    """An open line through points, or, if ``is_filled``, the area they enclose."""

    points: tuple[Point, ...]
    ink: str
    width: float = 1.0
    is_dashed: bool = False
    is_filled: bool = False
    opacity: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A symbol that stands for one measured value.

    Attributes:
        at: Its centre.
        shape: A key of `SHAPES`, or ``circle``.
        ink: Colour of the shape.
        kind: Kind of value, for tests and style sheets: ``run``, ``mean``, ``effect`` ...
        size: Radius.
        is_hollow: Whether it is filled with the colour of the page.
        title: Tooltip.
    """

    at: Point
    shape: str
    ink: str
    kind: str
    size: float = 4.0
    is_hollow: bool = False
    opacity: float = 1.0
    title: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A line of text whose base line begins, is centred or ends (``anchor``) at a point.

    A halo in the colour of the page keeps it readable over lines.
    """

    at: Point
    text: str
    ink: str = "muted"
    size: float = 11.5
    anchor: str = "start"
    is_bold: bool = False
    has_halo: bool = False

    @property
    def width(self) -> float:
        """Estimated width in pixels; fonts differ."""
        return 0.56 * self.size * len(self.text)


Item = Stroke | Mark | Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """A figure: its size in pixels, and its items in the order they are painted."""

    width: float
    height: float
    items: tuple[Item, ...]


SHAPES: dict[str, tuple[Point, ...]] = {
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "diamond": ((0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)),
    "triangle": ((0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)),
    "triangle_down": ((0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)),
    "arrow_right": ((-0.7, -1.1), (1.2, 0.0), (-0.7, 1.1)),
    "arrow_left": ((0.7, -1.1), (-1.2, 0.0), (0.7, 1.1)),
}
"""Outlines for a radius of 1; shapes repeat the meaning of colours for colour-blind readers."""


def outline(mark: Mark) -> tuple[Point, ...]:
    """Compute the corners of a mark that is no circle."""
    x, y = mark.at
    return tuple((x + dx * mark.size, y + dy * mark.size) for dx, dy in SHAPES[mark.shape])


def svg(drawing: Drawing, *, label: str, css_class: str = "") -> str:
    """Render a drawing as an SVG element that scales to the width of its container.

    Args:
        drawing: The drawing; an item with a coordinate that is not finite is left out.
        label: Text for screen readers.
        css_class: CSS class of the element.
    """
    body = "".join(_element(item) for item in drawing.items if _is_drawable(item))
    return (
        f'<svg class="{escape(css_class)}" viewBox="0 0 {drawing.width:g} {drawing.height:g}" '
        f'role="img" aria-label="{escape(label)}">{body}</svg>\n'
    )


def _is_drawable(item: Item) -> bool:
    points = item.points if isinstance(item, Stroke) else (item.at,)
    return all(math.isfinite(coordinate) for point in points for coordinate in point)


def _element(item: Item) -> str:
    if isinstance(item, Stroke):
        return _stroke(item)
    if isinstance(item, Mark):
        return _mark(item)
    weight = ' font-weight="600"' if item.is_bold else ""
    halo = " halo" if item.has_halo else ""
    return (
        f'<text x="{item.at[0]:.1f}" y="{item.at[1]:.1f}" class="f-{item.ink}{halo}" '
        f'font-size="{item.size:g}" text-anchor="{item.anchor}"{weight}>{escape(item.text)}</text>'
    )


def _stroke(item: Stroke) -> str:
    points = _corners(item.points)
    opacity = f' opacity="{item.opacity:g}"' if item.opacity < 1 else ""
    if item.is_filled:
        return f'<polygon points="{points}" class="f-{item.ink}"{opacity}/>'
    dashes = ' stroke-dasharray="4 3"' if item.is_dashed else ""
    return (
        f'<polyline points="{points}" class="s-{item.ink}" '
        f'stroke-width="{item.width:g}"{dashes}{opacity}/>'
    )


def _mark(mark: Mark) -> str:
    inks = f"f-paper s-{mark.ink}" if mark.is_hollow else f"f-{mark.ink} s-paper"
    style = f'class="{inks}" stroke-width="{1.6 if mark.is_hollow else 0.8:g}"'
    if mark.shape == "circle":
        x, y = mark.at
        shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{mark.size:g}" {style}/>'
    else:
        shape = f'<polygon points="{_corners(outline(mark))}" {style}/>'
    title = f"<title>{escape(mark.title)}</title>" if mark.title else ""
    opacity = f' opacity="{mark.opacity:g}"' if mark.opacity < 1 else ""
    return f'<g class="mark" data-kind="{escape(mark.kind)}"{opacity}>{title}{shape}</g>'


def _corners(points: tuple[Point, ...]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
