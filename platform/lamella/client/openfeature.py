"""An OpenFeature provider over either client: every parameter is a flag. Needs the extra `lamella[openfeature]`."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Final, Protocol, TypeVar

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import (
    FlagNotFoundError,
    GeneralError,
    InvalidContextError,
    ProviderNotReadyError,
    TargetingKeyMissingError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider
from openfeature.provider.metadata import Metadata

from lamella.client.inprocess import InProcessClient
from lamella.errors import InvalidInput, LamellaError, NotFound, Unavailable
from lamella.experiments.fields import value_fault
from lamella.experiments.flags import Evaluation
from lamella.experiments.model import Json
from lamella.experiments.targeting import UNIT_ATTRIBUTE

T = TypeVar("T")
NAME: Final = "lamella"


class FlagSource(Protocol):
    """What evaluates: a RemoteClient, which records nothing, or an InProcessClient, which tells the exposure."""

    def flag(self, key: str, context: Mapping[str, Json]) -> Evaluation:
        """The flag. Raises NotFound, InvalidInput or Unavailable."""
        ...

    def close(self) -> None:
        """Lets go of what the client holds."""
        ...


class LamellaProvider(AbstractProvider):
    """Resolves OpenFeature's flags from parameters; the targeting key is the user.

    Errors have OpenFeature's codes: FLAG_NOT_FOUND, TYPE_MISMATCH, TARGETING_KEY_MISSING, INVALID_CONTEXT,
    PROVIDER_NOT_READY before an in-process client has a snapshot, GENERAL where the service does not answer. The
    provider starts an in-process client when it is set, announces its new snapshots, and closes the client at shutdown.
    """

    def __init__(self, client: FlagSource) -> None:
        super().__init__()
        self._client = client
        if isinstance(client, InProcessClient):
            client.watch(self._announce)

    def get_metadata(self) -> Metadata:
        """The provider's name."""
        return Metadata(name=NAME)

    def initialize(self, evaluation_context: EvaluationContext) -> None:  # noqa: ARG002 - the SDK's signature
        """Starts an in-process client. Raises ProviderNotReadyError where it has no snapshot, not even a kept one."""
        if isinstance(self._client, InProcessClient):
            self._client.start()
            if not self._client.is_ready:
                raise ProviderNotReadyError(self._client.state.failure or "there is no snapshot yet")

    def shutdown(self) -> None:
        """Closes the client; an in-process one sends what it has spooled."""
        self._client.close()

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: ARG002, FBT001 - the SDK's signature
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """A parameter of type boolean."""
        return self._resolve(flag_key, evaluation_context, _boolean)

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,  # noqa: ARG002 - the SDK's signature
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        """A parameter of type string."""
        return self._resolve(flag_key, evaluation_context, _string)

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,  # noqa: ARG002 - the SDK's signature
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        """A parameter of type integer."""
        return self._resolve(flag_key, evaluation_context, _integer)

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,  # noqa: ARG002 - the SDK's signature
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        """A parameter of type float; one of type integer is given as a float."""
        return self._resolve(flag_key, evaluation_context, _float)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],  # noqa: ARG002 - the SDK's signature
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """A parameter of type object: an object or a list."""
        return self._resolve(flag_key, evaluation_context, _object)

    def _resolve(
        self, key: str, asked: EvaluationContext | None, read: Callable[[Json], T | None]
    ) -> FlagResolutionDetails[T]:
        context = _context(asked)
        try:
            found = self._client.flag(key, context)
        except NotFound as error:
            raise FlagNotFoundError(str(error)) from error
        except InvalidInput as error:
            raise InvalidContextError(str(error)) from error
        except Unavailable as error:
            if isinstance(self._client, InProcessClient):
                raise ProviderNotReadyError(str(error)) from error
            raise GeneralError(str(error)) from error
        except LamellaError as error:
            raise GeneralError(str(error)) from error
        value = read(found.value)
        if value is None:
            raise TypeMismatchError(f"flag {key!r} holds {found.value!r:.80}; ask for it by its own type")
        return FlagResolutionDetails(
            value=value, reason=_reason(found.reason), variant=found.variant, flag_metadata=dict(found.metadata)
        )

    def _announce(self, version: int) -> None:
        details = ProviderEventDetails(message=f"snapshot {version}", metadata={"snapshot": version})
        self.emit_provider_configuration_changed(details)


def _context(asked: EvaluationContext | None) -> Mapping[str, Json]:
    """The context as JSON. Raises TargetingKeyMissingError or InvalidContextError."""
    if asked is None or not asked.targeting_key:
        raise TargetingKeyMissingError("set the targeting key: the id of the user")
    context: dict[str, object] = {name: _plain(value) for name, value in asked.attributes.items()}
    if fault := value_fault(context):
        raise InvalidContextError(f"the context {fault}")
    return {**context, UNIT_ATTRIBUTE: asked.targeting_key}  # type: ignore[dict-item]  # value_fault proved it


def _plain(value: object) -> object:
    """The attribute as JSON: times become text, at any depth."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(part) for part in value]
    return value


def _reason(reason: str) -> str | Reason:
    return Reason(reason) if reason in Reason.__members__ else reason


def _boolean(value: Json) -> bool | None:
    return value if isinstance(value, bool) else None


def _string(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _float(value: Json) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _object(value: Json) -> Sequence[FlagValueType] | Mapping[str, FlagValueType] | None:
    if isinstance(value, str) or not isinstance(value, (Mapping, Sequence)):
        return None
    return value  # type: ignore[return-value]  # null may stand inside, which the SDK's type leaves out
