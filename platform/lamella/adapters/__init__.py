"""The outside world behind the ports: SQL, Redis, files, the clock."""
