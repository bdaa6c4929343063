"""Names that nobody else has."""

import os
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from lamella.services.ids import new_id


def test_a_name_is_a_random_uuid() -> None:
    for _ in range(1_000):
        name = new_id()
        found = uuid.UUID(name)
        assert (found.hex, found.version, found.variant) == (name, 4, uuid.RFC_4122)


def test_no_name_comes_twice_from_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        parts = pool.map(lambda _: [new_id() for _ in range(2_000)], range(8))
        names = [name for part in parts for name in part]
    assert len(set(names)) == 16_000


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_gives_other_names_than_its_parent() -> None:
    new_id()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, " ".join(new_id() for _ in range(20)).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        theirs = pipe.read().split()
    assert len(theirs) == 20
    assert not set(theirs) & {new_id() for _ in range(600)}
