"""The settings of a process: read once from LAMELLA_* variables, checked, then passed as an argument."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from lamella.errors import InvalidRule, InvalidSettings
from lamella.services.flagging import DEFAULT_RULE, Flagging

PREFIX: Final = "LAMELLA_"


def _sql_url(url: str) -> str:
    scheme = urlsplit(url).scheme
    if scheme == "postgresql":
        return "postgresql+psycopg" + url.removeprefix("postgresql")
    if scheme not in ("postgresql+psycopg", "sqlite"):
        raise ValueError(f"has scheme {scheme!r}; use postgresql://user@host/name or sqlite:///file")
    return url


def _redis_url(url: str) -> str:
    scheme = urlsplit(url).scheme
    if scheme not in ("redis", "rediss", "unix"):
        raise ValueError(f"has scheme {scheme!r}; use redis://host:6379/0")
    return url


def _storage_url(url: str) -> str:
    scheme, _, place = url.partition("://")
    if not scheme or not place.strip("/"):
        raise ValueError("is no URL of a place; use s3://bucket/prefix, or LAMELLA_MODEL_DIR for a folder")
    return url.rstrip("/")


def _origins(text: str) -> str:
    origins = [each.strip() for each in text.split(",")]
    for each in origins:
        parts = urlsplit(each)
        is_origin = parts.scheme in ("http", "https") and each == f"{parts.scheme}://{parts.netloc}" and parts.hostname
        if each != "*" and not is_origin:
            raise ValueError(f"has {each!r}; use origins like https://www.example.org, separated by commas, or *")
    return ",".join(origins).lower()


def _rule(text: str) -> str:
    try:
        Flagging(text)
    except InvalidRule as error:
        raise ValueError(f"is no rule: {error}") from None
    return text


class Settings(BaseModel):
    """Every setting, with its default. `LAMELLA_HOST` sets `host`, and so on for each field.

    `database_url` and `redis_url` are None in the embedded mode: SQLite and a private Valkey then live
    under `data_dir`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    data_dir: Path = Field(Path(".lamella"), description="where the embedded store, models and logs live")
    database_url: Annotated[str, AfterValidator(_sql_url)] | None = Field(
        None, description="PostgreSQL or SQLite URL; empty: SQLite in the data folder"
    )
    redis_url: Annotated[str, AfterValidator(_redis_url)] | None = Field(
        None, description="Redis or Valkey URL; empty: a private Valkey child"
    )
    model_dir: Path | None = Field(None, description="folder of the model registry; empty: data_dir/models")
    model_url: Annotated[str, AfterValidator(_storage_url)] | None = Field(
        None, description="URL of the model registry, like s3://bucket/prefix; empty: the folder"
    )
    model_upload_megabytes: int = Field(100, ge=1, le=10_000, description="size of an uploaded model with its rows")
    host: str = Field("127.0.0.1", description="address that the web process listens on")
    port: int = Field(8000, ge=1, le=65535, description="port that the web process listens on")
    web_processes: int = Field(1, ge=1, le=256, description="web worker processes")
    web_threads: int = Field(8, ge=1, le=512, description="threads of a web process")
    web_nice: int = Field(
        0, ge=-20, le=19, description="added to the nice value of web processes; below 0: CAP_SYS_NICE"
    )
    worker_processes: int = Field(2, ge=1, le=256, description="Celery worker processes")
    worker_nice: int = Field(5, ge=-20, le=19, description="added to the nice value of workers: requests go first")
    cors_origins: Annotated[str, AfterValidator(_origins)] | None = Field(
        None, description="origins of the pages that may call this service from a browser, with commas; * for all"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    log_format: Literal["json", "console"] = Field("json", description="one JSON object a line, or text for people")
    snapshot_poll_seconds: float = Field(
        0.5, ge=0.05, le=60, description="how often a web process looks for a newer configuration"
    )
    ingest_seconds: float = Field(1.0, ge=0.1, le=3600, description="how often a worker drains the inbox")
    analyse_seconds: float = Field(60.0, ge=0.5, le=86400, description="how often running experiments are analysed")
    inbox_limit: int = Field(100_000, ge=1, description="batches that may wait in the inbox before 429")
    journal: Literal["disk", "store"] = Field(
        "disk", description="where an answer waits for what it accepted: this machine's disk, or the store"
    )
    journal_megabytes: int = Field(
        1_000, ge=1, le=1_000_000, description="what may wait in data_dir/journal for the store before 429"
    )
    stage_deadline_ms: int = Field(200, ge=1, le=60_000, description="time of a model in one stage before its fallback")
    model_memory_mb: int = Field(
        1_000, ge=1, le=1_000_000, description="models that a web process keeps in memory, the newest used ones"
    )
    archive_dir: Path | None = Field(None, description="folder of the archive of old facts; empty: data_dir/archive")
    retention_days: int = Field(
        0, ge=0, le=36_500, description="days after which a month of facts moves to the archive; 0: never"
    )
    quarantine_days: int = Field(
        90, ge=0, le=36_500, description="days that refused records are kept for inspection; 0: for ever"
    )
    bot_rule: Annotated[str, AfterValidator(_rule)] | None = Field(
        None, description="JsonLogic rule over the context that tells bots; empty: by user_agent; false: nobody"
    )
    bot_slates_per_day: int = Field(0, ge=0, description="a unit with more slates on one day is a bot; 0: no limit")
    internal_units: str | None = Field(None, description="units of colleagues and tests, with commas")
    late_event_hours: int = Field(72, ge=1, le=8760, description="how late an event may arrive")
    ofrep_rate_per_second: float = Field(
        0.0, ge=0, le=1_000_000, description="OFREP calls of one key a second and process; 0: no limit"
    )
    rate_per_second: float = Field(
        100.0,
        ge=0,
        le=1_000_000,
        description="admin requests of one key a second and process, ten seconds' worth at once; 0: no limit",
    )
    approvals_required: bool = Field(
        default=False, description="whether a second person approves what starts or changes a running experiment"
    )
    webhook_seconds: float = Field(2.0, ge=0.1, le=3600, description="how often a worker empties the webhooks' outbox")
    webhook_private_addresses: bool = Field(
        default=False, description="whether webhooks may be sent to private and loopback addresses"
    )
    clock_file: Path | None = Field(None, description="simulations only: a file that holds the time of all processes")

    @property
    def sql_url(self) -> str:
        """The URL of the store: `database_url`, or the embedded SQLite file."""
        return self.database_url or f"sqlite:///{self.data_dir / 'lamella.db'}"

    @property
    def origins(self) -> frozenset[str]:
        """The origins that a browser may call from; none by default."""
        return frozenset((self.cors_origins or "").split(",")) - {""}

    @property
    def archive(self) -> Path:
        """The folder of the archive."""
        return self.archive_dir or self.data_dir / "archive"

    @property
    def flagging(self) -> Flagging:
        """Who is no reader: by the rule for bots and the list of internal units."""
        listed = (each.strip() for each in (self.internal_units or "").split(","))
        return Flagging(self.bot_rule or DEFAULT_RULE, frozenset(listed) - {""})

    @property
    def models(self) -> Path:
        """The folder of the model registry."""
        return self.model_dir or self.data_dir / "models"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """The settings that the LAMELLA_* variables ask for; an empty value means the default.

        Raises InvalidSettings that lists every unknown name and every unusable value.
        """
        wanted = {name: text for name, text in environment.items() if name.startswith(PREFIX) and text}
        known = {PREFIX + name.upper(): name for name in cls.model_fields}
        faults = [_unknown(name, known) for name in sorted(wanted.keys() - known.keys())]
        try:
            settings = cls.model_validate({known[name]: text for name, text in wanted.items() if name in known})
        except ValidationError as error:
            faults += [_fault(str(each["loc"][0]), each["input"], each["msg"]) for each in error.errors()]
            raise InvalidSettings(faults) from None
        if faults:
            raise InvalidSettings(faults)
        return settings

    def to_environment(self) -> dict[str, str]:
        """The LAMELLA_* variables that give a child process these settings."""
        return {PREFIX + name.upper(): str(value) for name, value in self if value is not None}


def _unknown(name: str, known: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"{name} is not a setting; " + (f"did you mean {near[0]}?" if near else "see `lamella settings`")


def _fault(name: str, value: object, message: str) -> str:
    reason = message.removeprefix("Value error, ").removeprefix("Input ")
    return f"{PREFIX}{name.upper()}={value!r}: {reason}"
