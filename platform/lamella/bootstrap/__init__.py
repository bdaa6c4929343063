"""Wiring: the only package that knows every class. Nothing connects at import."""
