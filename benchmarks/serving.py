"""How fast a complete request for recommendations is, beside a no-op and three model servers, in one run.

    python benchmarks/serving.py [--rounds 5] [--seconds 4] [--peers fastapi,bentoml,ray] [--json]

Ours is a whole installation (`lamella up` with two web processes and workers that ingest; PostgreSQL with fsync, or
SQLite with --store sqlite): every request assigns three layers, recalls 500 of 5,000 items, ranks and cuts the slate,
and is answered once the exposure is durable. The peers, two processes each, only score 500 candidates with the same
deep net and answer with ten. The no-op is an empty Flask route under granian. wrk asks them in turns; the figures are
medians over the rounds, and as ratios: absolute numbers belong to the machine. Needs `wrk`. The peers get an
environment of their own, `build/serving-peers`, which the first run makes.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import sqlalchemy as sa
from serving_installation import KEY, MODELS, arrays, publish, settings_of

from lamella.testing.servers import postgresql

ROOT: Final = Path(__file__).resolve().parent.parent
HERE: Final = Path(__file__).resolve().parent / "serving_peers"
PACKAGES: Final = (
    "fastapi",
    "uvicorn[standard]",
    "orjson",
    "onnx",
    "onnxruntime",
    "numpy",
    "bentoml>=1.4",
    "ray[serve]",
)
CONNECTIONS: Final = (1, 8, 32)
OURS: Final = ("mf", "deep")
_BODY: Final = '{"unit": "u%d", "context": {"country": "CN"}, "k": 10}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that wrk can ask."""

    name: str
    port: int
    path: str
    body: str = '{"user": %d}'
    key: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """One run of wrk."""

    per_s: float
    p50_ms: float
    p99_ms: float


def main() -> None:
    """Runs everything and prints the table, or with --json one object as the last line."""
    options = _options()
    if shutil.which("wrk") is None:
        sys.exit("wrk is needed (Debian: apt-get install wrk)")
    with tempfile.TemporaryDirectory(prefix="lamella-serving-") as name, ExitStack() as stack:
        folder = Path(name)
        readings: dict[tuple[str, int], list[Reading]] = {}
        targets = [stack.enter_context(_noop())]
        targets += [stack.enter_context(_peer(peer, folder)) for peer in options.peers]
        rows: dict[str, float] = {}
        server = stack.enter_context(postgresql(durable=True)) if options.store == "postgresql" else None
        for model in OURS:
            database = _database(server, f"serving_{model}") if server else None
            targets.append(stack.enter_context(_ours(model, folder / model, database, rows)))
        for number in range(options.rounds):
            for connections in CONNECTIONS:
                # What one of ours recorded is ingested while the next target is asked: not always the same one.
                for target in targets if number % 2 == 0 else reversed(targets):
                    found = _ask(target, connections, options.seconds)
                    readings.setdefault((target.name, connections), []).append(found)
    _print(readings, options)
    figures = _figures(readings, rows, options.peers)
    print(json.dumps(figures) if options.json else "\n".join(f"{name:24} {value}" for name, value in figures.items()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each run of wrk")
    parser.add_argument("--peers", type=lambda text: [each for each in text.split(",") if each], default=[*_PEERS])
    parser.add_argument("--store", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _ask(target: Target, connections: int, seconds: int) -> Reading:
    """What wrk measures. Ends the run where an answer was bad: a fast failure is no speed."""
    environment = {**os.environ, "BENCH_PATH": target.path, "BENCH_BODY": target.body}
    if target.key:
        environment["BENCH_KEY"] = target.key
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / "requests.lua")]
    found = subprocess.run(
        [*command, f"http://127.0.0.1:{target.port}"], env=environment, capture_output=True, text=True, check=True
    )
    line = next(each for each in found.stdout.splitlines() if each.startswith("RESULT"))
    per_s, p50, p99, failed = (float(each) for each in line.split()[1:])
    if failed:
        sys.exit(f"{target.name} gave {failed:.0f} bad answers at {connections} connections")
    return Reading(per_s, p50, p99)


@contextmanager
def _noop() -> Iterator[Target]:
    port = _free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--workers", "2", "--blocking-threads", "8"]
    with _process([*command, "--port", str(port), "--no-ws", "--log-level", "error", "noop:app"], cwd=HERE):
        yield _ready(Target(name="noop", port=port, path="/noop"))


@contextmanager
def _ours(model: str, folder: Path, database: str | None, rows: dict[str, float]) -> Iterator[Target]:
    """An installation whose ranking layer uses `model`; `rows` gets its memory and its first answer."""
    port = _free_port()
    settings = settings_of(folder, port, database)
    publish(settings, model)
    key = (folder / KEY).read_text()
    target = Target(name=f"lamella {model}", port=port, path="/v1/recommendations", body=_BODY, key=key)
    if model == "mf":
        rows["first_answer_s"] = _first_answer(settings.to_environment(), target)
    environment = {**os.environ, **settings.to_environment()}
    with _process([sys.executable, "-m", "lamella", "up", "--data-dir", str(folder)], environment=environment) as up:
        _ready(target)
        if model == "mf":
            rows["web_rss_mb_ten_models"] = _largest_web_mb(up.pid)
        yield target


def _database(server: str, name: str) -> str:
    """The URL of a new database on the server."""
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    return sa.make_url(server).set(database=name).render_as_string(hide_password=False)


def _first_answer(environment: Mapping[str, str], target: Target) -> float:
    """Seconds from starting `lamella web` to its first recommendation."""
    given = {**os.environ, **environment, "LAMELLA_REDIS_URL": "redis://127.0.0.1:1/0", "LAMELLA_WEB_PROCESSES": "1"}
    code = "import os; from lamella.cli.serving import serve; from lamella.config import Settings; "
    code += "serve(Settings.from_environment(os.environ))"
    started = time.perf_counter()
    with _process([sys.executable, "-c", code], environment=given):
        while not _answers(target):
            time.sleep(0.005)
        return round(time.perf_counter() - started, 3)


def _largest_web_mb(up: int) -> float:
    """The resident memory of the largest process under the web process, after it has served every model."""
    children = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,rss=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 3) for line in children.stdout.splitlines()]
    webs = {row[0] for row in rows if row[1] == str(up) and " web" in row[3]}
    return round(max(int(row[2]) for row in rows if row[1] in webs) / 1024, 1)


