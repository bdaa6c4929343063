"""The service's problem+json answers as the errors of `lamella.errors`."""

from collections.abc import Mapping
from typing import Final

from lamella import errors

_PLAIN: Final[Mapping[str, type[errors.LamellaError]]] = {
    "conflict": errors.Conflict,
    "illegal_transition": errors.Conflict,
    "configuration_moved": errors.Conflict,
    "precondition_failed": errors.Conflict,
    "unauthenticated": errors.Unauthenticated,
    "forbidden": errors.Forbidden,
    "unavailable": errors.Unavailable,
    "store_unavailable": errors.StoreUnavailable,
    "store_not_migrated": errors.StoreNotMigrated,
    "broker_unavailable": errors.BrokerUnavailable,
    "model_fault": errors.ModelFault,
    "model_corrupt": errors.ModelCorrupt,
    "model_failed": errors.ModelFailed,
    "training_fault": errors.TrainingFault,
}
_FAULTY: Final[Mapping[str, type[errors.InvalidInput]]] = {
    "configuration_invalid": errors.ConfigurationInvalid,
    "buckets_taken": errors.ConfigurationInvalid,
    "invalid_rule": errors.InvalidRule,
}


def decode(status: int, problem: Mapping[str, object], *, path: str) -> errors.LamellaError:
    """The error that an answer of 400 or above stands for; its text is the service's own sentence.

    `code` is the service's, even where the class is a parent of the one that the service raised. An answer without
    a known code is InvalidInput below 500 and Unavailable from there.
    """
    code = str(problem.get("code", ""))
    # OFREP calls it errorDetails.
    detail = str(problem.get("detail") or problem.get("errorDetails") or f"{path} answered {status}")
    error = _build(status, code, detail, problem, path)
    error.code = code or error.code
    return error


def _build(status: int, code: str, detail: str, problem: Mapping[str, object], path: str) -> errors.LamellaError:
    if code in _PLAIN:
        return _PLAIN[code](detail)
    if code == errors.NotFound.code:
        missing = errors.NotFound("resource", path)
        missing.args = (detail,)
        return missing
    if code == errors.Overloaded.code:
        full = errors.Overloaded(path)
        full.args = (detail,)
        return full
    if status >= 500:
        return errors.Unavailable(detail)
    faults = problem.get("faults")
    named = [str(fault) for fault in faults] if isinstance(faults, list) and faults else [detail]
    return _FAULTY.get(code, errors.InvalidInput)(*named)
