"""lamella.js in a real browser, on a page of another origin, against a real web process."""

import http.server
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from e2e import chromium
from e2e.fault_lab import foreign_environment
from lamella.adapters import lifeline
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.schema import click, custom, interaction, read
from lamella.bootstrap.stores import Stores, stores
from lamella.config import Settings
from lamella.services.keys import Keys
from lamella.services.recording import Recording
from lamella.testing.proxies import Mode, Proxy, proxy
from lamella.testing.traffic import slate

BROWSER = chromium.find()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(BROWSER is None, reason=chromium.HOW),
]

PAGE = """<!doctype html><title>news</title><style>div {{ height: 100px }} #far {{ margin-top: 3000px }}</style>
<div id=top>one</div><div id=brief>two</div>
<article id=story style="height: 2000px">long</article><div id=far>three</div>
<script src="{service}/v1/lamella.js"></script>
<script>
  const track = lamella({{key: "{key}", unit: "{unit}", every: 100}});
  for (const id of ["top", "brief", "far"]) track.watch(document.getElementById(id), id, "{request}");
  const end = track.read(document.getElementById("story"), "story", "{request}");
</script>"""
GUIDE = Path(__file__).parents[2] / "docs" / "browser.md"
ITEMS = ("top", "brief", "far", "story")
TICK = 0.01
"""What the clocks of the browser and of this process may differ by, in seconds."""
Wait = Callable[[Callable[[], object], float], float]
Seconds = tuple[float, float]


@dataclass
class Service:
    """A web process behind a proxy, and the server of another origin's page."""

    stores: Stores
    proxy: Proxy
    origin: str
    key: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.proxy.port}"


@dataclass
class Site:
    """The service with one reader, to whom one list was shown."""

    service: Service
    unit: str
    request: str

    @property
    def page(self) -> str:
        return f"{self.service.origin}/"

    @property
    def proxy(self) -> Proxy:
        return self.service.proxy

    def rows(self, table: sa.Table) -> list[sa.RowMapping]:
        """What is stored of the reader."""
        stores = self.service.stores
        while stores.record.ingest(limit=500, now=datetime.now(UTC)).batches:
            pass
        with stores.engine.connect() as connection:
            return list(connection.execute(sa.select(table).where(table.c.unit == self.unit)).mappings())


@pytest.fixture(scope="module")
def tab_maker() -> Iterator[chromium.Browser]:
    with chromium.chromium(BROWSER or "") as browser:
        yield browser


