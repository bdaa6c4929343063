"""Numbers as people read them: one place decides digits, signs and the words for what has no number."""

import math
from collections.abc import Iterable
from datetime import datetime

from lamella.reporting.view import Interval
from lamella.reporting.wording import Lang, reason_text, word

MINUS = "\u2212"
JOINING_SPACE = "\u00a0"
SMALLEST_P = 1e-16


def p_value(p: float | None) -> str:
    """A p-value with two significant digits, such as "0.012"; never "0", and never "1" for less than 1.

    Near 0.05 two digits more are shown, so that 0.0496 does not read as 0.050.

    >>> p_value(0.0123), p_value(0.0496), p_value(3.21e-9), p_value(0.0)
    ('0.012', '0.0496', '3.2e-9', '< 1e-16')
    """
    if p is None:
        return "–"
    if p < SMALLEST_P:
        return "< 1e-16"
    if p < 1e-4:
        mantissa, exponent = f"{p:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    if p >= 0.995:
        return "1" if p >= 1 else "> 0.99"
    if 0.0445 <= p <= 0.0555:
        return f"{p:.4f}"
    return fixed(p, max(2, decimals(p, significant=2)))


def decimals(size: float, *, significant: int, most: int = 8) -> int:
    """How many decimals show `significant` digits of a number as large as `size`; 0..`most`."""
    size = abs(size)
    if not size or not math.isfinite(size):
        return 0
    return min(most, max(0, significant - 1 - math.floor(math.log10(size))))


def fixed(number: float, places: int, *, signed: bool = False) -> str:
    """The number with `places` decimals, thousands separated, with a real minus sign; never "-0"."""
    text = f"{abs(number):,.{places}f}"
    is_zero = not any(digit in text for digit in "123456789")
    if number < 0 and not is_zero:
        return MINUS + text
    return ("+" if signed and not is_zero else "") + text


def count(number: float | None) -> str:
    """A whole number with thousands separated; an amount that is not whole keeps one decimal."""
    if number is None:
        return "–"
    return fixed(number, 0 if float(number).is_integer() or abs(number) >= 1000 else 1)


def share(number: float | None, places: int | None = None, *, signed: bool = False) -> str:
    """A share 0..1 as percent, by default with three significant digits.

    >>> share(0.0412), share(-0.5, 0, signed=True)
    ('4.12%', '−50%')
    """
    if number is None:
        return "–"
    percent = number * 100
    if not math.isfinite(percent):
        percent = math.copysign(1.7e308, number)
    places = decimals(percent, significant=3) if places is None else places
    return fixed(percent, places, signed=signed) + "%"


def round_share(number: float) -> str:
    """A share that somebody chose, such as a margin: as percent without trailing zeros."""
    places = next((places for places in range(8) if math.isclose(round(number * 100, places), number * 100)), 8)
    return share(number, places)


def confidence(level: float | None) -> str:
    """An interval's level, with the digits that keep it apart from 100%; empty where there is none.

    >>> confidence(0.95), confidence(0.99985)
    ('95%', '99.985%')
    """
    if level is None:
        return ""
    places = decimals((1 - level) * 100, significant=2, most=10)
    text = fixed(level * 100, places)
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "%"


def lift_places(lift: float | None, interval: Interval | None) -> int:
    """The decimals, in percent, that the interval's width justifies: two digits of its half-width, 1..4."""
    if interval is not None and interval.low is not None and interval.high is not None:
        width = (interval.high - interval.low) / 2 * 100
        if width:
            return max(1, decimals(width, significant=2, most=4))
    return max(1, decimals((lift or 0.0) * 100, significant=2, most=2))


def lift(number: float | None, interval: Interval | None = None) -> str:
    """A relative lift with its sign, such as "+5.2%", to the digits that its interval justifies."""
    return share(number, lift_places(number, interval), signed=True)


def lift_interval(interval: Interval | None, lang: Lang, *, around: float | None = None) -> str:
    """The interval of a relative lift in words: "+2.1% to +8.4%"; a side without a limit is said to be so."""
    if interval is None:
        return "–"
    places = lift_places(around, interval)
    return _between(
        None if interval.low is None else share(interval.low, places, signed=True),
        None if interval.high is None else share(interval.high, places, signed=True),
        lang,
    )


def amount(number: float | None, unit: str, places: int | None = None, *, signed: bool = False) -> str:
    r"""A metric's value in its unit: a share as percent, seconds with "s", a count as it is.

    With its sign it is a difference; that of two shares is in percentage points.

    >>> amount(0.282, "share"), amount(0.013, "share", 1, signed=True)
    ('28.2%', '+1.3\xa0pp')
    """
    if number is None:
        return "–"
    if unit == "share":
        text = share(number, places, signed=signed)
        return f"{text.removesuffix('%')}{JOINING_SPACE}pp" if signed else text
    places = decimals(number, significant=3, most=6) if places is None else places
    return fixed(number, places, signed=signed) + (f"{JOINING_SPACE}s" if unit == "seconds" else "")


def shared_places(values: Iterable[float | None], unit: str) -> int:
    """The decimals that show the largest value to three digits and still tell the values apart to two."""
    scale = 100 if unit == "share" else 1
    known = [value * scale for value in values if value is not None]
    if not known:
        return 1
    coarse = decimals(max(map(abs, known)), significant=3, most=6)
    spread = max(known) - min(known)
    fine = decimals(spread, significant=2, most=6) if spread else coarse
    return max(coarse, min(fine, coarse + 2))


def undefined(code: str, lang: Lang) -> str:
    """Why there is no number: "not defined: zero variance"."""
    return word("not_defined", lang, reason=reason_text(code, lang))


def moment(when: datetime) -> str:
    """A time to the minute, with its zone."""
    zone = when.strftime("%Z") or "UTC"
    return f"{when:%Y-%m-%d %H:%M} {zone}"


def days(number: float, lang: Lang) -> str:
    """A duration: hours below two days, else days."""
    if abs(number) < 2:
        return word("hours", lang, n=fixed(number * 24, decimals(number * 24, significant=2, most=1)))
    return word("days", lang, n=fixed(number, 0 if float(number).is_integer() else 1))


def _between(low: str | None, high: str | None, lang: Lang) -> str:
    if low is None and high is None:
        return word("no_limits", lang)
    if high is None:
        return word("no_upper_limit", lang, low=low)
    if low is None:
        return word("no_lower_limit", lang, high=high)
    return word("between", lang, low=low, high=high)
