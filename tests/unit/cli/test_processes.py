import pytest

from lamella.cli.processes import Pauses


def earliest(pauses: Pauses, ended: float) -> float:
    return next(ended + half / 2 for half in range(100) if pauses.are_over(ended + half / 2)) - ended


def test_workers_that_end_young_are_replaced_later_each_time():
    pauses, seen, ended = Pauses(), [], 0.0
    for _ in range(10):
        began, ended = ended, ended + 0.25
        pauses.note(began=began, ended=ended)
        seen.append(earliest(pauses, ended))
        ended += seen[-1]
    assert seen == [0, 0, 0, 1, 2, 4, 8, 16, 16, 16]


def test_one_that_lived_long_is_replaced_at_once_and_so_are_the_next():
    pauses = Pauses()
    for number in range(6):
        pauses.note(began=number, ended=number + 0.5)
    pauses.note(began=100.0, ended=100.0 + Pauses.YOUNG_SECONDS)
    assert pauses.are_over(110.0)
    pauses.note(began=110.0, ended=110.1)
    assert pauses.are_over(110.1)


@pytest.mark.parametrize("now", [0.0, 1e9])
def test_the_first_is_started_at_once(now):
    assert Pauses().are_over(now)
