"""The pictures of a look inside a model."""

import itertools
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from insight_samples import PACKED_CURVE, VERSION, catalogue_items, topical_model
from lamella.recommenders.looking import ModelEyes
from lamella.reporting.html import STYLESHEET
from lamella.reporting.insight import INSIGHT_STYLESHEET, pictures, render_files, render_insight, render_insight_page
from lamella.reporting.insight_wording import WORDS
from lamella.reporting.latent import MARKS
from lamella.services.insight import MOST_CLUSTERS, Insight, Wanted
from lamella.testing.fakes import MemoryCatalogue, MemoryModelCatalogue
from lamella.testing.models import MemoryVersionFiles
from unit.reporting.markup import parse
from unit.reporting.test_report_contrast import contrast

SCHEMES = INSIGHT_STYLESHEET.split("@media (prefers-color-scheme: dark)", 1)
PAPER = re.findall(r"--lm-paper: (#[0-9a-f]{6})", STYLESHEET)
# Linear RGB as a dichromat sees it: Viénot, Brettel and Mollon (1999).
DEFECTS = {
    "none": np.eye(3),
    "protan": np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]),
    "deutan": np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]),
}


def palette(scheme):
    return dict(re.findall(r"--lm-(c\d): (#[0-9a-f]{6})", scheme.split(".lm-bar")[0]))


def lab(colour, defect):
    """CIE L*a*b* of the colour as somebody with the defect sees it."""
    channels = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    seen = np.clip(DEFECTS[defect] @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    f = np.cbrt(np.maximum(xyz / [0.9505, 1, 1.089], 1e-9))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.fixture(scope="module")
def portrait():
    model = topical_model()
    files = MemoryVersionFiles({"mf@3": model}, {"mf@3": {"curve.json": PACKED_CURVE}})
    use_case = Insight(MemoryModelCatalogue([VERSION]), MemoryCatalogue(catalogue_items(model)), ModelEyes(files))
    return use_case.show("mf", Wanted(clusters=4, points=60))


@pytest.mark.parametrize(("scheme", "paper"), list(zip(SCHEMES, PAPER, strict=True)), ids=["light", "dark"])
def test_the_colours_of_clusters_stand_out_from_the_paper(scheme, paper):
    found = palette(scheme)
    assert len(found) == len(MARKS) == len(set(MARKS)) == MOST_CLUSTERS
    for name, colour in found.items():
        assert contrast(colour, paper) >= 3, name


@pytest.mark.parametrize("defect", DEFECTS)
@pytest.mark.parametrize("scheme", SCHEMES, ids=["light", "dark"])
def test_the_colours_of_clusters_differ_for_the_colour_blind_too(scheme, defect):
    seen = {name: lab(colour, defect) for name, colour in palette(scheme).items()}
    for one, other in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 25, (one, other)


def test_every_point_of_the_map_is_drawn_and_named(portrait):
    chart = parse(pictures(portrait, "en")["map"].chart)
    assert len(chart.all("path", "lm-point")) == 60
    assert {each.text for each in chart.all("text", "lm-number")} == {"1", "2", "3", "4"}
    assert any(each.text.endswith("& more") for each in chart.all("title"))


def test_the_kept_epoch_is_marked_on_the_curve(portrait):
    chart = parse(pictures(portrait, "en")["learning-curve"].chart)
    assert [each.text for each in chart.all("text", "lm-note")] == ["kept: epoch 5"]
    assert [each.attributes["x1"] for each in chart.all("line", "lm-end")] == ["62.500%"]


def test_bars_are_as_high_as_their_counts(portrait):
    chart = parse(pictures(portrait, "en")["user-biases"].chart)
    heights = [float(each.attributes["height"]) for each in chart.all("rect", "lm-bar")]
    counts = portrait.look.user_biases.counts
    assert np.array(heights) * max(counts) == pytest.approx(np.array(counts) * max(heights), abs=0.01 * max(counts))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_file_is_well_formed_and_says_what_it_shows(portrait, lang):
    files = render_files(portrait, lang=lang)
    assert set(files) == {"learning-curve.svg", "item-biases.svg", "user-biases.svg", "map.svg"}
    for text in files.values():
        root = ET.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "mf@3" in text
    page = render_insight_page(portrait, lang=lang)
    assert "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "")
    assert render_insight(portrait, lang=lang) in page


def test_all_words_are_there_in_both_languages():
    assert all(len(pair) == 2 and all(pair) for pair in WORDS.values())
