import json
import re
from importlib import resources

import pytest

from lamella.reporting.html import render_page
from unit.reporting import samples
from unit.reporting.markup import parse


def numbered():
    reports = samples.everything()
    for phase, looks in enumerate(reports, start=1):
        for made in looks:
            made["experiment"]["phase"] = phase
    return [(looks[-1], looks) for looks in reports]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_page_of_every_situation_needs_nothing_beside_itself(lang):
    page = render_page(numbered(), title="Newsroom", truth=samples.TRUTHS, lang=lang)
    tree = parse(page.removeprefix("<!doctype html>"))
    assert not re.search(r"(?:src|srcset)=|url\(|@import|https?:", page)
    assert not tree.all("script")
    assert len(tree.all("style")) == 1
    assert len(tree.all("article")) == len(samples.everything())
    assert [one.text for one in tree.all("h1")] == ["Newsroom"]


def test_every_identity_of_the_page_is_unique_and_every_link_leads_somewhere():
    elements = list(parse(render_page(numbered())).walk())
    ids = [one.attributes["id"] for one in elements if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    assert {one.attributes["href"] for one in elements if "href" in one.attributes} <= {f"#{name}" for name in ids}


def test_the_overview_says_verdict_and_truth_of_each_experiment():
    tree = parse(render_page(numbered(), truth=samples.TRUTHS))
    rows = [row.text for row in tree.all("table", "lm-overview")[0].all("tbody")[0].all("tr")]
    assert len(rows) == len(samples.everything())
    assert "Ship mf" in rows[0]
    assert "right" in rows[0]
    assert "wrong" in rows[2]


def test_a_document_that_went_through_json_gives_the_same_page():
    stored = [(json.loads(json.dumps(made)), json.loads(json.dumps(looks))) for made, looks in numbered()]
    assert render_page(stored) == render_page(numbered())


def test_an_empty_page_is_still_a_page():
    assert parse(render_page([])).all("h1")


def test_templates_and_stylesheet_are_part_of_the_package():
    package = resources.files("lamella.reporting")
    assert (package / "style.css").is_file()
    assert (package / "templates" / "report.html").is_file()
