"""A configuration is taken over when the models that it names are in memory: no request waits for a file."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from lamella.experiments.model import Configuration
from lamella.services.admin_ports import Approval
from lamella.services.ports import ConfigurationStore, Revision
from lamella.services.staging import models_of


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
