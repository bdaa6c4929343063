"""`lamella analyze`, `power` and `simulate` on the command line."""

import csv
import io
import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from file_samples import events_frame, units_frame, written
from lamella.cli import main
from lamella.stats import Design, Moments, adjusted_baseline, baseline, inflation, units_needed


def run(*arguments):
    """What the command prints; errors are InvalidInput turned into one sentence."""
    return CliRunner().invoke(main, [str(each) for each in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    return written(units_frame(lift=0.2), tmp_path_factory.mktemp("files") / "readers.csv")


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    return written(events_frame(units_frame()), tmp_path_factory.mktemp("files") / "events.parquet")


def test_json_is_the_report_document_and_nothing_else(readers):
    found = run("analyze", readers, "--json")
    assert found.exit_code == 0
    document = json.loads(found.stdout)
    assert document["schema"] == "lamella.report/1"
    assert document["notes"]
    assert not found.stderr


def test_every_format_shows_the_same_lift_and_guesses_are_told_aside(readers):
    asked = ("analyze", readers, "--metric", "ctr=ratio(clicks, impressions)")
    document = json.loads(run(*asked, "--json").stdout)
    lift = document["metrics"][0]["comparisons"][0]["adjusted"]["relative_lift"]
    table = run(*asked)
    assert f"{lift:+.1%}".rstrip("%") in table.stdout
    assert "note: The control is 'control'." in table.stderr
    rows = list(csv.DictReader(io.StringIO(run(*asked, "--format", "csv").stdout)))
    assert float(rows[1]["cuped_relative_lift"]) == pytest.approx(lift)
    assert "<html" in run(*asked, "--format", "html").stdout


def test_segments_are_listed_below_the_report(readers):
    found = run("analyze", readers, "--segment", "device", "--no-covariates")
    assert "device=phone" in found.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--metric", "ctr"),
        ("--weights", "control"),
        ("--guardrail", "ctr=x"),
        ("--unit", "nobody"),
        ("--alpha", "7"),
        ("--look", "8", "--method", "group_sequential"),
    ],
)
def test_a_fault_is_one_sentence_and_exit_code_2(readers, arguments):
    found = run("analyze", readers, *arguments)
    assert found.exit_code == 2
    assert found.stderr.startswith("error: ")
    assert "Traceback" not in found.output


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    found = run("analyze", tmp_path / "no.csv")
    assert found.exit_code == 2
    assert "there is no such file" in found.stderr


def test_power_of_a_file_agrees_with_the_functions_and_pays_for_looks_and_covariates(readers):
    frame = units_frame(lift=0.2)
    asked = ("power", readers, "--metric", "ctr=ratio(clicks, impressions)", "--lift", "0.05", "--json")
    document = json.loads(run(*asked).stdout)
    units = Moments.from_rows(("clicks", "impressions"), frame[["clicks", "impressions"]])
    wanted = units_needed(baseline(units, "clicks", "impressions"), 0.05, Design(inflation=inflation(5)))
    assert document["units"] == pytest.approx(wanted, abs=2)
    fixed = json.loads(run(*asked, "--looks", "1").stdout)
    assert document["units"] / fixed["units"] == pytest.approx(inflation(5), rel=1e-3)
    cuped = json.loads(run(*asked, "--covariate", "pre_clicks").stdout)
    both = Moments.from_rows(("clicks", "impressions", "pre_clicks"), frame[["clicks", "impressions", "pre_clicks"]])
    left = adjusted_baseline(both, "clicks", ["pre_clicks"], denominator="impressions")
    assert cuped["baseline"]["deviation"] == pytest.approx(left.deviation)
    assert cuped["raw_baseline"]["deviation"] == pytest.approx(document["baseline"]["deviation"])


def test_power_reads_events_by_unit(events):
    document = json.loads(
        run("power", events, "--metric", "ctr=ratio(clicked, rows)", "--units", 9000, "--json").stdout
    )
    frame = units_frame()
    known = baseline(
        Moments.from_rows(("clicks", "impressions"), frame[["clicks", "impressions"]]), "clicks", "impressions"
    )
    assert document["baseline"]["deviation"] == pytest.approx(known.deviation)


def test_power_from_numbers_gives_days_and_what_they_find():
    document = json.loads(run("power", "--rate", 0.04, "--lift", 0.05, "--traffic", 2000, "--json").stdout)
    assert document["units"] == 308_848
    assert document["days_needed"] == 155
    back = json.loads(run("power", "--rate", 0.04, "--days", 155, "--traffic", 2000, "--lift", 0.05, "--json").stdout)
    assert back["detectable_lift"] == pytest.approx(0.05, rel=0.01)
    assert back["power_at_lift"] == pytest.approx(0.8, abs=0.01)
    assert "needs 308,848 units, 155 days" in run("power", "--rate", 0.04, "--lift", 0.05, "--traffic", 2000).stdout


def test_power_shares_alpha_between_treatments_and_counts_their_units():
    one, three = (
        json.loads(run("power", "--mean", 10, "--deviation", 30, "--lift", 0.02, "--treatments", n, "--json").stdout)
        for n in (1, 3)
    )
    assert three["units_control"] > one["units_control"]
    assert three["units"] == three["units_control"] + 3 * three["units_treatment"]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--rate", "0.04"),
        ("--rate", "4", "--lift", "0.1"),
        ("--mean", "3", "--lift", "0.1"),
        ("--rate", "0.04", "--lift", "0"),
        ("--rate", "0.04", "--days", "7"),
        ("--rate", "0.04", "--mean", "3", "--lift", "0.1"),
        ("--ratio", "x=1,d=0,sx=1,sd=1,r=0", "--lift", "0.1"),
        ("--rate", "0.04", "--lift", "0.1", "--power", "2"),
        ("--rate", "0.04", "--lift", "0.1", "--allocation", "0"),
        ("--rate", "0.04", "--lift", "0.1", "--traffic", "0"),
    ],
)
def test_an_unanswerable_question_of_power_is_one_sentence(arguments):
    found = run("power", *arguments)
    assert found.exit_code == 2
    assert found.stderr.startswith("error: ")


def test_simulate_prints_rates_with_their_monte_carlo_intervals():
    found = run("simulate", "aa", "--runs", 4, "--units", 100, "--days", 5, "--json")
    (study,) = json.loads(found.stdout)
    assert study["runs"] == 4
    assert all(each["interval"][0] <= each["rate"] <= each["interval"][1] for each in study["rates"])
    assert run("simulate", "aa", "--runs", 0).exit_code == 2
    assert run("simulate", "effect", "--days", 1).exit_code == 2


def test_no_command_that_reads_files_loads_tensorflow_or_flask():
    code = (
        "import sys\nimport lamella.cli.analyze, lamella.cli.power, lamella.cli.simulate, lamella.files.analysis\n"
        "print([each for each in ('tensorflow', 'keras', 'flask', 'sqlalchemy', 'pandas') if each in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
