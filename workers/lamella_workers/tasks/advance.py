"""What time brings to experiments: scheduled starts, ramp steps, planned ends."""

import structlog

from lamella.bootstrap.worker import WorkerServices


def advance(services: WorkerServices) -> None:
    """Do what is due; nothing where another worker is at it."""
    with services.turns.take("advance") as is_mine:
        if not is_mine:
            return
        log = structlog.get_logger("lamella.advance")
        for step in services.ramping.advance():
            log.info("advanced", experiment=step.experiment, move=step.move, detail=step.detail)
