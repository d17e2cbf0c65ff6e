"""Every page of the built book in a browser, and what readers look for. Needs `make html`, or the variable below."""

import functools
import os
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = Path(os.environ.get("ATTN_TUTORIAL_BOOK_HTML", ROOT / "_build" / "html"))
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
ALLOWED_CONSOLE_ERRORS: tuple[str, ...] = ()

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install the package chromium"),
    pytest.mark.skipif(not (SITE / "index.html").is_file(), reason=f"no built book at {SITE}: run make html"),
]

LOOK = """
async () => {
  if (window.MathJax?.startup?.promise) await window.MathJax.startup.promise;
  const shown = (image) => image.getClientRects().length > 0;
  const images = [...document.images];
  const dark = document.documentElement.dataset.theme === "dark";
  const wrong = dark ? ".figure-light" : ".figure-dark";
  const right = dark ? ".figure-dark" : ".figure-light";
  return {
    theme: document.documentElement.dataset.theme,
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    broken: images.filter((i) => shown(i) && !(i.complete && i.naturalWidth)).map((i) => i.src.slice(0, 80)),
    wrongVariant: images.filter((i) => i.matches(wrong) && shown(i)).length,
    hiddenVariant: images.filter((i) => i.matches(right) && !shown(i) && !i.closest("details")).length,
    mathErrors: [...document.querySelectorAll("mjx-merror")].map((e) => e.title || e.textContent),
    rawMath: [...document.querySelectorAll(".math")].filter((e) => !e.querySelector("mjx-container")).length,
  };
}
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
def test_every_page(browser, address: str, width: int, theme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    problems: list[str] = []
    page.on("requestfailed", lambda request: problems.extend(failure(request)))
    page.on(
        "response",
        lambda answer: problems.extend([f"{answer.status}: {answer.url}"] * (answer.status >= 400)),
    )
    page.on("pageerror", lambda error: problems.append(f"script error: {error}"))
    page.on("console", lambda message: problems.extend(console_problem(message)))
    page.on("request", lambda request: problems.extend(foreign(request.url, address)))
    names = [path.relative_to(SITE).as_posix() for path in sorted(SITE.rglob("*.html"))]
    names = [name for name in names if not name.startswith(("_static/", "_sources/")) and name != "index.html"]
    found = {}
    for name in names:
        page.goto(address + name, wait_until="load")
        found[name] = [*problems, *page_problems(page.evaluate(LOOK), theme)]
        problems.clear()
    context.close()
    assert len(found) > 1
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_the_first_file_leads_to_the_start_page(browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address + "index.html")
    page.wait_for_url("**/book/index.html")
    page.close()


def tasks():
    """The rows of tasks.md: question, words to search for, page, words on that page."""
    rows = re.findall(
        r"^\| (.+?) \| (.+?) \| (\S+\.html) \| (.+?) \|$", (Path(__file__).parent / "tasks.md").read_text(), re.M
    )
    assert len(rows) == 10
    return rows


HITS = """() => [...document.querySelectorAll("#search-results ul.search li a")].map(a => a.getAttribute("href"))"""


@pytest.mark.parametrize(("question", "words", "page", "shown"), tasks())
def test_the_answer_is_two_clicks_away_and_the_first_hit(browser, address, question, words, page, shown):
    window = browser.new_page()
    window.goto(address + "book/index.html")
    targets = {window.url} if page == "book/index.html" else set()
    targets |= set(window.evaluate("() => [...document.querySelectorAll('a[href]')].map(a => a.href.split('#')[0])"))
    assert address + page in targets, f"{question} takes more than one click to its page"
    window.goto(address + page)
    assert shown.lower() in window.inner_text("main").lower()
    window.goto(f"{address}search.html?q={words.replace(' ', '+')}")
    window.wait_for_function("() => document.querySelectorAll('#search-results ul.search li').length > 0")
    window.wait_for_timeout(300)
    hits = window.evaluate(HITS)
    window.close()
    assert hits, f"nothing is found for {words!r}"
    assert hits[0].split("#")[0].split("?")[0].endswith(page), hits[:4]


def page_problems(look: dict, theme: str) -> list[str]:
    expected = {
        "theme": theme,
        "broken": [],
        "wrongVariant": 0,
        "hiddenVariant": 0,
        "mathErrors": [],
        "rawMath": 0,
    }
    wrong = [f"{name}: {look[name]}" for name, value in expected.items() if look[name] != value]
    return wrong + [f"scrolls sideways by {look['overflow']} px"] * (look["overflow"] > 0)


def failure(request) -> list[str]:
    # A request still under way when the test goes to the next page is aborted by the browser itself.
    return [] if request.failure == "net::ERR_ABORTED" else [f"{request.failure}: {request.url[:120]}"]


def console_problem(message) -> list[str]:
    allowed = message.type != "error" or any(text in message.text for text in ALLOWED_CONSOLE_ERRORS)
    return [] if allowed else [f"console: {message.text}"]


def foreign(url: str, address: str) -> list[str]:
    return [] if url.startswith((address, "data:", "blob:")) else [f"asked another host: {url}"]
