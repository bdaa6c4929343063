"""`lamella.stats` alone: what it exports, what it documents, and what it does without."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import lamella.stats as public

WITHOUT = (
    "flask",
    "apiflask",
    "sqlalchemy",
    "tensorflow",
    "keras",
    "pandas",
    "pyarrow",
    "celery",
    "redis",
    "pydantic",
    "click",
)
ALONE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {without}:
            raise ImportError(name + " is absent")
sys.meta_path.insert(0, Absent())
import lamella.stats as stats
everything = [getattr(stats, name) for name in stats.__all__]
names = ("clicks", "impressions")
one = stats.Moments.from_rows(names, [[1, 10], [0, 4], [3, 6], [1, 9]])
two = stats.Moments.from_rows(names, [[2, 10], [1, 4], [3, 6], [2, 7]])
assert stats.compare_ratios(one, two, *names).p > 0.05
assert stats.sample_ratio({{"a": 4, "b": 4}}, {{"a": 1, "b": 1}}).is_sound
assert not set({without}) & {{name.split(".")[0] for name in sys.modules}}
print(len(everything))
"""


def test_it_works_where_the_rest_of_the_product_cannot_be_imported():
    code = ALONE.format(without=set(WITHOUT))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) == len(public.__all__)


def test_moments_alone_load_no_scipy():
    code = "import sys, lamella.stats.moments; print('scipy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("name", public.__all__)
def test_every_public_name_is_documented_and_every_function_has_types_and_an_example(name):
    found = getattr(public, name)
    documented = inspect.getdoc(found)
    assert documented
    if inspect.isfunction(found):
        assert ">>>" in documented
        assert set(found.__annotations__) == {*inspect.signature(found).parameters, "return"}


def test_every_public_function_of_every_module_is_exported():
    folder = Path(public.__file__).parent
    homes = [
        importlib.import_module(f"lamella.stats.{path.stem}") for path in folder.glob("*.py") if path.stem != "__init__"
    ]
    inner = {"lamella.stats.reasons", "lamella.stats.tails"}
    written = {
        value
        for home in homes
        if home.__name__ not in inner
        for key, value in vars(home).items()
        if not key.startswith("_") and inspect.isfunction(value) and value.__module__ == home.__name__
    }
    steps = {"usable_pair", "satterthwaite", "tested", "from_difference", "correction_named"}
    exported = {getattr(public, name) for name in public.__all__}
    assert {each.__name__ for each in written - exported} <= steps


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'z_test_over_impressions'"):
        public.z_test_over_impressions  # noqa: B018
