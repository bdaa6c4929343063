"""Redis or Valkey: the task queue, and the private embedded server."""
