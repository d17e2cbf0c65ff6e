"""Downloads, against real servers on this machine's loopback."""

import contextlib
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from attn_tutorial.datasets.sources import fetch
from attn_tutorial.datasets.sources.fetch import FetchError, fetch_cifar10
from attn_tutorial.datasets.sources.layout import ARCHIVE_NAME

CONTENT = np.random.default_rng(0).bytes(1_000_000)


class Mirror(ThreadingHTTPServer):
    """A web server that behaves as told: how much a connection sends, how fast, whether it knows ranges."""

    def __init__(self, content: bytes = CONTENT, breaks_after: int | None = None, ranges: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.breaks_after, self.ranges = content, breaks_after, ranges
        self.pause_s = 0.0
        self.status: int | None = None
        self.asked: list[str | None] = []
        self.sent = 0
        self.url = f"http://127.0.0.1:{self.server_port}/{ARCHIVE_NAME}"


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        mirror = self.server
        wanted = self.headers["Range"]
        mirror.asked.append(wanted)
        if mirror.status:
            self.send_error(mirror.status)
            return
        start = 0
        if wanted and mirror.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(mirror.content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(mirror.content) - 1}/{len(mirror.content)}")
        else:
            self.send_response(200)
        body = mirror.content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for position in range(0, len(body[: mirror.breaks_after]), 50_000):
            piece = body[: mirror.breaks_after][position : position + 50_000]
            mirror.sent += len(piece)  # before it goes out: a client that has all of it may look at once
            self.wfile.write(piece)
            time.sleep(mirror.pause_s)

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # a client that left a slow mirror
            super().handle()


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Mirror]]]:
    started: list[Mirror] = []

    def start(*servers: Mirror) -> list[Mirror]:
        for server in servers:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            started.append(server)
        monkeypatch.setattr(fetch, "MIRRORS", tuple(server.url for server in servers))
        return list(servers)

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(fetch, "ARCHIVE_MD5", hashlib.md5(CONTENT).hexdigest())
    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def part_of(root: Path) -> Path:
    return root / "raw" / f"{ARCHIVE_NAME}.part"


def check_fetched(root: Path) -> None:
    archive = fetch_cifar10(root)
    assert archive == root / "raw" / ARCHIVE_NAME
    assert archive.read_bytes() == CONTENT
    assert not part_of(root).exists()


def test_download_once(tmp_path: Path, mirrors: Callable[..., list[Mirror]]) -> None:
    [mirror] = mirrors(Mirror())
    check_fetched(tmp_path)
    check_fetched(tmp_path)
    assert mirror.asked == [None], "what is there and right is not downloaded again"


def test_wrong_archive_in_place_is_replaced(tmp_path: Path, mirrors: Callable[..., list[Mirror]]) -> None:
    mirrors(Mirror())
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / ARCHIVE_NAME).write_bytes(CONTENT[:1000])
    check_fetched(tmp_path)


def test_begun_download_is_continued(tmp_path: Path, mirrors: Callable[..., list[Mirror]]) -> None:
    [mirror] = mirrors(Mirror())
    (tmp_path / "raw").mkdir()
    part_of(tmp_path).write_bytes(CONTENT[:400_000])
    check_fetched(tmp_path)
    assert mirror.asked == ["bytes=400000-"]
    assert mirror.sent == 600_000


def test_server_that_dies_midway(tmp_path: Path, mirrors: Callable[..., list[Mirror]]) -> None:
    [mirror] = mirrors(Mirror(breaks_after=300_000))
    check_fetched(tmp_path)
    assert mirror.asked == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_server_that_dies_midway_and_knows_no_ranges(tmp_path: Path, mirrors: Callable[..., list[Mirror]]) -> None:
    mirrors(Mirror(breaks_after=300_000, ranges=False))
    with pytest.raises(FetchError, match="broke after 300,000 of 1,000,000 bytes"):
        fetch_cifar10(tmp_path)
    assert part_of(tmp_path).read_bytes() == CONTENT[:300_000], "what came is kept"
    assert not (tmp_path / "raw" / ARCHIVE_NAME).exists()


def test_next_mirror_goes_on_where_the_first_stopped(tmp_path: Path, mirrors: Callable[..., list[Mirror]]) -> None:
    first, second = mirrors(Mirror(breaks_after=300_000, ranges=False), Mirror())
    check_fetched(tmp_path)
    assert len(first.asked) == 3
    assert second.asked == ["bytes=300000-"]


