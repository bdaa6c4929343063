"""What is known of the traffic as a whole."""

from dataclasses import dataclass
from datetime import datetime

from lamella.stats.moments import Moments


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentTotals:
    """The moments of the per-unit totals over every unit with traffic, whatever it was assigned, since `began_at`."""

    moments: Moments
    began_at: datetime
