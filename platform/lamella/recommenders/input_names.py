"""What the inputs of an exported network with attributes mean, as JSON: `inputs.json`.

With `rows.json` it is all that a program needs to feed the network.
"""

import json
from typing import Final

from lamella.experiments.model import Json
from lamella.recommenders.sided import Entry, field_inputs, sides_of
from lamella.recommenders.table_rows import parse_rows

INPUTS: Final = "inputs.json"


def inputs_of(rows: bytes) -> bytes:
    """The document of the network with attributes whose `rows.json` that is.

    For each side the input of the row, and for each field its two inputs, how many values they take, the attribute,
    its kind, and its values or edges in the order of their numbers.
    """
    sides = sides_of(parse_rows(rows).dataset())
    return json.dumps({each.name: _side(each) for each in (sides.users, sides.items)}, ensure_ascii=False).encode()


def _side(entry: Entry) -> dict[str, Json]:
    fields: list[Json] = []
    for at, each in enumerate(entry.fields):
        rows, weights = field_inputs(entry.name, at)
        fields.append({"input": rows, "weights": weights, "slots": each.slots, **each.document()})
    return {"input": entry.name, "fields": fields}
