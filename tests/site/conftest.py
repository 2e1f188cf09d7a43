"""The built site in a browser: what its tests share. Without a site, a browser or Playwright they are skipped, or
fail where CLAIMBOOK_NEED_BROWSER=1."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from claimbook.commands import pdf

from .pages import PAGES, PHONE, SITE


def missing(reason: str) -> None:
    """Skip, or fail where a browser was promised."""
    if os.environ.get("CLAIMBOOK_NEED_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def site() -> Path:
    if not PAGES:
        missing("the site is not built: make book")
    return SITE


@pytest.fixture(scope="session")
def browser(site):
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(pdf.browser())
        except pdf.CannotPrint as problem:
            missing(str(problem))
        yield found


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves without a log."""

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def served(site):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def visit(browser, site):
    """Return a function that opens an address on a phone; afterwards nothing may have been asked of other machines."""
    contexts, outside, complaints = [], [], []

    def visit(address: str):
        parts = urlsplit(address)
        own = site.as_uri() if parts.scheme == "file" else f"{parts.scheme}://{parts.netloc}/"
        context = browser.new_context(viewport=PHONE)
        contexts.append(context)

        def route(route):
            url = route.request.url
            if url.startswith((own, "data:", "blob:")):
                route.continue_()
            else:
                outside.append(url)
                route.abort()

        context.route("**/*", route)
        page = context.new_page()
        page.on(
            "console",
            lambda m: complaints.append(f"{m.type}: {m.text}") if m.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not outside, "asked of other machines"
    assert not complaints
