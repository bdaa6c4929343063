"""docker-compose.yml: valid, and its very commands make a working installation on this host."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from lamella.web.wsgi import SECRET_FILE

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service.get("image") == "lamella"}

Wait = Callable[[Callable[[], object], float], float]
Status = Callable[[str], int]


def test_the_file_follows_the_compose_specification() -> None:
    command = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    checker = shutil.which(command[0], path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert checker is not None
    checked = subprocess.run([checker, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_every_service_has_a_health_check_and_waits_for_what_it_needs() -> None:
    assert set(SERVICES) >= {"postgres", "redis", "migrate", "web", "worker", "beat"}
    assert all(service["healthcheck"]["test"] for service in SERVICES.values())
    assert SERVICES["migrate"]["restart"] == "no"
    for name in set(OURS) - {"migrate"}:
        conditions = {needed: how["condition"] for needed, how in SERVICES[name]["depends_on"].items()}
        assert conditions == {
            "postgres": "service_healthy",
            "redis": "service_healthy",
            "migrate": "service_completed_successfully",
        }


def test_the_broker_keeps_tasks_on_disk() -> None:
    assert "--appendonly yes --appendfsync always" in " ".join(SERVICES["redis"]["command"])


def volume_of(service: dict[str, Any], path: PurePosixPath) -> str | None:
    """The volume that keeps `path` of the container; None where it goes with the container."""
    mounts = {PurePosixPath(target): name for name, target in (each.split(":") for each in service["volumes"])}
    return next((mounts[place] for place in (path, *path.parents) if place in mounts), None)


@pytest.mark.parametrize("kept", [SECRET_FILE, "models", "journal", "archive"])
def test_what_processes_share_outlives_their_containers(kept: str) -> None:
    found = set()
    for service in OURS.values():
        found.add(volume_of(service, PurePosixPath(service["environment"]["LAMELLA_DATA_DIR"]) / kept))
    assert len(found) == 1
    assert found <= set(COMPOSE["volumes"])


def test_the_image_runs_without_root() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    stages = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    last = lines[stages[-1] :]
    assert len(stages) > 1
    assert "USER lamella" in last
    assert any(line.startswith("HEALTHCHECK ") for line in last)


class Host:
    """This host as the containers' network: their commands, with the addresses that hold here."""

    def __init__(self, folder: Path, port: int, database_url: str, redis_url: str) -> None:
        self._folder, self._port = folder, port
        self._addresses = {
            "LAMELLA_DATABASE_URL": database_url,
            "LAMELLA_REDIS_URL": redis_url,
            "LAMELLA_DATA_DIR": str(folder),
            "LAMELLA_MODEL_DIR": str(folder / "models"),
            "LAMELLA_WEB_PROCESSES": "2",
            "LAMELLA_PORT": str(port),
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def command(self, words: list[str]) -> list[str]:
        assert words[0] == "lamella"
        here = {"0.0.0.0": "127.0.0.1", "8000": str(self._port)}
        return [sys.executable, "-m", "lamella", *(here.get(word, word) for word in words[1:])]

    def environment(self, service: dict[str, Any]) -> dict[str, str]:
        assert set(service["environment"]) <= set(self._addresses), "a variable of the file has no value here"
        return {**os.environ, **self._addresses}

    def run(self, service: dict[str, Any], words: list[str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(words), env=self.environment(service), capture_output=True, text=True, timeout=180, check=False
        )

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                self.command(SERVICES[name]["command"]),
                env=self.environment(SERVICES[name]),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def is_healthy(self, name: str) -> bool:
        check = SERVICES[name]["healthcheck"]["test"]
        assert check[0] == "CMD"
        return self.run(SERVICES[name], check[1:]).returncode == 0

    def ask(self, path: str, key: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


@pytest.fixture
def host(tmp_path: Path, free_port: int, empty_pg_url: str, redis_url: str) -> Host:
    return Host(tmp_path, free_port, empty_pg_url, redis_url)


@pytest.mark.slow
def test_the_commands_of_the_file_make_a_working_installation(host: Host, wait_until: Wait, status_of: Status) -> None:
    migrated = host.run(SERVICES["migrate"], SERVICES["migrate"]["command"])
    assert migrated.returncode == 0, migrated.stderr
    assert host.is_healthy("migrate")
    with ExitStack() as running:
        for name in set(OURS) - {"migrate"}:
            running.enter_context(host.running(name))
        wait_until(lambda: status_of(f"{host.url}/readyz") == 200, 240)
        for name in set(OURS) - {"migrate"}:
            wait_until(lambda name=name: host.is_healthy(name), 240)

        key = host.run(SERVICES["web"], ["lamella", "keys", "create", "--role", "admin"]).stdout.split()[-1]
        event = {
            "kind": "click",
            "event_id": "e1",
            "request_id": "never-served",
            "unit": "u1",
            "item": "i1",
            "time": datetime.now(UTC).isoformat(),
        }
        receipt = host.ask("/v1/events", key, {"events": [event]})
        assert receipt["accepted"] == 1, receipt
        training = {"kind": "popularity", "name": "popularity", "hyperparameters": {}, "seed": 1}
        run = host.ask("/v1/admin/trainings", key, training)
        wait_until(lambda: host.ask(f"/v1/admin/trainings/{run['id']}", key)["status"] in {"failed", "done"}, 180)
        finished = host.ask(f"/v1/admin/trainings/{run['id']}", key)
        assert finished["status"] == "failed", "an empty record has nothing to learn from"
        wait_until(lambda: host.ask("/v1/admin/record/counts", key)["quarantine"] == 1, 120)
