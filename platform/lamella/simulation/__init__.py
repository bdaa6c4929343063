"""Readers, traffic and planted effects: whole-path tests of the platform on itself."""
