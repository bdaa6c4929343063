"""Leaves a row in the audit log for every command that would change something, before anything is done."""

import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from lamella.cli.options import current_user, exit_code
from lamella.errors import LamellaError
from lamella.services.admin_ports import Deed

if TYPE_CHECKING:
    from lamella.bootstrap.tools import Tools

METHOD: Final = "CLI"
_INTERRUPTED: Final = 130


@contextmanager
def audited(tools: "Tools", command: str, target: str = "") -> Iterator[None]:
    """The block, in the audit log as `command` on `target`; its `status` is the exit code, 0 where all went well.

    A unit is named by its digest: the row outlives the unit's erasure. Raises StoreUnavailable where the row cannot be
    written: nothing is done then. A block that fails raises its own error, also where its end cannot be written.
    """
    deed = Deed(
        at=tools.clock.now(),
        actor=f"cli:{current_user()}",
        role="cli",
        address=socket.gethostname(),
        method=METHOD,
        route=f"lamella {command}",
        path=f"lamella {command} {target}".rstrip(),
        request=uuid.uuid4().hex,
    )
    number = tools.audit.begin(deed)
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        status, code = _outcome(error)
        with suppress(LamellaError):
            tools.audit.complete(number, status=status, code=code)
        raise
    tools.audit.complete(number, status=0, code=None)


def _outcome(error: BaseException) -> tuple[int, str]:
    """The exit code that the error leads to, and its word."""
    if isinstance(error, LamellaError):
        return exit_code(error), error.code
    if isinstance(error, KeyboardInterrupt):
        return _INTERRUPTED, "interrupted"
    # Whoever read the output has left, which is no fault.
    return (0, "output_closed") if isinstance(error, BrokenPipeError) else (1, "internal_error")
