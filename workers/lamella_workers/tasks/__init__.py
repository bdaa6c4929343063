"""Tasks: parse, call one use case, report."""
