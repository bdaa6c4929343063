"""A proposal is applied by the transaction that stores its change: both are there, or neither."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
import sqlalchemy as sa

from lamella.adapters.sql.configuration import SqlConfigurationStore
from lamella.adapters.sql.engine import create_engine
from lamella.adapters.sql.proposals import SqlProposalStore
from lamella.errors import ConfigurationMoved, Conflict, NotFound
from lamella.experiments.model import Configuration
from lamella.services.admin_ports import Approval, Proposal, ProposalStore
from lamella.services.ports import ConfigurationStore
from lamella.testing.admin import MemoryProposalStore
from lamella.testing.configurations import MemoryConfigurationStore
from lamella.testing.fakes import START

PROPOSAL = Proposal(id="p1", operation="kill", key="", body={}, etag=None, author="ann", created_at=START)
APPROVAL = Approval(proposal="p1", by="bob")
KILLED = Configuration(killed=True)


@dataclass(frozen=True)
class Both:
    configuration: ConfigurationStore
    proposals: ProposalStore

    def commit(self, after: Configuration = KILLED, approval: Approval = APPROVAL) -> Configuration:
        return self.configuration.commit(after, author="ann", action="kill", at=START, approval=approval)

    @property
    def status(self) -> str:
        found = self.proposals.find("p1")
        assert found is not None
        return found.status


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def both(request: pytest.FixtureRequest) -> Iterator[Both]:
    proposals: ProposalStore = MemoryProposalStore()
    if request.param == "memory":
        proposals.add(PROPOSAL)
        yield Both(MemoryConfigurationStore(proposals=proposals), proposals)
        return
    name = {"sqlite": "sqlite_database_url", "postgresql": "pg_database_url"}[request.param]
    engine: sa.Engine = create_engine(request.getfixturevalue(name))
    proposals = SqlProposalStore(engine)
    proposals.add(PROPOSAL)
    yield Both(SqlConfigurationStore(engine), proposals)
    engine.dispose()


def test_the_change_and_its_proposal_are_applied_together(both: Both) -> None:
    assert both.commit().version == 1
    assert (both.status, both.configuration.load().killed) == ("applied", True)


def test_a_change_that_is_overtaken_leaves_the_proposal_open(both: Both) -> None:
    with pytest.raises(ConfigurationMoved):
        both.commit(replace(KILLED, version=7))
    assert (both.status, both.configuration.version()) == ("open", 0)


def test_a_proposal_that_is_decided_keeps_the_change_out(both: Both) -> None:
    both.proposals.decide("p1", "rejected", by="eve", at=START)
    with pytest.raises(Conflict, match="rejected, not open"):
        both.commit()
    with pytest.raises(NotFound, match="'p9'"):
        both.commit(approval=replace(APPROVAL, proposal="p9"))
    assert both.configuration.load() == Configuration()


def test_of_approvals_at_the_same_time_one_wins(both: Both) -> None:
    def approve(_: int) -> int:
        try:
            return both.commit().version
        except (ConfigurationMoved, Conflict):
            return 0

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(approve, range(4))) == [0, 0, 0, 1]
    assert (both.status, both.configuration.version()) == ("applied", 1)