@pytest.fixture(scope="module")
def service(migrated_sqlite: Path, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("browser")
    shutil.copy(migrated_sqlite, folder / "lamella.db")
    pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    origin = f"http://127.0.0.1:{pages.server_port}"
    settings = Settings(data_dir=folder, redis_url=redis_url, port=_free_port(), cors_origins=origin)
    found = stores(settings)
    with (folder / "web.log").open("ab") as log:
        web = subprocess.Popen(
            lifeline.command([sys.executable, "-m", "lamella", "web"]),
            env={**foreign_environment(), **settings.to_environment()},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    try:
        with proxy("127.0.0.1", settings.port) as between:
            _wait_for(settings.port)
            yield Service(found, between, origin, Keys(found.keys, found.clock).create("page", "collector"))
    finally:
        pages.shutdown()
        pages.server_close()
        web.send_signal(signal.SIGTERM)
        web.wait(60)
        found.engine.dispose()


@pytest.fixture
def site(service: Service) -> Site:
    return new_site(service)


def new_site(service: Service) -> Site:
    site = Site(service, unit=f"reader-{uuid.uuid4().hex}", request=f"request-{uuid.uuid4().hex}")
    now = datetime.now(UTC)
    journal = SqlJournal(service.stores.engine, service.stores.clock, limit=100)
    shown = slate(site.request, unit=site.unit, time=now, items=ITEMS)
    Recording(journal, service.stores.clock).slate(shown)
    journal.close()
    service.proxy.mode = Mode.OPEN
    Pages.body = PAGE.format(service=service.url, key=service.key, unit=site.unit, request=site.request)
    return site


class Pages(http.server.BaseHTTPRequestHandler):
    body = ""

    def do_GET(self) -> None:
        content = self.body.encode()
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Silence."""


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2).close()
        except OSError:
            assert time.monotonic() < deadline, "the web process does not answer"
            time.sleep(0.1)
        else:
            return


def without_the_brief_one(service: Service, tab_maker: chromium.Browser) -> tuple[Site, chromium.Page, Seconds]:
    """A page whose second item was gone before a second was over; when the page was asked for, and was there."""
    for _ in range(10):
        site, asked = new_site(service), time.monotonic()
        page = tab_maker.page(site.page)
        there = time.monotonic()
        page.run("document.getElementById('brief').style.display = 'none'")
        for _ in range(2):
            page.run("new Promise(requestAnimationFrame)")
        if page.run("performance.now()") < 1_000:
            return site, page, (asked, there)
        page.close()
    raise AssertionError("no page was there within a second")


def test_what_a_reader_sees_and_does_is_recorded_once(
    service: Service, tab_maker: chromium.Browser, wait_until: Wait
) -> None:
    site, page, (asked, there) = without_the_brief_one(service, tab_maker)
    page.click("#top")
    page.run(f"track.interaction('share', 'top', '{site.request}'); track.custom('rating', 4.5, 'top')")
    wait_until(lambda: len(site.rows(custom)) == 2, 60)
    seen = time.monotonic()
    page.run("scrollTo(0, document.getElementById('story').offsetTop + 1000 - innerHeight)")
    page.run("new Promise(requestAnimationFrame)")
    page.wait("track.waiting === 0")
    # Two seconds in which nobody looks are not read.
    hiding = time.monotonic()
    page.run("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.run("document.dispatchEvent(new Event('visibilitychange'))")
    hidden = time.monotonic()
    time.sleep(2)
    showing = time.monotonic()
    page.run("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    page.open("about:blank")
    gone = time.monotonic()

    wait_until(lambda: site.rows(read) and site.rows(interaction) and site.rows(click), 60)
    (shared,), (clicked,), (story,) = site.rows(interaction), site.rows(click), site.rows(read)
    assert (shared["action"], shared["item"]) == ("share", "top")
    assert (clicked["item"], clicked["request_id"]) == ("top", site.request)
    assert hiding - there - TICK <= story["read_seconds"] <= gone - asked - (showing - hidden) + TICK
    assert story["completion"] == pytest.approx(0.5, abs=0.01)
    told = {(each["name"], each["item"]): each["value"] for each in site.rows(custom)}
    assert set(told) == {("rating", "top"), ("visible", "top")}, "an item counts as seen after a second, once"
    assert 1.0 <= told["visible", "top"] <= seen - asked + TICK


def numbers(site: Site) -> list[float]:
    return [each["value"] for each in site.rows(custom) if each["name"] == "n"]


def test_what_the_network_lost_is_sent_again_with_the_same_ids(
    site: Site, tab_maker: chromium.Browser, wait_until: Wait
) -> None:
    page = tab_maker.page(site.page)
    site.proxy.mode = Mode.CUT
    page.run("for (let i = 0; i < 7; i++) track.custom('n', i)")
    wait_until(lambda: site.proxy.lost >= 2, 60)
    site.proxy.mode = Mode.REFUSE
    page.run("for (let i = 7; i < 20; i++) track.custom('n', i)")
    page.open("about:blank")
    # What was taken is durable at once, and in the inbox a little later.
    wait_until(lambda: len(numbers(site)) >= 7, 60)
    assert sorted(numbers(site)) == list(range(7)), "committed, though the browser was never told"

    site.proxy.mode = Mode.OPEN
    again = tab_maker.page(site.page)
    again.wait("track.waiting === 0", 60)
    wait_until(lambda: len(numbers(site)) >= 20, 60)
    assert sorted(numbers(site)) == list(range(20))
    assert again.run("track.dropped") == 0
    again.close()


def test_the_page_of_the_guide_records_what_it_says(site: Site, tab_maker: chromium.Browser, wait_until: Wait) -> None:
    (page,) = re.findall(r"```html\n(.*?)```", GUIDE.read_text("utf-8"), flags=re.DOTALL)
    assert {"https://lamella.example.org", "lam_COLLECTOR"} <= set(re.findall(r"https://[\w.]+|lam_[A-Z]+", page))
    page = page.replace("https://lamella.example.org", site.service.url).replace("lam_COLLECTOR", site.service.key)
    Pages.body = page.replace("request-1", site.request).replace("reader-1", site.unit)
    tab = tab_maker.page(site.page)
    tab.click("[data-item=brief] a")
    tab.click("button")
    # What it shows has to be seen for a second, and nothing on the page says that it was.
    time.sleep(5)
    tab.open("about:blank")
    wait_until(lambda: site.rows(read) and len(site.rows(custom)) == 2 and site.rows(click), 60)
    assert [each["item"] for each in site.rows(click)] == ["brief"]
    assert [(each["item"], each["action"]) for each in site.rows(interaction)] == [("story", "share")]
    assert [(each["item"], each["completion"]) for each in site.rows(read)] == [("story", 1.0)]
    assert {each["item"] for each in site.rows(custom)} == {"top", "brief"}


def test_the_spool_is_bounded_and_counts_what_it_drops(site: Site, tab_maker: chromium.Browser) -> None:
    page = tab_maker.page(site.page)
    site.proxy.mode = Mode.REFUSE
    page.run("for (let i = 0; i < 620; i++) track.custom('n', i)")
    assert page.run("track.waiting") == 500
    assert page.run("track.dropped") >= 120
    stored = "Object.keys(localStorage).map((name) => JSON.parse(localStorage.getItem(name)).events.length)"
    assert max(page.run(stored)) <= 501
    page.run("localStorage.clear()")
    page.close()
