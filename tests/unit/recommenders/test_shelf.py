"""What a web process knows of the items."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from lamella.errors import StoreUnavailable
from lamella.recommenders.candidates import ItemRows
from lamella.recommenders.shelf import Shelf
from lamella.services.model_ports import Item
from lamella.testing.fakes import MemoryCatalogue

NOW = datetime(2026, 3, 2, tzinfo=UTC)
KEYS = ("a", "b", "c", "unlisted")
SPORT = {"==": [{"var": "topic"}, "sport"]}


class Ticks:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def item(key: str, topic: str, age_hours: float = 0.0) -> Item:
    return Item(key=key, title=key, published_at=NOW - timedelta(hours=age_hours), attributes={"topic": topic})


def shelf_of(*items: Item, ticks: Ticks | None = None) -> tuple[Shelf, MemoryCatalogue]:
    catalogue = MemoryCatalogue()
    catalogue.put(items)
    shelf = Shelf(catalogue, refresh_seconds=10, monotonic=ticks or Ticks())
    shelf.refresh()
    return shelf, catalogue


def rows(*places: int, reference: str = "mf@1") -> ItemRows:
    return ItemRows(reference, KEYS, np.array(places, dtype=np.int64))


@pytest.mark.parametrize("items", [rows(2, 1, 0, 3), ["c", "b", "a", "unlisted"]])
def test_a_filter_looks_at_the_attributes_and_leaves_out_what_it_does_not_know(items) -> None:
    shelf, _ = shelf_of(item("a", "sport"), item("b", "news"), item("c", "sport"))
    assert shelf.allowed(items, SPORT).tolist() == [True, False, True, False]


class Meanwhile(Mapping[str, str]):
    """The topic sport; when it is looked at for the first time, something happens."""

    def __init__(self, happens: Callable[[], None]) -> None:
        self._due = [happens]

    def __getitem__(self, name: str) -> str:
        return {"topic": "sport"}[name]

    def __iter__(self) -> Iterator[str]:
        if self._due:
            self._due.pop()()
        return iter(["topic"])

    def __len__(self) -> int:
        return 1


def test_a_filter_that_was_being_worked_out_while_the_items_changed_is_not_kept() -> None:
    catalogue = MemoryCatalogue()
    shelf = Shelf(catalogue, refresh_seconds=0, monotonic=Ticks())

    def change() -> None:
        catalogue.put([item("a", "news")])
        shelf.refresh()

    catalogue.put([Item(key="a", title="a", published_at=NOW, attributes=Meanwhile(change))])
    shelf.refresh()
    assert shelf.allowed(rows(0), SPORT).tolist() == [True]
    assert shelf.allowed(rows(0), SPORT).tolist() == [False]


def test_a_filter_may_name_items_by_key() -> None:
    shelf, _ = shelf_of(item("a", "sport"))
    assert shelf.allowed(rows(0, 1, 3), {"in": [{"var": "item"}, ["a", "unlisted"]]}).tolist() == [True, False, True]


@pytest.mark.parametrize("items", [rows(0, 1, 3), ["a", "b", "unlisted"]])
def test_freshness_halves_with_every_half_life(items) -> None:
    shelf, _ = shelf_of(item("a", "x", 0), item("b", "x", 12))
    assert shelf.freshness(items, now=NOW, half_life_hours=6).tolist() == pytest.approx([1.0, 0.25, 0.0])


def test_what_is_published_in_the_future_is_of_this_moment() -> None:
    shelf, _ = shelf_of(item("a", "x", -5))
    assert shelf.freshness(["a"], now=NOW, half_life_hours=1).tolist() == [1.0]


def test_a_changed_item_is_seen_once_the_shelf_is_old() -> None:
    ticks = Ticks()
    shelf, catalogue = shelf_of(item("a", "sport"), ticks=ticks)
    assert shelf.allowed(rows(0), SPORT).tolist() == [True]
    catalogue.put([item("a", "news")])
    shelf.refresh()
    assert shelf.allowed(rows(0), SPORT).tolist() == [True]
    ticks.now = 11
    shelf.refresh()
    assert shelf.allowed(rows(0), SPORT).tolist() == [False]


def test_while_the_store_is_away_the_known_items_stay() -> None:
    class Away(MemoryCatalogue):
        is_away = False

        def all(self):
            if self.is_away:
                raise StoreUnavailable("away")
            return super().all()

    ticks, catalogue = Ticks(), Away()
    catalogue.put([item("a", "sport")])
    shelf = Shelf(catalogue, refresh_seconds=1, monotonic=ticks)
    shelf.refresh()
    catalogue.is_away, ticks.now = True, 5
    with pytest.raises(StoreUnavailable):
        shelf.refresh()
    assert shelf.allowed(["a"], SPORT).tolist() == [True]
