import threading
import time

from structlog.testing import capture_logs

from lamella.errors import StoreUnavailable
from lamella.web.polling import Poller


class Holder:
    def __init__(self) -> None:
        self.refreshed = threading.Semaphore(0)
        self.fault: Exception | None = None

    def refresh(self) -> None:
        self.refreshed.release()
        if self.fault is not None:
            raise self.fault


def test_the_snapshot_is_refreshed_again_and_again_once_started():
    holder = Holder()
    poller = Poller("snapshot", holder, 0.001)
    poller.start()
    assert all(holder.refreshed.acquire(timeout=60) for _ in range(3))
    poller.stop()


def test_starting_twice_runs_one_thread():
    def of_the_poller() -> int:
        return sum(each.name == "lamella-twice" for each in threading.enumerate())

    poller = Poller("twice", Holder(), 0.01)
    poller.start()
    poller.start()
    assert of_the_poller() == 1
    poller.stop()
    assert of_the_poller() == 0


def test_a_stopped_poller_can_start_again():
    holder = Holder()
    poller = Poller("snapshot", holder, 0.001)
    poller.start()
    poller.stop()
    while holder.refreshed.acquire(blocking=False):
        pass
    poller.start()
    assert holder.refreshed.acquire(timeout=60)
    poller.stop()


def test_a_store_that_is_down_is_logged_once_and_its_return_too():
    holder = Holder()
    poller = Poller("snapshot", holder, 60)
    holder.fault = StoreUnavailable("down")
    with capture_logs() as logs:
        poller.poll()
        poller.poll()
        holder.fault = None
        poller.poll()
    assert [line["event"] for line in logs] == ["not_refreshed", "refreshed_again"]


def test_an_unexpected_fault_does_not_end_the_thread():
    holder = Holder()
    holder.fault = RuntimeError("surprise")
    poller = Poller("snapshot", holder, 0.001)
    with capture_logs():
        poller.start()
        assert all(holder.refreshed.acquire(timeout=60) for _ in range(3))
        poller.stop()


def test_the_thread_never_keeps_a_process_alive():
    poller = Poller("lasting", Holder(), 3_600)
    poller.start()
    thread = next(each for each in threading.enumerate() if each.name == "lamella-lasting")
    assert thread.daemon
    started = time.monotonic()
    poller.stop()
    assert time.monotonic() - started < 60


def test_what_follows_a_refresh_does_not_follow_a_failed_one():
    holder = Holder()
    followed: list[bool] = []
    poller = Poller("snapshot", holder, 60, then=lambda: followed.append(True))
    poller.poll()
    holder.fault = StoreUnavailable("down")
    with capture_logs():
        poller.poll()
    assert followed == [True]
