from pathlib import Path

import pytest

from lamella.errors import InvalidInput, InvalidSettings
from lamella.simulation.demo import DemoOptions
from lamella.simulation.installation import simulation_settings


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [
        ({"users": 3}, "--users 3"),
        ({"days": 0}, "--days 0"),
        ({"seed": -1}, "--seed -1"),
        ({"effect": 9.0}, "--effect 9"),
        ({"effect": float("nan")}, "--effect nan"),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(wanted, fault):
    with pytest.raises(InvalidInput, match=fault):
        DemoOptions(**wanted)


def test_every_fault_is_named_at_once():
    with pytest.raises(InvalidInput) as caught:
        DemoOptions(users=1, days=-1, seed=-5)
    assert len(caught.value.faults) == 3


def test_a_simulation_has_a_clock_file_and_a_free_port_of_its_own(tmp_path: Path):
    settings = simulation_settings({}, data_dir=tmp_path, port=None)
    assert settings.clock_file == tmp_path / "clock"
    assert settings.data_dir == tmp_path
    assert settings.port != 8000


def test_what_the_environment_sets_goes_before_the_pace_of_the_simulation(tmp_path: Path):
    given = {"LAMELLA_ANALYSE_SECONDS": "9", "LAMELLA_PORT": "8123", "LAMELLA_REDIS_URL": "redis://cache/1"}
    settings = simulation_settings(given, data_dir=tmp_path, port=None)
    assert (settings.analyse_seconds, settings.port, settings.redis_url) == (9.0, 8123, "redis://cache/1")
    assert simulation_settings(given, data_dir=tmp_path, port=8124).port == 8124


def test_an_unknown_setting_of_the_environment_is_refused(tmp_path: Path):
    with pytest.raises(InvalidSettings, match="LAMELLA_PROT"):
        simulation_settings({"LAMELLA_PROT": "1"}, data_dir=tmp_path, port=None)
