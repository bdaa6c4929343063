"""Reports on experiments, and what their plans say to do about them."""

import structlog

from lamella.bootstrap.worker import WorkerServices
from lamella.errors import ConfigurationInvalid, LamellaError, Unavailable
from lamella.experiments.model import Status
from lamella.services.analysing import analyse_and_keep
from lamella.services.budgeting import Round


def one(services: WorkerServices, experiment: str, turn: Round | None = None) -> None:
    """A fresh report on `experiment`, kept, and acted on as its plan says; a round of its own, where it is in none."""
    document = analyse_and_keep(
        experiment,
        services.configuration,
        services.analysis,
        services.clock,
        services.facts,
        turn=turn or Round(services.budget),
    )
    log = structlog.get_logger("lamella.analyse").bind(experiment=experiment)
    try:
        outcome = services.deciding.act(document)
    except ConfigurationInvalid as refused:
        # The verdict stands, and is left to people.
        log.warning("not promoted", code=refused.code, reason=str(refused))
    else:
        log.info("reported", outcome=outcome.value)


def every(services: WorkerServices) -> None:
    """A fresh report on each running experiment; nothing where another worker is at it.

    What is kept of their arms is brought up to date first, and the reports are made from it. The one that was explored
    longest ago comes first. An experiment that cannot be analysed is logged, and costs no other one its report.
    """
    with services.turns.take("analyse_all") as is_mine:
        if not is_mine:
            return
        services.keeping.refresh()
        running = [each.key for each in services.configuration.load().experiments if each.status is Status.RUNNING]
        turn = Round(services.budget)
        for key in services.budget.oldest_first(running):
            _try(services, key, turn)


def _try(services: WorkerServices, experiment: str, turn: Round) -> None:
    log = structlog.get_logger("lamella.analyse").bind(experiment=experiment)
    try:
        one(services, experiment, turn)
    except Unavailable:
        # The store is away for all of them.
        raise
    except LamellaError as error:
        log.error("not analysed", code=error.code, reason=str(error))  # noqa: TRY400 - a sentence, no fault of ours
    except Exception:
        log.exception("not analysed")
