"""Fakes, factories and contract suites for those who extend lamella."""
