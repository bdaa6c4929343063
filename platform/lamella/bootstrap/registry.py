"""Where models are: a folder of this machine, or a URL."""

from typing import TYPE_CHECKING

from lamella.config import Settings
from lamella.recommenders.blobs import FolderBlobs, UrlBlobs
from lamella.recommenders.registry import FolderRegistry, Registry
from lamella.recommenders.url_registry import UrlRegistry
from lamella.services.model_ports import ModelCatalogue

if TYPE_CHECKING:
    from lamella.recommenders.uploads import Uploads


def registry_of(settings: Settings, catalogue: ModelCatalogue) -> Registry:
    """The registry of the settings; a URL is connected at its first use."""
    if settings.model_url is None:
        return FolderRegistry(settings.models, catalogue)
    return UrlRegistry(UrlBlobs(settings.model_url), catalogue, cache=settings.data_dir / "cache" / "models")


def uploads_of(settings: Settings, registry: Registry) -> "Uploads":
    """The uploads beside that registry."""
    from lamella.recommenders.uploads import Uploads

    blobs = FolderBlobs(settings.models) if settings.model_url is None else UrlBlobs(settings.model_url)
    return Uploads(blobs, registry, most_bytes=settings.model_upload_megabytes * 1_000_000)
