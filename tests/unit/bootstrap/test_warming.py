"""A configuration is taken over with its models in memory."""

from collections.abc import Sequence

import pytest

from lamella.bootstrap.warming import WarmConfiguration
from lamella.errors import StoreUnavailable
from lamella.experiments.model import (
    AnalysisPlan,
    Configuration,
    Experiment,
    Layer,
    Parameter,
    ParameterType,
    Status,
    Variant,
)
from lamella.services.assigning import SnapshotHolder
from lamella.services.staging import models_of
from lamella.testing.configurations import MemoryConfigurationStore


def parameter(key: str, default: str | int) -> Parameter:
    kind = ParameterType.STRING if isinstance(default, str) else ParameterType.INTEGER
    return Parameter(key=key, type=kind, default=default, layer="ranking")


def experiment(key: str, status: Status, model: str) -> Experiment:
    return Experiment(
        key=key,
        layer="ranking",
        name=key,
        hypothesis="",
        variants=(
            Variant(key="control", weight=1, is_control=True),
            Variant(key="treatment", weight=1, values={"rank.model": model, "slate.size": 3}),
        ),
        plan=AnalysisPlan(primary_metric="ctr"),
        ranges=(),
        status=status,
    )


CONFIGURATION = Configuration(
    layers=(Layer(key="ranking", salt="ranking"),),
    parameters=(parameter("recall.model", "popularity"), parameter("rank.model", ""), parameter("slate.size", 10)),
    experiments=(experiment("now", Status.RUNNING, "mf@3"), experiment("past", Status.STOPPED, "textcnn@1")),
)


class Host:
    """Notes what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def refresh(self) -> None:
        self.told.append("refresh")

    def warm(self, references: Sequence[str]) -> Sequence[str]:
        self.told.append(list(references))
        return references


def test_the_models_are_those_that_may_serve() -> None:
    assert sorted(models_of(CONFIGURATION)) == ["mf@3", "popularity"]


def test_loading_a_configuration_lists_the_versions_anew_and_warms_its_models() -> None:
    host = Host()
    store = WarmConfiguration(MemoryConfigurationStore(CONFIGURATION), host)
    assert store.version() == 0
    assert host.told == []
    assert store.load() == CONFIGURATION
    assert host.told == ["refresh", ["mf@3", "popularity"]]


def test_without_a_list_of_models_no_configuration_is_taken_over() -> None:
    class Mute(Host):
        def refresh(self) -> None:
            raise StoreUnavailable("the store does not answer")

    holder = SnapshotHolder(WarmConfiguration(MemoryConfigurationStore(CONFIGURATION), Mute()))
    with pytest.raises(StoreUnavailable):
        holder.refresh()
    assert not holder.is_loaded
