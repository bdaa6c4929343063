import pytest

from lamella.experiments.differences import differences


@pytest.mark.parametrize(
    ("before", "after", "paths"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 1.0}, ["/a"]),
        ({"a": 1}, {"a": True}, ["/a"]),
        ({"a": None}, {}, ["/a"]),
        ({"a": [1, 2, 3]}, {"a": [1, 9]}, ["/a/1", "/a/2"]),
        ({"a/b": {"~": 1}}, {"a/b": {"~": 2}}, ["/a~1b/~0"]),
        (None, {"a": 1}, [""]),
        ([{"key": "x", "v": 1}, {"key": "y"}], [{"key": "y"}, {"key": "x", "v": 2}], ["/x/v"]),
    ],
)
def test_every_value_that_differs_is_named_by_its_path(before, after, paths):
    assert [each.path for each in differences(before, after)] == paths


def test_what_is_missing_is_told_from_null():
    (gone,) = differences({"a": None}, {})
    assert (gone.is_removed, gone.is_added, gone.before, gone.after) == (True, False, None, None)
