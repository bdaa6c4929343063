"""Every error that lamella raises, in one tree.

LamellaError
├── InvalidSettings            a LAMELLA_* value is unknown or unusable
├── InvalidInput               a request, file or argument breaks its contract
│   ├── ConfigurationInvalid   a change to layers or experiments breaks a law; lists every fault
│   │   └── BucketsTaken       the wanted buckets belong to another running experiment
│   ├── InvalidEvent           one event or slate breaks the contract of the record
│   └── InvalidRule            a targeting rule that cannot be compiled
├── NotFound                   no such layer, experiment, model version, report, …
├── Conflict                   the thing exists already, or moved while you worked on it
│   ├── IllegalTransition      the lifecycle does not allow this move
│   ├── ConfigurationMoved     somebody else changed the configuration first
│   ├── IdempotencyMismatch    the Idempotency-Key belongs to another request
│   ├── IdempotencyInProgress  the same request is at work
│   └── ThingInUse             something still needs what should be removed
├── Unauthenticated            no key, or an unknown one
├── Forbidden                  the key's role does not reach this far
├── Overloaded                 a bounded buffer is full; try again later
│   └── RateLimited            the key has used up its requests
├── Unavailable                something that lamella needs does not answer
│   ├── StoreUnavailable       the SQL store
│   ├── StoreNotMigrated       the SQL store answers, but its schema is not ours
│   ├── BrokerUnavailable      Redis or Valkey
│   └── PortInUse              somebody else listens there
├── ModelFault                 a model version cannot be used
│   ├── ModelCorrupt           its files do not match what the registry recorded
│   └── ModelFailed            it raised, or answered with something that is not a score
├── ArchiveCorrupt             a file of the archive is missing, or is not what the store recorded
└── TrainingFault              there is nothing to learn from, or TensorFlow is missing

Each class has a stable `code`; each message names the value that is wrong and the next step. Nothing
here knows HTTP: `lamella.web.problems` maps codes to statuses, `lamella.cli` to exit codes.
"""

from collections.abc import Sequence


class LamellaError(Exception):
    """The root of the tree; never raised itself."""

    code = "error"


class InvalidSettings(LamellaError):
    """One or more LAMELLA_* settings are unknown or unusable; `faults` has a sentence for each."""

    code = "invalid_settings"

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


class InvalidInput(LamellaError):
    """The input breaks its contract; `faults` has a sentence for each thing that is wrong."""

    code = "invalid_input"

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class ConfigurationInvalid(InvalidInput):
    """The wanted configuration breaks a law; `faults` holds all of them, not the first."""

    code = "configuration_invalid"


class BucketsTaken(ConfigurationInvalid):
    """Another running experiment of the layer already holds some of these buckets."""

    code = "buckets_taken"

    def __init__(self, layer: str, wanted: range, holder: str) -> None:
        super().__init__(
            f"layer {layer!r}: buckets {wanted.start}..{wanted.stop - 1} overlap "
            f"experiment {holder!r}; stop it or choose free buckets"
        )
        self.layer, self.wanted, self.holder = layer, wanted, holder


class InvalidRule(InvalidInput):
    """A targeting rule that cannot be compiled; refused when it is saved."""

    code = "invalid_rule"


class InvalidEvent(InvalidInput):
    """One event or slate breaks the contract of the record; `why` is the stable word for it (missing_field, …)."""

    code = "invalid_event"

    def __init__(self, why: str, fault: str) -> None:
        super().__init__(fault)
        self.why = why


class NotFound(LamellaError):
    """Nothing of this kind has this key."""

    code = "not_found"

    def __init__(self, kind: str, key: str, *, next_step: str = "") -> None:
        super().__init__(f"no {kind} {key!r}" + (f"; {next_step}" if next_step else ""))
        self.kind, self.key = kind, key


class Conflict(LamellaError):
    """The thing exists already, or moved while it was being changed."""

    code = "conflict"


class IllegalTransition(Conflict):
    """The lifecycle has no such move from where the experiment stands."""

    code = "illegal_transition"

    def __init__(self, experiment: str, status: str, wanted: str, legal: Sequence[str]) -> None:
        moves = ", ".join(legal) or "none, it is final"
        super().__init__(f"experiment {experiment!r} is {status}; it cannot {wanted} (legal: {moves})")
        self.experiment, self.status, self.wanted, self.legal = experiment, status, wanted, tuple(legal)


class ConfigurationMoved(Conflict):
    """The configuration has a newer version than the one this change was made from."""

    code = "configuration_moved"

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"the configuration is at version {found}, not {expected}; read it again and retry")
        self.expected, self.found = expected, found


class IdempotencyMismatch(Conflict):
    """The Idempotency-Key was used for another request."""

    code = "idempotency_mismatch"

    def __init__(self, key: str) -> None:
        super().__init__(f"Idempotency-Key {key!r} belongs to another request; choose a fresh key for each request")


class IdempotencyInProgress(Conflict):
    """A request with this Idempotency-Key is at work."""

    code = "idempotency_in_progress"

    def __init__(self, key: str) -> None:
        super().__init__(f"the request with Idempotency-Key {key!r} is at work; ask again in a second")


class ThingInUse(Conflict):
    """Something still needs what should be removed or changed; `users` says what."""

    code = "in_use"

    def __init__(self, kind: str, key: str, users: Sequence[str]) -> None:
        super().__init__(f"{kind} {key!r} is in use by {', '.join(users)}; change or remove those first")
        self.users = tuple(users)


class Unauthenticated(LamellaError):
    """The request carries no key, or one that is unknown or revoked."""

    code = "unauthenticated"


class Forbidden(LamellaError):
    """The key is valid, and its role does not allow this."""

    code = "forbidden"


class Overloaded(LamellaError):
    """A bounded buffer is full; `retry_after_seconds` says when to come back."""

    code = "overloaded"

    def __init__(self, what: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(f"{what} is full; retry after {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class RateLimited(Overloaded):
    """The key asked more often than its rate allows."""

    code = "rate_limited"

    def __init__(self, name: str, *, retry_after_seconds: int) -> None:
        LamellaError.__init__(
            self, f"key {name!r} asks more often than its rate allows; retry after {retry_after_seconds} s"
        )
        self.retry_after_seconds = retry_after_seconds


class Unavailable(LamellaError):
    """Something outside this process does not answer."""

    code = "unavailable"


class StoreUnavailable(Unavailable):
    """The SQL store does not answer."""

    code = "store_unavailable"


class StoreNotMigrated(Unavailable):
    """The SQL store answers, but its schema is not the one this version needs."""

    code = "store_not_migrated"


class BrokerUnavailable(Unavailable):
    """Redis or Valkey does not answer."""

    code = "broker_unavailable"


class PortInUse(Unavailable):
    """Another process listens on the port."""

    code = "port_in_use"

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"{host}:{port} is in use by another process; stop it or choose another --port")
        self.host, self.port = host, port


class ModelFault(LamellaError):
    """A model version cannot be used."""

    code = "model_fault"


class ModelCorrupt(ModelFault):
    """A model version's files do not match what the registry recorded when it was published."""

    code = "model_corrupt"


class ModelFailed(ModelFault):
    """A model raised, or answered with something that is not a score."""

    code = "model_failed"


class ArchiveCorrupt(LamellaError):
    """A file of the archive is missing, or has another content than the store recorded."""

    code = "archive_corrupt"


class TrainingFault(LamellaError):
    """There is nothing to learn from, or what training needs is not installed."""

    code = "training_fault"
