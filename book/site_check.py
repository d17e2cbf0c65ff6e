"""What every built page must hold: images and links that resolve, nothing from another host, no traceback."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADING_RELATIONS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect"}
_REMOTE_CSS = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")
_REMOTE = re.compile(r"(?:https?:)?//")


def check_site(folder: Path) -> list[str]:
    """Problems found in the built site at ``folder``, one line each; empty if there is none."""
    problems = []
    for page in sorted(folder.rglob("*.html")):
        if "_static" not in page.relative_to(folder).parts:
            problems += [f"{page.relative_to(folder)}: {problem}" for problem in check_page(page)]
    for sheet in sorted(folder.rglob("*.css")):
        for address in _REMOTE_CSS.findall(sheet.read_text(encoding="utf-8")):
            problems.append(f"{sheet.relative_to(folder)}: loads {address} from another host")
    return problems


def check_page(page: Path) -> list[str]:
    """Problems of one HTML file, whose relative references are resolved in its folder."""
    reader = _Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    problems = list(reader.problems)
    for address in reader.loaded:
        if _REMOTE.match(address):
            problems.append(f"loads {address} from another host")
        elif not _resolves(address, page):
            problems.append(f"{address} does not exist")
    problems += [
        f"links to {address}, which does not exist"
        for address in reader.linked
        if not _REMOTE.match(address) and not _resolves(address, page)
    ]
    return problems


class _Reader(HTMLParser):
    """Collects what a page loads, where it links to, and what must not be on it."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.problems: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        relations = set(given.get("rel", "").split())
        self._in_style = tag == "style"
        if tag == "a" and given.get("href"):
            self.linked.append(given["href"])
        elif tag == "link" and relations & _LOADING_RELATIONS:
            self.loaded.append(given.get("href", ""))
        elif given.get("src"):
            self.loaded.append(given["src"])
        elif tag == "img":
            self.problems.append("has an image without a source")
        if tag == "img" and "alt" not in given:
            self.problems.append(f"has an image without alt text: {given.get('src', '')[:80]}")
        if "traceback" in given.get("class", "").split():
            self.problems.append("shows a traceback")
        self._find_remote_css(given.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self._find_remote_css(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def _find_remote_css(self, text: str) -> None:
        self.problems += [f"loads {address} from another host" for address in _REMOTE_CSS.findall(text)]


def _resolves(address: str, page: Path) -> bool:
    parts = urlsplit(address)
    return bool(parts.scheme) or not parts.path or (page.parent / unquote(parts.path)).is_file()
