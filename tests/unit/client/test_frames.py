"""Reports as data frames."""

import pandas as pd

from lamella.client import report_frame
from lamella.reporting.csv import COLUMNS
from reports_made import experiment, report, totals

DOCUMENT = report(experiment(), [totals("control"), totals("treatment", lift=0.1, seed=2)], day=7)


def test_a_frame_has_the_rows_and_columns_of_the_csv_form():
    frame = report_frame(DOCUMENT)
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == sum(len(metric["arms"]) for metric in DOCUMENT["metrics"])


def test_the_moment_of_a_report_is_a_utc_timestamp():
    assert isinstance(report_frame(DOCUMENT)["as_of"].dtype, pd.DatetimeTZDtype)
