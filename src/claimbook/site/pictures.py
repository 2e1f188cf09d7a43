"""Each chapter's headline figure, made small for the front page and the gallery."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass
from pathlib import Path

from claimbook.evidence import records

WIDTH, COLORS = 640, 48  # pixels and palette of a small figure: some 10 KB


@dataclass(frozen=True)
class Figure:
    """A figure as its notebook stores it: ``png`` bytes, alt text and caption (Markdown)."""

    png: bytes
    alt: str
    caption: str


def headline(notebook: dict) -> Figure | None:
    """Return the figure that carries a chapter's claim: of the cell tagged ``headline``, else the first there is."""
    found = None
    for cell in records.code_cells(notebook):
        for output in cell.get("outputs", []):
            png = output.get("data", {}).get("image/png")
            marked = "headline" in records.tags(cell)
            if png and (marked or found is None):
                options = cell["metadata"].get("mystnb", {})
                alt = options.get("image", {}).get("alt", "")
                caption = options.get("figure", {}).get("caption", "")
                found = Figure(base64.b64decode("".join(png)), alt, caption)
                if marked:
                    return found
    return found


def store_small(figure: Figure, name: str, folder: Path) -> Path:
    """Write a small version of a figure as ``folder/name.png``, the same bytes every time, and return its path."""
    from PIL import Image

    image = Image.open(io.BytesIO(figure.png)).convert("RGB")
    image.thumbnail((WIDTH, WIDTH))
    small = io.BytesIO()
    image.quantize(COLORS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    path = folder / f"{name}.png"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_bytes() != small.getvalue():
        written = path.with_suffix(f".{os.getpid()}")
        written.write_bytes(small.getvalue())
        written.replace(path)
    return path
