import json

import pytest

from lamella.config import Settings
from lamella.errors import InvalidRule, InvalidSettings
from lamella.services.flagging import BOT, INTERNAL, Flagging
from lamella.testing.traffic import NOW


@pytest.mark.parametrize(
    "agent",
    [
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 HeadlessChrome/120.0",
        "curl/8.5.0",
        "python-requests/2.32",
        "Baiduspider+(+http://www.baidu.com/search/spider.htm)",
    ],
)
def test_robots_say_so_in_their_user_agent(agent):
    flag = Flagging().flag("u", {"user_agent": agent}, NOW)
    assert flag is not None
    assert flag.reason == BOT
    assert agent[:20] in flag.detail


@pytest.mark.parametrize("context", [{}, {"user_agent": "Mozilla/5.0 (iPhone)"}, {"device": "bot"}, {"user_agent": 3}])
def test_readers_are_no_robots(context):
    assert Flagging().flag("u", context, NOW) is None


def test_the_list_of_internal_units_is_exact():
    flagging = Flagging(internal=["eve"])
    assert flagging.flag("eve", {}, NOW).reason == INTERNAL
    assert flagging.flag("eve2", {}, NOW) is None


def test_a_rule_of_ones_own_replaces_the_built_in_one():
    flagging = Flagging(json.dumps({"==": [{"var": "tenant"}, "test"]}))
    assert [flagging.flag("u", {"tenant": each}, NOW) is not None for each in ("test", "live", ["x"], "test")] == [
        True,
        False,
        False,
        True,
    ]
    assert flagging.flag("u", {"user_agent": "curl/8"}, NOW) is None
    assert Flagging("false").flag("u", {"user_agent": "curl/8"}, NOW) is None


def test_a_rule_that_cannot_be_compiled_is_refused_when_it_is_set():
    with pytest.raises(InvalidRule):
        Flagging("{")
    with pytest.raises(InvalidSettings, match="LAMELLA_BOT_RULE"):
        Settings.from_environment({"LAMELLA_BOT_RULE": '{"nonsense": []}'})


def test_the_settings_say_who_is_no_reader():
    settings = Settings.from_environment({"LAMELLA_INTERNAL_UNITS": "eve, mallory ,"})
    assert [settings.flagging.flag(unit, {}, NOW) is not None for unit in ("eve", "mallory", "", "bob")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("rule", [None, '{"==": [{"var": ["os", ""]}, "crawlix"]}', '{"==": [1, 2]}'])
def test_whoever_is_not_in_doubt_gets_no_flag(rule):
    flagging = Flagging(*[rule] * (rule is not None), internal=["editor"])
    contexts = [{"user_agent": "Firefox"}, {}, {"user_agent": "Googlebot"}, {"os": "crawlix"}, {"user_agent": ["odd"]}]
    for units in (["a", "b", "c", "d"], ["a", "editor", "c", "d"], ["a", "b", "c", "d", "e"]):
        sent = list(zip(units, contexts, strict=False))
        expected = [flag for unit, context in sent if (flag := flagging.flag(unit, context, NOW))]
        left = flagging.doubtful(units, contexts[: len(units)])
        found = [flag for unit, context in left if (flag := flagging.flag(unit, context, NOW))]
        assert found == expected


def test_contexts_that_were_seen_are_in_no_doubt():
    flagging = Flagging()
    contexts = [{"user_agent": "Firefox"}, {"user_agent": "Googlebot"}, {"user_agent": "Firefox", "os": "linux"}]
    for context in contexts:
        flagging.flag("a", context, NOW)
    assert list(flagging.doubtful(["a", "b", "c"], contexts)) == [("b", contexts[1])]
