"""The files of model versions in memory."""

from collections.abc import Mapping

from lamella.errors import ModelCorrupt, NotFound
from lamella.recommenders.artifact import FactorModel
from lamella.services.model_ports import ModelVersion


class MemoryVersionFiles:
    """The matrices and further files of versions, by reference."""

    def __init__(
        self,
        models: Mapping[str, FactorModel] | None = None,
        files: Mapping[str, Mapping[str, bytes]] | None = None,
    ) -> None:
        self.models, self.files = dict(models or {}), dict(files or {})

    def load(self, version: ModelVersion) -> FactorModel:
        """The matrices. Raises ModelCorrupt where there are none."""
        if version.reference not in self.models:
            raise ModelCorrupt(f"{version.reference}: nothing is kept; publish the model again")
        return self.models[version.reference]

    def read(self, version: ModelVersion, filename: str) -> bytes:
        """A further file. Raises NotFound."""
        found = self.files.get(version.reference, {}).get(filename)
        if found is None:
            raise NotFound(f"file of {version.reference}", filename)
        return found
