"""An admin's change in two real web processes: announced over Redis, they take it over long before they would poll."""

import threading
import time
from pathlib import Path

import pytest
from redis import Redis

from lamella.adapters.redis import channel as channel_module
from lamella.adapters.redis.channel import NAME, Channel
from lamella.errors import BrokerUnavailable
from web_processes import Web, free_port, processes


def seconds_until(web: Web, value: str) -> float:
    began = time.monotonic()
    while web.default != value:
        assert time.monotonic() < began + 150, f"{web.url} still has {web.default}"
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel that does not take a busy machine for a Redis that is away."""
    connect = Channel._connect
    monkeypatch.setattr(channel_module, "_PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr(Channel, "_connect", lambda channel, _: connect(channel, 60.0))


def test_a_change_reaches_each_process_long_before_it_polls_and_drops_no_request(
    tmp_path: Path, pg_database_url: str, redis_url: str
) -> None:
    with processes(2, tmp_path, pg_database_url, redis_url) as webs:
        stop = threading.Event()
        threads = [threading.Thread(target=web.load, args=(stop,)) for web in webs]
        for thread in threads:
            thread.start()
        took: dict[str, list[float]] = {web.url: [] for web in webs}
        for value in ("textcnn", "gru", "mf", "gru"):
            webs[0].call("PATCH", "/v1/admin/parameters/rank.model", {"default": value}, role="admin")
            for web in webs:
                took[web.url].append(seconds_until(web, value))
        deadline = time.monotonic() + 150
        while not all(web.asked > 10 for web in webs):
            assert time.monotonic() < deadline, "a web process answers too little"
            time.sleep(0.02)
        stop.set()
        for thread in threads:
            thread.join()
        # An announcement may be lost where Redis is slow. Who only polls, once a minute, has one early change at most:
        # each of the others is made just after a poll.
        assert all(sum(seconds < 30 for seconds in each) >= 2 for each in took.values()), took
        assert [web.failed for web in webs] == [[], []]


def test_without_redis_a_process_starts_serves_and_takes_changes(tmp_path: Path, sqlite_database_url: str) -> None:
    with processes(1, tmp_path, sqlite_database_url, f"redis://127.0.0.1:{free_port()}/0") as (web,):
        changed = web.call("PATCH", "/v1/admin/parameters/rank.model", {"default": "gru"}, role="admin")
        assert changed["default"] == web.default == "gru"


class Heard:
    """A listener on a channel, in a thread."""

    def __init__(self, url: str) -> None:
        self.times = 0
        self.ended: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, args=(Channel(url),))
        self._thread.start()

    def _listen(self, channel: Channel) -> None:
        try:
            channel.listen(self._hear, self._stop)
        except BrokerUnavailable as error:
            self.ended = error

    def _hear(self) -> None:
        self.times += 1

    def wait(self, times: int) -> None:
        deadline = time.monotonic() + 60
        while self.times < times and self.ended is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.usefixtures("patient")
def test_each_announcement_is_heard_and_so_is_the_beginning(redis_url: str) -> None:
    heard, channel = Heard(redis_url), Channel(redis_url)
    heard.wait(1)
    channel.announce(7)
    heard.wait(2)
    channel.announce(8)
    heard.wait(3)
    heard.close()
    assert heard.ended is None


@pytest.mark.usefixtures("patient")
def test_a_lost_connection_is_told(redis_url: str) -> None:
    heard = Heard(redis_url)
    heard.wait(1)
    with Redis.from_url(redis_url) as client:
        assert client.pubsub_numsub(NAME)[0][1] >= 1
        client.client_kill_filter(_type="pubsub")
    heard.wait(99)
    heard.close()
    assert isinstance(heard.ended, BrokerUnavailable)


def test_an_announcement_that_nobody_takes_is_tried_once_for_some_time_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried, publish = list[object](), Redis.publish

    def counted(client: Redis, name: str, version: int) -> object:
        tried.append(version)
        return publish(client, name, version)

    monkeypatch.setattr(Redis, "publish", counted)
    monkeypatch.setattr(channel_module, "_QUIET_SECONDS", 3_600.0)
    channel = Channel(f"redis://127.0.0.1:{free_port()}/0")
    for version in range(100):
        channel.announce(version)
    assert tried == [0]


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://nobody.invalid:6379/0"])
def test_nobody_listens_where_there_is_no_redis(url: str) -> None:
    with pytest.raises(BrokerUnavailable, match="does not answer"):
        Channel(url).listen(lambda: None, threading.Event())
