"""What the store needs done now and then."""

from datetime import timedelta

import structlog

from lamella.bootstrap.worker import WorkerServices
from lamella.services.uploading import sweep_uploads


def keep_house(services: WorkerServices) -> None:
    """Make the partitions of this month and the next, flag heavy units, move old months, sweep what was left.

    Old deliveries and abandoned uploads are forgotten. At last the kept moments are held against a fresh count.
    Nothing where another worker is at it.
    """
    with services.turns.take("housekeeping") as is_mine:
        if not is_mine:
            return
        settings, log = services.settings, structlog.get_logger("lamella.upkeep")
        now = services.clock.now()
        services.prepare_months()
        services.delivering.forget()
        abandoned = sweep_uploads(services.uploads, services.trainings, now=now)
        if abandoned:
            log.warning("uploads swept", uploads=abandoned)
        if settings.bot_slates_per_day:
            flagged = services.flags.flag_heavy(slates=settings.bot_slates_per_day, now=now)
            if flagged:
                log.info("units flagged", reason="bot", units=flagged)
        if settings.quarantine_days:
            cleared = services.quarantine.clear(before=now - timedelta(days=settings.quarantine_days))
            if cleared:
                log.warning("quarantine cleared", records=cleared)
        if settings.retention_days:
            for moved in services.retention.archive():
                rows = moved.file.rows if moved.file is not None else 0
                log.info(
                    "archived", fact=moved.month.fact, month=f"{moved.month.since:%Y-%m}", rows=rows, why=moved.why
                )
        for drift in services.keeping.check():
            if drift.figures:
                log.error("kept moments mended", phase=drift.phase, figures=drift.figures)
