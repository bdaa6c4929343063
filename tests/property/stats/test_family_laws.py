import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from lamella.stats.multiplicity import Correction, adjusted_p, implied_level
from lamella.stats.sequential import Spending, boundaries, crossing
from lamella.stats.srm import sample_ratio
from lamella.stats.undefined import Undefined

P = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8)


@settings(deadline=None)
@given(P, st.sampled_from(Correction))
def test_a_correction_never_lowers_a_p_value_and_keeps_their_order(p, correction):
    adjusted = adjusted_p(p, correction)
    assert all(after >= before * (1 - 1e-12) for before, after in zip(p, adjusted, strict=True))
    by_p = [adjusted[index] for index in sorted(range(len(p)), key=lambda index: p[index])]
    assert all(one <= other * (1 + 1e-12) for one, other in itertools.pairwise(by_p))


@settings(deadline=None)
@given(P, st.sampled_from(Correction))
def test_the_implied_level_lies_between_the_strictest_step_and_alpha(p, correction):
    level = implied_level(p, correction=correction)
    assert 0.05 / (len(p) * 4) < level <= 0.05


@settings(deadline=None)
@given(st.lists(st.floats(0.02, 1.0), min_size=1, max_size=6, unique=True), st.sampled_from(Spending))
def test_any_looks_spend_no_more_than_alpha(shares, spending):
    ordered = sorted(shares)
    gaps = [b - a for a, b in zip([0.0, *ordered], ordered, strict=False)]
    if min(gaps) < 1e-3:
        return
    assert crossing(ordered, boundaries(ordered, spending=spending)).total <= 0.05 + 1e-7


@settings(deadline=None)
@given(st.lists(st.integers(0, 400), min_size=2, max_size=3), st.lists(st.integers(1, 9), min_size=3, max_size=3))
def test_the_sample_ratio_does_not_know_the_names_of_arms(counts, weights):
    arms = dict(enumerate(counts))
    forward = sample_ratio({str(k): v for k, v in arms.items()}, {str(k): weights[k] for k in arms})
    backward = sample_ratio({str(k): arms[k] for k in reversed(arms)}, {str(k): weights[k] for k in reversed(arms)})
    if isinstance(forward, Undefined):
        assert isinstance(backward, Undefined)
    else:
        assert abs(forward.p - backward.p) < 1e-9
