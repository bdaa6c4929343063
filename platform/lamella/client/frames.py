"""Reports as pandas data frames, for notebooks."""

from typing import TYPE_CHECKING

from lamella.reporting.csv import COLUMNS, rows
from lamella.reporting.document import Document

if TYPE_CHECKING:
    import pandas as pd


def report_frame(document: Document) -> "pd.DataFrame":
    """A frame with one row for each metric and variant, under the columns of the CSV form.

    `as_of` is a UTC timestamp. A number that is not defined is NaN, with its reason code under `undefined`; a bound
    without limit is NaN beside a lift that is not. Raises InvalidInput for what is not a report document.

    >>> report_frame({"schema": "other"})
    Traceback (most recent call last):
        ...
    lamella.errors.InvalidInput: ...
    """
    import pandas as pd

    frame = pd.DataFrame.from_records(rows(document), columns=list(COLUMNS))
    return frame.assign(as_of=pd.to_datetime(frame["as_of"], utc=True))
