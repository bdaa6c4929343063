"""A whole installation for a simulation: every process of lamella, with a clock that the simulation moves."""

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from lamella.adapters.clock import set_clock
from lamella.adapters.sql.journal import SqlJournal
from lamella.bootstrap.stores import Stores, stores
from lamella.client.remote import RemoteClient
from lamella.config import PREFIX, Settings
from lamella.errors import Conflict, Unavailable
from lamella.services.keys import Keys
from lamella.services.recording import Recording
from lamella.supervisor import Supervisor

ADMIN: Final = "demo"
# What a simulation of weeks in a minute needs; a LAMELLA_* variable that is set goes before it.
_PACE: Final = {
    "INGEST_SECONDS": "1",
    "ANALYSE_SECONDS": "3",
    "SNAPSHOT_POLL_SECONDS": "0.2",
    "STAGE_DEADLINE_MS": "10000",
    "LOG_LEVEL": "warning",
}
_POLL_SECONDS: Final = 0.2
_PATIENCE_SECONDS: Final = 300.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Installation:
    """The running processes: `admin` calls them with an admin's key, `stores` is their database."""

    settings: Settings
    url: str
    admin: RemoteClient
    stores: Stores

    @property
    def database(self) -> str:
        """What the record is stored in: sqlite or postgresql."""
        return self.stores.engine.dialect.name

    def set_time(self, moment: datetime) -> None:
        """Moves the clock of every process."""
        set_clock(_clock_file(self.settings.data_dir), moment)

    def recording(self) -> Recording:
        """The use case of recording in this process, into the same durable inbox."""
        journal = SqlJournal(self.stores.engine, self.stores.clock, limit=self.settings.inbox_limit)
        return Recording(journal, self.stores.clock, late=timedelta(hours=self.settings.late_event_hours))

    def wait_until_ingested(self, on_poll: Callable[[Mapping[str, int]], None] = lambda _: None) -> Mapping[str, int]:
        """The record's counts, once the workers have drained the inbox."""
        counts: dict[str, int] = {}

        def is_drained() -> bool:
            counts.update(self.admin.counts())
            on_poll(counts)
            return counts["inbox"] == 0

        self.wait(is_drained, "the workers to ingest what waits in the inbox")
        return counts

    def wait(self, condition: Callable[[], bool], what: str, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        """Returns once `condition` holds. Raises Unavailable that says `what` was waited for in vain."""
        deadline = time.monotonic() + patience_seconds
        while not condition():
            if time.monotonic() > deadline:
                logs = self.settings.data_dir / "logs"
                raise Unavailable(f"waited {patience_seconds:.0f} s for {what}; the logs in {logs} may say why")
            time.sleep(_POLL_SECONDS)


def simulation_settings(environment: Mapping[str, str], *, data_dir: Path, port: int | None) -> Settings:
    """The settings of the environment, at a simulation's pace, with a clock file and, unless one is set, a free port.

    Raises InvalidSettings.
    """
    forced = {"DATA_DIR": str(data_dir.absolute()), "CLOCK_FILE": str(_clock_file(data_dir))}
    if port is not None:
        forced["PORT"] = str(port)
    elif not environment.get(f"{PREFIX}PORT"):
        forced["PORT"] = str(_free_port(environment.get(f"{PREFIX}HOST") or "127.0.0.1"))
    given = {name: value for name, value in environment.items() if value}
    return Settings.from_environment({**_prefixed(_PACE), **given, **_prefixed(forced)})


@contextmanager
def running(settings: Settings, *, now: datetime, report: Callable[[str], None]) -> Iterator[Installation]:
    """Every process of an installation, at the simulated time `now`; stopped at the end of the block.

    Raises Conflict where its database is not empty, and what the supervisor raises.
    """
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    set_clock(_clock_file(settings.data_dir), now)
    with Supervisor(settings, report=report) as supervisor:
        found = stores(supervisor.settings, pool_size=2)
        try:
            _require_empty(found)
            key = Keys(found.keys, found.clock).create(ADMIN, "admin")
            yield Installation(
                settings=supervisor.settings,
                url=supervisor.url,
                admin=RemoteClient(supervisor.url, key, patience_seconds=_PATIENCE_SECONDS),
                stores=found,
            )
        finally:
            found.engine.dispose()


def _require_empty(found: Stores) -> None:
    held = {kind: count for kind, count in found.record.counts().items() if count}
    if found.configuration.version():
        held["configuration versions"] = found.configuration.version()
    if found.keys.names():
        held["keys"] = len(found.keys.names())
    if held:
        listed = ", ".join(f"{count} {kind}" for kind, count in held.items())
        raise Conflict(
            f"the demo needs an empty database, this one holds {listed}; "
            "choose another --data-dir, or another database in LAMELLA_DATABASE_URL"
        )


def _clock_file(data_dir: Path) -> Path:
    return data_dir.absolute() / "clock"


def _prefixed(values: Mapping[str, str]) -> dict[str, str]:
    return {PREFIX + name: value for name, value in values.items()}


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port
