"""The arm dimension: one small number for each combination of phase and variant that was ever served."""

from collections.abc import Iterable, Sequence

import orjson
import sqlalchemy as sa

from lamella.adapters.sql.bulk import Bulk
from lamella.adapters.sql.schema import arm, arm_member
from lamella.events.contract import Exposed


class Arms:
    """The numbers of the arms, remembered by this process once they are committed."""

    def __init__(self) -> None:
        self._known: dict[tuple[Exposed, ...], int] = {}

    def numbers(self, bulk: Bulk, combinations: Iterable[tuple[Exposed, ...]]) -> dict[tuple[Exposed, ...], int]:
        """The number of each combination; a new one is stored in the transaction.

        The caller holds the ingest lock, and hands the result to `remember` once it has committed.
        """
        wanted = set(combinations)
        numbers = {each: self._known[each] for each in wanted if each in self._known}
        for each in sorted(wanted - numbers.keys(), key=_signature):
            numbers[each] = _number(bulk.idle(), each)
        return numbers

    def remember(self, numbers: dict[tuple[Exposed, ...], int]) -> None:
        """From now on these are known without asking the store."""
        self._known.update(numbers)


def _signature(combination: Sequence[Exposed]) -> str:
    """The combination as text, the same whatever the order of its phases."""
    return orjson.dumps(sorted((each.phase, each.variant, each.counted) for each in combination)).decode()


def _number(connection: sa.Connection, combination: Sequence[Exposed]) -> int:
    signature = _signature(combination)
    found = connection.execute(sa.select(arm.c.id).where(arm.c.signature == signature)).scalar()
    if found is not None:
        return int(found)
    made = connection.execute(sa.insert(arm).values(signature=signature).returning(arm.c.id)).scalar_one()
    if combination:
        members = [{"arm": made, "phase": e.phase, "variant": e.variant, "counted": e.counted} for e in combination]
        connection.execute(sa.insert(arm_member), members)
    return int(made)
