"""The report on a file: the same figures as the engine's, from units or events, CSV or Parquet."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from file_samples import events_frame, units_frame, written
from lamella.errors import InvalidInput
from lamella.files.analysis import Asked, analyse_file
from lamella.reporting import csv, html
from lamella.stats import Moments, adjusted_ratios, clustered_quantile, compare_ratios, difference
from lamella.stats.standard import Method

NOW = datetime(2026, 3, 2, tzinfo=UTC)
PLAIN = Asked(guess_covariates=False)


def compared(document, metric, variant="treatment"):
    """One comparison of a report."""
    entry = next(each for each in document["metrics"] if each["metric"] == metric)
    return next(each for each in entry["comparisons"] if each["variant"] == variant)


def moments(frame, variant, *columns):
    return Moments.from_rows(columns, frame.loc[frame["variant"] == variant, list(columns)])


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet", "tsv"])
def test_every_form_of_a_file_gives_the_same_report(tmp_path, ending):
    frame = units_frame()
    path = tmp_path / f"readers.{ending}"
    frame.to_csv(path, sep="\t", index=False) if ending == "tsv" else written(frame, path)
    document = analyse_file(path, PLAIN, NOW)
    found = compared(document, "ctr")
    names = ("clicks", "impressions")
    wanted = compare_ratios(moments(frame, "control", *names), moments(frame, "treatment", *names), *names)
    assert found["difference"] == pytest.approx(wanted.value)
    assert found["p"] == pytest.approx(wanted.p)
    assert document["experiment"]["key"] == "readers"
    assert html.render_page([(document, ())]).startswith("<!")
    assert csv.render(document).count("\n") == 1 + 2 * len(document["metrics"])


def test_a_mean_agrees_with_scipy_and_a_share_is_one(tmp_path):
    frame = units_frame()
    document = analyse_file(written(frame, tmp_path / "r.csv"), PLAIN, NOW)
    arms = [frame.loc[frame["variant"] == each, "revenue"] for each in ("treatment", "control")]
    assert compared(document, "revenue")["p"] == pytest.approx(ttest_ind(*arms, equal_var=False).pvalue, rel=1e-9)
    bought = next(each for each in document["metrics"] if each["metric"] == "bought")
    assert bought["unit"] == "share"
    assert bought["arms"][0]["value"] == pytest.approx(frame.loc[frame["variant"] == "control", "bought"].mean())


def test_events_are_summed_up_by_unit_and_the_report_says_so(tmp_path):
    frame = units_frame()
    asked = Asked(metrics=("ctr=ratio(clicked, rows)", "wait=quantile(wait_ms, 0.9)"), decrease=("wait",))
    rows = events_frame(frame)
    document = analyse_file(written(rows, tmp_path / "events.parquet"), asked, NOW)
    names = ("clicks", "impressions")
    wanted = compare_ratios(moments(frame, "control", *names), moments(frame, "treatment", *names), *names)
    assert compared(document, "ctr")["p"] == pytest.approx(wanted.p)
    assert any("holds events" in note for note in document["notes"])
    arms = [rows.loc[rows["variant"] == each] for each in ("control", "treatment")]
    quantiles = [clustered_quantile(arm["wait_ms"], arm["user_id"].astype("object"), quantile=0.9) for arm in arms]
    assert compared(document, "wait")["p"] == pytest.approx(difference(*quantiles).p)


def test_zero_or_one_in_every_event_is_guessed_to_be_a_rate_over_units(tmp_path):
    document = analyse_file(written(events_frame(units_frame()), tmp_path / "events.csv"), PLAIN, NOW)
    assert {each["metric"]: each["kind"] for each in document["metrics"]} == {
        "clicked_rate": "ratio",
        "wait_ms": "mean",
    }


def test_a_test_over_impressions_is_refused_and_the_error_says_why(tmp_path):
    path = written(events_frame(units_frame()).drop(columns="user_id"), tmp_path / "events.csv")
    with pytest.raises(InvalidInput, match="z-test over them finds") as refused:
        analyse_file(path, PLAIN, NOW)
    assert "--unit" in str(refused.value)


def test_the_time_before_adjusts_with_every_covariate_and_missing_values_stay_in(tmp_path):
    frame = units_frame()
    frame.loc[::5, "pre_clicks"] = np.nan
    document = analyse_file(written(frame, tmp_path / "r.csv"), Asked(metrics=("ctr=ratio(clicks, impressions)",)), NOW)
    known = frame.assign(has=frame["pre_clicks"].notna().astype(float))
    known["pre_clicks"] = known["pre_clicks"].fillna(0.0)
    names = ("clicks", "impressions", "pre_clicks", "has", "pre_impressions")
    wanted = adjusted_ratios(
        moments(known, "control", *names), moments(known, "treatment", *names), names[0], names[1], names[2:]
    )
    found = compared(document, "ctr")["adjusted"]
    assert found["difference"] == pytest.approx(difference(wanted.control, wanted.treatment).value)
    assert sum(arm["units"] for arm in document["metrics"][0]["arms"]) == len(frame)


def test_a_unit_in_two_variants_is_counted_and_left_out(tmp_path):
    frame = units_frame(units=1000)
    again = frame.head(30).assign(variant=lambda each: np.where(each["variant"] == "control", "treatment", "control"))
    document = analyse_file(written(pd.concat([frame, again]), tmp_path / "r.csv"), PLAIN, NOW)
    assert sum(each["crossed"] for each in document["variants"]) == 30
    assert sum(each["units"] for each in document["variants"]) == 970
    assert document["verdict"]["decision"] == "invalid"


def test_the_sample_ratio_is_held_against_the_weights(tmp_path):
    path = written(units_frame(), tmp_path / "r.csv")
    assert analyse_file(path, PLAIN, NOW)["verdict"]["decision"] != "invalid"
    document = analyse_file(path, Asked(weights={"control": 9, "treatment": 1}), NOW)
    assert document["verdict"]["decision"] == "invalid"


def test_segments_are_reported_and_labelled_exploratory(tmp_path):
    document = analyse_file(written(units_frame(), tmp_path / "r.csv"), Asked(segments=("device",)), NOW)
    assert [each["value"] for each in document["segments"]] == ["desktop", "phone"]
    assert {metric["role"] for each in document["segments"] for metric in each["metrics"]} == {"exploratory"}
    whole = sum(each["units"] for each in document["variants"])
    assert sum(arm["units"] for each in document["segments"] for arm in each["variants"]) == whole


def test_looks_are_paid_for(tmp_path):
    path = written(units_frame(lift=0.15), tmp_path / "r.csv")
    at_look = analyse_file(path, Asked(guess_covariates=False, method=Method.GROUP_SEQUENTIAL, look=2), NOW)
    once = analyse_file(path, PLAIN, NOW)
    assert at_look["looks"]["taken"] == 2
    assert compared(at_look, "ctr")["level"] > 0.998 > compared(once, "ctr")["level"]
    anytime = analyse_file(path, Asked(guess_covariates=False, method=Method.ALWAYS_VALID), NOW)
    assert compared(anytime, "ctr")["p"] > compared(once, "ctr")["p"]


def test_a_file_larger_than_a_batch_gives_what_a_small_one_gives(tmp_path, monkeypatch):
    path = written(events_frame(units_frame()), tmp_path / "events.csv")
    whole = analyse_file(path, PLAIN, NOW)
    monkeypatch.setattr("lamella.files.reading._BLOCK_BYTES", 10_000)
    monkeypatch.setattr("lamella.files.units._COMPACT_ROWS", 2_000)
    parts = analyse_file(path, PLAIN, NOW)
    assert compared(parts, "clicked_rate")["p"] == pytest.approx(compared(whole, "clicked_rate")["p"], rel=1e-9)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked(variant="arm_x"), "no column 'arm_x' for the variant"),
        (Asked(control="b"), "control 'b' is no variant"),
        (Asked(metrics=("mean(money)",)), "no column 'money' for metric money"),
        (Asked(metrics=("median(clicks)",)), "is not understood"),
        (Asked(metrics=("ratio(clicks)",)), "takes 2 columns"),
        (Asked(metrics=("quantile(clicks, 9)",)), "between 0 and 1"),
        (Asked(metrics=("mean(device)",)), "holds text or times"),
        (Asked(metrics=("x=mean(clicks)", "x=mean(revenue)")), "two metrics are called 'x'"),
        (Asked(metrics=("mean(clicks)",), covariates=("clicks",)), "must be from before"),
        (Asked(primary="ctrr"), "no metric is called 'ctrr'"),
        (Asked(weights={"a": 1}), "no variant of the file"),
        (Asked(alpha=5), "alpha is 5"),
        (Asked(segments=("user_id",)), "are no segments"),
        (Asked(variant="user_id", unit="device"), "name the column of variants"),
        (Asked(method=Method.GROUP_SEQUENTIAL, look=9), "look 9 of 5"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path, asked, said):
    with pytest.raises(InvalidInput, match=said):
        analyse_file(written(units_frame(units=200), tmp_path / "r.csv"), asked, NOW)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "no header line"),
        (b"user_id,variant,x\n", "a header and no rows"),
        (b"user_id,variant,x\nu1,a,1\n", "holds only 'a'"),
        (b"user_id,variant,x\nu1,a,1\nu2,b\n", "columns"),
        (b"user_id,variant,x,x\nu1,a,1,1\nu2,b,2,2\n", "stands in it twice"),
        (b"user_id,variant,x\nu1,a,one\nu2,b,two\n", "no column of numbers"),
        (b"PAR1 but not really", "r.csv"),
        (b"\xff\xfe\x00broken", "r.csv"),
        (b"\x1f\x8b\x08\x00not gzip", "r.csv"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_fault(tmp_path, content, said):
    path = tmp_path / "r.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=said):
        analyse_file(path, Asked(), NOW)


def test_a_bad_cell_far_down_is_named_with_its_column(tmp_path):
    path = tmp_path / "r.csv"
    lines = [f"u{n},{'ab'[n % 2]},{n}" for n in range(200_000)]
    path.write_text("\n".join(["user_id,variant,x", *lines, "u9,a,oops", ""]), "utf-8")
    with pytest.raises(InvalidInput, match="oops"):
        analyse_file(path, Asked(), NOW)
