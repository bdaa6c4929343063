"""Layered online experiments for recommender systems: assign, serve, record, test, decide."""

__version__ = "0.1.0"
