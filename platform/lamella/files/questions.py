"""What is asked of a file: metrics, declared as `ctr=ratio(clicks, impressions)`, and which column is what."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lamella.errors import InvalidInput
from lamella.files.reading import Kind, Source

VARIANTS: Final = ("variant", "variation", "variant_key", "experiment_group", "test_group", "ab_group", "group", "arm",
                   "bucket", "treatment", "condition")  # fmt: skip
UNITS: Final = ("unit", "unit_id", "user", "user_id", "userid", "uid", "visitor_id", "device_id", "client_id",
                "customer_id", "account_id", "session_id", "reader", "reader_id", "member_id", "id")  # fmt: skip
CONTROLS: Final = ("control", "ctrl", "baseline", "base", "default", "off", "a", "0", "false")
ROWS: Final = "rows"
BEFORE: Final = ("pre_", "before_")
_MOST_GUESSED: Final = 30
_DECLARED: Final = re.compile(r"^\s*(?:(?P<name>[^=()]+?)\s*=\s*)?(?P<form>[a-z]+)\s*\(\s*(?P<inside>[^()]*?)\s*\)\s*$")


class Form(StrEnum):
    """How a metric is made from columns."""

    MEAN = "mean"
    PROPORTION = "proportion"
    RATIO = "ratio"
    QUANTILE = "quantile"
    WINSORISED = "winsorised"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A metric of the file: its columns (ratio: numerator, denominator) and the level of a quantile or of a cap."""

    name: str
    form: Form
    columns: tuple[str, ...]
    level: float | None = None

    @property
    def text(self) -> str:
        """As it is written on the command line."""
        level = "" if self.level is None else f", {self.level:g}"
        return f"{self.name}={self.form}({', '.join(self.columns)}{level})"


def parse_metric(text: str) -> Declared:
    """The metric that the text declares; without a name it is called like its columns.

    Raises InvalidInput that shows the five forms.

    >>> parse_metric("ctr=ratio(clicks, impressions)").columns
    ('clicks', 'impressions')
    >>> parse_metric("quantile(latency, 0.9)").name
    'latency_p90'
    """
    found = _DECLARED.match(text)
    if found is None or found["form"] not in set(Form):
        raise InvalidInput(
            f"metric {text!r} is not understood; write name=mean(column), name=proportion(column), "
            "name=ratio(column, column), name=quantile(column, 0.9) or name=winsorised(column, 0.99)"
        )
    form, parts = Form(found["form"]), [part.strip() for part in found["inside"].split(",")]
    level = None
    if form in (Form.QUANTILE, Form.WINSORISED):
        level = _level(text, parts.pop() if len(parts) == 2 else None, form)
    wanted = 2 if form is Form.RATIO else 1
    if len(parts) != wanted or not all(parts):
        raise InvalidInput(f"metric {text!r}: {form} takes {wanted} column{'s' * (wanted > 1)}")
    name = found["name"] or _named(form, parts, level)
    return Declared(name=name, form=form, columns=tuple(parts), level=level)


def _level(text: str, written: str | None, form: Form) -> float:
    if written is None and form is Form.WINSORISED:
        return 0.99
    try:
        level = float(written or "")
    except ValueError:
        level = 0.0
    if not 0.0 < level < 1.0:
        raise InvalidInput(f"metric {text!r}: {form} takes a column and a level between 0 and 1, such as 0.9")
    return level


def _named(form: Form, columns: Sequence[str], level: float | None) -> str:
    if form is Form.RATIO:
        return f"{columns[0]}_per_{columns[1]}"
    if form is Form.QUANTILE:
        return f"{columns[0]}_p{100 * (level or 0):g}"
    return {Form.PROPORTION: f"has_{columns[0]}", Form.WINSORISED: f"{columns[0]}_capped"}.get(form, columns[0])


