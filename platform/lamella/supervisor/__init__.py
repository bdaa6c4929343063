"""Everything as one: starts the broker, the web process, the workers and the schedule, watches and stops them."""

from lamella.supervisor.supervisor import Supervisor

__all__ = ["Supervisor"]
