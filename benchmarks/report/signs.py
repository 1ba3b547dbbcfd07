"""The signs of every plot and page: a color and a marker per model, others per backend.

No two that stand beside one another differ by red against green alone, no model has the color of a
backend, and all are seen on white. KGT is blue and SwinIR vermilion (Okabe and Ito 2008), backends
are muted (Tol 2021), verdicts are blue, vermilion and gray. Levels of a task are shades of one
color.
"""

from __future__ import annotations

import colorsys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from benchmarks.records.description import Description


class Sign(NamedTuple):
    """A color as #rrggbb, and a marker by its names in Matplotlib and in Vega."""

    color: str
    marker: str
    shape: str


_ROUND, _SQUARE, _UP, _DOWN = (
    ("o", "circle"),
    ("s", "square"),
    ("^", "triangle-up"),
    ("v", "triangle-down"),
)
_DIAMOND, _CROSS, _RIGHT, _LEFT = (
    ("D", "diamond"),
    ("P", "cross"),
    (">", "triangle-right"),
    ("<", "triangle-left"),
)

# By the first part of a network's name; those that come first are drawn on top.
MODELS = {
    "kgt": Sign("#0072b2", *_ROUND),
    "swinir": Sign("#d55e00", *_SQUARE),
    "smfanet": Sign("#e0479e", *_UP),
    "hit": Sign("#7d5a00", *_DIAMOND),
    "ffdnet": Sign("#6f7fe0", *_DOWN),
    "demosaicnet": Sign("#5c2e1a", *_RIGHT),
    "blind": Sign("#4b5563", *_CROSS),
}
# What needs no training, and methods that are quoted alone.
_OTHER_MODEL = Sign("#8a8a8a", *_LEFT)

BACKENDS = {
    "native": Sign("#332288", *_ROUND),
    "triton": Sign("#882255", *_UP),
    "dense": Sign("#000000", *_CROSS),
    "sdpa": Sign("#2d9bc4", *_SQUARE),
    "flex": Sign("#b8860b", *_DIAMOND),
    "torch-mask": Sign("#aa4499", *_DOWN),
    "torch-gather": Sign("#7a7a2b", *_RIGHT),
    "reference": Sign("#6b6b6b", *_LEFT),
    # What it chose lies on another line, so it gets rings around that line's marks.
    "auto": Sign("#1a1a1a", *_ROUND),
}
_OTHER_BACKEND = Sign("#8d7a9a", *_LEFT)

VERDICTS = {
    "HOLDS": "#0b5fa5",
    "FAILS": "#b34700",
    "UNCLEAR": "#5a5a5a",
    "NOT MEASURED": "#5a5a5a",
    "FASTER": "#0b5fa5",
    "SLOWER": "#b34700",
    "SAME": "#5a5a5a",
}
# Where noise leaves open what is ahead.
OPEN = "#d0d0d0"
# Arms of a study that are neither models nor backends, such as ways to select keys, in their order.
ARMS = ("#223388", "#cc77bb", "#889900", "#9966ff", "#662200", "#998866", "#443344", "#0000ff")
# What is drawn on white has at least this contrast to it (WCAG 2.1, 1.4.11).
LEAST_CONTRAST = 3.0
# Levels of a task are its shades.
LEVELS = "#0072b2"
# Ends of the scale of a difference: against us, none, for us.
AGAINST, EVEN, FOR = "#d55e00", "#f4f4f4", "#0072b2"


def sign_of_model(description: str) -> Sign:
    """The sign of a model by its description, NAME:field=value, or by its printed name."""
    return MODELS.get(Description.parse(description.lower()).family, _OTHER_MODEL)


def sign_of_backend(contender: str) -> Sign:
    """The sign of a backend, which a byte budget may follow."""
    return BACKENDS.get(contender.partition(",")[0], _OTHER_BACKEND)


def color_apart(names: Iterable[str], sign_of: Callable[[str], Sign]) -> dict[str, str]:
    """The color of each name; those that share a sign are its shades, in their order."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(names):
        groups[sign_of(name).color].append(name)
    return {
        name: shade(color, index, len(group)) if len(group) > 1 else color
        for color, group in groups.items()
        for index, name in enumerate(group)
    }


def shade(color: str, index: int, count: int) -> str:
    """The shade of a color for one of several levels, the first one lightest but seen on white.

    Raises:
        ValueError: for an index that is none of the count's.
    """
    if not 0 <= index < count:
        raise ValueError(f"there is no shade {index} of {count}")
    hue, light, saturation = colorsys.rgb_to_hls(*_parse(color))

    def at(lightness: float) -> str:
        return _format(colorsys.hls_to_rgb(hue, lightness, saturation))

    # From halfway to white down to the color itself, and on to a darker one where there are many.
    lightest, darkest = light + (1 - light) * 0.45, light * 0.75
    while contrast(at(lightest), "#ffffff") < LEAST_CONTRAST:
        lightest, darkest = lightest - 0.01, darkest - 0.005
    place = 0.65 if count == 1 else index / (count - 1)
    return at(lightest + (darkest - lightest) * place)


def blend(share: float) -> str:
    """The color of a difference, from -1 (against us) over 0 to 1 (for us); beyond, the ends'."""
    share = max(-1.0, min(1.0, share))
    ends = _parse(EVEN), _parse(FOR if share > 0 else AGAINST)
    return _format(tuple(a + (b - a) * abs(share) for a, b in zip(*ends, strict=True)))


def contrast(color: str, other: str) -> float:
    """The contrast ratio of two colors, 1 to 21 (WCAG 2)."""
    light, dark = sorted((_luminance(color), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def ink_on(color: str) -> str:
    """Black or white, whichever is read better on a color."""
    return max(("#000000", "#ffffff"), key=lambda ink: contrast(ink, color))


def _luminance(color: str) -> float:
    weights: Mapping[float, float] = dict(zip((0.2126, 0.7152, 0.0722), _parse(color), strict=True))
    linear = {
        weight: part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4
        for weight, part in weights.items()
    }
    return sum(weight * part for weight, part in linear.items())


def _parse(color: str) -> tuple[float, float, float]:
    red, green, blue = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue


def _format(parts: tuple[float, ...]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)