def check_columns(source: Source, wanted: Mapping[str, str], *, numeric: Iterable[str] = ()) -> None:
    """Nothing, where all `wanted` (column by what it is for) stand in the file and `numeric` ones hold numbers.

    Raises InvalidInput with every fault.
    """
    listed = ", ".join(source.kinds)
    faults = [
        f"{source.path}: no column {column!r} for {use}; there are {listed}"
        for column, use in wanted.items()
        if column not in source.kinds
    ]
    faults += [
        f"{source.path}: column {column!r} holds text or times; metrics and covariates need numbers"
        for column in numeric
        if column in source.kinds and source.kinds[column] not in (Kind.NUMBER, Kind.FLAG)
    ]
    if faults:
        raise InvalidInput(*faults)


def guess_column(source: Source, names: Sequence[str], option: str, what: str) -> str:
    """The first column whose name is among `names`. Raises InvalidInput that asks for `option`."""
    found = _known(source, names)
    if found is None:
        raise InvalidInput(
            f"{source.path}: no column looks like {what}; name it with {option}. There are {', '.join(source.kinds)}"
        )
    return found


def guess_unit(source: Source) -> str:
    """The column that names the unit.

    Raises InvalidInput that says why rows are not tested as if they were units.
    """
    found = _known(source, UNITS)
    if found is None:
        raise InvalidInput(
            f"{source.path}: no column looks like the unit (the reader, device or session that was randomised). Rows "
            "are not tested as if each were independent: one reader's impressions go together, and a z-test over them "
            "finds differences that are not there (26 to 83 % false alarms on heavy-tailed traffic instead of 5 %). "
            "Name the column with --unit COLUMN, or say --each-row-is-a-unit if it is so. "
            f"There are {', '.join(source.kinds)}"
        )
    return found


def guess_control(variants: Sequence[str]) -> str:
    """The variant that is called like a control, else the first by name."""
    by_name = {each.lower(): each for each in sorted(variants, reverse=True)}
    return next((by_name[name] for name in CONTROLS if name in by_name), min(variants))


def numeric_columns(source: Source, used: Iterable[str]) -> tuple[str, ...]:
    """The columns of numbers or flags that have no other part, those of the time before left out."""
    taken = set(used)
    return tuple(
        name
        for name, kind in source.kinds.items()
        if kind in (Kind.NUMBER, Kind.FLAG) and name not in taken and not name.lower().startswith(BEFORE)
    )


def guess_metrics(columns: Sequence[str], binary: Iterable[str], *, has_events: bool) -> tuple[Declared, ...]:
    """A metric for every column: CTR from clicks and impressions first, shares of what is 0 or 1, else means per unit.

    In a file of events what is 0 or 1 in every row becomes its share of the rows, tested over units. Raises
    InvalidInput for no or too many columns.
    """
    if not columns:
        raise InvalidInput("no column of numbers is left to be a metric; name one with --metric 'name=mean(column)'")
    if len(columns) > _MOST_GUESSED:
        raise InvalidInput(f"{len(columns)} columns hold numbers; choose metrics with --metric 'name=mean(column)'")
    flags, by_name = set(binary), {each.lower(): each for each in columns}
    found: list[Declared] = []
    if "clicks" in by_name and "impressions" in by_name:
        pair = (by_name["clicks"], by_name["impressions"])
        found.append(Declared(name="ctr", form=Form.RATIO, columns=pair))
    for column in columns:
        if column in flags and has_events:
            found.append(Declared(name=f"{column}_rate", form=Form.RATIO, columns=(column, ROWS)))
        else:
            found.append(
                Declared(name=column, form=Form.PROPORTION if column in flags else Form.MEAN, columns=(column,))
            )
    return tuple(found)


def _known(source: Source, names: Sequence[str]) -> str | None:
    by_name = {each.lower().replace(" ", "_").replace("-", "_"): each for each in source.kinds}
    return next((by_name[name] for name in names if name in by_name), None)
