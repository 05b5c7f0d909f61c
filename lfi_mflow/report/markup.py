"""Pieces of HTML: everything that comes from outside is escaped here."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from lfi_mflow.plots import png, svg

__all__ = [
    "chip",
    "figure_block",
    "number",
    "paragraph",
    "section",
    "table",
    "tree",
    "with_uncertainty",
]

_MISSING = "–"


def text(value: Any) -> str:
    """Escape a value for HTML."""
    return html.escape(str(value))


def paragraph(words: str, kind: str = "") -> str:
    """Write a paragraph of plain words."""
    return f'<p class="{kind}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>"


def chip(words: str, kind: str) -> str:
    """Write a small coloured label; ``kind`` is good, bad or plain."""
    return f'<span class="chip {kind}">{text(words)}</span>'


def section(identifier: str, title: str, *blocks: str) -> str:
    """Write a section with a heading; nothing if it has no blocks."""
    body = "\n".join(block for block in blocks if block)
    if not body:
        return ""
    return f'<section id="{identifier}">\n<h2>{text(title)}</h2>\n{body}\n</section>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Write a table; the cells are HTML already."""
    header = "".join(f"<th>{text(cell)}</th>" for cell in head)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{header}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def figure_block(figure: Figure, caption: str, *, description: str) -> str:
    """Embed a figure of lines as vector graphics."""
    return _embed(svg(figure), "image/svg+xml", caption, description)


def picture_block(figure: Figure, caption: str, *, description: str) -> str:
    """Embed a figure of many points as pixels, at 100 of them per inch."""
    width = round(100 * figure.get_figwidth())
    return _embed(png(figure), "image/png", caption, description, f' width="{width}"')


def tree(values: Mapping[str, Any]) -> str:
    """Nested values as a table of two columns, with dotted names."""
    rows = [(f"<code>{text(name)}</code>", text(value)) for name, value in _leaves(values, "")]
    return table(("", ""), rows, "facts") if rows else ""


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with a few significant digits; a dash if there is none."""
    if value is None or math.isnan(value):
        return _MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}×10<sup>{int(exponent)}</sup>".replace("-", "−")
    decimals = max(0, digits - 1 - (math.floor(math.log10(abs(value))) if value else 0))
    return f"{value:.{decimals}f}".replace("-", "−")


def with_uncertainty(value: float, uncertainty: float | None) -> str:
    """Write a number and its standard error, both cut at the second digit of the error."""
    usable = uncertainty is not None and math.isfinite(uncertainty) and uncertainty > 0
    if not usable or uncertainty is None or not math.isfinite(value):
        return number(value)
    decimals = 1 - math.floor(math.log10(uncertainty))
    if not 0 <= decimals <= 6:
        return f"{number(value)} ± {number(uncertainty, 2)}"
    return f"{value:.{decimals}f} ± {uncertainty:.{decimals}f}".replace("-", "−")


def _embed(
    data: bytes, media_type: str, caption: str, description: str, attributes: str = ""
) -> str:
    """Put an image into the page, with its caption."""
    source = f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
    return (
        f'<figure><img src="{source}" alt="{text(description)}"{attributes}>'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    """Names and values of a nested mapping, without long lists."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _leaves(value, name + ".")
        elif isinstance(value, list | tuple) and len(value) > 12:
            yield name, f"{len(value)} values"
        else:
            yield name, _MISSING if value is None else value
