import threading
from collections.abc import Mapping
from datetime import timedelta

import pytest

from configurations import draft, newsroom, running
from lamella.errors import InvalidInput, StoreUnavailable
from lamella.experiments.model import BUCKETS, BucketRange, Configuration, Holdout, Json
from lamella.experiments.traffic import add_holdout
from lamella.services.assigning import Assigning, SnapshotHolder, check_context, check_unit
from lamella.testing.configurations import MemoryConfigurationStore
from lamella.testing.fakes import START, FakeClock


class FlakyStore(MemoryConfigurationStore):
    """A configuration store that can be switched off, and counts how often it is read whole."""

    def __init__(self, configuration: Configuration | None = None) -> None:
        super().__init__(configuration)
        self.is_down = False
        self.loads = 0

    def version(self) -> int:
        """The version. Raises StoreUnavailable while it is down."""
        if self.is_down:
            raise StoreUnavailable("the SQL store does not answer")
        return super().version()

    def load(self) -> Configuration:
        """The configuration. Raises StoreUnavailable while it is down."""
        if self.is_down:
            raise StoreUnavailable("the SQL store does not answer")
        self.loads += 1
        return super().load()


def committed(store: MemoryConfigurationStore, after: Configuration) -> Configuration:
    return store.commit(after, author="anna", action="create", at=START)


def test_a_holder_begins_empty_and_takes_the_newest_configuration() -> None:
    store = FlakyStore()
    holder = SnapshotHolder(store)
    assert (holder.current().version, holder.is_loaded) == (0, False)
    committed(store, newsroom())
    assert holder.refresh()
    assert (holder.current().version, holder.is_loaded) == (1, True)


def test_a_holder_loads_only_what_is_newer() -> None:
    store = FlakyStore()
    holder = SnapshotHolder(store)
    assert [holder.refresh(), holder.refresh(), holder.refresh()] == [True, False, False]
    assert store.loads == 1
    first = holder.current()
    committed(store, newsroom())
    assert holder.refresh()
    assert holder.current() is not first
    assert first.version == 0


def test_a_store_that_fails_leaves_the_old_snapshot_in_force_and_is_counted() -> None:
    store = FlakyStore()
    committed(store, newsroom())
    holder = SnapshotHolder(store)
    holder.refresh()
    old = holder.current()
    store.is_down = True
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            holder.refresh()
    assert holder.current() is old
    assert holder.failures == 3


def test_a_configuration_that_cannot_assign_leaves_the_old_snapshot_in_force() -> None:
    store = FlakyStore()
    holder = SnapshotHolder(store)
    holder.refresh()
    committed(store, running(newsroom(), draft()))
    holder.refresh()
    doubled = store.load()
    twice = draft("twice")
    other = running(newsroom(), twice).experiments[0]
    committed(store, Configuration(**{**as_fields(doubled), "experiments": (*doubled.experiments, other)}))
    with pytest.raises(InvalidInput, match="overlap"):
        holder.refresh()
    assert holder.current().version == 1
    assert holder.failures == 1


def as_fields(configuration: Configuration) -> dict[str, object]:
    names = ("version", "layers", "parameters", "experiments", "killed")
    return {name: getattr(configuration, name) for name in names}


def test_assigning_goes_on_in_many_threads_while_the_snapshot_is_swapped() -> None:
    store = MemoryConfigurationStore()
    committed(store, running(newsroom(), draft(ranges=[(0, BUCKETS)])))
    holder = SnapshotHolder(store)
    holder.refresh()
    assigning = Assigning(holder)
    wanted = assigning.assign("reader-1", {}).parameters
    stop, wrong = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            decision = assigning.assign("reader-1", {})
            if decision.parameters != wanted or len(decision.assignments) != 2:
                wrong.append(decision)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        committed(store, store.load())
        holder.refresh()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert holder.current().version == 51


def test_explaining_answers_as_assigning_does() -> None:
    store = MemoryConfigurationStore(running(newsroom(), draft(ranges=[(0, BUCKETS)])))
    holder = SnapshotHolder(store)
    holder.refresh()
    explained = Assigning(holder).explain("reader-1", {})
    assert explained["parameters"] == Assigning(holder).assign("reader-1", {}).parameters


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ("", "the unit is empty"),
        ("a" * 257, "has 257 characters; send an id of at most 256"),
        ("a" * 10_000, "has 10000 characters"),
        ("reader\n1", "control character U\\+000A"),
        ("reader\x00", "control character U\\+0000"),
        ("reader\x9f", "control character U\\+009F"),
        ("\ud800", "control character U\\+D800"),
        (7, "the unit is an integer"),
        (None, "the unit is null"),
    ],
)
def test_a_bad_unit_is_refused_with_how_to_mend_it(unit: object, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        check_unit(unit)
    with pytest.raises(InvalidInput, match=words):
        Assigning(SnapshotHolder(MemoryConfigurationStore())).assign(unit, {})  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", ["a", "a" * 256, "读者 1", "👩🏽‍💻", "a:b/c@d", "İ"])
def test_any_other_text_is_a_unit(unit: str) -> None:
    assert check_unit(unit) == unit


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ([], "the context is a list"),
        (None, "the context is null"),
        ({"a": {1: 2}}, "JSON keys are text"),
        ({"a": float("inf")}, "send a finite one"),
        ({"a": 2**64}, "64 bits"),
    ],
)
def test_a_bad_context_is_refused(context: object, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        check_context(context)


def test_a_context_nested_without_end_is_refused() -> None:
    deep: Json = {}
    for _ in range(5_000):
        deep = {"a": deep}
    assert isinstance(deep, Mapping)
    with pytest.raises(InvalidInput, match="nested more than 32 levels"):
        check_context(deep)


def test_a_holdout_begins_and_ends_at_its_time_without_a_new_version() -> None:
    everybody = (BucketRange(start=0, stop=BUCKETS),)
    begins, ends = START + timedelta(hours=1), START + timedelta(hours=2)
    holdout = Holdout(key="spring", salt="spring", ranges=everybody, starts_at=begins, ends_at=ends)
    store, clock = FlakyStore(), FakeClock()
    committed(store, add_holdout(running(newsroom(), draft(ranges=[(0, BUCKETS)])), holdout))
    holder = SnapshotHolder(store, clock)
    seen = []
    for _ in range(4):
        holder.refresh()
        one = holder.current().assign("reader-1").assignments[1]
        seen.append((one.variant is None, one.detail))
        assert not holder.refresh()
        clock.move(timedelta(minutes=45))
    assert seen == [(False, ""), (False, ""), (True, "held out by 'spring'"), (False, "")]


@pytest.mark.parametrize("units", [{}, {"phone": "x"}, {"user": ""}, {"user": "a\nb"}, {"device": "x" * 10_000}])
def test_units_that_cannot_be_randomised_are_bad_input(units: dict[str, str]) -> None:
    holder = SnapshotHolder(FlakyStore())
    with pytest.raises(InvalidInput):
        Assigning(holder).assign(units, {})
