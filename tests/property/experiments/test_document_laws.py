import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configurations import (
    domains,
    experiments,
    holdouts,
    json_values,
    layers,
    live_configurations,
    parameters,
    spaced_configurations,
)
from lamella.errors import InvalidInput
from lamella.experiments import document
from lamella.experiments.model import Configuration, Domain, Experiment, Holdout, Json, Layer, Parameter


@given(layer=layers)
def test_a_layer_comes_back_exactly_from_its_json(layer: Layer) -> None:
    stored = orjson.loads(orjson.dumps(document.layer_document(layer)))
    assert document.layer_from_document(stored) == layer


@given(parameter=parameters)
def test_a_parameter_comes_back_exactly_from_its_json(parameter: Parameter) -> None:
    stored = json.loads(json.dumps(document.parameter_document(parameter)))
    assert document.parameter_from_document(stored) == parameter


@given(experiment=experiments)
def test_an_experiment_comes_back_exactly_from_its_json(experiment: Experiment) -> None:
    stored = orjson.loads(orjson.dumps(document.experiment_document(experiment)))
    assert document.experiment_from_document(stored) == experiment


@given(domain=domains)
def test_a_domain_comes_back_exactly_from_its_json(domain: Domain) -> None:
    stored = orjson.loads(orjson.dumps(document.domain_document(domain)))
    assert document.domain_from_document(stored) == domain


@given(holdout=holdouts)
def test_a_holdout_comes_back_exactly_from_its_json(holdout: Holdout) -> None:
    stored = orjson.loads(orjson.dumps(document.holdout_document(holdout)))
    assert document.holdout_from_document(stored) == holdout


@given(configuration=live_configurations() | spaced_configurations())
def test_a_configuration_comes_back_exactly_from_its_json(configuration: Configuration) -> None:
    stored = orjson.loads(orjson.dumps(document.configuration_document(configuration)))
    assert document.configuration_from_document(stored) == configuration


@given(experiment=experiments, key=st.text(max_size=8), value=json_values)
def test_a_wrong_document_is_refused_as_bad_input_or_read_whatever_it_holds(
    experiment: Experiment, key: str, value: Json
) -> None:
    spoiled = document.experiment_document(experiment)
    spoiled[key] = value
    try:
        document.experiment_from_document(spoiled)
    except InvalidInput as error:
        assert error.faults  # noqa: PT017 - either outcome is lawful


@given(value=json_values.filter(lambda value: not isinstance(value, dict)))
def test_what_is_no_object_is_refused(value: Json) -> None:
    with pytest.raises(InvalidInput, match="send an object"):
        document.layer_from_document(value)  # type: ignore[arg-type]  # the point of the test
