"""Files under a folder or a URL, each written whole or not at all."""

import contextlib
import importlib
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol

from lamella.errors import InvalidSettings, NotFound, Unavailable

_PARTIAL: Final = ".partial-"
_OBJECT_STORES: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"})
"""There a folder is but a part of a key, and who asks for one may get a bucket."""


class Blobs(Protocol):
    """Files by path, `folder/name`."""

    def write(self, path: str, content: bytes) -> None:
        """The file is there, whole. Raises Unavailable."""
        ...

    def read(self, path: str) -> bytes:
        """The file. Raises NotFound or Unavailable."""
        ...

    def folders(self, folder: str) -> Sequence[str]:
        """The names of the folders in it; none where it does not exist. Raises Unavailable."""
        ...

    def remove(self, folder: str) -> None:
        """Removes the folder with all files; nothing where it does not exist. Raises Unavailable."""
        ...


class FolderBlobs:
    """Files in a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, path: str, content: bytes) -> None:
        """The file is there, whole and on disk. Raises Unavailable where the disk refuses."""
        target = self._root / path
        partial = target.with_name(f"{_PARTIAL}{uuid.uuid4().hex}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise Unavailable(f"{target} cannot be written: {error.strerror}") from error

    def read(self, path: str) -> bytes:
        """The file. Raises NotFound."""
        try:
            return (self._root / path).read_bytes()
        except FileNotFoundError as error:
            raise NotFound("file", path, next_step=f"look in {self._root}") from error
        except OSError as error:
            raise Unavailable(f"{self._root / path} cannot be read: {error.strerror}") from error

    def folders(self, folder: str) -> Sequence[str]:
        """The names of the folders in it; none where it does not exist."""
        try:
            return sorted(each.name for each in (self._root / folder).iterdir() if each.is_dir())
        except OSError:
            return ()

    def remove(self, folder: str) -> None:
        """Removes the folder with all files; nothing where it does not exist."""
        shutil.rmtree(self._root / folder, ignore_errors=True)


class UrlBlobs:
    """Files under a URL that fsspec knows, `s3://bucket/prefix`. An object store writes an object whole."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: tuple[Any, str] | None = None

    def write(self, path: str, content: bytes) -> None:
        """The file is there, whole. Raises Unavailable."""
        files, root = self._open()
        try:
            if _has_folders(files):
                files.makedirs(f"{root}/{path}".rpartition("/")[0], exist_ok=True)
            files.pipe_file(f"{root}/{path}", content)
        except Exception as error:
            raise Unavailable(f"{self._url}/{path} cannot be written: {error}") from error

    def read(self, path: str) -> bytes:
        """The file. Raises NotFound or Unavailable."""
        files, root = self._open()
        try:
            found: bytes = files.cat_file(f"{root}/{path}")
        except FileNotFoundError as error:
            raise NotFound("file", f"{self._url}/{path}", next_step="see whether the URL is the right one") from error
        except Exception as error:
            raise Unavailable(f"{self._url}/{path} cannot be read: {error}") from error
        return found

    def folders(self, folder: str) -> Sequence[str]:
        """The names of the folders in it; none where it does not exist. Raises Unavailable."""
        files, root = self._open()
        files.invalidate_cache()
        try:
            found = files.ls(f"{root}/{folder}".rstrip("/"), detail=True)
        except FileNotFoundError:
            return ()
        except Exception as error:
            raise Unavailable(f"{self._url}/{folder} cannot be listed: {error}") from error
        return sorted(each["name"].rstrip("/").rpartition("/")[2] for each in found if each["type"] == "directory")

    def remove(self, folder: str) -> None:
        """Removes the folder with all files; nothing where it does not exist. Raises Unavailable."""
        files, root = self._open()
        try:
            files.rm(f"{root}/{folder}", recursive=True)
        except FileNotFoundError:
            return
        except Exception as error:
            raise Unavailable(f"{self._url}/{folder} cannot be removed: {error}") from error

    def _open(self) -> tuple[Any, str]:
        if self._opened is None:
            try:
                self._opened = _fsspec().core.url_to_fs(self._url)
            except (ImportError, ValueError) as error:
                raise InvalidSettings([f"LAMELLA_MODEL_URL={self._url!r}: {error}"]) from error
        files, root = self._opened
        return files, str(root).rstrip("/")


def _has_folders(files: Any) -> bool:
    named = {files.protocol} if isinstance(files.protocol, str) else {*files.protocol}
    return not named & _OBJECT_STORES


def _fsspec() -> ModuleType:
    try:
        return importlib.import_module("fsspec")
    except ImportError as error:
        raise Unavailable(f"models at a URL need fsspec ({error}); run: pip install 'lamella[s3]'") from error
