"""The factory that a WSGI server calls in each of its processes: `lamella.web.wsgi:create`."""

import os
import secrets
from pathlib import Path
from typing import Final

from apiflask import APIFlask

from lamella.adapters import logs
from lamella.bootstrap.web import web_services
from lamella.config import Settings
from lamella.errors import InvalidSettings
from lamella.web.app import create_app, start_polling

SECRET_FILE: Final = "web-secret"  # noqa: S105 - the file's name
_SECRET_BYTES: Final = 32


def create() -> APIFlask:
    """The application with the settings of the LAMELLA_* variables; its poller runs. Raises InvalidSettings."""
    settings = Settings.from_environment(os.environ)
    logs.configure(settings)
    app = create_app(web_services(settings), secret=cookie_secret(settings.data_dir))
    start_polling(app)
    return app


def cookie_secret(folder: Path) -> bytes:
    """What signs the cookies of the pages: made once, then the same in every process over this data folder.

    Hosts that do not share the folder do not share sessions. Raises InvalidSettings where it cannot be written.
    """
    path = folder / SECRET_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _make(path)
        found = path.read_bytes()
    except OSError as error:
        raise InvalidSettings(
            [f"LAMELLA_DATA_DIR={str(folder)!r}: {error.strerror}; choose a writable folder"]
        ) from None
    if len(found) != _SECRET_BYTES:
        raise InvalidSettings([f"{path} is damaged; delete it, and everybody logs in again"])
    return found


def _make(path: Path) -> None:
    """Leaves a complete file, whoever comes first: written aside, then linked to its name, which fails if it exists."""
    if path.exists():
        return
    aside = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(_SECRET_BYTES))
    try:
        os.link(aside, path)
    except FileExistsError:
        return
    finally:
        aside.unlink()
