"""The Python SDK."""

from lamella.client.frames import report_frame
from lamella.client.remote import RemoteClient
from lamella.client.wire import Assignment, EventsReceipt, Recommendation

__all__ = ["Assignment", "EventsReceipt", "Recommendation", "RemoteClient", "report_frame"]
