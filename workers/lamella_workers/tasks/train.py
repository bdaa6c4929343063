"""Carries a training out."""

import structlog

from lamella.bootstrap.worker import WorkerServices


def carry_out(services: WorkerServices, run_id: str) -> None:
    """Carry the training out that is kept under `run_id`; TensorFlow is imported in this process, after its fork."""
    run = services.training.carry_out(run_id)
    structlog.get_logger("lamella.train").info("trained", run=run.id, status=run.status, message=run.message)
