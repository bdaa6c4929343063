"""The configuration as it travels to the processes that evaluate by themselves: with the name of the format."""

from collections.abc import Mapping
from typing import Final

from lamella.errors import InvalidInput
from lamella.experiments.document import configuration_document, configuration_from_document
from lamella.experiments.model import Configuration, Json

SCHEMA: Final = "lamella.snapshot/1"


def snapshot_document(configuration: Configuration) -> dict[str, Json]:
    """The configuration as a JSON object that names its format."""
    return {"schema": SCHEMA, "version": configuration.version, "configuration": configuration_document(configuration)}


def configuration_of(document: object) -> Configuration:
    """The configuration in such an object. Raises InvalidInput for another format, or for a broken one."""
    if not isinstance(document, Mapping) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, Mapping) else type(document).__name__
        raise InvalidInput(f"the document is {found!r}, not {SCHEMA!r}; update the older of SDK and service")
    inner = document.get("configuration")
    if not isinstance(inner, Mapping):
        raise InvalidInput("the document has no configuration; fetch it again")
    return configuration_from_document(inner)
