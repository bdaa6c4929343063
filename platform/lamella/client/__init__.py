"""The Python SDK."""

from lamella.client.frames import report_frame
from lamella.client.inprocess import ClientState, InProcessClient
from lamella.client.remote import RemoteClient
from lamella.client.wire import Assignment, EventsReceipt, Recommendation

__all__ = [
    "Assignment",
    "ClientState",
    "EventsReceipt",
    "InProcessClient",
    "Recommendation",
    "RemoteClient",
    "report_frame",
]
