"""Self-contained HTML pages: one file with its pictures and videos embedded.

All reports of this project are built from these parts, so that they look alike on desktop and
phone, in light and dark mode.
"""

import base64
import io
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = (Path(__file__).with_suffix(".css")).read_text(encoding="utf-8")
SCRIPT = (Path(__file__).with_suffix(".js")).read_text(encoding="utf-8")
_SENTENCE = 24
"""Characters of a cell that a phone's column has no room for."""
_TAG = re.compile(r"<[^>]*>")


def page(
    title: str, lead: str, sections: Sequence[str], *, style: str = "", script: str = ""
) -> str:
    """A whole page.

    Args:
        title: text.
        lead: HTML below the title.
        sections: HTML, in order.
        style: additional CSS.
        script: additional JavaScript.
    """
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head><body><main>"
        f'<h1>{escape(title)}</h1><p class="lead">{lead}</p>{"".join(sections)}'
        f"</main><script>{SCRIPT}{script}</script></body></html>\n"
    )


def section(heading: str, body: str) -> str:
    """A card of the page; ``heading`` is text, ``body`` HTML."""
    return f"<section><h2>{escape(heading)}</h2>{body}</section>"


def table(
    header: Sequence[str], rows: Sequence[Sequence[object]], *, is_sortable: bool = False
) -> str:
    """A table; text is escaped unless it is ``Html``.

    On a phone it scrolls sideways; with several columns and a sentence in one of them, its rows are
    cards instead, each value next to its column's name.
    """
    longest = max((len(_TAG.sub("", str(value))) for row in rows for value in row), default=0)
    is_stacked = not is_sortable and len(header) > 3 and longest >= _SENTENCE
    kind = ' class="sortable"' if is_sortable else ' class="stacked"' if is_stacked else ""
    names = [_TAG.sub("", str(name)) for name in header] if is_stacked else [""] * len(header)
    head = "".join(f"<th>{_text(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(map(_cell, row, names)) + "</tr>" for row in rows)
    return (
        f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


class Html(str):
    """Markup that ``table`` and ``captioned`` do not escape."""


def cards(values: Sequence[tuple[str, str]]) -> str:
    """Headline figures: (value, label)."""
    inner = "".join(
        f'<div class="card"><b>{escape(value)}</b><span>{escape(label)}</span></div>'
        for value, label in values
    )
    return f'<div class="cards">{inner}</div>'


def grid(items: Sequence[str], cell_px: int = 170) -> str:
    """Figures side by side, as many per row as fit."""
    return f'<div class="grid" style="--cell:{cell_px}px">{"".join(items)}</div>'


def synchronised(items: Sequence[str], cell_px: int = 170) -> str:
    """Video figures that play and seek together."""
    return f'<div class="sync">{grid(items, cell_px)}</div>'


def captioned(inner: str, caption: str) -> str:
    """A picture or player with a line of text below it."""
    return f"<figure>{inner}<figcaption>{_text(caption)}</figcaption></figure>"


def jpeg_image(image: np.ndarray, alt: str = "") -> str:
    """An <img> of a (height, width, 3) uint8 RGB photograph, a tenth of the size of a PNG."""
    return embedded_image(encode_jpeg(image), "image/jpeg", alt)


def encode_jpeg(image: np.ndarray, quality: int = 85) -> bytes:
    """A (height, width, 3) uint8 RGB picture as a JPEG file."""
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def embedded_image(content: bytes, kind: str, alt: str = "") -> str:
    """An <img> of a picture file; ``kind`` is its media type."""
    return (
        f'<img class="tile" loading="lazy" alt="{escape(alt, quote=True)}" '
        f'src="{data_uri(content, kind)}">'
    )


def data_uri(content: bytes, kind: str) -> str:
    """A file inside a page; ``kind`` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def video_player(frames: np.ndarray, fps: float) -> str:
    """A looping <video> of (t, height, width, 3) uint8 RGB frames with even sides."""
    from datasets.tracks import encode_video

    source = data_uri(encode_video(frames, fps), "video/mp4")
    return f'<video class="tile" autoplay muted loop playsinline controls src="{source}"></video>'


def figure_image(figure: "Figure", alt: str = "") -> str:
    """An <img> of a matplotlib figure, as SVG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", transparent=True)
    return svg_image(buffer.getvalue(), alt)


def svg_image(content: bytes, alt: str = "") -> str:
    """An <img> of an SVG file in dark lines on nothing, which a dark page inverts."""
    source = data_uri(content, "image/svg+xml")
    return f'<img class="figure" alt="{escape(alt, quote=True)}" src="{source}">'


def _cell(value: object, name: str) -> str:
    """A cell; with its column's name it can be shown as a line of a card."""
    label = f' data-label="{escape(name, quote=True)}"' if name else ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        shown, number = _text(value), ""
    else:
        shown = f"{value:.4g}" if isinstance(value, float) else f"{value}"
        number = f' class="number" data-value="{value}"'
    return f"<td{label}{number}>{f'<div>{shown}</div>' if name and shown else shown}</td>"


def _text(value: object) -> str:
    return value if isinstance(value, Html) else escape(str(value))
