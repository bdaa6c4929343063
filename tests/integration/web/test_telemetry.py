import os
import re
import subprocess
import sys
import textwrap

from structlog.testing import capture_logs

from lamella.errors import BrokerUnavailable, StoreUnavailable
from lamella.web.wiring import ReadinessCheck


def nothing():
    return None


def broker_down():
    raise BrokerUnavailable("the broker at redis://x does not answer")


def store_down():
    raise StoreUnavailable("the store does not answer")


def metrics(lab):
    return lab.client().get("/metrics").get_data(as_text=True)


def test_every_request_leaves_one_line_with_id_route_status_and_time(lab):
    with capture_logs() as logs:
        lab.call("GET", "/v1/admin/experiments/ranking-mf", headers={"X-Request-Id": "abc-1"})
    (line,) = [line for line in logs if line["event"] == "request"]
    assert (line["request"], line["route"], line["status"]) == ("abc-1", "/v1/admin/experiments/<key>", 200)
    assert line["ms"] >= 0


def test_the_log_holds_no_key_and_no_body(lab):
    with capture_logs() as logs:
        lab.call("POST", "/v1/admin/layers", json={"key": "secret-layer"})
        lab.call("GET", "/v1/admin/explain?unit=secret-reader")
    assert lab.keys["admin"] not in repr(logs)
    assert "secret" not in repr(logs)


def test_a_refused_request_says_which_problem_in_the_log(lab):
    with capture_logs() as logs:
        lab.client().get("/v1/admin/layers")
    assert logs[-1]["problem"] == "unauthenticated"


def test_an_unusable_request_id_is_replaced(lab):
    for sent in ("a b", "x" * 65, "a\tb", ""):
        given = lab.client().get("/healthz", headers={"X-Request-Id": sent}).headers["X-Request-Id"]
        assert re.fullmatch(r"[0-9a-f]{32}", given)


def test_requests_are_counted_by_route_not_by_path(lab):
    for key in ("a", "b", "ranking-mf"):
        lab.call("GET", f"/v1/admin/experiments/{key}")
    text = metrics(lab)
    route = 'route="/v1/admin/experiments/<key>"'
    assert f'lamella_requests_total{{method="GET",{route},status="404"}} 2.0' in text
    assert f"lamella_request_seconds_count{{{route}}} 3.0" in text
    assert "experiments/a" not in text


def test_unknown_paths_share_one_label(lab):
    for number in range(3):
        lab.client().get(f"/scan/{number}")
    assert 'lamella_requests_total{method="GET",route="none",status="404"} 3.0' in metrics(lab)


def test_healthz_answers_whatever_else_is_down(make):
    lab = make(readiness=(ReadinessCheck(name="store", probe=store_down),))
    assert lab.client().get("/healthz").json == {"status": "ok"}


def test_readyz_is_503_while_a_required_check_fails_and_says_which(make):
    lab = make(
        readiness=(ReadinessCheck(name="store", probe=store_down), ReadinessCheck(name="snapshot", probe=nothing))
    )
    answer = lab.client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json["status"] == "unavailable"
    assert answer.json["checks"]["snapshot"] == {"status": "ok"}
    assert answer.json["checks"]["store"]["code"] == "store_unavailable"


def test_readyz_is_200_but_degraded_while_only_an_optional_check_fails(make):
    lab = make(readiness=(ReadinessCheck(name="broker", probe=broker_down, required=False),))
    answer = lab.client().get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (200, "degraded")


def test_several_processes_share_their_numbers_through_a_folder(tmp_path):
    program = textwrap.dedent("""
        import os, sys
        from prometheus_client import CollectorRegistry
        from lamella.web.telemetry import Telemetry
        telemetry = Telemetry(CollectorRegistry())
        telemetry.events.labels("accepted").inc(2)
        telemetry.snapshot.set(int(sys.argv[1]))
        telemetry.finish("a", method="GET", route="/x", status=200, seconds=0.02)
        telemetry.served([("ranking", "mf")])
        telemetry.refresh()
        if len(sys.argv) > 2:
            print(telemetry.exposition().decode())
    """)
    found_at = os.pathsep.join(sys.path)
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PATH": "", "PYTHONPATH": found_at}

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    run("7")
    told = run("8", "print")
    assert 'lamella_events_total{outcome="accepted"} 4.0' in told
    assert 'lamella_requests_total{method="GET",route="/x",status="200"} 2.0' in told
    assert 'lamella_request_seconds_bucket{le="0.025",route="/x"} 2.0' in told
    assert 'lamella_recommendations_total{experiment="ranking",variant="mf"} 2.0' in told
