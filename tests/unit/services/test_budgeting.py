"""What explores takes a share of the time and no more, and every experiment has its turn."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.services.budgeting import ALLOWANCE, SHARE, Budget, Round

MINUTE = 60.0


class Bench:
    """A process whose experiments each take so many seconds to explore; `explored` are the times of all that were."""

    def __init__(self, seconds, share=SHARE):
        self.now, self.seconds, self.explored = 1_000.0, dict(seconds), []
        self.budget = Budget(share, lambda: self.now)

    def round(self, due=None):
        """One round of reports a minute after the last one; the experiments that were explored in it."""
        turn, done = Round(self.budget), []
        for key in self.budget.oldest_first(self.seconds):
            if key in (due or self.seconds) and turn.affords(key):
                done.append(key)
                self.explored.append((self.now, key))
                with self.budget.paying(key):
                    self.now += self.seconds[key]
        self.now += MINUTE
        return done


def test_small_experiments_are_all_explored_in_the_first_round():
    bench = Bench(dict.fromkeys("abcd", 0.3))
    assert bench.round() == ["a", "b", "c", "d"]


def test_long_ones_never_follow_each_other_and_each_is_paid_for_before_the_next():
    bench = Bench(dict.fromkeys("abc", 9.0))
    rounds = [bench.round() for _ in range(30)]
    assert max(map(len, rounds)) == 1
    assert [each for each in rounds if each][:4] == [["a"], ["b"], ["c"], ["a"]]
    # How long each takes is known from the fourth on.
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(bench.explored[3:])]
    assert min(gaps) >= 9.0 * (1 + 1 / SHARE)


def test_a_long_rest_pays_for_one_long_one_and_not_for_all():
    bench = Bench(dict.fromkeys("abc", 9.0))
    for _ in range(12):
        bench.round()
    bench.now += 20 * 3_600
    assert [len(bench.round()) for _ in range(5)] == [1, 0, 1, 0, 1]


def test_one_that_was_never_explored_comes_first_and_then_the_one_of_longest_ago():
    bench = Bench({"a": 0.1, "b": 0.1})
    bench.round(due="b")
    bench.round(due="a")
    bench.seconds["new"] = 0.1
    assert bench.budget.oldest_first(["a", "b", "new"]) == ["new", "b", "a"]


def test_the_others_wait_while_time_is_saved_up_for_a_long_one():
    bench = Bench({"long": 30.0, "short": 1.0})
    rounds = [bench.round() for _ in range(40)]
    done = [each for each in rounds if each]
    assert sum("long" in each for each in done) >= 5
    assert sum("short" in each for each in done) >= 5


def test_what_fails_is_paid_for_too():
    bench = Bench({"a": 9.0})

    def fail():
        with bench.budget.paying("a"):
            bench.now += 9.0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not bench.budget.affords("a")
    assert not bench.budget.affords("never explored")


@given(
    seconds=st.dictionaries(st.sampled_from("abcdef"), st.floats(0.01, 60.0), min_size=1),
    share=st.sampled_from([0.05, 0.1]),
    rest=st.sampled_from([0.0, 7_200.0]),
)
def test_over_hours_it_keeps_to_its_share_and_none_starves(seconds, share, rest):
    bench = Bench(seconds, share)
    bench.now += rest
    begun = bench.now
    while bench.now < begun + 4 * sum(seconds.values()) / share + 30 * MINUTE:
        bench.round()
    spent = sum(seconds[key] for _, key in bench.explored)
    longest = max(seconds.values())
    assert spent <= ALLOWANCE + share * (bench.now - begun + rest) + longest
    assert {key for _, key in bench.explored} == set(seconds)
    # An experiment waits for the others to be paid, and for the rest of the minute.
    counts = [sum(key == each for _, key in bench.explored) for each in seconds]
    assert max(counts) - min(counts) <= 1
