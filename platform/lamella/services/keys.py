"""API keys: made once, stored as a digest, verified on every request.

A key is `lam_` and 32 random bytes in URL-safe base64. Only its SHA-256 digest is stored: the key has 256 bits of
entropy, so a slow password hash would add nothing but latency. The store is searched by digest, never by key, so the
time of a look-up tells an attacker nothing about a key. A process keeps the keys it has verified in its memory, and
nowhere else: whoever can read that memory reads the requests as well.
"""

import base64
import hashlib
import re
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from lamella.errors import Forbidden, InvalidInput, StoreUnavailable, Unauthenticated
from lamella.services.ports import Clock, KeyStore, Principal

PREFIX: Final = "lam_"
COLLECTOR: Final = "collector"
ROLES: Final = (COLLECTOR, "client", "viewer", "experimenter", "approver", "admin")
"""Every role reaches as far as those before it.

A collector sends events and reads nothing, so its key may stand in a web page; client asks for recommendations too,
viewer reads, admin does all.
"""

CACHE_SECONDS: Final = 2.0
"""A revoked key is refused at once by the process that revoked it, and within this time by every other."""

RENEWED: Final = 100
"""So many keys at most `Keys.refresh` asks for; the others are asked for by the requests that bring them."""

AWAY_SECONDS: Final = 3_600.0
"""So long a key that the store confirmed, of a client or a collector, is taken on trust while the store is away."""

