"""Keys: found by name, never shown, resting when they are refused."""

import copy
import json

import pytest

from stillhouse.core.errors import UsageError
from stillhouse.engines.keys import NO_KEY, Key, KeyRing, Secret, find_keys

PLANTED = "sk-planted-0123456789abcdef"


def test_a_secret_shows_itself_nowhere():
    key = Key("KEY", Secret(PLANTED))
    for shown in (repr(key), str(key), f"{key.secret}", repr([key]), repr({"k": key.secret})):
        assert PLANTED not in shown
    with pytest.raises(TypeError):
        json.dumps(key.secret)
    with pytest.raises(TypeError, match="not written anywhere"):
        copy.copy(key.secret)
    assert key.secret.reveal() == PLANTED


def test_the_environment_goes_before_the_file_and_both_are_found(tmp_path):
    (tmp_path / ".env").write_text(
        f"# keys\nexport A_KEY='from-file'\nB_KEY=\"{PLANTED}\"\n\nC_KEY=\n", encoding="utf-8"
    )
    found = find_keys(["A_KEY", "B_KEY", "C_KEY"], tmp_path, {"A_KEY": "from-env"})
    assert [(key.alias, key.secret.reveal()) for key in found] == [
        ("A_KEY", "from-env"),
        ("B_KEY", PLANTED),
    ]


def test_a_server_without_keys_gets_none_and_a_missing_key_is_an_error(tmp_path):
    assert find_keys([]) == [NO_KEY]
    with pytest.raises(UsageError, match="A_KEY and B_KEY are not set"):
        find_keys(["A_KEY", "B_KEY"], tmp_path, {"A_KEY": "  "})


def test_a_refused_key_rests_while_the_others_go_on():
    now = [0.0]
    ring = KeyRing([Key("A", None), Key("B", None)], rest_s=10.0, clock=lambda: now[0])
    assert ring.pick().alias == "A"
    ring.rest(ring.pick())
    assert ring.pick().alias == "B"
    ring.rest(ring.pick())
    assert ring.pick() is None
    now[0] = 10.0
    assert ring.pick().alias == "A"


def test_a_file_is_read_as_other_tools_write_it(tmp_path):
    (tmp_path / ".env").write_text(
        "\ufeffA_KEY=one # of the team\nB_KEY='two # 2' # mine\nC_KEY=th#ree\n", encoding="utf-8"
    )
    found = find_keys(["A_KEY", "B_KEY", "C_KEY"], tmp_path, {})
    assert [key.secret.reveal() for key in found] == ["one", "two # 2", "th#ree"]


def test_a_file_that_is_not_utf_8_is_named_and_not_shown(tmp_path):
    (tmp_path / ".env").write_text(f"A_KEY={PLANTED}\n", encoding="utf-16")
    with pytest.raises(UsageError, match=r"\.env is not UTF-8") as caught:
        find_keys(["A_KEY"], tmp_path, {})
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("sign", ["\n", "\r", "\0", "\u200b", "\ufeff"])
def test_a_key_that_no_request_can_carry_is_refused_and_not_shown(sign):
    with pytest.raises(UsageError, match="the key in A_KEY holds") as caught:
        find_keys(["A_KEY"], None, {"A_KEY": f"{PLANTED}{sign}{PLANTED}"})
    assert PLANTED not in str(caught.value)
