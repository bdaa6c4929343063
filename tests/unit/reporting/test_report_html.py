from copy import deepcopy
from itertools import pairwise

import pytest

from lamella.errors import InvalidInput
from lamella.reporting import forest
from lamella.reporting.document import read_report
from lamella.reporting.html import STYLESHEET, render_page, render_report
from lamella.reporting.numbers import undefined
from unit.reporting import samples
from unit.reporting.markup import parse

SITUATIONS = {looks[-1]["experiment"]["key"]: looks for looks in samples.everything()}


def rendered(looks, **options):
    return parse(render_report(looks[-1], looks, **options))


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("key", SITUATIONS)
def test_every_situation_renders_well_formed_without_script_or_inline_style(key, lang):
    tree = rendered(SITUATIONS[key], lang=lang)
    elements = list(tree.walk())
    assert not [one for one in elements if one.tag in ("script", "style", "link", "img")]
    assert not [one for one in elements for name in one.attributes if name == "style" or name.startswith("on")]
    assert not [one for one in elements for name in one.attributes if name in ("src", "href")]


@pytest.mark.parametrize("key", SITUATIONS)
def test_every_identity_is_unique_and_every_reference_resolves(key):
    elements = list(rendered(SITUATIONS[key]).walk())
    ids = [one.attributes["id"] for one in elements if "id" in one.attributes]
    wanted = {name for one in elements for name in one.attributes.get("aria-labelledby", "").split()}
    assert len(ids) == len(set(ids))
    assert wanted <= set(ids)


def test_the_order_answers_a_decision_maker():
    headings = [one.text for one in rendered(samples.looks()).walk() if one.tag in ("h2", "h3")]
    assert headings == [
        "Rank by matrix factorisation ranking-mf",
        "✓ Ship mf",
        "Lift against the control",
        "Values",
        "Over time",
        "Stopping boundary",
        "Can this be trusted?",
        "Fixed at the start",
        "To reproduce",
    ]


def test_headings_never_skip_a_level():
    levels = [int(one.tag[1]) for one in rendered(samples.three_variants()).walk() if one.tag in ("h2", "h3", "h4")]
    assert levels[0] == 2
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_table_has_a_caption_and_every_header_a_scope():
    tree = rendered(samples.three_variants())
    assert tree.all("table")
    for table in tree.all("table"):
        assert table.all("caption")
        assert all("scope" in header.attributes for header in table.all("th"))


def test_every_chart_is_an_image_with_a_name_or_hidden_decoration():
    outer = [one for one in rendered(samples.looks()).all("svg") if "class" in one.attributes]
    assert outer
    assert all(one.attributes.get("role") == "img" or one.attributes.get("aria-hidden") == "true" for one in outer)


def test_the_forest_has_a_row_for_each_metric_and_variant():
    looks = samples.three_variants()
    rows = [one for one in rendered(looks).all("li", "lm-row") if "lm-row-axis" not in one.classes]
    assert len(rows) == sum(len(metric["comparisons"]) for metric in looks[-1]["metrics"])
    assert len([one for one in rows if "lm-role-primary" in one.classes]) == 3


def test_colour_is_never_the_only_sign():
    rows = rendered(samples.harmful()).all("span", "lm-lift")
    signs = {"lm-good": "✓", "lm-bad": "✕", "lm-neutral": "·"}
    for one in rows:
        assert any(kind in one.classes and sign in one.text for kind, sign in signs.items())


def test_a_rise_is_bad_where_less_is_better():
    looks = samples.harmful()
    worse = deepcopy(looks[-1])
    worse["metrics"][-1]["comparisons"][0].update(difference=0.01, relative_lift=0.1, ci=[0.05, 0.15], significant=True)
    lifts = parse(render_report(worse, looks)).all("span", "lm-lift")
    assert "lm-bad" in lifts[-1].classes
    assert "lm-good" in rendered(looks).all("span", "lm-lift")[-1].classes


@pytest.mark.parametrize("code", samples.REASONS)
def test_every_reason_for_no_number_is_rendered_in_both_languages(code):
    looks = samples.undefined()
    assert undefined(code, "en") in rendered(looks).text
    assert undefined(code, "zh") in rendered(looks, lang="zh").text


def test_sides_without_a_limit_are_said_in_words():
    text = rendered(samples.unbounded()).text
    assert "∞ (no upper limit)" in text
    assert "(no lower limit)" in text
    assert "(no limit on either side)" in text


