"""The moments of running experiments are kept, with the covariates of their plans."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from configurations import draft, newsroom, running
from lamella.experiments.lifecycle import stop
from lamella.services.keeping import CHECK_SECONDS, Drift, Followed, Keeping
from lamella.testing.configurations import MemoryConfigurationStore
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW


class Store:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.wanted: list[Followed] = []
        self.at: list[datetime] = []

    def refresh(self, wanted: Sequence[Followed], now: datetime) -> None:
        self.wanted = list(wanted)
        self.at.append(now)

    def check(self, now: datetime, *, seconds: float = 0.0) -> Sequence[Drift]:
        self.at.append(now)
        self.seconds = seconds
        return [Drift(phase=1, figures=3)]


def test_the_present_phases_of_what_runs_are_followed_and_nothing_else():
    configuration = running(newsroom(), draft("one"))
    experiment = configuration.experiments[0]
    store, configurations = Store(), MemoryConfigurationStore()
    configurations.commit(configuration, author="ann", action="start", at=NOW)
    Keeping(configurations, store, FakeClock(NOW)).refresh()
    days = experiment.plan.covariate_days
    since = experiment.phases[-1].started_at - timedelta(days=days) if days else None
    assert store.wanted == [Followed(phase=experiment.phases[-1].id, covariate_since=since)]
    configurations.commit(stop(configurations.load(), "one", at=NOW), author="ann", action="stop", at=NOW)
    Keeping(configurations, store, FakeClock(NOW)).refresh()
    assert store.wanted == []


def test_a_check_reports_the_drift_that_the_store_found():
    store = Store()
    assert Keeping(MemoryConfigurationStore(), store, FakeClock(NOW)).check() == [Drift(phase=1, figures=3)]
    assert store.at == [NOW]
    assert store.seconds == CHECK_SECONDS
