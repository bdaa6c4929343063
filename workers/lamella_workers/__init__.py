"""The Celery side: the application, its schedule and tasks that each call one use case."""
