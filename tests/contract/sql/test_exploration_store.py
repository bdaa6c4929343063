from collections import Counter, defaultdict
from datetime import UTC, datetime, time, timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from lamella.adapters.sql.catalogue import SqlCatalogue
from lamella.adapters.sql.engine import create_engine
from lamella.adapters.sql.exploration import SqlFactStore
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.schema import arm, arm_member
from lamella.events.codec import encode
from lamella.events.contract import Click, Slate
from lamella.experiments.measures import metric_from_document
from lamella.metrics.health import COVERAGE, DIVERSITY, GINI, NEW_ITEMS, NORMALISED_CTR, NOVELTY, health
from lamella.services.measure_ports import Stretch
from lamella.services.model_ports import Item
from lamella.stats.moments import Moments
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import ITEMS, NOW
from recounting import PHASE, first_exposures, seen, unit_rows, varied_traffic

UNTIL = NOW + timedelta(days=1)
COLUMNS = ("impressions", "clicks", "clicked", "read_seconds", "slates")
STRETCH = Stretch(phase=PHASE, until=UNTIL, since=NOW - timedelta(days=10))


@pytest.fixture
def kept(engine):
    records = varied_traffic(5)
    journal, store = SqlJournal(engine, FakeClock(NOW), limit=10_000), SqlRecordStore(engine)
    for start in range(0, len(records), 200):
        journal.append(encode(records[start : start + 200]))
    store.ingest(limit=1_000, now=NOW + timedelta(hours=12))
    journal.close()
    SqlCatalogue(engine).put(
        [
            Item(
                key=key,
                title=key,
                published_at=NOW - timedelta(days=number / 10),
                attributes={"topic": f"t{number % 5}"} if number % 9 else {},
            )
            for number, key in enumerate((*ITEMS, "never-shown"))
        ]
    )
    return records


def test_segments_equal_a_recount_by_the_context_of_the_first_slate(engine, kept):
    store = SqlFactStore(engine)
    assert store.attributes(STRETCH) == ["age", "country", "is_new"]
    clicks = metric_from_document({"key": "clicks", "kind": "mean", "measure": {"event": "click"}})
    for by in (["country"], ["age", "is_new"]):
        found = store.cells(STRETCH, ("clicks",), by, [clicks])
        first = first_exposures(kept, PHASE, UNTIL)
        counted = Counter(
            each.unit
            for each in kept
            if isinstance(each, Click) and each.unit in first and each.time >= first[each.unit].at
        )
        expected = defaultdict(list)
        for unit, one in first.items():
            values = tuple(_text(one.context.get(name)) for name in by)
            expected[one.variant, values].append([float(counted[unit])])
        for cells in (found[""], found["clicks"]):
            assert {(each.variant, each.values) for each in cells} == set(expected)
            for each in cells:
                wanted = Moments.from_rows(each.moments.columns, expected[each.variant, each.values])
                assert each.moments.n == wanted.n
                np.testing.assert_allclose(each.moments.mean, wanted.mean, rtol=1e-9)
                np.testing.assert_allclose(each.moments.cross, wanted.cross, rtol=1e-8, atol=1e-9)


def _text(value):
    return None if value is None else str(value).lower()


@pytest.mark.parametrize("until", [UNTIL, NOW - timedelta(days=2, hours=3)])
def test_days_equal_a_recount_by_unit(engine, kept, until):
    stretch = Stretch(phase=PHASE, until=until, since=STRETCH.since)
    days = SqlFactStore(engine).days(stretch, ("clicks", "impressions", "clicked"))
    first = first_exposures(kept, PHASE, until)
    assert days.entered == Counter((one.variant, one.at.date()) for one in first.values())
    served = defaultdict(lambda: defaultdict(lambda: np.zeros(2)))
    for each in seen(kept):
        one = first.get(each.unit)
        if one and one.at <= each.time < until and each.kind in ("click", "impression"):
            served[each.unit][each.time.date()] += np.array([each.kind == "click", each.kind == "impression"])
    for each in days.daily:
        rows = [
            [*served[unit][each.day], float(served[unit][each.day][0] > 0)]
            for unit, one in first.items()
            if (one.variant, one.at.date()) == (each.variant, each.first_day) and each.day in served[unit]
        ]
        wanted = Moments.from_rows(each.moments.columns, rows)
        np.testing.assert_allclose(each.moments.n * each.moments.mean, wanted.n * wanted.mean, rtol=1e-9, atol=1e-9)
    for each in days.cumulative:
        end = datetime.combine(each.day + timedelta(days=1), time(), UTC)
        rows = [
            sum((value for day, value in served[unit].items() if day <= each.day), np.zeros(2))
            for unit, one in first.items()
            if one.variant == each.variant and one.at < end
        ]
        wanted = Moments.from_rows(each.moments.columns, [[*row, float(row[0] > 0)] for row in rows])
        assert each.moments.n == wanted.n
        np.testing.assert_allclose(each.moments.mean, wanted.mean, rtol=1e-9)
        np.testing.assert_allclose(each.moments.cross, wanted.cross, rtol=1e-8, atol=1e-8)


