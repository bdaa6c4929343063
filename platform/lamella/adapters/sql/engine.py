"""Connections to the store: PostgreSQL or SQLite, with errors in lamella's own words.

Four views of one pool: the engine itself for single reads, `look` for one that requests wait for, `writing` for a
transaction that may change something (SQLite takes its write lock at BEGIN, so that it never fails half-way),
`snapshot` for several reads that must agree.
"""

import hashlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy import event

from lamella.adapters.sql.queue import turn
from lamella.adapters.sql.schema import REVISION
from lamella.adapters.sql.silence import Rest, watched
from lamella.errors import InvalidInput, InvalidSettings, StoreNotMigrated, StoreUnavailable

SQLITE_WAIT_SECONDS: Final = 30.0
_WAL_PAGES: Final = 8_000
"""How long the log grows before it is moved into the file: 32 MB."""
_GONE: Final = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
}
"""How soon a server that is silent counts as away: a host that lost its power closes no connection by itself."""
_WRITING: Final = "lamella_writing"
_look_out: Final = threading.local()
T = TypeVar("T")
_rests: Final["weakref.WeakKeyDictionary[sa.Engine, Rest]"] = weakref.WeakKeyDictionary()
_engines: Final[weakref.WeakSet[sa.Engine]] = weakref.WeakSet()


def create_engine(url: str, *, pool_size: int = 8) -> sa.Engine:
    """An engine for a `postgresql+psycopg://` or `sqlite:///` URL; connects at first use, and again after a fork.

    Its errors are StoreUnavailable where the store does not answer, StoreNotMigrated where a table is missing, and
    InvalidInput for a text that the store does not take; what comes in is checked for those before.
    Raises InvalidSettings for another kind of URL.
    """
    target = _parse(url)
    if target.get_backend_name() == "sqlite":
        connect: dict[str, Any] = {"timeout": SQLITE_WAIT_SECONDS, "check_same_thread": False}
        engine = sa.create_engine(target, pool_size=pool_size, max_overflow=pool_size, connect_args=connect)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        connect = {"application_name": "lamella", "options": "-c timezone=UTC", **_GONE}
        engine = sa.create_engine(target, pool_size=pool_size, max_overflow=pool_size, connect_args=connect)
        event.listen(engine, "checkout", partial(_check_life, engine.dialect))
        _rests[engine] = Rest()
    event.listen(engine, "handle_error", _translate)
    _engines.add(engine)
    return engine


def look(engine: sa.Engine, read: Callable[[sa.Connection], T]) -> T:
    """What `read` finds with one statement, in as few round trips as can be: requests wait for it.

    On PostgreSQL nothing asks first whether the connection lives, and no BEGIN and ROLLBACK stand around the statement;
    one that has died in the pool costs a second try. A server that says nothing is left alone for a while. Raises
    StoreUnavailable or StoreNotMigrated.
    """
    if not is_postgresql(engine):
        with engine.connect() as connection:
            return read(connection)
    with _rests[engine].asking() as is_silent:
        # A server that cannot be connected to is not asked twice: it may be silent for seconds.
        with _unasked(engine) as connection:
            try:
                with watched(_driver_of(connection)):
                    return read(connection.execution_options(isolation_level="AUTOCOMMIT"))
            except StoreUnavailable:
                if is_silent():
                    raise
        with engine.connect() as connection, watched(_driver_of(connection)):
            return read(connection)


def _driver_of(connection: sa.Connection) -> Any:
    return connection.connection.driver_connection


def _unasked(engine: sa.Engine) -> sa.Connection:
    _look_out.is_off = True
    try:
        return engine.connect()
    finally:
        _look_out.is_off = False


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection in a transaction that may write; committed at the end of the block, rolled back on an error."""
    with turn(engine), engine.connect() as connection:
        connection.execution_options(**{_WRITING: True})
        with connection.begin():
            yield connection


@contextmanager
def snapshot(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection whose reads all see the store at one moment."""
    options = {"isolation_level": "REPEATABLE READ"} if is_postgresql(engine) else {}
    with engine.execution_options(**options).begin() as connection:
        yield connection


@contextmanager
def planned_with(connection: sa.Connection, name: str, value: str) -> Iterator[None]:
    """Has PostgreSQL plan the statements of the block with this setting; SQLite has none of them."""
    if not is_postgresql(connection):
        yield
        return
    connection.exec_driver_sql(f"SET LOCAL {name} = {value}")
    yield
    connection.exec_driver_sql(f"SET LOCAL {name} TO DEFAULT")


def is_postgresql(of: sa.Engine | sa.Connection) -> bool:
    """Whether the store is PostgreSQL; it is SQLite otherwise."""
    return of.dialect.name == "postgresql"


