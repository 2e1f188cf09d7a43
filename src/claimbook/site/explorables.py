"""Explorables on their page: the sliders as HTML, the drawing as data, and the library that draws it.

The library, Vega-Embed with Vega and Vega-Lite, comes with the package vl-convert-python. It is written once into
the site's static files, and only pages with an explorable load it.
"""

from __future__ import annotations

import json
import os
from html import escape
from importlib.metadata import version
from pathlib import Path

PRIORITY = 400  # before claimbook.js, which calls it
MARK = '<figure class="cb-explorable"'


def put_in(notebook: dict) -> bool:
    """Turn stored explorables into HTML, in place; return whether there was one."""
    found = 0
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            stored = output.get("metadata", {}).get("claimbook", {}).get("explorable")
            if stored:
                found += 1
                output["data"] = {**output["data"], "text/html": draw(stored, f"explorable-{found}")}
    return found > 0


def draw(stored: dict, identifier: str) -> str:
    """Return one explorable as HTML, hidden until a script draws it."""
    sliders = "".join(_slider(slider, f"{identifier}-{slider['name']}") for slider in stored["sliders"])
    specs = [json.loads(spec) for spec in stored["specs"]]
    data = {"sliders": stored["sliders"], "reading": stored["reading"].split("\n"), "specs": specs}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    panels = '<div class="cb-panel"></div>' * len(stored["specs"])
    return (
        f'{MARK} id="{identifier}" hidden>'
        f'<div class="cb-sliders">{sliders}</div>'
        f'<p class="cb-reading" aria-live="polite"></p>'
        f'<div class="cb-panels" role="img" aria-label="{escape(stored["alt"])}">{panels}</div>'
        f"<figcaption><p><strong>Try it.</strong> {escape(stored['caption'], quote=False)}</p></figcaption>"
        f'<script type="application/json">{text}</script></figure>\n'
    )


def _slider(slider: dict, identifier: str) -> str:
    last, start = len(slider["positions"]) - 1, slider["start"]
    position = escape(slider["positions"][start])
    return (
        f'<div class="cb-slider"><label for="{identifier}">{escape(slider["label"])}</label>'
        f'<output for="{identifier}">{position}</output>'
        f'<input id="{identifier}" type="range" min="0" max="{last}" step="1" value="{start}"'
        f' aria-valuetext="{position}" autocomplete="off"></div>'
    )


def load(app, pagename, templatename, context, doctree) -> None:
    """Let a page with an explorable load the library."""
    if MARK in context.get("body", ""):
        name = f"vega-embed-{version('vl-convert-python')}.js"
        write(Path(app.outdir) / "_static" / name)
        app.add_js_file(name, priority=PRIORITY, loading_method="defer")


def write(path: Path) -> None:
    """Write the library, unless it is there, in a scope of its own."""
    if path.is_file():
        return
    import vl_convert

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(f"(() => {{{vl_convert.javascript_bundle()}\n}})();\n", encoding="utf8", newline="\n")
    beside.replace(path)
