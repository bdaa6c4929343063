"""Who changes the configuration: the same use cases for the web process, the commands and the workers."""

from lamella.bootstrap.stores import Stores
from lamella.config import Settings
from lamella.metrics.definitions import METRICS
from lamella.services.changes import Changes
from lamella.services.configuring import Configuring
from lamella.services.foreseeing import Foreseeing


def configuring_of(found: Stores) -> Configuring:
    """Changes by whoever may make them."""
    return Configuring(found.configuration, found.clock, METRICS, foreseeing=Foreseeing(found.analysis, found.clock))


def changes_of(settings: Settings, found: Stores, configuring: Configuring) -> Changes:
    """Changes that may need a second person."""
    return Changes(
        found.configuration,
        configuring,
        found.proposals,
        found.clock,
        METRICS,
        approvals_required=settings.approvals_required,
    )