def test_server_without_ranges_starts_anew(tmp_path: Path, mirrors: Callable[..., list[Mirror]]) -> None:
    mirrors(Mirror(ranges=False))
    (tmp_path / "raw").mkdir()
    part_of(tmp_path).write_bytes(b"x" * 400_000)
    check_fetched(tmp_path)


@pytest.mark.parametrize("begun", [400_000, 1_000_000, 1_500_000])
def test_wrong_beginning_is_thrown_away(tmp_path: Path, mirrors: Callable[..., list[Mirror]], begun: int) -> None:
    [mirror] = mirrors(Mirror())
    (tmp_path / "raw").mkdir()
    part_of(tmp_path).write_bytes(b"x" * begun)
    check_fetched(tmp_path)
    assert mirror.asked == [f"bytes={begun}-", None]


def test_wrong_content_never_gets_the_name(tmp_path: Path, mirrors: Callable[..., list[Mirror]]) -> None:
    mirrors(Mirror(content=b"<html>log in first</html>"))
    with pytest.raises(FetchError, match="it sent something else: the md5 is not"):
        fetch_cifar10(tmp_path)
    assert [entry.suffix for entry in (tmp_path / "raw").iterdir()] in ([], [".lock"])
    wrong, right = mirrors(Mirror(content=b"<html>log in first</html>"), Mirror())
    check_fetched(tmp_path)
    assert (len(wrong.asked), len(right.asked)) == (1, 1)


def test_every_mirror_refuses(tmp_path: Path, mirrors: Callable[..., list[Mirror]]) -> None:
    gone, busy = Mirror(), Mirror()
    gone.status, busy.status = 404, 503
    mirrors(gone, busy)
    with pytest.raises(FetchError) as caught:
        fetch_cifar10(tmp_path)
    for piece in (
        gone.url,
        "404",
        busy.url,
        "503",
        str(tmp_path / "raw"),
        "ATTN_TUTORIAL_CIFAR10",
        "offline",
    ):
        assert piece in str(caught.value)


def test_nobody_answers(tmp_path: Path, mirrors: Callable[..., list[Mirror]]) -> None:
    [mirror] = mirrors(Mirror())
    mirror.shutdown()
    mirror.server_close()
    with pytest.raises(FetchError, match=r"(?s)Connection refused.*offline.*put it in .*raw"):
        fetch_cifar10(tmp_path)


def test_silent_server_is_left_soon(
    tmp_path: Path, mirrors: Callable[..., list[Mirror]], monkeypatch: pytest.MonkeyPatch
) -> None:
    silent, right = Mirror(), Mirror()
    silent.pause_s = 3
    mirrors(silent, right)
    monkeypatch.setattr(fetch, "TIMEOUT_S", 0.2)
    begun = time.monotonic()
    check_fetched(tmp_path)
    assert time.monotonic() - begun < 2.5


def test_slow_mirror_is_left_for_a_faster(
    tmp_path: Path, mirrors: Callable[..., list[Mirror]], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, right = Mirror(), Mirror()
    slow.pause_s = 0.1
    mirrors(slow, right)
    monkeypatch.setattr(fetch, "TRIAL_S", 0.15)
    monkeypatch.setattr(fetch, "SLOW_BYTES_PER_S", 2_000_000)
    check_fetched(tmp_path)
    assert slow.sent < 500_000
    assert right.asked[0] not in (None, "bytes=0-"), "the second mirror sends only the rest"


def test_slow_mirror_is_better_than_none(
    tmp_path: Path, mirrors: Callable[..., list[Mirror]], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, gone = Mirror(), Mirror()
    slow.pause_s = 0.02
    gone.status = 404
    mirrors(slow, gone)
    monkeypatch.setattr(fetch, "TRIAL_S", 0.05)
    monkeypatch.setattr(fetch, "SLOW_BYTES_PER_S", 100_000_000)
    check_fetched(tmp_path)
    assert len(slow.asked) == 2


def test_root_that_cannot_be_written(tmp_path: Path, mirrors: Callable[..., list[Mirror]]) -> None:
    mirrors(Mirror())
    (tmp_path / "raw").write_text("a file, not a folder")
    with pytest.raises(FetchError, match=r"cannot be written to .*raw"):
        fetch_cifar10(tmp_path)
