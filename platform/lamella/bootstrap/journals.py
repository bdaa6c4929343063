"""Where a web process makes durable what it accepts, and what brings it on to the inbox."""

from multiprocessing.util import Finalize
from pathlib import Path

from lamella.adapters.disk.journal import DiskJournal
from lamella.adapters.disk.leftovers import Leftovers
from lamella.adapters.sql.inbox import SqlInbox
from lamella.adapters.sql.journal import SqlJournal
from lamella.bootstrap.stores import Stores
from lamella.config import Settings
from lamella.services.ports import Journal

_CLOSE_FIRST = 100


def journal_of(settings: Settings, found: Stores) -> Journal:
    """The journal of a web process; a process that ends in order forwards first what waits in it."""
    if settings.journal == "store":
        return SqlJournal(found.engine, found.clock, limit=settings.inbox_limit)
    inbox = SqlInbox(found.engine, limit=settings.inbox_limit)
    limit_bytes = settings.journal_megabytes * 1_000_000
    journal = DiskJournal(_folder(settings), inbox, found.clock, limit_bytes=limit_bytes)
    # Not atexit: the children of a server that forks do not run it.
    Finalize(None, journal.close, exitpriority=_CLOSE_FIRST)
    return journal


def leftovers_of(settings: Settings, found: Stores) -> Leftovers:
    """What ended processes of this machine left in the journal's folder, whatever the journal is now."""
    return Leftovers(_folder(settings), SqlInbox(found.engine, limit=settings.inbox_limit))


def _folder(settings: Settings) -> Path:
    return settings.data_dir / "journal"
