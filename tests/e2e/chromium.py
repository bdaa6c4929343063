"""A headless Chromium, driven by the DevTools protocol over a pipe: no driver, no port, no package.

The browser is the one that LAMELLA_BROWSER names, or the first that is on PATH. `find` is None where there is none.
"""

import fcntl
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
HOW = "no Chromium: install one (Debian and Ubuntu: apt-get install chromium) or set LAMELLA_BROWSER to its path"
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--window-size=800,600",
    "--remote-debugging-pipe",
)
_PATIENCE_SECONDS = 60.0


def find() -> str | None:
    """The path of a browser."""
    named = os.environ.get("LAMELLA_BROWSER")
    if named:
        return named
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """A running browser; `page` opens tabs."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._out, self._in = to_browser, from_browser
        self._unread = b""
        self._number = 0

    def call(self, method: str, session: str | None = None, **parameters: object) -> dict[str, Any]:
        """What the browser answers to a command of the protocol; events that come before it are passed over."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return dict(answer["result"])
        raise TimeoutError(f"{method} was not answered")

    def page(self, url: str) -> "Page":
        """A new tab with the page loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, target, session)
        page.open(url)
        return page

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            chunk = os.read(self._in, 65536)
            if not chunk:
                raise ConnectionError("the browser ended")
            self._unread += chunk
        message, self._unread = self._unread.split(b"\0", 1)
        return dict(json.loads(message))


class Page:
    """One tab."""

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self._browser, self._target, self._session = browser, target, session

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """What the tab answers to a command of the protocol."""
        return self._browser.call(method, self._session, **parameters)

    def open(self, url: str) -> None:
        """Goes to the page; returns when it is loaded."""
        failure = self.call("Page.navigate", url=url).get("errorText")
        assert not failure, (url, failure)
        self.wait(f"document.readyState === 'complete' && location.href.startsWith({json.dumps(url)})")

    def run(self, script: str) -> Any:
        """The value of the JavaScript, awaited where it is a promise."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, claim: str, seconds: float = 20.0) -> None:
        """Returns when the JavaScript is true."""
        deadline = time.monotonic() + seconds
        while not self.run(claim):
            assert time.monotonic() < deadline, f"waited in vain for {claim}"
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        """A press of the left mouse button in the middle of the element."""
        place = self.run(
            f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def close(self) -> None:
        """Closes the tab as a reader does: the page hears of it."""
        self._browser.call("Target.closeTarget", targetId=self._target)


@contextmanager
def chromium(path: str) -> Iterator[Browser]:
    """The browser at `path` with a profile of its own, gone at the end of the block."""
    commands, to_browser = _pipe()
    from_browser, answers = _pipe()
    with tempfile.TemporaryDirectory(prefix="lamella-browser-", ignore_cleanup_errors=True) as profile:
        pid = _spawn([path, *_FLAGS, f"--user-data-dir={profile}", "about:blank"], commands, answers)
        os.close(commands)
        os.close(answers)
        try:
            browser = Browser(to_browser, from_browser)
            yield browser
            browser.call("Browser.close")
        finally:
            os.close(to_browser)
            os.close(from_browser)
            _end(pid)


def _pipe() -> tuple[int, int]:
    """A pipe whose descriptors are not among those that the browser wants."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]


def _spawn(command: list[str], commands: int, answers: int) -> int:
    """The pid of the browser: it reads its commands from descriptor 3 and answers on 4."""
    silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    wired = [(os.POSIX_SPAWN_DUP2, commands, 3), (os.POSIX_SPAWN_DUP2, answers, 4)]
    return os.posix_spawn(command[0], command, os.environ, file_actions=[*silent, *wired], setsid=True)


def _end(pid: int) -> None:
    """Waits for the browser, ten seconds at most; then it is killed."""
    for _ in range(200):
        if os.waitpid(pid, os.WNOHANG)[0]:
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