def test_strings_of_the_document_are_never_markup():
    hostile = '<script>alert("x")</script><img src=x onerror=y>\'"&'
    looks = samples.three_variants()
    for made in looks:
        made["experiment"].update(name=hostile, key=hostile, layer=hostile, hypothesis=hostile, owner=hostile)
        made["verdict"].update(reason=hostile, variant=hostile)
        made["plan"]["method"] = hostile
        for check in made["checks"]:
            check.update(check=hostile, detail=hostile)
        for metric in made["metrics"]:
            metric.update(label=hostile, label_zh=hostile)
        for part in (
            made["variants"],
            *(m["arms"] for m in made["metrics"]),
            *(m["comparisons"] for m in made["metrics"]),
        ):
            for one in part:
                one["variant"] = hostile + one["variant"]
        made["metrics"][2]["comparisons"][0]["undefined"] = hostile
        made["inputs"] = {"columns": [hostile], "arms": {hostile: {"n": 1, "mean": [1.0]}}}
    for lang in ("en", "zh"):
        page = render_page([(looks[-1], looks)], title=hostile, lang=lang)
        tree = parse(page)
        assert not tree.all("script")
        assert not tree.all("img")
        assert not [one for one in tree.walk() for name in one.attributes if name.startswith("on")]


def test_the_history_is_drawn_oldest_first_whatever_its_order():
    looks = samples.looks()
    assert (
        render_report(looks[-1], looks[::-1]) == render_report(looks[-1], looks) == render_report(looks[-1], looks[:-1])
    )


def test_looks_of_another_phase_or_of_later_are_left_out():
    looks = samples.looks()
    other = deepcopy(looks[1])
    other["experiment"]["phase"] = 99
    assert render_report(looks[2], [*looks, other]) == render_report(looks[2], looks[:2])


def test_the_table_beside_the_chart_has_a_row_for_each_look():
    tables = rendered(samples.looks()).all("details", "lm-data")
    assert len(tables[0].all("tbody")[0].all("tr")) == 5


def test_the_first_look_says_that_there_is_no_course_yet():
    assert "This is the first analysis" in rendered(samples.first_look()).text
    assert "This is the first analysis" not in rendered(samples.looks()).text


def test_without_boundaries_there_is_no_boundary_chart():
    made = samples.document()
    del made["looks"]["history"]
    assert "Stopping boundary" not in render_report(made, [])


def test_numbers_behind_a_failed_check_are_marked_as_not_to_decide_on():
    assert "not to decide on" in rendered(samples.unbalanced()).text


def test_every_lift_is_on_the_scale_of_the_interval_plot():
    looks = samples.three_variants()
    for metric in looks[-1]["metrics"][:1]:
        metric["comparisons"][0].update(relative_lift=0.9, ci=[0.7, 1.1], adjusted=None)
    report = read_report(looks[-1])
    scale = forest.shared_scale(report)
    lifts = [one.used.relative_lift for metric in report.metrics for one in metric.comparisons]
    assert all(scale.holds(lift) for lift in lifts)


def test_an_interval_far_wider_than_the_others_is_cut_and_the_legend_says_so():
    looks = samples.looks()
    looks[-1]["metrics"][1]["comparisons"][0]["ci"] = [-90.0, 90.0]
    assert forest.shared_scale(read_report(looks[-1])).high < 1
    assert "the interval goes on" in rendered(looks).text
    assert "the interval goes on" not in rendered(samples.looks()).text


def test_what_was_planted_stands_beside_the_verdict():
    text = rendered(samples.looks(), truth=samples.TRUTHS["ranking-mf"]).text
    assert "the simulator planted an effect of +8.0%" in text
    assert "the verdict is right" in text
    wrong = rendered(samples.unbalanced(), truth=samples.TRUTHS["recall-textcnn"]).text
    assert "the verdict is wrong" in wrong


def test_chinese_reports_speak_chinese_and_mark_what_does_not():
    tree = rendered(samples.looks(), lang="zh")
    assert tree.all("article")[0].attributes["lang"] == "zh-Hans"
    assert "点击率：mf 相对 popularity 为 +8.8%" in tree.text
    assert [one.attributes["lang"] for one in tree.all("p", "lm-original")] == ["en"]


def test_a_report_without_metrics_or_variants_still_renders():
    made = samples.document()
    made.update(metrics=[], variants=[], checks=[], inputs={})
    assert "holds no metric yet" in render_report(made, [])


def test_an_unknown_schema_or_language_is_refused():
    with pytest.raises(InvalidInput, match="schema"):
        render_report(samples.document() | {"schema": "x"}, [])
    with pytest.raises(InvalidInput, match="'de'"):
        render_report(samples.document(), [], lang="de")


def test_the_stylesheet_dresses_light_dark_print_and_phones():
    for media in ("prefers-color-scheme: dark", "@media print", "max-width"):
        assert media in STYLESHEET
    assert "url(" not in STYLESHEET
    assert "@import" not in STYLESHEET
