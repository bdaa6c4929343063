import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.errors import Conflict, Forbidden, InvalidInput, NotFound, StoreUnavailable, Unauthenticated
from lamella.services.keys import (
    AWAY_SECONDS,
    CACHE_SECONDS,
    RENEWED,
    ROLES,
    Keys,
    digest_of,
    make_key,
    reaches,
    require,
)
from lamella.services.ports import Principal
from lamella.testing.fakes import FakeClock, MemoryKeyStore


class Ticks:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def store() -> MemoryKeyStore:
    return MemoryKeyStore()


@pytest.fixture
def keys(store: MemoryKeyStore, ticks: Ticks) -> Keys:
    return Keys(store, FakeClock(), monotonic=ticks)


@given(st.binary(min_size=32, max_size=32))
def test_every_key_is_lam_and_43_url_safe_characters(random_bytes):
    assert re.fullmatch(r"lam_[A-Za-z0-9_-]{43}", make_key(lambda n: random_bytes[:n]))


def test_two_keys_differ():
    assert make_key() != make_key()


def test_a_created_key_is_verified_as_its_holder(keys):
    assert keys.verify(keys.create("app", "client")) == Principal(name="app", role="client")


def test_the_store_never_sees_the_key_itself(keys, store):
    key = keys.create("app", "client")
    assert store.find(digest_of(key)) is not None
    assert key not in repr(vars(store))


@pytest.mark.parametrize("key", ["", "lam_", "lam_short", "xxx_" + "A" * 43, "lam_" + "A" * 44, "lam_" + "é" * 43])
def test_a_malformed_key_is_refused_without_asking_the_store(keys, store, key):
    with pytest.raises(Unauthenticated, match="malformed"):
        keys.verify(key)
    assert store.finds == 0


def test_an_unknown_key_is_refused(keys):
    with pytest.raises(Unauthenticated, match="unknown or revoked"):
        keys.verify(make_key())


def test_a_verified_key_is_remembered_for_the_stated_time_only(keys, store, ticks):
    key = keys.create("app", "client")
    keys.verify(key)
    ticks.seconds = CACHE_SECONDS * 0.99
    keys.verify(key)
    assert store.finds == 1
    ticks.seconds = CACHE_SECONDS
    keys.verify(key)
    assert store.finds == 2


def test_who_holds_a_key_is_known_without_the_store_for_the_same_time(keys, store, ticks):
    key = keys.create("app", "client")
    assert keys.remembered(key) is None
    holder = keys.verify(key)
    ticks.seconds = CACHE_SECONDS * 0.99
    assert keys.remembered(key) == holder
    assert store.finds == 1
    ticks.seconds = CACHE_SECONDS
    assert keys.remembered(key) is None
    assert keys.remembered("nonsense") is None


def test_a_key_in_use_is_renewed_before_its_time_is_over(keys, store, ticks):
    used, unused = keys.create("app", "client"), keys.create("other", "client")
    holder = keys.verify(used)
    keys.verify(unused)
    for seconds in range(1, 7):
        assert keys.remembered(used) == holder
        ticks.seconds = seconds * CACHE_SECONDS / 2
        keys.refresh()
    assert store.finds == 8
    assert keys.remembered(used) == holder
    assert keys.remembered(unused) is None
    ticks.seconds += CACHE_SECONDS
    keys.refresh()
    keys.refresh()
    assert store.finds == 9


def test_no_more_than_so_many_keys_are_renewed(keys, store):
    for number in range(RENEWED + 1):
        keys.verify(key := keys.create(f"app-{number}", "client"))
        keys.remembered(key)
    found = store.finds
    keys.refresh()
    assert store.finds == found + RENEWED


def test_a_key_that_was_revoked_elsewhere_is_not_renewed(keys, store, ticks):
    other = Keys(store, FakeClock(), monotonic=ticks)
    key, kept = keys.create("app", "client"), keys.create("kept", "client")
    for each in (key, kept):
        other.verify(each)
        other.remembered(each)
    keys.revoke("app")
    other.refresh()
    assert other.remembered(key) is None
    assert other.remembered(kept) is not None
    with pytest.raises(Unauthenticated):
        other.verify(key)


