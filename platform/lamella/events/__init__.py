"""The contract of what is recorded: slates, clicks, reads and interactions, as values and as JSON."""
