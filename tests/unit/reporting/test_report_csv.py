import csv as standard
import io

from lamella.reporting import csv
from unit.reporting import samples


def test_there_is_a_row_for_each_metric_and_variant():
    made = samples.three_variants()[-1]
    rows = csv.rows(made)
    assert [(row["metric"], row["variant"]) for row in rows] == [
        (metric["metric"], arm["variant"]) for metric in made["metrics"] for arm in metric["arms"]
    ]


def test_written_rows_read_back_with_every_digit():
    made = samples.document()
    read = list(standard.DictReader(io.StringIO(csv.render(made))))
    comparison = made["metrics"][0]["comparisons"][0]
    assert tuple(read[0]) == csv.COLUMNS
    assert float(read[1]["relative_lift"]) == comparison["relative_lift"]
    assert [float(read[1]["ci_low"]), float(read[1]["ci_high"])] == comparison["ci"]
    assert float(read[1]["p"]) == comparison["p"]


def test_the_control_has_values_and_no_comparison():
    row = csv.rows(samples.document())[0]
    assert row["is_control"] is True
    assert row["value"] == 0.0412
    assert row["relative_lift"] is None
    assert row["p"] is None


def test_an_undefined_number_is_empty_with_its_reason():
    rows = [row for row in csv.rows(samples.undefined()[-1]) if not row["is_control"]]
    assert [row["undefined"] for row in rows[: len(samples.REASONS)]] == list(samples.REASONS)
    known = [row["undefined"] for row in rows if row["relative_lift"] is None and row["p"] is not None]
    assert known == ["zero_baseline"]


def test_text_that_looks_like_a_formula_is_quoted():
    made = samples.document()
    made["metrics"][0]["metric"] = "=1+1"
    made["metrics"][0]["comparisons"][0]["relative_lift"] = -0.5
    read = list(standard.DictReader(io.StringIO(csv.render(made))))
    assert read[0]["metric"] == "'=1+1"
    assert read[1]["relative_lift"] == "-0.5"
