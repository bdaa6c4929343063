"""Documents that an earlier version stored, without the fields that came since."""

from dataclasses import replace

import sqlalchemy as sa

from configurations import AT, draft, newsroom
from lamella.adapters.sql.configuration import SqlConfigurationStore
from lamella.adapters.sql.schema import experiment
from lamella.experiments import lifecycle
from lamella.experiments.document import experiment_document


def test_what_lacks_a_newer_field_is_read_and_no_other_change_touches_it(engine: sa.Engine) -> None:
    store = SqlConfigurationStore(engine)
    store.commit(lifecycle.add_experiment(newsroom(), draft()), author="ann", action="create", at=AT)
    older = {name: each for name, each in experiment_document(draft()).items() if name != "accept_underpowered"}
    with engine.begin() as connection:
        connection.execute(sa.update(experiment).values(body=older))
    now = store.load()
    assert now.experiments[0].accept_underpowered is False
    store.commit(replace(now, killed=True), author="bob", action="kill", at=AT)
    assert [each.kind for each in store.revisions() if each.version == 2] == ["configuration"]
    named = replace(store.load(), experiments=(replace(now.experiments[0], name="Another"),))
    store.commit(named, author="bob", action="update", at=AT)
    assert [each.key for each in store.revisions() if each.version == 3] == ["textcnn"]
