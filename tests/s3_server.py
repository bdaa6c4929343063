"""The part of S3 that a registry of models uses, kept in memory: objects by key, and lists of keys."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

_SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_DATE = "2026-03-02T00:00:00.000Z"


@dataclass
class Bucket:
    """Its objects, and the buckets that somebody tried to make; with `is_barred` every request is a 403."""

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    is_barred: bool = False

    def empty(self) -> None:
        """As it was at the start."""
        self.objects.clear()
        self.made.clear()
        self.is_barred = False


@contextmanager
def s3_bucket() -> Iterator[Bucket]:
    """An empty bucket named `bucket`, of a server at `url`."""
    bucket = Bucket()
    handler = type("Handler", (_Handler,), {"bucket": bucket})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        bucket.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield bucket
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bucket: ClassVar[Bucket]

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name, key = self._place()
        if not key:
            self.bucket.made.append(name)
        if self._is_open():
            self.bucket.objects[key] = content
            self._answer(200, ETag='"x"')

    def do_GET(self) -> None:
        _, key = self._place()
        if not self._is_open():
            return
        if not key:
            self._answer(200, self._listing(), Content_Type="application/xml")
        elif key in self.bucket.objects:
            self._answer(200, self.bucket.objects[key], ETag='"x"')
        else:
            self._refuse(404, "NoSuchKey")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        wanted = ET.fromstring(self.rfile.read(int(self.headers["Content-Length"])))
        if self._is_open():
            for each in wanted.iter(f"{{{_SPACE}}}Key"):
                self.bucket.objects.pop(each.text or "", None)
            self._answer(200, f'<DeleteResult xmlns="{_SPACE}"/>'.encode(), Content_Type="application/xml")

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def _place(self) -> tuple[str, str]:
        """The bucket and the key that the request names."""
        name, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        return name, key

    def _is_open(self) -> bool:
        """Whether the request may go on; it is answered where it may not."""
        if self.bucket.is_barred:
            self._refuse(403, "AccessDenied")
        elif self._place()[0] != "bucket":
            self._refuse(404, "NoSuchBucket")
        else:
            return True
        return False

    def _listing(self) -> bytes:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
        keys: list[str] = []
        folders: set[str] = set()
        for key in sorted(self.bucket.objects):
            head, found, _ = key.removeprefix(prefix).partition(delimiter) if delimiter else (key, "", "")
            if key.startswith(prefix) and found:
                folders.add(f"{prefix}{head}{delimiter}")
            elif key.startswith(prefix):
                keys.append(key)
        contents = [
            f"<Contents><Key>{escape(key)}</Key><LastModified>{_DATE}</LastModified><ETag>x</ETag>"
            f"<Size>{len(self.bucket.objects[key])}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for key in keys[: int(asked.get("max-keys", 1000))]
        ]
        contents += [f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in sorted(folders)]
        return (
            f'<ListBucketResult xmlns="{_SPACE}"><Name>bucket</Name><Prefix>{escape(prefix)}</Prefix>'
            f"<IsTruncated>false</IsTruncated><KeyCount>{len(contents)}</KeyCount>{''.join(contents)}</ListBucketResult>"
        ).encode()

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code></Error>".encode(), Content_Type="application/xml")

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Last-Modified", "Mon, 02 Mar 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
