"""Every example of the two guides runs and gives what it says."""

import doctest
import json
import re
from pathlib import Path

from structlog.testing import capture_logs

from flagd_configurations import everything

DOCS = Path(__file__).parents[3] / "docs"


def test_every_example_of_the_sdk_guide_runs(service, tmp_path):
    given = {"URL": service.url, "KEY": service.key, "FOLDER": tmp_path, "NOW": service.lab.services.clock.now}
    with capture_logs():
        results = doctest.testfile(str(DOCS / "sdk.md"), module_relative=False, globs=given)
    assert (results.failed, results.attempted > 20) == (0, True)


def test_every_example_of_the_standards_guide_runs():
    given = {"configuration": everything()}
    results = doctest.testfile(str(DOCS / "open-standards.md"), module_relative=False, globs=given)
    assert (results.failed, results.attempted > 8) == (0, True)


def test_the_calls_of_the_standards_guide_are_answered(service):
    text = (DOCS / "open-standards.md").read_text(encoding="utf-8")
    calls = re.findall(r"curl -s \$LAMELLA(\S+).*?-d '(.*?)'\n", text, flags=re.DOTALL)
    assert [path for path, _ in calls] == ["/ofrep/v1/evaluate/flags/rank.model", "/v1/exposures"]
    now = service.lab.services.clock.now().isoformat()
    for path, body in calls:
        sent = json.loads(body.replace("2026-03-02T08:00:00Z", now))
        answer = service.lab.call("POST", path, role="client", json=sent)
        assert answer.status_code in (200, 202), answer.json
        assert not answer.json.get("rejected"), answer.json
    documented = json.loads(re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL)[0])
    evaluated = service.lab.call("POST", calls[0][0], role="client", json=json.loads(calls[0][1])).json
    assert documented.keys() == evaluated.keys()
    assert documented["metadata"].keys() == evaluated["metadata"].keys()
