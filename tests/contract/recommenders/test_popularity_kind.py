"""Popularity keeps the laws of a kind."""

from contract.recommenders.kind_laws import KindLaws


class TestPopularity(KindLaws):
    kind = "popularity"
