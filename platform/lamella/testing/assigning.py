"""In-memory fakes of what assignment asks for: what units were exposed to, and the installation's secrets."""

from collections.abc import Mapping, Sequence
from hashlib import sha256


class MemoryStickyStore:
    """Exposures by phase and unit. `asked` counts the questions."""

    def __init__(self, exposures: Mapping[tuple[int, str], str] | None = None) -> None:
        self.exposures = dict(exposures or {})
        self.asked = 0

    def variants(self, unit: str, phases: Sequence[int]) -> Mapping[int, str]:
        """The variant of each of these phases that the unit was exposed to; only those that it has."""
        self.asked += 1
        return {phase: self.exposures[phase, unit] for phase in phases if (phase, unit) in self.exposures}


class MemorySecretStore:
    """Secrets that are the same in every test: the digest of `seed` and their name."""

    def __init__(self, seed: str = "") -> None:
        self._seed = seed

    def secret(self, name: str) -> bytes:
        """The 32 bytes of this name."""
        return sha256(f"{self._seed}{name}".encode()).digest()
