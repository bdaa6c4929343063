"""What assignment needs from outside besides the configuration, as protocols."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class StickyStore(Protocol):
    """What units were exposed to."""

    def variants(self, unit: str, phases: Sequence[int]) -> Mapping[int, str]:
        """The variant of each of these phases in whose analysis the unit takes part; only those that it has.

        Exposures that no worker has ingested yet are not there.
        """
        ...


class SecretStore(Protocol):
    """Secrets of the installation, which all its processes share."""

    def secret(self, name: str) -> bytes:
        """The 32 random bytes of this name, made when they are first asked for."""
        ...
