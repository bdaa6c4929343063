"""The command `lamella`: parse, call one use case, show the answer."""

from lamella.cli.root import main

__all__ = ["main"]
