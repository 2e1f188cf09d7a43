"""Explorables in a browser: moved by keyboard and mouse, from disk, without scripts, and only where they are."""

from __future__ import annotations

import re

import pytest

from .pages import CHAPTERS, PAGES, SITE, TOO_WIDE

HTML = {name: (SITE / name).read_text("utf8") for name in PAGES}
WITH = [name for name in CHAPTERS if '<figure class="cb-explorable"' in HTML[name]]
LIBRARY = re.compile(r'src="[^"]*/vega-embed-[^"]*\.js')
DRAWN = ".cb-explorable[data-drawn=yes] svg"
PICTURE = "() => document.querySelector('.cb-panels').innerHTML"
READING = "() => document.querySelector('.cb-reading').textContent"


def test_four_chapters_have_one(site):
    assert len(WITH) >= 4


@pytest.mark.parametrize("name", PAGES)
def test_the_library_is_loaded_only_where_it_is_used(site, name):
    assert bool(LIBRARY.search(HTML[name])) == ('<figure class="cb-explorable"' in HTML[name])


@pytest.mark.browser
@pytest.mark.parametrize("where", ["disk", "server"])
@pytest.mark.parametrize("name", WITH)
def test_sliders_move_the_drawing(visit, site, served, name, where):
    page = visit((site / name).as_uri() if where == "disk" else f"{served}/{name}")
    page.wait_for_selector(DRAWN)
    inputs = page.locator(".cb-explorable input")
    assert any(int(box.get_attribute("max")) >= 19 for box in inputs.all())
    for box in inputs.all():
        assert page.locator(f"label[for={box.get_attribute('id')}]").inner_text()
        before = page.evaluate(PICTURE), page.evaluate(READING), box.get_attribute("aria-valuetext")
        box.focus()
        page.keyboard.press("Home" if int(box.input_value()) else "End")
        page.wait_for_function("old => document.querySelector('.cb-panels').innerHTML !== old", arg=before[0])
        assert page.evaluate(READING) != before[1] and box.get_attribute("aria-valuetext") != before[2]
        old = page.evaluate(PICTURE)
        box.click()  # in the middle
        page.wait_for_function("old => document.querySelector('.cb-panels').innerHTML !== old", arg=old)
    assert not page.evaluate(TOO_WIDE)


@pytest.mark.browser
@pytest.mark.parametrize("name", WITH)
def test_without_scripts_the_static_figure_is_there(browser, site, name):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / name).as_uri())
    assert not page.locator(".cb-explorable").is_visible()
    assert page.locator(".cell_output img").first.is_visible()
    context.close()


@pytest.mark.browser
def test_drawings_stay_on_white_in_the_dark(visit, site):
    page = visit((site / WITH[0]).as_uri())
    page.evaluate("() => document.documentElement.dataset.theme = 'dark'")
    page.wait_for_selector(DRAWN)
    color = page.eval_on_selector(".cb-panels", "e => getComputedStyle(e).backgroundColor")
    assert color == "rgb(255, 255, 255)"