def test_what_the_store_said_before_a_key_was_revoked_here_is_not_kept(keys, store, monkeypatch):
    key = keys.create("app", "client")
    find = store.find

    def slow(digest):
        found = find(digest)
        keys.revoke("app")
        return found

    monkeypatch.setattr(store, "find", slow)
    assert keys.verify(key).name == "app"
    assert keys.remembered(key) is None


def test_a_key_that_expires_while_it_is_known_is_refused(keys):
    key = keys.create("app", "client", expires_at=keys._clock.now() + timedelta(seconds=1))
    keys.verify(key)
    keys._clock.move(timedelta(seconds=1))
    with pytest.raises(Unauthenticated, match="expired"):
        keys.remembered(key)


def test_a_revoked_key_dies_at_once_in_the_process_that_revoked_it(keys):
    key = keys.create("app", "client")
    keys.verify(key)
    keys.revoke("app")
    with pytest.raises(Unauthenticated):
        keys.verify(key)


def test_a_revoked_key_dies_within_the_stated_time_in_every_other_process(keys, store, ticks):
    key = keys.create("app", "client")
    other = Keys(store, FakeClock(), monotonic=ticks)
    other.verify(key)
    keys.revoke("app")
    assert other.verify(key).name == "app"
    ticks.seconds = CACHE_SECONDS
    with pytest.raises(Unauthenticated):
        other.verify(key)


def test_a_taken_name_is_a_conflict_until_its_key_is_revoked(keys):
    keys.create("app", "client")
    with pytest.raises(Conflict):
        keys.create("app", "client")
    keys.revoke("app")
    keys.create("app", "client")


def test_a_bad_name_and_a_bad_role_are_named_together(keys):
    with pytest.raises(InvalidInput) as refused:
        keys.create("App\n", "root")
    assert len(refused.value.faults) == 2
    assert keys.all() == []


def test_revoking_an_unknown_name_is_not_found(keys):
    with pytest.raises(NotFound, match="'nobody'"):
        keys.revoke("nobody")


def test_every_role_reaches_exactly_those_before_it():
    for i, role in enumerate(ROLES):
        assert [reaches(role, needed) for needed in ROLES] == [j <= i for j in range(len(ROLES))]


def test_an_unknown_role_reaches_nothing():
    assert not any(reaches("guest", needed) for needed in ROLES)


def test_forbidden_names_the_role_that_is_needed():
    with pytest.raises(Forbidden, match="viewer, this needs admin"):
        require(Principal(name="ann", role="viewer"), "admin")


def test_the_digest_in_a_session_leads_to_the_holder_with_projects_and_expiry(keys):
    ends = keys._clock.now() + timedelta(hours=1)
    digest = digest_of(keys.create("ann", "viewer", projects=["news"], expires_at=ends))
    assert keys.holder_of(digest) == Principal(name="ann", role="viewer", projects=("news",), expires_at=ends)
    with pytest.raises(Unauthenticated, match="unknown or revoked"):
        keys.holder_of(digest_of(make_key()))


def test_a_session_ends_with_its_key_and_stays_so_when_another_has_the_name(keys, store):
    leaked = digest_of(keys.create("ann", "viewer"))
    assert keys.holder_of(leaked).name == "ann"
    # Another process, to whom this one says nothing.
    Keys(store, FakeClock()).revoke("ann")
    with pytest.raises(Unauthenticated, match="unknown or revoked"):
        keys.holder_of(leaked)
    new = digest_of(keys.create("ann", "viewer"))
    with pytest.raises(Unauthenticated, match="unknown or revoked"):
        keys.holder_of(leaked)
    assert keys.holder_of(new).name == "ann"


