"""Colours of the stylesheet against WCAG 2.2: 4.5 for text (1.4.3), 3 for graphics (1.4.11)."""

import re

import pytest

from lamella.reporting.html import STYLESHEET

LIGHT, DARK = STYLESHEET.split("@media (prefers-color-scheme: dark)", 1)


def colours(css):
    return dict(re.findall(r"--lm-([\w-]+): (#[0-9a-f]{6})", css.split(".lm-page { margin")[0]))


def luminance(colour):
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(scheme):
    known = colours(scheme)
    washes = {name.removesuffix("-wash"): known[name] for name in known if name.endswith("-wash")}
    for ink in ("ink", "soft", "good", "bad", "warn", "open", "flat"):
        assert contrast(known[ink], known["paper"]) >= 4.5, ink
        assert contrast(known[ink], known["wash"]) >= 4.5, ink
    for tone, wash in washes.items():
        for ink in ("ink", "soft", tone, "good", "bad"):
            assert contrast(known[ink], wash) >= 4.5, (ink, tone)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_lines_stand_out_from_the_paper(scheme):
    known = colours(scheme)
    for name in ("strong", "v0", "v1", "v2", "v3", "v4", "v5"):
        assert contrast(known[name], known["paper"]) >= 3, name
