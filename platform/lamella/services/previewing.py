"""Previews: signed links that show one variant to whoever opens them, for a time, outside of the analysis."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from lamella.errors import InvalidInput
from lamella.services.assignment_ports import SecretStore
from lamella.services.ports import Clock

SECRET: Final = "preview"  # noqa: S105 - the name under which the secret is kept
LONGEST: Final = timedelta(days=90)
_MARK: Final = b"lamella.preview/1:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One variant of an experiment, shown until `ends_at`; `unit` is whose page a link shows, None for anybody's."""

    experiment: str
    variant: str
    ends_at: datetime
    unit: str | None = None


class Previews:
    """Makes and reads preview tokens. A token names experiment, variant and end, and is signed with HMAC-SHA-256."""

    def __init__(self, secrets: SecretStore, clock: Clock) -> None:
        self._secrets, self._clock = secrets, clock

    def make(self, experiment: str, variant: str, *, lasts: timedelta, unit: str | None = None) -> str:
        """A token for the variant that is good for `lasts`, at most 90 days. Raises InvalidInput.

        `unit` is whose page a link with the token shows; without it, that of somebody unknown.
        """
        if not timedelta(0) < lasts <= LONGEST:
            raise InvalidInput(f"a preview lasts {lasts}; it must be above 0 and up to {LONGEST.days} days")
        ends = int((self._clock.now() + lasts).timestamp())
        told = [experiment, variant, ends] if unit is None else [experiment, variant, ends, unit]
        body = json.dumps(told, separators=(",", ":")).encode()
        return f"{_written(body)}.{_written(self._signature(body))}"

    def read(self, token: str) -> Mapping[str, str]:
        """What the token forces: an experiment with its variant. Raises InvalidInput if it is not ours or has ended."""
        found = self.open(token)
        return {found.experiment: found.variant}

    def open(self, token: str) -> Preview:
        """What the token was made for. Raises InvalidInput if it is not ours or has ended."""
        first, _, second = token.partition(".")
        body = _read(first)
        if body is None or not hmac.compare_digest(self._signature(body), _read(second) or b""):
            raise InvalidInput("the preview is not one of this installation; copy the whole link, or make a new one")
        experiment, variant, ends, *unit = json.loads(body)
        if self._clock.now().timestamp() >= ends:
            ended = datetime.fromtimestamp(ends, UTC).isoformat()
            raise InvalidInput(f"the preview of {variant!r} ended at {ended}; make a new one")
        return Preview(
            experiment=str(experiment),
            variant=str(variant),
            ends_at=datetime.fromtimestamp(ends, UTC),
            unit=str(unit[0]) if unit else None,
        )

    def _signature(self, body: bytes) -> bytes:
        return hmac.digest(self._secrets.secret(SECRET), _MARK + body, hashlib.sha256)


def _written(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode("ascii")


def _read(part: str) -> bytes | None:
    try:
        return base64.b64decode(part.encode("ascii") + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
