"""Ratings files: CSV, Parquet, and the formats of MovieLens as they are downloaded."""

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lamella.errors import InvalidInput
from lamella.experiments.model import Json
from lamella.services.model_ports import Item
from lamella.services.ratings_ports import Ratings

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "unit": ("unit", "user", "user_id", "userid", "userId", "UserID"),
    "item": ("item", "item_id", "itemid", "itemId", "movieId", "MovieID", "movie_id", "article_id"),
    "rating": ("rating", "Rating", "score", "stars"),
    "time": ("timestamp", "time", "Timestamp", "ts", "seq"),
}
_GAPS: Final[Sequence[str]] = ("", "NA", "N/A", "n/a", "NaN", "nan", "NaT", "None", "NULL", "null", "<NA>", "#N/A")
"""What stands for a missing value, except in a column of keys: there only the empty text does."""
_FAR_SECONDS: Final = 1e11
_KEYS: Final = ("key", "id", *_COLUMNS["item"], *_COLUMNS["unit"])
_RATING_NAMES: Final = ("UserID", "MovieID", "Rating", "Timestamp")
_BESIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "items": ("movies.dat", "u.item", "movies.csv"),
    "users": ("users.dat", "u.user"),
}
_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "movies.dat": ("id", "title", "genres"),
    "users.dat": ("id", "gender", "age", "occupation", "zip"),
    "u.user": ("id", "age", "gender", "occupation", "zip"),
}
_GENRES: Final = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
_YEAR: Final = re.compile(r"\((\d{4})\)\s*$")
_LONG_AGO: Final = datetime(1900, 1, 1, tzinfo=UTC)


class RatingsFiles:
    """Reads ratings files of this machine."""

    def read(self, path: str, *, items: str | None = None, users: str | None = None) -> Ratings:
        """The ratings of `path` with what `items` and `users` say, or the files of MovieLens that lie beside it.

        `.dat` has :: between its columns and `u.data` tabs, both without a header; `.csv`, `.tsv` and `.parquet` name
        theirs: user, item, rating and, where there is one, timestamp (else the order of the file is time). A title's
        year is its date. Raises InvalidInput where a file or a column is missing, or a value unreadable.
        """
        place = Path(path)
        table = _read(place, _rating_columns)
        units, items_of, stars = (_column(table, name, place) for name in ("unit", "item", "rating"))
        items_path, users_path = (
            Path(given) if given else _beside(place, what) for given, what in ((items, "items"), (users, "users"))
        )
        times = _times(table, place)
        return Ratings(
            units=_keys(units, place),
            items=_keys(items_of, place),
            ratings=_numbers(stars, place),
            times=times if times is not None else list(range(len(table))),
            catalogue=_items(items_path) if items_path else [],
            attributes=_users(users_path) if users_path else {},
            stamp={
                "file": place.name,
                "sha256": hashlib.sha256(place.read_bytes()).hexdigest(),
                "items_file": items_path.name if items_path else None,
                "users_file": users_path.name if users_path else None,
                "has_times": times is not None,
            },
        )


def _read(path: Path, of_plain: Callable[[Path], "pd.DataFrame"]) -> "pd.DataFrame":
    """The table of a file; `of_plain` reads one without a header. Raises InvalidInput."""
    import pandas as pd

    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        if path.suffix.lower() in (".csv", ".tsv", ".gz"):
            separator = "\t" if ".tsv" in path.name.lower() else ","
            names = map(str, pd.read_csv(path, sep=separator, nrows=0))
            gaps = {name: ("",) if name in _KEYS else _GAPS for name in names}
            keys = dict.fromkeys(_KEYS, str)
            return pd.read_csv(path, sep=separator, dtype=keys, keep_default_na=False, na_values=gaps)
        return of_plain(path)
    except (OSError, ValueError, ImportError, UnicodeError) as error:
        raise InvalidInput(f"{path} cannot be read as a table: {error}") from error


def _rating_columns(path: Path) -> "pd.DataFrame":
    return _split(path, "::" if path.suffix == ".dat" else "\t", _RATING_NAMES)


def _split(path: Path, between: str, names: Sequence[str]) -> "pd.DataFrame":
    """The lines of a file without a header, cut at `between`; `names` are those of its first columns."""
    import pandas as pd

    lines = [line.split(between) for line in path.read_text(encoding=_encoding(path)).splitlines() if line]
    width = len(names)
    short = next((number for number, line in enumerate(lines, 1) if len(line) < width), None)
    if short is not None or not lines:
        raise ValueError(f"line {short or 1} has not {width} columns separated by {between!r}")
    return pd.DataFrame([line[:width] for line in lines], columns=list(names))


def _encoding(path: Path) -> str:
    """MovieLens wrote its older files in Latin 1."""
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _column(table: "pd.DataFrame", name: str, path: Path) -> "pd.Series[str]":
    found = next((column for column in _COLUMNS[name] if column in table.columns), None)
    if found is None:
        has, wanted = ", ".join(map(str, table.columns)), ", ".join(_COLUMNS[name])
        raise InvalidInput(f"{path} has no column for the {name}: it has {has}; name one of them {wanted}")
    return table[found]


