import pytest

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Row
from stillhouse.data.templates import as_text, parse_template

ROW = Row("id", {"q": "why?", "o": {"b": [1, None], "a": "ü"}, "n": None, "the text": "t"}, "a:2")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Ask: {q}", "Ask: why?"),
        ("{o.b.0} {o.b[0]} {o[a]} {o.b[-2]}", "1 1 ü 1"),
        ("{o}", '{"b":[1,null],"a":"ü"}'),
        ("<{n}>", "<>"),
        ('{{"q": "{q}"}}', '{"q": "why?"}'),
        ("{the text}", "t"),
        ("no place", "no place"),
    ],
)
def test_a_template_puts_values_into_its_places(template, text):
    assert parse_template(template, "prepare.user").fill(ROW) == text


@pytest.mark.parametrize(
    "template", ["{", "}", "{q", "{}", "{ }", "{q!r}", "{q:>8}", '{"a": 1}', "{q:{o}}"]
)
def test_what_is_no_place_is_refused_with_the_way_to_write_braces(template):
    with pytest.raises(InputError) as caught:
        parse_template(template, "prepare.user")

    assert caught.value.message.startswith("prepare.user: ")
    assert "write a literal brace twice" in caught.value.hint
    assert caught.value.exit_code == 2


def test_nothing_but_fields_can_be_reached():
    for template in ("{q.__class__}", "{o.keys}", "{o.b.__len__}"):
        with pytest.raises(InputError, match="which this row does not have"):
            parse_template(template, "prepare.user").fill(ROW)


def test_an_unknown_field_names_the_nearest():
    with pytest.raises(InputError) as caught:
        parse_template("{the_text}", "prepare.user").fill(ROW)

    assert caught.value.message == (
        'a:2: prepare.user names "the_text", which this row does not have '
        '(did you mean "the text"?)'
    )
    assert caught.value.hint == "it has: q, o, n, the text"


def test_blank_means_that_no_place_gets_text():
    blank = Row("id", {"q": " ", "n": None}, "a:3")

    assert not parse_template("Question: {q}{n}", "prepare.user").own_text(blank).strip()
    assert parse_template("Question: {q}", "prepare.user").own_text(ROW).strip()


def test_text_of_a_value_keeps_the_order_of_keys():
    assert as_text({"b": 1, "a": True}) == '{"b":1,"a":true}'
    assert as_text("x") == "x"
    assert as_text(None) is None
    assert as_text(2) == "2"
