"""Rows that may not be used end with a reason and leave nothing behind."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stillhouse.core.errors import InputError, UsageError
from stillhouse.core.rows import Drop, Row
from stillhouse.data.account import run_step
from stillhouse.data.production_log import LogStep, read_id
from stillhouse.data.pseudonyms import hash_ids, pseudonym, require_salt, salt_mark
from stillhouse.data.readers import build_rows
from stillhouse.data.rights import Held, RightsStep, rights_of
from stillhouse.recipes.collection import Query, SongSource
from stillhouse.recipes.licences import licence_id, licences
from stillhouse.recipes.production_log import ProductionLog
from stillhouse.recipes.rights import Rights
from stillhouse.recipes.rows import Collect, Source
from stillhouse.stages.holding import hold_back
from stillhouse.store.erasures import SUBJECT, erased_name

SALT = "a salt of more than sixteen"
UUID = "0b7c6f0e-8a52-4a8b-9f3e-2f6b5a1c7d10"


def rows_of(*fields):
    return list(build_rows((f"rows.jsonl:{n}", one) for n, one in enumerate(fields, 1)))


def reasons(rights, *fields, held=None):
    step = RightsStep(rights, "rows.jsonl", held or Held())
    outcomes = step.process(rows_of(*fields))
    return [one.reason if isinstance(one, Drop) else "kept" for one in outcomes]


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("MIT", "MIT"),
        ("mit license", "MIT"),
        ("cc by 4.0", "CC-BY-4.0"),
        ("CC_BY-4.0 ", "CC-BY-4.0"),
        ("Public Domain", "public-domain"),
        ("Genius", "genius-terms"),
        ("whatever", ""),
        ("", ""),
    ],
)
def test_a_licence_is_known_however_it_is_written(written, known):
    assert licence_id(written) == known


def test_no_name_means_two_licences():
    names = [n.casefold() for key, one in licences().items() for n in (key, *one.names)]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    ("licence", "reason"),
    [
        ("MIT", "kept"),
        ("own", "kept"),
        ("cc by nc 4.0", "licence is to be decided on"),
        ("lrclib", "licence is to be decided on"),
        ("genius-terms", "licence forbids training"),
        ("all rights reserved", "licence forbids training"),
        ("the licence of my uncle", "unknown licence"),
        (None, "unknown licence"),
        ("", "unknown licence"),
    ],
)
def test_a_row_needs_a_licence_that_permits_training(licence, reason):
    assert reasons(Rights(licence_field="lic"), {"text": "a", "lic": licence}) == [reason]


def test_a_licence_that_somebody_has_read_is_permitted():
    rights = Rights(licence_field="lic", also_permitted=("Of My Uncle", "genius"))

    assert reasons(rights, {"lic": "of my uncle"}, {"lic": "genius-terms"}) == [
        "unknown licence",
        "kept",
    ]
    assert reasons(Rights(licence_field="lic", also_permitted=("mine",)), {"lic": "mine"}) == [
        "kept"
    ]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (True, "kept"),
        ("Yes", "kept"),
        (" granted ", "kept"),
        (1, "kept"),
        (False, "no consent"),
        ("no", "no consent"),
        ("", "no consent"),
        (None, "no consent"),
        ("maybe", "no consent"),
        (0, "no consent"),
        ([], "no consent"),
    ],
)
def test_only_a_clear_yes_is_consent(said, reason):
    assert reasons(Rights(consent_field="ok"), {"t": 1, "ok": said}, {"t": 2}) == [
        reason,
        "no consent",
    ]


def test_rows_about_people_need_consent_even_where_no_field_says_it():
    assert reasons(Rights(personal=True), {"t": 1}) == ["no consent"]


def test_what_is_let_through_is_counted():
    rights = Rights(
        licence_field="lic", personal=True, let_through=("unknown_licence", "missing_consent")
    )
    rows = rows_of({"lic": "?"}, {"lic": "MIT"}, {"lic": "genius"})

    kept, ended, count = run_step(RightsStep(rights, "rows.jsonl"), rows)

    assert len(kept) == 2
    assert [one.reason for one in ended] == ["licence forbids training"]
    assert count.notes == {"let through: no consent": 2, "let through: unknown licence": 1}


def test_a_row_that_ends_leaves_none_of_its_fields():
    step = RightsStep(Rights(personal=True), "rows.jsonl")

    [ended] = step.process(rows_of({"name": "somebody", "text": "something private"}))

    assert ended.row.fields == {}
    assert ended.row.provenance == "rows.jsonl:1"


def test_rows_past_their_time_end():
    rights = Rights(date_field="day", keep_days=30)
    held = Held(last_expired="2026-05-01")

    assert reasons(
        rights,
        {"day": "2026-05-01"},
        {"day": "2026-05-02"},
        {"day": "2026-04-01T10:00:00Z"},
        {"day": "yesterday"},
        {"day": None},
        held=held,
    ) == ["too old", "kept", "too old", "no day", "no day"]


def test_erased_sources_and_subjects_end():
    rights = Rights(subject_field="who", source_field="from")
    held = Held(
        erased=(("source", erased_name("s", "lrclib")), ("subject", erased_name("s", "u1"))),
        salt="s",
    )

    assert reasons(
        rights,
        {"who": "u1", "from": "a"},
        {"who": "u2", "from": "lrclib"},
        {"who": "lrclib", "from": "u1"},
        {"who": None},
        held=held,
    ) == ["erased", "erased", "kept", "kept"]


def test_the_origin_of_a_row_is_known():
    rights = Rights(licence="cc by 4.0", consent_field="ok", subject_field="who", date_field="day")
    [row] = rows_of({"ok": "yes", "who": "u1", "day": "2026-05-01 10:00"})

    known = rights_of(row, rights, "rows.jsonl")

    assert (known.licence, known.consent, known.source, known.subject, known.day) == (
        "CC-BY-4.0", "given", "rows.jsonl", "u1", "2026-05-01",
    )  # fmt: skip


@given(
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=8),
    st.sampled_from([SALT, SALT + "!"]),
)
@settings(max_examples=30, deadline=None)
def test_hashed_ids_stay_apart_and_the_ids_are_gone(ids, salt):
    rows = rows_of(*({"who": f"device-{one}", "n": 1} for one in ids))

    hashed = list(hash_ids(rows, ["who"], salt))

    assert len({row.row_id for row in hashed}) == len(ids)
    seen = {}
    for one, row in zip(ids, hashed, strict=True):
        assert seen.setdefault(one, row.fields["who"]) == row.fields["who"]
        assert "device-" not in str(row)
    assert len(set(seen.values())) == len(set(ids))


def test_the_name_of_a_row_does_not_tell_the_id_that_was_hashed():
    [plain] = rows_of({"who": "device-a", "n": 1})

    [one], [other] = (list(hash_ids([plain], ["who"], salt)) for salt in (SALT, SALT + "!"))

    assert len({plain.row_id, one.row_id, other.row_id}) == 3
    assert one.fields["who"] == pseudonym(SALT, "device-a")


def test_ids_deep_in_a_record_are_hashed_and_empty_ones_stay_empty():
    rows = rows_of(
        {"meta": {"ids": ["x", "y"]}, "a.b": "z"}, {"meta": {"ids": [None]}}, {"a.b": ""}
    )

    first, second, third = hash_ids(rows, ["meta.ids.0", "a.b"], SALT)

    assert first.fields == {
        "meta": {"ids": [pseudonym(SALT, "x"), "y"]},
        "a.b": pseudonym(SALT, "z"),
    }
    assert second.fields == {"meta": {"ids": [None]}}
    # Of a table, whose gaps are empty texts; hashed, they would all be of one person.
    assert third.fields == {"a.b": ""}


def test_a_number_is_the_same_id_and_the_same_yes_however_a_table_writes_it():
    assert pseudonym(SALT, 7.0) == pseudonym(SALT, 7) == pseudonym(SALT, "7")
    assert reasons(Rights(consent_field="ok"), {"ok": 1.0}, {"ok": 0.0}) == ["kept", "no consent"]
    held = Held(((SUBJECT, erased_name("s", "7")),), "s")
    assert reasons(Rights(subject_field="who"), {"who": 7.0}, {"who": 8}, held=held) == [
        "erased", "kept",
    ]  # fmt: skip


def test_a_field_of_ids_that_no_row_has_is_refused():
    with pytest.raises(InputError, match="names 'device', which no row has"):
        list(hash_ids(rows_of({"dev": "x"}), ["device"], SALT))


def test_a_short_salt_is_refused_and_never_shown():
    with pytest.raises(UsageError, match="the salt in MY_SALT has 5 characters") as caught:
        require_salt("short", "MY_SALT")

    assert "short " not in str(caught.value)
    assert SALT not in salt_mark(SALT)
    assert salt_mark(SALT) != salt_mark(SALT + "!")


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"hash_fields": ("device",)}, "hash_fields needs salt_env"),
        ({"salt_env": "MY_SALT"}, "salt_env is for hash_fields"),
        ({"keep_days": 3}, "keep_days needs date_field"),
        ({"keep_days": 0, "date_field": "d"}, "greater than or equal to 1"),
        ({"let_through": ("everything",)}, "unknown_licence"),
    ],
)
def test_rights_that_cannot_hold_are_refused(settings_, message):
    with pytest.raises(ValidationError, match=message):
        Rights(**settings_)


TRUTH = [
    # id, another field, what becomes of the row
    (f"{UUID}_2026-05-31", "", "kept"),
    (f"{UUID}_20260531", "", "kept"),
    (f"{UUID.upper()}_2026-05-31", "", "kept"),
    (f" {UUID}_2026-05-31 ", "", "kept"),
    (f"{UUID}_2026-02-30", "", "id is no device and day"),
    (f"{UUID}_31.05.2026", "", "id is no device and day"),
    (f"{UUID}-2026-05-31", "", "id is no device and day"),
    (f"{UUID}", "", "id is no device and day"),
    ("_2026-05-31", "", "id is no device and day"),
    (f"x{UUID}_2026-05-31", "", "id is no device and day"),
    (f"{UUID}_2026-05-31_2", "", "id is no device and day"),
    (UUID.replace("-4a8b", "-1a8b") + "_2026-05-31", "", "id is no device and day"),
    (UUID.replace("-9f3e", "-cf3e") + "_2026-05-31", "", "id is no device and day"),
    (17, "", "id is no device and day"),
    (None, "", "no id"),
    ("", "", "no id"),
    ("dev_anna", "", "excluded: dev_*"),
    ("DEV_anna", "", "excluded: dev_*"),
    (f"dev_{UUID}_2026-05-31", "", "excluded: dev_*"),
    (f"api_{UUID}_2026-05-31", "", "excluded: api_*"),
    ("canvas_7", "", "excluded: canvas_*"),
    ("developer", "", "id is no device and day"),
    (f"{UUID}_2026-05-31", "canvas_3", "excluded: canvas_*"),
    (f"{UUID}_2026-05-31", "my canvas_3", "kept"),
]


@pytest.mark.parametrize(("identity", "other", "outcome"), TRUTH)
def test_the_truth_table_of_the_log(identity, other, outcome):
    wanted = ProductionLog(exclude_in=("run",))
    rows = rows_of({"device_id": identity, "run": other, "prompt": "a tree"})

    [found] = LogStep(wanted).process(rows)

    assert (found.reason if isinstance(found, Drop) else "kept") == outcome
    if outcome == "kept":
        assert found.row.fields["device"] == UUID
        assert found.row.fields["day"] == "2026-05-31"
        assert "device_id" not in found.row.fields
    else:
        assert found.row.fields == {}


def test_a_row_without_the_column_has_no_id():
    [found] = LogStep(ProductionLog()).process([Row("1", {"prompt": "a"}, "log:1")])

    assert (found.reason, found.evidence) == ("no id", "device_id")


@given(st.text(max_size=60))
@settings(max_examples=30)
def test_any_text_is_read_as_an_id_or_as_none(text):
    found = read_id(text)

    assert found is None or len(found.device) == 36


@pytest.mark.parametrize("key", ["licence_field", "consent_field", "subject_field", "date_field"])
def test_a_field_that_no_row_has_is_refused_by_its_name(key):
    collect = Collect(
        source=Source(file="r.jsonl"), rights=Rights.model_validate({key: "uesr"}, strict=False)
    )

    with pytest.raises(InputError, match=rf"{key} names 'uesr', which no row has.*\"user\""):
        hold_back(rows_of({"user": "a"}, {"user": "b"}), collect)


@pytest.mark.parametrize(
    "told", [{}, {"also_permitted": ["lrclib-terms"]}, {"keep_days": 9, "date_field": "fetched_at"}]
)
def test_songs_are_asked_for_their_licence_whatever_else_is_said_of_rights(told):
    songs = {
        "contact": "a@example.org",
        "sources": {"a": {"kind": "lrclib", "queries": [{"words": "x"}]}},
    }
    collect = Collect.model_validate(
        {"source": {"collection": songs}, "rights": told}, strict=False
    )
    assert collect.rights.licence_field == "licence"
    assert collect.rights.source_field == "lyrics_source"
    own = Collect.model_validate(
        {"source": {"collection": songs}, "rights": {"licence": "own"}}, strict=False
    )
    assert (own.rights.licence, own.rights.licence_field) == ("own", None)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("lrclib.net", "no http or https address"),
        ("ftp://lrclib.net", "no http or https address"),
        ("https://lrclib.net:x", "no http or https address"),
        ("https://me:secret@lrclib.net", "no name or password"),
    ],
)
def test_an_address_that_cannot_be_asked_is_refused_before_anybody_is(url, message):
    with pytest.raises(ValidationError, match=message) as refused:
        SongSource(kind="lrclib", queries=(Query(words="x"),), base_url=url)
    assert "secret" not in str(refused.value).partition("[type=")[0]