def require_migrated(engine: sa.Engine) -> None:
    """Returns if the schema is the one that this code needs. Raises StoreNotMigrated or StoreUnavailable."""
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    if found != REVISION:
        raise StoreNotMigrated(
            f"the store {shown(engine.url)} is at schema {found or 'none'}, this version needs {REVISION}; "
            f"run `lamella db upgrade`"
        )


def shown(url: sa.URL) -> str:
    """The URL without its password and options, for messages."""
    return url.set(query={}).render_as_string(hide_password=True)


def _parse(url: str) -> sa.URL:
    try:
        target = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise InvalidSettings(["the database URL cannot be read; use postgresql://user@host/name"]) from None
    if target.drivername == "postgresql":
        target = target.set(drivername="postgresql+psycopg")
    if target.drivername not in ("postgresql+psycopg", "sqlite"):
        raise InvalidSettings(
            [f"no store of kind {target.drivername!r}; use postgresql://user@host/name or sqlite:///file"]
        )
    return target


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver must not begin transactions by itself: `_begin_sqlite` says which kind.
    connection.isolation_level = None
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        _turn_on_wal(connection)
    # FULL: a commit is on disk when it returns, which the acknowledgement of an event promises.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -65536")
    # Ingests change the same pages again and again: between two checkpoints each is written to the file only once.
    connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
    connection.create_function("unit_block", 1, _unit_block, deterministic=True)


def _unit_block(unit: str) -> int:
    """What `expressions.unit_block` is in PostgreSQL."""
    return hashlib.md5(unit.encode(), usedforsecurity=False).digest()[0]


def _check_life(dialect: sa.Dialect, connection: Any, _record: object, _proxy: object) -> None:
    """Makes the pool replace its connections where this one has died; what `Pool` calls a pre-ping, but for looks."""
    if getattr(_look_out, "is_off", False):
        return
    try:
        with watched(connection):
            dialect.do_ping(connection)
    except psycopg.Error as error:
        raise sa.exc.InvalidatePoolError from error


def _turn_on_wal(connection: sqlite3.Connection) -> None:
    """Changing the mode does not wait for other connections by itself, whatever the time-out."""
    end = time.monotonic() + SQLITE_WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: sa.Connection) -> None:
    is_writing = connection.get_execution_options().get(_WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _translate(context: sa.ExceptionContext) -> None:
    """Turns what the drivers raise for a store that is away, or not ours, or a text it refuses into our errors."""
    original = context.original_exception
    engine = context.engine
    url = shown(engine.url) if engine is not None else context.dialect.name
    if isinstance(original, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn) or _is_missing(original):
        raise _not_migrated(url, original)
    if isinstance(original, psycopg.OperationalError | psycopg.InterfaceError | sqlite3.OperationalError) or (
        type(original) is sqlite3.DatabaseError
    ):
        raise _unavailable(url, engine.url.password if engine is not None else None, original)
    if _is_text_refused(original):
        raise InvalidInput("a text holds a NUL or half of a surrogate pair, which cannot be stored; take it out")


def unavailable(engine: sa.Engine, error: BaseException) -> StoreUnavailable | StoreNotMigrated:
    """The error to raise where the store's driver, used directly, failed with `error`."""
    if _is_missing(error):
        return _not_migrated(shown(engine.url), error)
    return _unavailable(shown(engine.url), engine.url.password, error)


def _unavailable(url: str, password: object, error: BaseException) -> StoreUnavailable:
    reason = " ".join(str(error).split())
    if password:
        reason = reason.replace(str(password), "***")
    next_step = "start it" if "unable to open database file" not in reason else "`lamella db upgrade` makes it"
    return StoreUnavailable(f"the store {url} does not answer ({reason}); {next_step}, or check LAMELLA_DATABASE_URL")


def _not_migrated(url: str, error: BaseException | None) -> StoreNotMigrated:
    reason = str(error).splitlines()[0]
    return StoreNotMigrated(f"the store {url} has no schema of ours ({reason}); run `lamella db upgrade`")


def _is_missing(error: BaseException | None) -> bool:
    return isinstance(error, sqlite3.OperationalError) and str(error).startswith(("no such table", "no such column"))


def _is_text_refused(error: BaseException) -> bool:
    if isinstance(error, psycopg.DataError):
        named = isinstance(error, psycopg.errors.UntranslatableCharacter | psycopg.errors.CharacterNotInRepertoire)
        return named or (error.sqlstate is None and "NUL" in str(error))
    return isinstance(error, UnicodeEncodeError)


def _forget_connections() -> None:
    """A child must not speak over its parent's sockets: it leaves them alone and opens its own."""
    for engine in list(_engines):
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_connections)