@contextmanager
def _peer(name: str, folder: Path) -> Iterator[Target]:
    python, port = _environment(), _free_port()
    onnx = folder / "deep.onnx"
    if not onnx.exists():
        np.savez(folder / "deep.npz", **arrays())
        subprocess.run([python, str(HERE / "scoring.py"), str(folder / "deep.npz"), str(onnx)], check=True)
    bin_folder = Path(python).parent
    environment = {
        **os.environ,
        "DEEP_ONNX": str(onnx),
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(HERE),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(folder / "bento"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": str(folder),
    }
    with _process(_PEERS[name](python, port), cwd=HERE, environment=environment):
        yield _ready(Target(name=name, port=port, path="/score"), patience_seconds=180)


_PEERS: Final = {
    "fastapi": lambda python, port: [
        python, "-m", "uvicorn", "fastapi_app:app", "--workers", "2", "--port", str(port), "--log-level", "error",
    ],
    "bentoml": lambda python, port: [
        python, "-m", "bentoml", "serve", "bento_service:Deep", "--port", str(port), "--host", "127.0.0.1",
    ],
    "ray": lambda python, port: [python, "ray_app.py", str(port)],
}  # fmt: skip


def _environment() -> str:
    """The interpreter of the peers' environment, made if it is not there."""
    folder = ROOT / "build" / "serving-peers"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES], check=True)
        (folder / "ready").touch()
    return str(python)


@contextmanager
def _process(
    command: Sequence[str], *, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its children in a group of their own, which ends with the block."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdout=log, stderr=log, start_new_session=True, stdin=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            with_children = process.pid
            os.killpg(with_children, signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(with_children, signal.SIGKILL)
                process.wait()


def _ready(target: Target, *, patience_seconds: float = 60) -> Target:
    """The target, once it answers well."""
    deadline = time.monotonic() + patience_seconds
    while not _answers(target):
        if time.monotonic() > deadline:
            sys.exit(f"{target.name} did not answer within {patience_seconds:.0f} s")
        time.sleep(0.2)
    return target


def _answers(target: Target) -> bool:
    headers = {"Content-Type": "application/json"}
    if target.key:
        headers["Authorization"] = f"Bearer {target.key}"
    request = urllib.request.Request(
        f"http://127.0.0.1:{target.port}{target.path}", data=(target.body % 1).encode(), headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def _figures(
    readings: Mapping[tuple[str, int], Sequence[Reading]], rows: Mapping[str, float], peers: Sequence[str]
) -> dict[str, float | None]:
    def rate(name: str) -> float:
        return statistics.median(each.per_s for each in readings[name, 8])

    def ratio(name: str, to: str) -> float:
        pairs = zip(readings[name, 8], readings[to, 8], strict=True)
        return round(statistics.median(one.per_s / other.per_s for one, other in pairs), 3)

    deep = readings["lamella deep", 8]
    return {
        "noop_ratio_c8_mf": ratio("lamella mf", "noop"),
        "noop_ratio_c8_deep": ratio("lamella deep", "noop"),
        "vs_fastapi_ort": ratio("lamella deep", "fastapi") if "fastapi" in peers else None,
        "vs_bentoml": ratio("lamella deep", "bentoml") if "bentoml" in peers else None,
        "vs_ray_serve": ratio("lamella deep", "ray") if "ray" in peers else None,
        "p50_ms_c8": round(statistics.median(each.p50_ms for each in deep), 2),
        "p99_ms_c8": round(statistics.median(each.p99_ms for each in deep), 2),
        "requests_per_s_c8_deep": round(rate("lamella deep")),
        **rows,
    }


def _print(readings: Mapping[tuple[str, int], Sequence[Reading]], options: argparse.Namespace) -> None:
    print(
        f"# {datetime.now(UTC):%Y-%m-%d}, {options.rounds} rounds of {options.seconds} s, medians, {MODELS} models held"
    )
    print(f"{'':14}{'connections':>12}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}")
    for (name, connections), found in readings.items():
        values = [statistics.median(getattr(each, part) for each in found) for part in ("per_s", "p50_ms", "p99_ms")]
        print(f"{name:14}{connections:>12}{values[0]:>12.0f}{values[1]:>10.2f}{values[2]:>10.2f}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
