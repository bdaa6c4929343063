from collections.abc import Callable
from datetime import timedelta

import pytest

from configurations import draft, newsroom, running
from lamella.errors import InvalidInput
from lamella.experiments import lifecycle, traffic
from lamella.experiments.model import BUCKETS, BucketRange, Configuration, Holdout
from lamella.services.assigning import Assigning, SnapshotHolder
from lamella.services.previewing import Previews
from lamella.testing.assigning import MemorySecretStore
from lamella.testing.configurations import MemoryConfigurationStore
from lamella.testing.fakes import START, FakeClock

HOUR = timedelta(hours=1)


def assigning(configuration: Configuration, previews: Previews) -> Assigning:
    store = MemoryConfigurationStore()
    store.commit(configuration, author="anna", action="create", at=START)
    holder = SnapshotHolder(store, FakeClock())
    holder.refresh()
    return Assigning(holder, previews=previews)


def test_a_preview_shows_its_variant_out_of_the_analysis_until_it_ends() -> None:
    clock = FakeClock()
    previews = Previews(MemorySecretStore(), clock)
    token = previews.make("textcnn", "treatment", lasts=HOUR)
    use = assigning(running(newsroom(), draft(ranges=[(0, 1)], rule=False)), previews)
    decision = use.assign("editor", {}, preview=token)
    given = decision.assignments[1]
    assert (given.variant, given.phase, given.counted, given.detail) == ("treatment", 1, False, "a preview")
    assert decision.parameters["rank.model"] == "textcnn"
    assert use.explain("editor", {}, preview=token)["parameters"] == decision.parameters
    clock.move(HOUR)
    with pytest.raises(InvalidInput, match="ended at"):
        use.assign("editor", {}, preview=token)


def test_a_draft_can_be_previewed_before_it_has_a_phase() -> None:
    previews = Previews(MemorySecretStore(), FakeClock())
    use = assigning(lifecycle.add_experiment(newsroom(), draft()), previews)
    decision = use.assign("editor", {}, preview=previews.make("textcnn", "treatment", lasts=HOUR))
    assert (decision.assignments[1].variant, decision.assignments[1].phase) == ("treatment", None)
    assert decision.parameters["rank.model"] == "textcnn"


def test_a_holdout_and_the_kill_switch_go_before_a_preview() -> None:
    previews = Previews(MemorySecretStore(), FakeClock())
    token = previews.make("textcnn", "treatment", lasts=HOUR)
    now = running(newsroom(), draft(ranges=[(0, BUCKETS)]))
    everybody = (BucketRange(start=0, stop=BUCKETS),)
    out = traffic.add_holdout(now, Holdout(key="all", salt="all", ranges=everybody))
    assert assigning(out, previews).assign("editor", {}, preview=token).assignments[1].variant is None
    assert assigning(lifecycle.kill(now), previews).assign("editor", {}, preview=token).assignments[1].variant is None


@pytest.mark.parametrize("spoil", [lambda one: one[:-2], lambda one: "x" + one, lambda one: one[:0], "ü{}".format])
def test_a_token_that_was_changed_is_refused(spoil: Callable[[str], str]) -> None:
    previews = Previews(MemorySecretStore(), FakeClock())
    with pytest.raises(InvalidInput, match="not one of this installation"):
        previews.read(spoil(previews.make("textcnn", "treatment", lasts=HOUR)))


def test_a_token_of_another_installation_is_refused() -> None:
    token = Previews(MemorySecretStore("theirs"), FakeClock()).make("textcnn", "treatment", lasts=HOUR)
    with pytest.raises(InvalidInput, match="not one of this installation"):
        Previews(MemorySecretStore("ours"), FakeClock()).read(token)


@pytest.mark.parametrize("lasts", [timedelta(0), timedelta(days=91)])
def test_a_preview_lasts_up_to_90_days(lasts: timedelta) -> None:
    with pytest.raises(InvalidInput, match="up to 90 days"):
        Previews(MemorySecretStore(), FakeClock()).make("textcnn", "treatment", lasts=lasts)


def test_a_preview_of_what_is_not_there_or_has_ended_is_refused() -> None:
    previews = Previews(MemorySecretStore(), FakeClock())
    stopped = lifecycle.stop(running(newsroom(), draft()), "textcnn", at=START + HOUR)
    use = assigning(stopped, previews)
    with pytest.raises(InvalidInput, match="cannot be previewed"):
        use.assign("editor", {}, preview=previews.make("textcnn", "treatment", lasts=HOUR))
    with pytest.raises(InvalidInput, match="of what is not there"):
        use.assign("editor", {}, preview=previews.make("nope", "treatment", lasts=HOUR))