def test_a_session_ends_when_its_key_expires(keys):
    digest = digest_of(keys.create("ann", "viewer", expires_at=keys._clock.now() + timedelta(hours=1)))
    assert keys.holder_of(digest).name == "ann"
    keys._clock.move(timedelta(hours=1))
    with pytest.raises(Unauthenticated, match="expired"):
        keys.holder_of(digest)


class Away:
    """The keys of a store that can go away."""

    def __init__(self, store):
        self._store, self.is_away = store, False

    def __getattr__(self, name):
        if self.is_away:
            raise StoreUnavailable("away")
        return getattr(self._store, name)


@pytest.fixture
def away(store):
    return Away(store)


@pytest.mark.parametrize("role", ["client", "collector"])
def test_a_clients_key_that_was_confirmed_holds_while_the_store_is_away_but_not_for_ever(away, ticks, role):
    keys = Keys(away, FakeClock(), monotonic=ticks)
    key = keys.create("shop", role)
    assert keys.verify(key).name == "shop"
    away.is_away = True
    ticks.seconds = CACHE_SECONDS + 1
    assert keys.verify(key).name == "shop"
    ticks.seconds = AWAY_SECONDS - 1
    assert keys.verify(key).name == "shop"
    ticks.seconds = AWAY_SECONDS + CACHE_SECONDS + 1
    with pytest.raises(StoreUnavailable):
        keys.verify(key)


@pytest.mark.parametrize("role", ["viewer", "experimenter", "admin"])
def test_nobody_administers_on_trust(away, ticks, role):
    keys = Keys(away, FakeClock(), monotonic=ticks)
    key = keys.create("ann", role)
    keys.verify(key)
    away.is_away = True
    ticks.seconds = CACHE_SECONDS + 1
    with pytest.raises(StoreUnavailable):
        keys.verify(key)


def test_a_key_that_was_never_confirmed_does_not_come_in_while_the_store_is_away(away):
    keys = Keys(away, FakeClock())
    key = keys.create("shop", "client")
    away.is_away = True
    with pytest.raises(StoreUnavailable):
        keys.verify(key)


def test_a_key_that_was_revoked_meanwhile_is_refused_once_the_store_is_back(away, ticks):
    keys, others = Keys(away, FakeClock(), monotonic=ticks), Keys(away, FakeClock(), monotonic=ticks)
    key = keys.create("shop", "client")
    others.verify(key)
    away.is_away = True
    ticks.seconds = CACHE_SECONDS + 1
    others.verify(key)
    away.is_away = False
    keys.revoke("shop")
    ticks.seconds = 2 * CACHE_SECONDS + 2
    with pytest.raises(Unauthenticated):
        others.verify(key)


def test_a_store_that_takes_long_to_be_found_away_is_not_asked_by_each_request(away, ticks, monkeypatch):
    keys = Keys(away, FakeClock(), monotonic=ticks)
    key = keys.create("app", "client")
    keys.verify(key)
    asked = []

    def silent(_digest):
        asked.append(ticks.seconds)
        ticks.seconds += 5.0
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(away, "find", silent)
    ticks.seconds = 100.0
    for _ in range(20):
        assert keys.verify(key).name == "app"
        ticks.seconds += 0.05
    assert asked == [100.0]
    ticks.seconds += CACHE_SECONDS
    keys.verify(key)
    assert len(asked) == 2


def test_keys_that_are_trusted_are_renewed_beside_one_that_is_not_while_the_store_is_away(away, ticks):
    keys = Keys(away, FakeClock(), monotonic=ticks)
    made = {role: keys.create(role, role) for role in ("admin", "client", "collector", "viewer")}
    for key in made.values():
        keys.verify(key)
    ticks.seconds = CACHE_SECONDS / 2
    for key in made.values():
        keys.remembered(key)
    away.is_away = True
    with pytest.raises(StoreUnavailable):
        keys.refresh()
    ticks.seconds = CACHE_SECONDS
    assert {role for role, key in made.items() if keys.remembered(key)} == {"client", "collector"}
