"""The configuration as one document: out and in again, nothing is lost and nobody moves."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from configurations import AT, METRICS, json_values, live_configurations, texts
from lamella.adapters.yaml_text import read_yaml, write_yaml
from lamella.experiments.declaring import declaration, declare
from lamella.experiments.differences import differences
from lamella.experiments.model import Configuration


@given(st.dictionaries(texts, json_values, max_size=5))
def test_yaml_gives_back_what_was_written(document):
    assert differences(read_yaml(write_yaml(document)), document) == []


@settings(max_examples=40)
@given(live_configurations())
def test_an_empty_installation_becomes_what_another_one_declares(configuration):
    document = read_yaml(write_yaml(declaration(configuration)))
    made = declare(Configuration(), document, at=AT, metrics=METRICS)
    assert replace(made, version=0) == replace(configuration, version=0)


@settings(max_examples=40)
@given(live_configurations())
def test_declaring_what_is_changes_nothing(configuration):
    assert declare(configuration, declaration(configuration), at=AT, metrics=METRICS) == configuration


@given(json_values, json_values)
def test_two_documents_differ_exactly_where_they_differ(one, other):
    assert differences(one, one) == []
    there, back = differences(one, other), differences(other, one)
    assert {(each.path, repr(each.before), repr(each.after)) for each in there} == {
        (each.path, repr(each.after), repr(each.before)) for each in back
    }
