"""Which user and which item each row of a network's tables belongs to, as JSON: `rows.json`.

Weights without it say nothing: with it, a network can be built again and filled.
"""

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from lamella.errors import InvalidInput
from lamella.experiments.model import Json
from lamella.recommenders.dataset import Dataset, Impressions
from lamella.recommenders.layers import Floats

ROWS: Final = "rows.json"
_LONGEST_KEY: Final = 1024
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_KNOWN: Final = frozenset(
    {
        "users",
        "items",
        "unseen_users",
        "unseen_items",
        "titles",
        "words",
        "published",
        "until",
        "user_attributes",
        "item_attributes",
        "user_features",
        "item_features",
        "signature",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRows:
    """The keys in row order, and what stands beside them; lists that are not needed are empty.

    `unseen_users` and `unseen_items` are places without evidence: their rows were never trained. `words` is the
    vocabulary of titles. `published` (POSIX seconds, None where unknown) and `until` give items their age.
    `user_features`, `item_features` and `signature` are for ONNX; see `OnnxNetwork`.
    """

    users: tuple[str, ...]
    items: tuple[str, ...]
    unseen_users: tuple[int, ...] = ()
    unseen_items: tuple[int, ...] = ()
    titles: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    published: tuple[float | None, ...] = ()
    until: float | None = None
    user_attributes: tuple[Mapping[str, Json], ...] = ()
    item_attributes: tuple[Mapping[str, Json], ...] = ()
    user_features: tuple[tuple[float, ...], ...] = ()
    item_features: tuple[tuple[float, ...], ...] = ()
    signature: Mapping[str, Json] = field(default_factory=dict)

    def dataset(self) -> Dataset:
        """A dataset of these tables, whose impressions only say who and what has evidence; nothing was clicked."""
        active = np.setdiff1d(np.arange(len(self.users)), self.unseen_users).astype(np.int32)
        shown = np.setdiff1d(np.arange(len(self.items)), self.unseen_items).astype(np.int32)
        places = np.arange(max(len(active), len(shown)))
        pairs = Impressions(
            user=active[places % len(active)],
            item=shown[places % len(shown)],
            rank=np.zeros(len(places), dtype=np.int32),
            clicked=np.zeros(len(places), dtype=np.float32),
        )
        published = self.published or (None,) * len(self.items)
        return Dataset(
            users=self.users,
            items=self.items,
            titles=self.titles or ("",) * len(self.items),
            published=np.array([-np.inf if each is None else each for each in published], dtype=np.float64),
            training=pairs,
            validation=pairs.take(slice(0, 1)),
            held_out=pairs.take(slice(0, 1)),
            user_attributes=self.user_attributes or ({},) * len(self.users),
            item_attributes=self.item_attributes or ({},) * len(self.items),
            until=float("nan") if self.until is None else self.until,
        )

    def features(self, side: str) -> Floats:
        """The features of "user" or "item": (n, f) float32, f may be 0."""
        given, keys = (self.user_features, self.users) if side == "user" else (self.item_features, self.items)
        return np.array(given, dtype=np.float32) if given else np.zeros((len(keys), 0), dtype=np.float32)


def rows_of_dataset(dataset: Dataset, *, words: Sequence[str] = ()) -> bytes:
    """The `rows.json` of a network that was trained on `dataset`."""
    document = {
        "users": dataset.users,
        "items": dataset.items,
        "unseen_users": np.flatnonzero(~dataset.is_active).tolist(),
        "unseen_items": np.flatnonzero(~dataset.is_shown).tolist(),
        "titles": dataset.titles,
        "words": list(words),
        "published": [each if math.isfinite(each) else None for each in dataset.published.tolist()],
        "until": dataset.until if math.isfinite(dataset.until) else None,
        "user_attributes": [dict(each) for each in dataset.user_attributes],
        "item_attributes": [dict(each) for each in dataset.item_attributes],
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def parse_rows(content: bytes) -> TableRows:
    """The rows of the JSON text. Raises InvalidInput with one sentence for each fault."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{ROWS} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidInput(f'{ROWS} is not an object like {{"users": [...], "items": [...]}}')
    reader = _Reader(document)
    users, items = reader.keys("users"), reader.keys("items")
    found = TableRows(
        users=users,
        items=items,
        unseen_users=reader.places("unseen_users", len(users)),
        unseen_items=reader.places("unseen_items", len(items)),
        titles=reader.texts("titles", len(items)),
        words=reader.texts("words", None),
        published=reader.moments("published", len(items)),
        until=reader.moment("until"),
        user_attributes=reader.objects("user_attributes", len(users)),
        item_attributes=reader.objects("item_attributes", len(items)),
        user_features=reader.features("user_features", len(users)),
        item_features=reader.features("item_features", len(items)),
        signature=reader.signature(),
    )
    if reader.faults:
        raise InvalidInput(*reader.faults)
    return found


class _Reader:
    """Reads lists out of the document and collects what is wrong with them."""

    def __init__(self, document: Mapping[str, Json]) -> None:
        self._document = document
        self.faults = [f"{ROWS} has an unknown name {name!r}" for name in document if name not in _KNOWN]

    def keys(self, name: str) -> tuple[str, ...]:
        found = self._list(name, None)
        keys = tuple(each for each in found if isinstance(each, str) and _is_key(each))
        if not found or len(keys) != len(found) or len(set(keys)) != len(keys):
            self.faults.append(f"{ROWS}: {name} is not a list of different keys, one a row of the table")
        return keys

    def texts(self, name: str, rows: int | None) -> tuple[str, ...]:
        found = self._list(name, rows)
        texts = tuple(each for each in found if isinstance(each, str))
        return texts if len(texts) == len(found) else self._wrong(name, "a list of texts")

    def places(self, name: str, rows: int) -> tuple[int, ...]:
        found = self._list(name, None)
        places = tuple(each for each in found if isinstance(each, int) and 0 <= each < rows)
        if len(places) != len(found) or (rows and len(set(places)) >= rows):
            return self._wrong(name, f"a list of rows below {rows}, not all of them")
        return places

    def moment(self, name: str) -> float | None:
        found = self._document.get(name)
        if found is None or _is_finite(found):
            return float(found) if isinstance(found, (int, float)) else None
        self._wrong(name, "a moment in POSIX seconds")
        return None

    def moments(self, name: str, rows: int) -> tuple[float | None, ...]:
        found = self._list(name, rows)
        if not all(each is None or _is_finite(each) for each in found):
            return self._wrong(name, "a list of moments in POSIX seconds, or null")
        return tuple(float(each) if isinstance(each, (int, float)) else None for each in found)

    def objects(self, name: str, rows: int) -> tuple[Mapping[str, Json], ...]:
        found = self._list(name, rows)
        objects = tuple(each for each in found if isinstance(each, dict))
        return objects if len(objects) == len(found) else self._wrong(name, "a list of objects")

    def features(self, name: str, rows: int) -> tuple[tuple[float, ...], ...]:
        found = self._list(name, rows)
        lists = [each for each in found if isinstance(each, list)]
        is_even = len({len(each) for each in lists}) <= 1 and len(lists) == len(found)
        if not is_even or not all(_is_finite(each) for row in lists for each in row):
            return self._wrong(name, "a list of equally long lists of numbers")
        return tuple(tuple(float(each) for each in row if isinstance(each, (int, float))) for row in lists)

    def signature(self) -> Mapping[str, Json]:
        found = self._document.get("signature", {})
        if not isinstance(found, dict):
            self.faults.append(f"{ROWS}: signature is not an object")
            return {}
        return found

    def _list(self, name: str, rows: int | None) -> list[Json]:
        found = self._document.get(name, [])
        if not isinstance(found, list):
            self.faults.append(f"{ROWS}: {name} is not a list")
            return []
        if found and rows is not None and len(found) != rows:
            self.faults.append(f"{ROWS}: {name} has {len(found)} entries for {rows} rows")
        return found

    def _wrong(self, name: str, wanted: str) -> tuple[()]:
        self.faults.append(f"{ROWS}: {name} is not {wanted}")
        return ()


def _is_finite(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_key(key: str) -> bool:
    """Whether it names a row and can be written: JSON may hold half of a pair of surrogates."""
    return 0 < len(key) <= _LONGEST_KEY and _SURROGATE.search(key) is None
