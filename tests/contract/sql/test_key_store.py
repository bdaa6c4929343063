import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from lamella.errors import Conflict, NotFound
from lamella.services.ports import Principal

AT = datetime(2026, 3, 2, tzinfo=UTC)
ONE, TWO = (hashlib.sha256(name).digest() for name in (b"one", b"two"))


def test_a_key_is_found_by_its_digest_only(stores):
    stores.keys.add(Principal(name="ann", role="admin"), ONE, at=AT)
    assert stores.keys.find(ONE) == Principal(name="ann", role="admin")
    assert stores.keys.find(TWO) is None


def test_a_name_that_is_taken_is_a_conflict_that_keeps_the_first_key(stores):
    stores.keys.add(Principal(name="ann", role="admin"), ONE, at=AT)
    with pytest.raises(Conflict, match="'ann'"):
        stores.keys.add(Principal(name="ann", role="viewer"), TWO, at=AT)
    assert stores.keys.names() == [Principal(name="ann", role="admin")]


def test_a_revoked_key_is_unknown_and_its_name_is_free_again(stores):
    stores.keys.add(Principal(name="ann", role="admin"), ONE, at=AT)
    stores.keys.add(Principal(name="bob", role="viewer"), TWO, at=AT)
    stores.keys.revoke("ann", at=AT)
    assert stores.keys.find(ONE) is None
    assert stores.keys.names() == [Principal(name="bob", role="viewer")]
    stores.keys.add(Principal(name="ann", role="client"), hashlib.sha256(b"three").digest(), at=AT)
    assert stores.keys.names()[0] == Principal(name="ann", role="client")
    assert stores.keys.find(ONE) is None


def test_a_key_is_found_with_its_projects_and_its_end(stores):
    holder = Principal(name="ann", role="viewer", projects=("apps", "news"), expires_at=AT + timedelta(hours=1))
    stores.keys.add(holder, ONE, at=AT)
    assert stores.keys.find(ONE) == holder
    assert stores.keys.names() == [holder]


def test_revoking_an_unknown_name_says_so(stores):
    with pytest.raises(NotFound, match="'nobody'"):
        stores.keys.revoke("nobody", at=AT)
