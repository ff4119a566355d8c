"""What a data card says of the people in the rows is what was done with these rows."""

import json

import pytest

from stillhouse.stages.data_facts import data_facts


def prepared(root, rights):
    """The manifests of a run's rows."""
    collect = {"instance": "collect", "config": {"collect": {"source": {}, "rights": rights}},
               "summary": {"rows": 4}}  # fmt: skip
    prepare = {"instance": "prepare", "inputs": {"rows": "collect"},
               "summary": {"parts": {}, "tokens": {}}}  # fmt: skip
    for manifest in (collect, prepare):
        (root / manifest["instance"]).mkdir()
        (root / manifest["instance"] / "manifest.json").write_text(json.dumps(manifest))
    return root / "prepare"


@pytest.mark.parametrize(
    ("rights", "said"),
    [
        ({}, []),
        ({"personal": True}, ["each row needed consent; a row without it was left out"]),
        ({"personal": True, "let_through": ["undecided_licence"]},
         ["each row needed consent; a row without it was left out"]),
        ({"consent_field": "ok", "let_through": ["missing_consent"]},
         ["each row needed consent; a row without it was kept"]),
    ],
)  # fmt: skip
def test_a_row_without_consent_is_said_to_be_left_out_only_where_it_was(rights, said, tmp_path):
    assert data_facts("small", prepared(tmp_path, rights), 3).consent == said
