"""The kept snapshot: holdouts begin and end at their time, without a new document."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from flagd_configurations import everything
from lamella.client.keeping import KeptSnapshot
from lamella.errors import InvalidInput, Unavailable
from lamella.experiments.model import BucketRange, Holdout
from lamella.experiments.snapshot_document import configuration_of, snapshot_document

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class Answers:
    """A transport that answers with one document, or with an error."""

    def __init__(self, body: bytes) -> None:
        self.body: bytes | Exception = body
        self.asked: list[str | None] = []

    def fetch(self, _path, tag):
        self.asked.append(tag)
        if isinstance(self.body, Exception):
            raise self.body
        return None if tag == '"1"' else ('"1"', self.body)


def body(**changes):
    return orjson.dumps(snapshot_document(replace(everything(), **changes)))


def test_a_snapshot_goes_through_its_document_unchanged():
    configuration = everything()
    assert configuration_of(orjson.loads(orjson.dumps(snapshot_document(configuration)))) == configuration


def test_a_holdout_begins_at_its_time_without_a_new_document(tmp_path):
    everybody = Holdout(
        key="all", salt="all", ranges=(BucketRange(start=0, stop=10_000),), starts_at=NOON, ends_at=NOON + timedelta(1)
    )
    now = [NOON - timedelta(hours=1)]
    kept = KeptSnapshot(Answers(body(holdouts=(everybody,))), tmp_path, now=lambda: now[0])
    held = []
    for moment in (now[0], NOON, NOON + timedelta(1)):
        now[0] = moment
        assert kept.refresh()
        decision = kept.current().snapshot.assign("editor-1")
        held.append(all(one.variant is None for one in decision.assignments))
    assert held == [False, True, False]
    assert not kept.refresh()


def test_a_failure_keeps_the_old_one_and_asks_with_its_tag(tmp_path):
    answers = Answers(body())
    kept = KeptSnapshot(answers, tmp_path)
    assert kept.refresh()
    before = kept.current()
    for failure in (Unavailable("down"), InvalidInput("odd")):
        answers.body = failure
        with pytest.raises(type(failure)):
            kept.refresh()
    assert kept.current() is before
    assert answers.asked == [None, '"1"', '"1"']


@pytest.mark.parametrize("document", [b"no", b"[]", b'{"schema": "lamella.snapshot/1"}', b'{"schema": "other"}'])
def test_a_document_that_is_none_is_refused_and_nothing_is_kept(tmp_path, document):
    kept = KeptSnapshot(Answers(document), tmp_path)
    with pytest.raises(InvalidInput):
        kept.refresh()
    assert not kept.is_ready
    assert list(tmp_path.iterdir()) == []
