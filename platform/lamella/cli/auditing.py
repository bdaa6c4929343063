"""Leaves a row in the audit log for every command that would change something, before anything is done."""

import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from lamella.cli.options import current_user, exit_code
from lamella.errors import LamellaError
from lamella.services.admin_ports import Deed

if TYPE_CHECKING:
    from lamella.bootstrap.tools import Tools

METHOD: Final = "CLI"
_INTERRUPTED: Final = 130


@contextmanager
def audited(tools: "Tools", command: str, target: str) -> Iterator[None]:
    """The block, in the audit log as `command` on `target`; its `status` is the exit code, 0 where all went well.

    Raises StoreUnavailable where the row cannot be written: nothing is done then.
    """
    deed = Deed(
        at=tools.clock.now(),
        actor=f"cli:{current_user()}",
        role="cli",
        address=socket.gethostname(),
        method=METHOD,
        route=f"lamella {command}",
        path=f"lamella {command} {target}",
        request=uuid.uuid4().hex,
    )
    number = tools.audit.begin(deed)
    try:
        yield
    except LamellaError as error:
        tools.audit.complete(number, status=exit_code(error), code=error.code)
        raise
    except KeyboardInterrupt:
        tools.audit.complete(number, status=_INTERRUPTED, code="interrupted")
        raise
    tools.audit.complete(number, status=0, code=None)
