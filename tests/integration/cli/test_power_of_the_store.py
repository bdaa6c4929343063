"""`lamella power --experiment`: the plan of the next experiment from what the last one measured."""

import json
import shutil
from dataclasses import replace
from datetime import timedelta

import pytest
from click.testing import CliRunner

from lamella.bootstrap.tools import open_tools
from lamella.cli import main
from lamella.cli.options import settings_of
from lamella.experiments.model import Layer
from reports_made import PLAN, START, experiment, report, totals


@pytest.fixture
def data_dir(migrated_sqlite, tmp_path):
    """An embedded installation whose experiment has reports of its first two days."""
    shutil.copy(migrated_sqlite, tmp_path / "lamella.db")
    made = experiment(replace(PLAN, covariate_days=14))
    with open_tools(settings_of(data_dir=tmp_path)) as tools:
        before = tools.configuration.load()
        layer = Layer(key="recall", salt="s", description="")
        after = replace(before, layers=(layer,), experiments=(made,))
        tools.configuration.commit(after, author="ana", action="create", at=START)
        for day in (1, 2):
            arms = [totals("control", units=500 * day), totals("treatment", units=500 * day, seed=2)]
            document = report(made, arms, day=day)
            tools.analysis.save_report(made.key, made.phases[-1].id, START + timedelta(days=day), document)
    return tmp_path


def power(data_dir, *arguments):
    asked = ["power", "--data-dir", str(data_dir), "--experiment", "mf_against_cnn", "--json", *arguments]
    return CliRunner().invoke(main, asked, catch_exceptions=False)


def test_variance_and_traffic_are_those_that_the_experiment_measured(data_dir):
    found = json.loads(power(data_dir, "--lift", "0.02").stdout)
    assert found["metric"] == "ctr"
    assert found["baseline"]["deviation"] < found["raw_baseline"]["deviation"]
    assert found["days_needed"] == -(-found["units"] // 1000)
    assert found["outlook"][0]["given_units"] == 7000
    days = json.loads(power(data_dir, "--days", "14", "--metric", "read_time_per_user").stdout)
    assert days["given_units"] == 14_000
    assert days["detectable_lift"] > 0


def test_an_unknown_metric_or_experiment_is_one_sentence(data_dir):
    assert "use one of" in power(data_dir, "--lift", "0.02", "--metric", "nothing").stderr
    asked = ["power", "--data-dir", str(data_dir), "--experiment", "nobody", "--lift", "0.1"]
    assert "nobody" in CliRunner().invoke(main, asked).stderr