def _keys(column: "pd.Series[str]", path: Path) -> list[str]:
    """The keys as texts. Raises InvalidInput for one that is missing."""
    is_missing = _is_gap(column).to_numpy()
    if is_missing.any():
        raise InvalidInput(f"{path}: {column.name} of row {int(is_missing.argmax()) + 1} is missing")
    return [_text(each) for each in column.tolist()]


def _text(key: object) -> str:
    """The key as a text; 3.0 is 3, for a column of whole numbers that had a gap once holds floats."""
    return str(int(key)) if isinstance(key, float) and key.is_integer() else str(key)


def _numbers(column: "pd.Series[str]", path: Path) -> list[float]:
    import pandas as pd

    numbers = [float(each) for each in pd.to_numeric(column, errors="coerce")]
    for row, number in enumerate(numbers):
        if not math.isfinite(number):
            raise InvalidInput(f"{path}: {column.name} of row {row + 1} is '{column.iloc[row]}', not a number")
    return numbers


def _is_gap(column: "pd.Series[str]") -> "pd.Series[bool]":
    return column.isna() | (column == "")


def _times(table: "pd.DataFrame", path: Path) -> list[float] | None:
    """The first column of time without a gap, in seconds since 1970; None where there is none.

    Raises InvalidInput for a time that is there and cannot be read.
    """
    for name in _COLUMNS["time"]:
        if name in table.columns:
            column = table[name].reset_index(drop=True)
            there = column[~_is_gap(column)]
            times = _read_times(there)
            bad = next((place for place, time in enumerate(times) if not math.isfinite(time)), None)
            if bad is not None:
                raise InvalidInput(
                    f"{path}: {name} of row {there.index[bad] + 1} is '{there.iloc[bad]}', not a time; write every one "
                    "as a moment of ISO 8601, or every one as a number since 1970"
                )
            if len(times) == len(table):
                return times
    return None


def _read_times(column: "pd.Series[str]") -> list[float]:
    """Seconds since 1970; NaN for what cannot be read. All are numbers, or all moments, as the first one is."""
    import pandas as pd

    numbers = pd.to_numeric(column.astype(object), errors="coerce")
    if len(numbers) and math.isfinite(numbers.iloc[0]):
        return _seconds([float(each) for each in numbers])
    if not pd.api.types.is_datetime64_any_dtype(column):
        texts = column.astype(str)
        column = texts.where(texts.str.match(r"\d"))  # else pandas takes the words now and today for times
    moments = pd.to_datetime(column, format="ISO8601", errors="coerce", utc=True)
    return [at.timestamp() if is_read else math.nan for at, is_read in zip(moments, moments.notna(), strict=True)]


def _seconds(times: list[float]) -> list[float]:
    """Times that may be counted in milli-, micro- or nanoseconds: as seconds those would lie after the year 5000."""
    latest = max(map(abs, times), default=0.0)
    scale = next((scale for scale in (1.0, 1e3, 1e6) if latest < _FAR_SECONDS * scale), 1e9)
    return [each / scale for each in times]


def _beside(path: Path, what: str) -> Path | None:
    return next((path.with_name(name) for name in _BESIDE[what] if path.with_name(name).is_file()), None)


def _items(path: Path) -> list[Item]:
    if path.name == "u.item":
        names = ("id", "title", "released", "video", "url", *_GENRES)
        table = _read(path, lambda plain: _split(plain, "|", names))
        records = [
            {"id": row["id"], "title": row["title"], "genres": [genre for genre in _GENRES if row[genre] == "1"]}
            for row in table.to_dict("records")
        ]
    else:
        records = _records(path)
    return [_item(record, path) for record in records]


def _item(record: Mapping[str, Json], path: Path) -> Item:
    title = str(record.get("title") or "")
    year = _YEAR.search(title)
    published = datetime(int(year[1]), 1, 1, tzinfo=UTC) if year and year[1] > "1800" else _LONG_AGO
    kept = {name: value for name, value in record.items() if name not in (*_KEYS, "title")}
    return Item(key=_key(record, path), title=title, published_at=published, attributes=kept)


def _users(path: Path) -> dict[str, Mapping[str, Json]]:
    found: dict[str, Mapping[str, Json]] = {}
    for record in _records(path):
        kept = {name: value for name, value in record.items() if name not in _KEYS}
        if "zip" in kept:
            kept["region"] = str(kept.pop("zip"))[:1]
        found[_key(record, path)] = kept
    return found


def _records(path: Path) -> list[dict[str, Json]]:
    """The rows of a file; a text with | in it is a list."""
    between = "|" if path.name == "u.user" else "::"
    table = _read(path, lambda plain: _split(plain, between, _HEADERS.get(plain.name, ("id",))))
    return [
        {str(name): _value(value) for name, value in row.items() if not _is_missing(value)}
        for row in table.to_dict("records")
    ]


def _value(value: object) -> Json:
    if isinstance(value, str):
        if "|" in value:
            return list(value.split("|"))
        return value
    unboxed = value.item() if hasattr(value, "item") else value
    return unboxed if isinstance(unboxed, (bool, int, float)) else str(unboxed)


def _is_missing(value: object) -> bool:
    return value is None or value != value  # noqa: PLR0124 - NaN is what differs from itself


def _key(record: Mapping[str, Json], path: Path) -> str:
    name = next((name for name in _KEYS if name in record), None)
    if name is None:
        raise InvalidInput(f"{path} has no column for the key: name one of them {', '.join(_KEYS[:2])}")
    return _text(record[name])
