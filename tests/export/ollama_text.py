"""Ollama's parser of Modelfiles and Go's templates, as far as a chat template needs them.

Written after `ParseFile` of Ollama's parser and the documentation of Go's text/template, apart from
what is tested: a Modelfile is read rune by rune, a template by its actions.
"""

import ast
import re

COMMANDS = {
    "from", "license", "template", "system", "adapter", "renderer", "parser", "parameter",
    "message", "requires",
}  # fmt: skip


ACTION = re.compile(r'\{\{(-\s)?\s*((?:"(?:\\.|[^"\\])*"|[^"}])*?)\s*(\s-)?\}\}')


class ParseError(Exception):
    pass


def unquote(text):
    if text.startswith('"""'):
        return (text[3:-3], True) if len(text) >= 6 and text.endswith('"""') else ("", False)
    if text.startswith('"'):
        return (text[1:-1], True) if len(text) >= 2 and text.endswith('"') else ("", False)
    return text, True


def is_print(rune):
    return rune.isprintable()


def parse(text):
    """Commands with their arguments, in order; `FROM` is called `model`."""
    found, state, buffer, name = [], "nil", "", ""
    for rune in text:
        after, kept = _next(state, rune)
        if after != state:
            if state == "name":
                if buffer.lower() not in COMMANDS:
                    raise ParseError(f"unknown command {buffer!r}")
                name = {"from": "model"}.get(buffer.lower(), buffer.lower())
                after = "parameter" if name == "parameter" else after
            elif state == "parameter":
                name = buffer
            elif state == "value":
                value, is_whole = unquote(buffer.strip())
                if not is_whole or rune in " \t":
                    buffer += rune
                    continue
                found.append((name, value))
            buffer, state = "", after
        if kept and is_print(kept):
            buffer += kept
    if state == "value":
        value, is_whole = unquote(buffer.strip())
        if not is_whole:
            raise ParseError("the file ends in the middle of a value")
        found.append((name, value))
    elif state not in ("nil", "comment"):
        raise ParseError("the file ends too early")
    if not any(one == "model" for one, _ in found):
        raise ParseError("no FROM line")
    return found


def _next(state, rune):
    is_space, is_line = rune in " \t", rune in "\r\n"
    if state == "nil":
        if rune == "#":
            return "comment", ""
        return ("nil", "") if is_space or is_line else ("name", rune)
    if state == "name":
        if rune.isascii() and rune.isalpha():
            return "name", rune
        if is_space:
            return "value", ""
        raise ParseError("no such command")
    if state == "parameter":
        if rune.isascii() and (rune.isalnum() or rune == "_"):
            return "parameter", rune
        if is_space:
            return "value", ""
        raise ParseError("no such parameter")
    if state == "comment":
        return ("nil", "") if is_line else ("comment", "")
    return ("nil", rune) if is_space or is_line else ("value", rune)


def render(template, messages, system=None):
    """What Ollama writes for a conversation: messages of one role joined, then Go's template."""
    turns = [("system", system)] if system is not None else []
    joined = []
    for role, content in [*turns, *messages]:
        if joined and joined[-1][0] == role:
            joined[-1] = (role, joined[-1][1] + "\n\n" + content)
        else:
            joined.append((role, content))
    whole = "\n\n".join(content for role, content in joined if role == "system")
    return _run(parse_template(template), {"System": whole, "Messages": joined}, None)


def parse_template(template):
    """The nodes of a template; an error where Go's parser would have one."""
    tree, rest = _block(list(_actions(template)), ())
    if rest:
        raise ParseError(f"unexpected {rest[0][1]!r}")
    return tree


def _actions(template):
    """Texts and actions, with the white space that `{{-` and `-}}` take away."""
    place, trims = 0, False
    for match in re.finditer(
        r'\{\{(-\s)?\s*((?:"(?:\\.|[^"\\])*"|[^"}])*?)\s*(\s-)?\}\}', template
    ):
        text = template[place : match.start()]
        text = text.lstrip(" \t\r\n") if trims else text
        text = text.rstrip(" \t\r\n") if match.group(1) else text
        if text:
            yield ("text", text)
        yield ("action", match.group(2))
        place, trims = match.end(), bool(match.group(3))
    text = template[place:]
    text = text.lstrip(" \t\r\n") if trims else text
    if text:
        yield ("text", text)


def _block(tokens, ends):
    """A list of nodes up to one of those actions, which is left in front of the rest."""
    nodes = []
    while tokens:
        kind, text = tokens[0]
        if kind == "action" and text.split(" ")[0] in ends:
            return nodes, tokens
        tokens = tokens[1:]
        if kind == "text":
            nodes.append(("text", text))
        elif text.startswith("if "):
            node, tokens = _if(text[3:], tokens)
            nodes.append(node)
        elif text.startswith("range "):
            body, tokens = _block(tokens, ("end",))
            nodes.append(("range", text[6:], body))
            tokens = tokens[1:]
        else:
            nodes.append(("write", text))
    return nodes, tokens


def _if(condition, tokens):
    then, tokens = _block(tokens, ("else", "end"))
    word, tokens = tokens[0][1], tokens[1:]
    if word == "end":
        return ("if", condition, then, []), tokens
    if word.startswith("else if "):
        node, tokens = _if(word[8:], tokens)
        return ("if", condition, then, [node]), tokens
    other, tokens = _block(tokens, ("end",))
    return ("if", condition, then, other), tokens[1:]


def _run(nodes, root, dot):
    parts = []
    for node in nodes:
        if node[0] == "text":
            parts.append(node[1])
        elif node[0] == "write":
            parts.append(_value(node[1], root, dot))
        elif node[0] == "if":
            is_true = bool(_value(node[1], root, dot))
            parts.append(_run(node[2] if is_true else node[3], root, dot))
        else:
            assert node[1] == ".Messages"
            parts += [_run(node[2], root, message) for message in root["Messages"]]
    return "".join(parts)


def _value(text, root, dot):
    if text.startswith('"'):
        return ast.literal_eval(text)
    if text.startswith("not "):
        return not _value(text[4:], root, dot)
    if text.startswith("eq "):
        left, right = text[3:].split(" ", 1)
        return _value(left, root, dot) == _value(right, root, dot)
    if text in (".Role", ".Content"):
        return dot[text == ".Content"]
    assert text in (".System",), text
    return root["System"]
