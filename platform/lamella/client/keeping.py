"""The newest snapshot of a service, kept in memory and on disk, so that a client starts while the service is down."""

import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson

from lamella.client.transport import Transport
from lamella.errors import InvalidInput, Unavailable
from lamella.experiments.flags import Flags
from lamella.experiments.snapshot import compile_snapshot
from lamella.experiments.snapshot_document import configuration_of

PATH: Final = "/v1/snapshot"
FILE: Final = "snapshot.json"


def utc_now() -> datetime:
    """The present moment."""
    return datetime.now(UTC)


class KeptSnapshot:
    """The snapshot in force. `current` never waits; `refresh` asks the service for a newer one.

    The document that came last is kept in `folder`, and taken from there at the start.
    """

    def __init__(self, transport: Transport, folder: Path, *, now: Callable[[], datetime] = utc_now) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._transport, self._file, self._now = transport, folder / FILE, now
        self._flags: Flags | None = None
        self._tag: str | None = None
        self._take_from_disk()

    def current(self) -> Flags:
        """The flags of the snapshot in force. Raises Unavailable before there ever was one."""
        flags = self._flags
        if flags is None:
            raise Unavailable("no snapshot yet: the service did not answer and none was kept; call refresh, or wait")
        return flags

    @property
    def is_ready(self) -> bool:
        """Whether there is a snapshot to evaluate by."""
        return self._flags is not None

    def refresh(self) -> bool:
        """Whether another snapshot is in force now: a newer one, or the same one as holdouts begin or end.

        Raises what the service raises, and InvalidInput for a document that cannot be used; the old one then stays.
        """
        is_due = self._is_due()
        if is_due and self._flags is not None:
            self._flags = Flags(compile_snapshot(self._flags.snapshot.configuration, self._now()))
        fetched = self._transport.fetch(PATH, self._tag)
        if fetched is None:
            return is_due
        tag, body = fetched
        self._compile(body)
        self._tag = tag
        self._keep(body)
        return True

    def _is_due(self) -> bool:
        changes_at = None if self._flags is None else self._flags.snapshot.changes_at
        return changes_at is not None and changes_at <= self._now()

    def _compile(self, body: bytes) -> None:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InvalidInput(f"the snapshot is no JSON: {error}") from None
        self._flags = Flags(compile_snapshot(configuration_of(document), self._now()))

    def _take_from_disk(self) -> None:
        """The kept document; one that is broken or of another format counts as none."""
        try:
            self._compile(self._file.read_bytes())
        except (OSError, InvalidInput):
            self._flags = None

    def _keep(self, body: bytes) -> None:
        """Replaces the kept document whole, so that a reader finds the old one or the new one."""
        handle, name = tempfile.mkstemp(dir=self._file.parent, prefix=f"{FILE}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(body)
            Path(name).replace(self._file)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
