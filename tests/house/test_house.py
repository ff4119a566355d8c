"""Rules of the house that tools check: sizes, honest public names, print and the environment."""

import ast
import re
from pathlib import Path

import pytest

import stillhouse

SOURCE = Path(stillhouse.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
MOST_LINES, MOST_FUNCTION_LINES = 400, 70
LARGE_BY_DECISION: dict[str, str] = {}
VAGUE = {"utils", "helpers", "common", "manager", "misc"}


def name_of(path):
    return path.relative_to(SOURCE).as_posix()


def functions(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_file_is_longer_than_one_idea(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES or name_of(path) in LARGE_BY_DECISION


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_function_is_longer_than_a_screen(path):
    long = [
        f"{node.name} ({node.end_lineno - node.lineno + 1})"
        for node in functions(path)
        if node.end_lineno - node.lineno + 1 > MOST_FUNCTION_LINES
    ]
    assert long == []


def test_no_file_has_a_vague_name():
    assert [name_of(path) for path in FILES if path.stem in VAGUE] == []


def test_public_names_are_sorted_and_are_there():
    assert sorted(stillhouse.__all__, key=str) == stillhouse.__all__
    for name in stillhouse.__all__:
        assert getattr(stillhouse, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = stillhouse.nothing


def test_every_public_function_and_class_says_what_it_is():
    silent = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in FILES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and "overload" not in map(ast.unparse, node.decorator_list)
    ]
    assert silent == []


def test_every_public_tensor_argument_says_its_shape():
    # Arguments named with a shape suffix, such as logits_BTV, stand in the docstring with one.
    missing = []
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                continue
            text = ast.get_docstring(node) or ""
            for argument in [*node.args.args, *node.args.kwonlyargs]:
                if re.search(r"_[A-Z]+$", argument.arg) and not re.search(
                    rf"{argument.arg}: .*\(", text
                ):
                    missing.append(f"{name_of(path)}:{node.lineno} {argument.arg}")
    assert missing == []


def test_only_the_command_line_writes_to_standard_output():
    loud = [
        name_of(path)
        for path in FILES
        if "sys.stdout.write" in path.read_text(encoding="utf-8") and path.parent.name != "cli"
    ]
    assert loud == []


def test_nothing_is_pickled():
    text = {name_of(path): path.read_text(encoding="utf-8") for path in FILES}
    assert [
        n for n, t in text.items() if re.search(r"\bimport pickle|torch\.save\(|joblib", t)
    ] == []


def test_torch_is_imported_only_where_weights_are():
    allowed = (
        *("losses/", "testing/", "models/", "students/", "export/", "stages/"),
        "engines/transformers.py",
    )
    importing = [
        name_of(path)
        for path in FILES
        if re.search(r"^\s*(import|from) (torch|transformers|peft)\b", path.read_text(), re.M)
    ]
    assert [name for name in importing if not name.startswith(allowed)] == []
