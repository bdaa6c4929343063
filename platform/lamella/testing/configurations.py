"""The configuration store in memory."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

import orjson

from lamella.errors import ConfigurationMoved
from lamella.experiments.document import (
    domain_document,
    experiment_document,
    holdout_document,
    layer_document,
    parameter_document,
)
from lamella.experiments.measures import metric_document
from lamella.experiments.model import (
    Configuration,
    DeclaredMetric,
    Domain,
    Experiment,
    Holdout,
    Json,
    Layer,
    Parameter,
)
from lamella.services.admin_ports import Approval, ProposalStore
from lamella.services.ports import Revision

E = TypeVar("E", Layer, Parameter, Experiment, Domain, Holdout, DeclaredMetric)


class MemoryConfigurationStore:
    """The configuration and its revisions, compared and swapped under a lock."""

    def __init__(self, configuration: Configuration | None = None, proposals: ProposalStore | None = None) -> None:
        self._newest, self._proposals = configuration or Configuration(), proposals
        self._revisions: list[Revision] = []
        self._lock = threading.Lock()

    def version(self) -> int:
        """The version of the newest configuration."""
        return self._newest.version

    def load(self) -> Configuration:
        """The newest configuration."""
        return self._newest

    def commit(
        self,
        after: Configuration,
        *,
        author: str,
        action: str,
        at: datetime,
        approval: Approval | None = None,
    ) -> Configuration:
        """Stores `after` as the next version. Raises ConfigurationMoved, and for an approval Conflict and NotFound."""
        with self._lock:
            before = self._newest
            if before.version != after.version:
                raise ConfigurationMoved(after.version, before.version)
            if approval is not None and self._proposals is not None:
                self._proposals.decide(approval.proposal, "applied", by=approval.by, at=at)
            stored = replace(after, version=before.version + 1)
            for kind, key, was, now in _differences(before, stored):
                self._revisions.append(
                    Revision(
                        number=len(self._revisions) + 1,
                        version=stored.version,
                        author=author,
                        at=at,
                        action=action,
                        kind=kind,
                        key=key,
                        before=was,
                        after=now,
                    )
                )
            self._newest = stored
            return stored

    def revisions(
        self,
        *,
        kind: str | None = None,
        key: str | None = None,
        author: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[Revision]:
        """The newest revisions first."""
        found = [
            each
            for each in reversed(self._revisions)
            if kind in (None, each.kind)
            and key in (None, each.key)
            and author in (None, each.author)
            and (before is None or each.number < before)
        ]
        return found[:limit]

    def revision(self, number: int) -> Revision | None:
        """One revision, or None."""
        return self._revisions[number - 1] if 1 <= number <= len(self._revisions) else None


def _differences(before: Configuration, after: Configuration) -> list[tuple[str, str, Json, Json]]:
    found: list[tuple[str, str, Json, Json]] = []
    if before.killed != after.killed:
        found.append(("configuration", "killed", before.killed, after.killed))
    for kind, were, are in (
        ("layer", _documents(before.layers, layer_document), _documents(after.layers, layer_document)),
        (
            "parameter",
            _documents(before.parameters, parameter_document),
            _documents(after.parameters, parameter_document),
        ),
        (
            "experiment",
            _documents(before.experiments, experiment_document),
            _documents(after.experiments, experiment_document),
        ),
        ("domain", _documents(before.domains, domain_document), _documents(after.domains, domain_document)),
        ("holdout", _documents(before.holdouts, holdout_document), _documents(after.holdouts, holdout_document)),
        ("metric", _documents(before.metrics, metric_document), _documents(after.metrics, metric_document)),
    ):
        changed = (key for key in sorted(were.keys() | are.keys()) if _text(were.get(key)) != _text(are.get(key)))
        found.extend((kind, key, were.get(key), are.get(key)) for key in changed)
    return found


def _documents(entities: Sequence[E], document: Callable[[E], Mapping[str, Json]]) -> dict[str, Mapping[str, Json]]:
    return {each.key: document(each) for each in entities}


def _text(document: Mapping[str, Json] | None) -> bytes:
    """Canonical text: 1 and 1.0 differ here, as they do for the product."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
