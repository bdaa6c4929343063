"""Reports as pandas data frames, for notebooks."""

from typing import TYPE_CHECKING

from lamella.reporting import parts
from lamella.reporting.csv import COLUMNS, rows
from lamella.reporting.document import Document

if TYPE_CHECKING:
    import pandas as pd


def report_frame(document: Document, part: str | None = None) -> "pd.DataFrame":
    """A frame with one row for each metric and variant, under the columns of the CSV form.

    With `part` the rows of what was explored besides the plan: daily, cumulative, since_exposure, segments,
    interactions, health or service; empty where the report has not explored it.

    `as_of` is a UTC timestamp. A number that is not defined is NaN, with its reason code under `undefined`; a bound
    without limit is NaN beside a lift that is not. Raises InvalidInput for what is not a report document.

    >>> report_frame({"schema": "other"})
    Traceback (most recent call last):
        ...
    lamella.errors.InvalidInput: ...
    """
    import pandas as pd

    found = (rows(document), COLUMNS) if part is None else (parts.rows(document, part), parts.COLUMNS)
    frame = pd.DataFrame.from_records(found[0], columns=list(found[1]))
    return frame.assign(as_of=pd.to_datetime(frame["as_of"], utc=True))
