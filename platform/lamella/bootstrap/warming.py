"""A configuration is taken over when the models that it names are in memory: no request waits for a file."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, Protocol

from lamella.experiments.model import Configuration, Status
from lamella.services.admin_ports import Approval
from lamella.services.ports import ConfigurationStore, Revision

_SUFFIX: Final = ".model"
_SERVING: Final = (Status.SCHEDULED, Status.RUNNING, Status.PAUSED)


class Host(Protocol):
    """The models of this process, as far as warming them goes."""

    def refresh(self) -> None:
        """Read the list of versions anew."""
        ...

    def warm(self, references: Sequence[str]) -> Sequence[str]:
        """Those of `references` that are in memory now. Raises nothing for the others."""
        ...


class WarmConfiguration:
    """The store `inner`, whose `load` returns after the models of the configuration were loaded and answered once.

    A model that cannot be loaded keeps nothing back: requests for it fall back, and are counted.
    """

    def __init__(self, inner: ConfigurationStore, host: Host) -> None:
        self._inner, self._host = inner, host

    def version(self) -> int:
        """The version of the newest configuration."""
        return self._inner.version()

    def load(self) -> Configuration:
        """The newest configuration, with its models warm."""
        configuration = self._inner.load()
        self._host.refresh()
        self._host.warm(sorted(set(models_of(configuration))))
        return configuration

    def commit(
        self,
        after: Configuration,
        *,
        author: str,
        action: str,
        at: datetime,
        approval: Approval | None = None,
    ) -> Configuration:
        """As the store underneath."""
        return self._inner.commit(after, author=author, action=action, at=at, approval=approval)

    def revisions(
        self,
        *,
        kind: str | None = None,
        key: str | None = None,
        author: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[Revision]:
        """As the store underneath."""
        return self._inner.revisions(kind=kind, key=key, author=author, before=before, limit=limit)

    def revision(self, number: int) -> Revision | None:
        """As the store underneath."""
        return self._inner.revision(number)


def models_of(configuration: Configuration) -> Iterator[str]:
    """Every model that the parameters `*.model` name: by default, or in a variant that may serve."""
    for parameter in configuration.parameters:
        if parameter.key.endswith(_SUFFIX):
            yield from _named([parameter.default])
    for experiment in configuration.experiments:
        if experiment.status in _SERVING:
            for variant in experiment.variants:
                yield from _named(value for key, value in variant.values.items() if key.endswith(_SUFFIX))


def _named(values: Iterable[object]) -> Iterator[str]:
    return (value for value in values if isinstance(value, str) and value)