_CACHE_LIMIT: Final = 10_000
_KEY = re.compile(r"lam_[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def make_key(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A new key.

    >>> make_key(lambda n: bytes(n))
    'lam_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
    """
    return PREFIX + base64.urlsafe_b64encode(random_bytes(32)).rstrip(b"=").decode("ascii")


def digest_of(key: str) -> bytes:
    """The 32 bytes that the store knows the key by."""
    return hashlib.sha256(key.encode("utf-8")).digest()


def reaches(role: str, needed: str) -> bool:
    """Whether `role` allows what `needed` allows; an unknown role allows nothing.

    >>> reaches("admin", "viewer"), reaches("client", "viewer"), reaches("guest", "client")
    (True, False, False)
    >>> reaches("client", "collector"), reaches("collector", "client")
    (True, False)
    """
    return role in ROLES and ROLES.index(role) >= ROLES.index(needed)


def require(principal: Principal, role: str) -> None:
    """Returns if the principal's role reaches `role`. Raises Forbidden."""
    if not reaches(principal.role, role):
        raise Forbidden(
            f"key {principal.name!r} has role {principal.role}, this needs {role}; "
            f"ask an admin for a key with role {role} or higher"
        )


class _Verified(NamedTuple):
    """Whose key it is: not asked again before `until`; the store said so at `confirmed`."""

    until: float
    confirmed: float
    principal: Principal

    def outlives(self, now: float) -> bool:
        """Whether it holds without the store: lists and events go on, and nobody administers on trust."""
        return now - self.confirmed <= AWAY_SECONDS and reaches("client", self.principal.role)


class Keys:
    """The keys of this installation; verified keys are remembered for `CACHE_SECONDS`.

    While the store is away, those of clients and collectors are remembered for `AWAY_SECONDS`.
    """

    def __init__(self, store: KeyStore, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        # By the key itself: a digest for each request cost more than the rest of the look.
        self._verified: dict[str, _Verified] = {}
        self._used: set[str] = set()
        self._revocations = 0
        self._lock = threading.Lock()

    def create(
        self, name: str, role: str, *, projects: Sequence[str] | None = None, expires_at: datetime | None = None
    ) -> str:
        """The new key, which nobody can read again afterwards.

        Raises InvalidInput for an unusable name, unknown role, no project or a past expiry, Conflict if the name is
        taken.
        """
        faults = []
        if not _NAME.fullmatch(name):
            faults.append(f"name {name!r}: use 1 to 64 of a-z, 0-9, '.', '_', '-', beginning with a letter or digit")
        if role not in ROLES:
            faults.append(f"role {role!r}: use one of {', '.join(ROLES)}")
        if projects is not None and not projects:
            faults.append("projects: is empty; name those that the key reaches, or leave it out for every one")
        if expires_at is not None and expires_at <= self._clock.now():
            faults.append(f"expires_at: {expires_at.isoformat()} has passed; choose a later time")
        if faults:
            raise InvalidInput(*faults)
        key = make_key()
        reached = None if projects is None else tuple(sorted(set(projects)))
        holder = Principal(name=name, role=role, projects=reached, expires_at=expires_at)
        self._store.add(holder, digest_of(key), at=self._clock.now())
        return key

    def verify(self, key: str) -> Principal:
        """Who holds the key.

        Raises Unauthenticated if it is malformed, unknown, revoked or expired, StoreUnavailable if nobody can tell.
        """
        return self.remembered(key) or self._asked(key)

    def remembered(self, key: str) -> Principal | None:
        """Who holds the key, without asking the store; None where that has to be asked. Raises Unauthenticated."""
        known = self._verified.get(key)
        if known is None or self._monotonic() >= known.until:
            return None
        self._used.add(key)
        return self._in_time(known.principal)

    def refresh(self) -> None:
        """Asks the store for the keys that were remembered since the last call: no request then has to wait for that.

        Raises StoreUnavailable where it is away and one of them cannot be trusted without it.
        """
        used, self._used = self._used, set()
        failure: StoreUnavailable | None = None
        for key in list(used)[:RENEWED]:
            try:
                self._asked(key)
            except Unauthenticated:
                continue
            except StoreUnavailable as error:
                failure = error
        if failure is not None:
            raise failure

    def _asked(self, key: str) -> Principal:
        """Who holds the key, as the store says. Raises as `verify`."""
        now, remembered, revocations = self._monotonic(), self._verified.get(key), self._revocations
        if not _KEY.fullmatch(key):
            raise Unauthenticated("the key is malformed; a key is lam_ and 43 characters of A-Z, a-z, 0-9, '-', '_'")
        confirmed = now
        try:
            principal = self._store.find(digest_of(key))
        except StoreUnavailable:
            if remembered is None or not remembered.outlives(now):
                raise
            # A store that is silent costs seconds to be found away: not each request shall pay them.
            principal, confirmed, now = remembered.principal, remembered.confirmed, self._monotonic()
        if principal is None:
            with self._lock:
                self._verified.pop(key, None)
            raise Unauthenticated("the key is unknown or revoked; ask an admin for a new one")
        with self._lock:
            # What the store said before a key was revoked here is not remembered after it.
            if revocations == self._revocations:
                if len(self._verified) >= _CACHE_LIMIT:
                    self._verified.clear()
                self._verified[key] = _Verified(now + CACHE_SECONDS, confirmed, principal)
        return self._in_time(principal)

    def _in_time(self, principal: Principal) -> Principal:
        """The principal of a key that has not expired."""
        if principal.expires_at is not None and principal.expires_at <= self._clock.now():
            raise Unauthenticated(f"the key expired at {principal.expires_at.isoformat()}; ask an admin for a new one")
        return principal

    def revoke(self, name: str) -> None:
        """From now on the key of this name is unknown. Raises NotFound."""
        self._store.revoke(name, at=self._clock.now())
        with self._lock:
            self._revocations += 1
            self._verified = {key: held for key, held in self._verified.items() if held.principal.name != name}

    def all(self) -> Sequence[Principal]:
        """Every key that is not revoked, by name."""
        return self._store.names()

    def holder_of(self, digest: bytes) -> Principal:
        """Whose key has this digest: for sessions, which hold no key. A new key of the same name has another.

        Asks the store each time. Raises Unauthenticated if the key is unknown, revoked or expired.
        """
        holder = self._store.find(digest)
        if holder is None:
            raise Unauthenticated("the session's key is unknown or revoked; log in with another one")
        return self._in_time(holder)