def test_units_in_two_experiments_are_told_apart_by_both_variants(engine, kept):
    found = SqlFactStore(engine).crossed_with(STRETCH, ("clicks",), PHASE + 1)
    sizes = {(each.variant, each.values): each.moments.n for each in found[""]}
    first = first_exposures(kept, PHASE, UNTIL)
    assert sizes == Counter((one.variant, ("only",)) for one in first.values())


def test_what_was_shown_equals_a_recount_of_the_lists(engine, kept):
    store = SqlFactStore(engine)
    shown = store.shown(STRETCH, blocks=64)
    first = first_exposures(kept, PHASE, UNTIL)
    slates = [
        each for each in kept if isinstance(each, Slate) and each.unit in first and each.time >= first[each.unit].at
    ]
    clicked = {(each.request_id, each.item) for each in kept if isinstance(each, Click)}
    published = {key: NOW - timedelta(days=number / 10) for number, key in enumerate(ITEMS)}
    topics = {key: number % 5 for number, key in enumerate(ITEMS) if number % 9}
    figures = health(shown, store.catalogue_size(UNTIL))
    everything = Counter(i.item for each in slates for i in each.impressions)
    by_rank = Counter(i.rank for each in slates for i in each.impressions)
    hits = Counter(i.rank for each in slates for i in each.impressions if (each.request_id, i.item) in clicked)
    for variant in ("a", "b"):
        own = [each for each in slates if first[each.unit].variant == variant]
        items = [(each, i) for each in own for i in each.impressions]
        counts = Counter(i.item for _, i in items)
        ordered = np.sort([*counts.values(), *[0] * (201 - len(counts))])
        gini = np.abs(ordered[:, None] - ordered[None, :]).sum() / (2 * 201 * ordered.sum())
        novelty = -np.mean([np.log2(everything[i.item] / everything.total()) for _, i in items])
        unlike = []
        for each in own:
            kinds = [topics[i.item] for i in each.impressions if i.item in topics]
            pairs = [kinds[a] != kinds[b] for a in range(len(kinds)) for b in range(a)]
            unlike += [np.mean(pairs)] if pairs else []
        fresh = np.mean([published[i.item] + timedelta(days=7) >= each.time for each, i in items])
        expected = sum(hits[i.rank] / by_rank[i.rank] for _, i in items)
        normalised = sum((each.request_id, i.item) in clicked for each, i in items) / expected
        got = {name: found[variant].value for name, found in figures.items()}
        assert got == pytest.approx(
            {
                COVERAGE: len(counts) / 201,
                GINI: gini,
                DIVERSITY: np.mean(unlike),
                NOVELTY: novelty,
                NEW_ITEMS: fresh,
                NORMALISED_CTR: normalised,
            },
            rel=1e-6,
        )


def test_built_in_and_declared_columns_agree_within_segments(engine, kept):
    declared = metric_from_document(
        {"key": "m", "kind": "ratio", "measure": {"event": "click"}, "denominator": {"event": "impression"}}
    )
    found = SqlFactStore(engine).cells(STRETCH, ("clicks", "impressions"), ["country"], [declared])
    assert len(found[""]) == len(found["m"]) == 8
    for one, other in zip(found[""], found["m"], strict=True):
        np.testing.assert_allclose(one.moments.cross, other.moments.cross, rtol=1e-9, atol=1e-9)
    assert {each.variant for each in found["m"]} == set(unit_rows(kept, declared))


@pytest.fixture
def on_postgresql(pg_database_url):
    engine = create_engine(pg_database_url)
    yield engine
    engine.dispose()


def test_what_is_explored_takes_one_process_of_postgresql_and_reports_take_what_they_get(on_postgresql):
    seen = []

    def look(connection, _cursor, statement, *_):
        if "exposed" in statement:
            own = connection.connection.driver_connection.execute("SHOW max_parallel_workers_per_gather")
            seen.append(own.fetchone()[0])

    sa.event.listen(on_postgresql, "before_cursor_execute", look)
    store = SqlFactStore(on_postgresql)
    clicks = metric_from_document({"key": "m", "kind": "mean", "measure": {"event": "click"}})
    median = metric_from_document({"key": "q", "kind": "quantile", "quantile": 0.5, "measure": {"event": "click"}})
    store.days(STRETCH, ("clicks",))
    store.attributes(STRETCH)
    store.cells(STRETCH, ("clicks",), ["country"], [clicks])
    store.crossed_with(STRETCH, ("clicks",), PHASE + 1)
    store.measured_aside(STRETCH, [clicks, median])
    with on_postgresql.begin() as connection:
        connection.execute(sa.insert(arm).values(id=1, signature="a"))
        connection.execute(sa.insert(arm_member).values(arm=1, phase=PHASE, variant="a", counted=True))
    store.shown(STRETCH, blocks=64)
    assert len(seen) >= 8
    assert set(seen) == {"0"}
    seen.clear()
    store.measured(STRETCH, [clicks, median])
    assert seen
    assert set(seen) == {"2"}
