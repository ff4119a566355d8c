"""The examination of a machine: hub, token, clock, folders, packages, and what a recipe needs."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiohttp import web
from huggingface_hub import constants
from tests.engines.fakes.aio_server import AioServer
from tests.engines.fakes.ollama_store import OllamaStore

import stillhouse
from stillhouse.engines.served import ask_served
from stillhouse.models import hub as hub_module
from stillhouse.models.hub import Hub, HubAnswer, ask_hub
from stillhouse.recipes.load import load_recipe
from stillhouse.runner import doctor, installed
from stillhouse.runner.doctor import examine
from stillhouse.runner.doctor_recipe import examine_recipe
from stillhouse.runner.doctor_servers import examine_endpoints

TOKEN = "hf_secretsecretsecret"


class Whoami:
    """A hub that answers who asks with one status, after a while, by its own clock."""

    def __init__(self, status, *, delay_s=0.0, ahead_s=0.0):
        outer, self.asked = self, []

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_args):
                pass

            def date_time_string(self, timestamp=None):
                return formatdate(time.time() + ahead_s, usegmt=True)

            def do_GET(self):
                outer.asked.append((self.path, self.headers.get("authorization", "")))
                time.sleep(delay_s)
                with suppress(ConnectionError):  # who asked may have gone
                    self.send_response(status)
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    self.wfile.write(b"{}")

            def finish(self):
                with suppress(ConnectionError):
                    super().finish()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = False  # the end waits for them: no word in a later test
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_error):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No look at the machine's speed, no token, and a hub that may be asked."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub_module, "get_token", lambda: None)
    rates = doctor.rates_of
    monkeypatch.setattr(doctor, "rates_of", lambda *_: rates.__globals__["Rates"].guessed(1e10))


def looked(tmp_path, hub, **more):
    found = examine(tmp_path / "runs", hub, **more)
    return found, {one.about: one for one in found.findings}


@pytest.mark.parametrize(
    ("status", "token", "state", "words"),
    [
        (200, TOKEN, "ok", "the hub knows"),
        (401, TOKEN, "note", "does not know"),
        (404, TOKEN, "ok", "it answers 404"),
        (401, None, "ok", "none: models that anybody may read"),
    ],
)
def test_a_token_is_told_and_never_printed(tmp_path, monkeypatch, status, token, state, words):
    monkeypatch.setattr(hub_module, "get_token", lambda: token)
    monkeypatch.setattr(hub_module, "build_hf_headers", partial(_headers, token))
    with Whoami(status) as there:
        found, by = looked(tmp_path, Hub(endpoint=there.endpoint))

    assert by["hub"].state == "ok"
    assert (by["token"].state, words in by["token"].text) == (state, True)
    assert there.asked == [("/api/whoami-v2", f"Bearer {token}" if token else "")]
    assert TOKEN not in json.dumps(found.as_json())


def _headers(token):
    return {"authorization": f"Bearer {token}"} if token else {}


def test_a_hub_with_a_fault_is_a_note(tmp_path):
    with Whoami(503) as there:
        found, by = looked(tmp_path, Hub(endpoint=there.endpoint))
    assert (by["hub"].state, found.is_fit) == ("note", True)
    assert "it answers 503" in by["hub"].text


def test_a_hub_that_is_not_there_is_a_note(tmp_path):
    found, by = looked(tmp_path, Hub(endpoint="http://127.0.0.1:9"))
    assert (by["hub"].state, found.is_fit, "token" in by) == ("note", True, False)


def test_a_slow_hub_is_not_waited_for(tmp_path):
    started = time.perf_counter()
    with Whoami(200, delay_s=0.6) as there:
        _, by = looked(tmp_path, Hub(endpoint=there.endpoint), timeout_s=0.2)
    assert by["hub"].state == "note"
    assert time.perf_counter() - started < 5


def test_without_network_nobody_is_asked(tmp_path):
    with Whoami(200) as there:
        answer = ask_hub(Hub(network=False, endpoint=there.endpoint))
    assert (answer.is_there, answer.error, there.asked) == (False, "not asked", [])


@pytest.mark.parametrize(
    ("ahead_s", "words"), [(0, "as the hub's"), (7200, "120 minutes behind"), (-7200, "ahead of")]
)
def test_a_wrong_clock_is_told(tmp_path, ahead_s, words):
    with Whoami(200, ahead_s=ahead_s) as there:
        _, by = looked(tmp_path, Hub(endpoint=there.endpoint))
    assert words in by["clock"].text
    assert by["clock"].state == ("note" if ahead_s else "ok")


def test_a_runs_folder_that_cannot_be_written_is_missing(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    found, by = looked(tmp_path, Hub(network=False))
    assert not found.is_fit
    assert by["runs"].state == "missing"
    assert "Permission denied" in by["runs"].text


def test_nothing_is_left_behind(tmp_path):
    looked(tmp_path, Hub(network=False))
    assert list(tmp_path.iterdir()) == []


def test_few_open_files_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.resource, "getrlimit", lambda _: (64, 64))
    _, by = looked(tmp_path, Hub(network=False))
    assert (by["open files"].state, by["open files"].mend) == ("note", "ulimit -n 4096")


def test_packages_are_held_to_what_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(
        installed.importlib.metadata,
        "requires",
        lambda _: [
            "numpy>=999",
            "pyarrow>=1",
            'torch>=2.9; extra == "train"',
            'bitsandbytes>=0.50; extra == "qlora"',
        ],
    )
    versions = {"numpy": "2.1.0", "pyarrow": "20.0", "torch": "2.13.0"}

    def version(name):
        if name not in versions:
            raise installed.importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(installed.importlib.metadata, "version", version)
    found, by = looked(tmp_path, Hub(network=False))

    assert not found.is_fit
    assert by["packages"].text == "numpy is 2.1.0, not >=999"
    assert (by["extra train"].state, by["extra train"].text) == ("ok", "torch 2.13.0")
    assert by["extra qlora"].text == "bitsandbytes is not installed"
    assert by["extra qlora"].mend == 'pip install "stillhouse[qlora]"'


@pytest.mark.parametrize(("status", "state"), [(200, "note"), (0, "missing")])
def test_a_model_that_is_not_in_the_cache_is_missing_where_no_hub_answers(
    tmp_path, monkeypatch, status, state
):
    monkeypatch.chdir(tmp_path)
    hub = Hub(cache=tmp_path / "cache")
    loaded = load_recipe("neurons")
    by = {
        one.about: one
        for one in examine_recipe(loaded, hub, HubAnswer("https://hub", status, 0.1, "down"))
    }

    assert (by["teacher"].state, by["student"].state, by["rows"].state) == (state, state, "missing")
    assert "about 15.2 GB" in by["teacher"].text


def test_every_file_and_model_that_a_run_would_open_is_looked_for(tmp_path):
    (tmp_path / "small").mkdir()
    (tmp_path / "rows.jsonl").write_text("{}\n")
    changes = [
        "collect.source.file=rows.jsonl",
        "teacher={path: large}",
        "student={path: small}",
        "prepare.steps=[{name: pair_with, file: ways.jsonl, as: way},"
        " {name: drop_outliers, field: prompt, by: {hub: lab/vectors}},"
        " {name: merge_semantic_duplicates, on: prompt, by: {hub: lab/vectors}}]",
    ]
    (tmp_path / "mine.yaml").write_text(load_recipe("neurons").text)
    loaded = load_recipe(str(tmp_path / "mine.yaml"), changes)
    answer = HubAnswer("https://hub", 0, 0.1, "down")
    found = list(examine_recipe(loaded, Hub(cache=tmp_path / "cache"), answer))
    by = {one.about: one.state for one in found}

    assert (by["rows"], by["student"], by["teacher"]) == ("ok", "ok", "missing")
    assert (by["prepare.steps.0.file"], by["prepare.steps.1.by"]) == ("missing", "missing")
    assert "prepare.steps.2.by" not in by  # the same model, told once
    assert all(one.mend for one in found if one.state == "missing")


def test_the_command_ends_with_2_when_something_is_missing(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))

    code, out, err = called("doctor", "--json")
    assert (code, err, json.loads(out)["fit"]) == (0, "", True)
    code, out, _ = called("doctor", "neurons")
    assert (code, out.splitlines()[-1]) == (2, "3 needed things are missing")
    assert len(out.splitlines()) < 40


def test_the_examination_imports_no_torch(tmp_path):
    import subprocess
    import sys

    from tests.faults.killed_runs import ENVIRONMENT

    code = (
        "import sys; sys.argv = ['stillhouse', 'doctor', '--json']\n"
        "from stillhouse.cli.main import main\n"
        "try: main()\n"
        "finally: print({'torch', 'transformers'} & set(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=ENVIRONMENT | {"HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stderr.endswith("set()\n"), done.stderr


def servers(tmp_path, *changes):
    """What is found of the servers that a first recipe with a teacher behind them names."""
    (tmp_path / "rows.csv").write_text("q,a\n" + "what,yes\n" * 30)
    stillhouse.init(
        str(tmp_path / "rows.csv"),
        str(tmp_path / "mine.yaml"),
        stillhouse.InitCall(answer="a", teacher="ollama:llama3.2:3b", student="scratch"),
    )
    loaded = load_recipe(str(tmp_path / "mine.yaml"), changes)
    return {one.about: one for one in examine_endpoints(loaded.recipe)}


@pytest.mark.parametrize(
    ("there", "state", "words"),
    [
        (["llama3.2:3b"], "ok", "is up and has llama3.2:3b"),
        (["llama3.2:1b"], "missing", 'has no llama3.2:3b (did you mean "llama3.2:1b"?)'),
        ([], "missing", "has no llama3.2:3b"),
    ],
)
def test_ollama_says_whether_it_has_the_model(tmp_path, there, state, words):
    with OllamaStore(tmp_path, infos={name: {} for name in there}) as server:
        found = servers(tmp_path, f"teacher.api.base_url={server.url}")

    [one] = found.values()
    assert (one.about, one.state) == ("teacher.api server", state)
    assert words in one.text
    assert ("ollama pull llama3.2:3b" in one.mend) == (state == "missing")
    assert server.calls == [("GET", "/api/tags")]


def test_a_model_without_a_tag_is_the_latest(tmp_path):
    with OllamaStore(tmp_path, infos={"mine:latest": {}}) as server:
        assert ask_served("ollama", server.url).has("mine")
        assert not ask_served("ollama", server.url).has("mine:small")


class Vllm(AioServer):
    """A server with the OpenAI API that lists one model, or fails."""

    async def handle(self, request):
        if self.takes("slow"):
            await asyncio.sleep(1.0)
        if self.takes("key"):
            return web.json_response({"error": {"code": "invalid_api_key"}}, status=401)
        if self.takes("page"):
            return web.Response(text="<html>welcome</html>")
        if request.path != "/v1/models":
            return web.json_response({"detail": "Not Found"}, status=404)
        listed = [{"id": "Qwen/Qwen3-4B", "object": "model", "max_model_len": 4096}]
        return web.json_response({"object": "list", "data": listed})


@pytest.mark.parametrize(
    ("model", "fault", "state", "words"),
    [
        ("Qwen/Qwen3-4B", [], "ok", "is up and has Qwen/Qwen3-4B"),
        ("Qwen/Qwen3-8B", [], "missing", 'did you mean "Qwen/Qwen3-4B"?'),
        ("Qwen/Qwen3-4B", ["key"], "note", "wants a key before it tells its models"),
        ("Qwen/Qwen3-4B", ["page"], "note", "lists no models (html)"),
    ],
)
def test_a_server_with_the_openai_api_says_which_models_it_has(
    tmp_path, model, fault, state, words
):
    with Vllm(fault) as server:
        api = f"teacher.api={{kind: openai, model: {model}, base_url: '{server.url}/v1'}}"
        [one] = servers(tmp_path, api).values()
    assert (one.state, words in one.text) == (state, True), one


def test_a_server_that_is_not_there_is_missing_and_one_that_is_slow_is_not_waited_for(tmp_path):
    [one] = servers(tmp_path, "teacher.api.base_url=http://127.0.0.1:9").values()
    assert (one.state, "nobody answers" in one.text) == ("missing", True)
    assert one.mend == "ollama serve, or write another teacher.api.base_url"
    with Vllm(["slow"]) as server:
        assert ask_served("openai", f"{server.url}/v1", 0.1).failure == "timeout"


def test_a_provider_at_its_own_address_is_not_asked(tmp_path):
    assert servers(tmp_path, "teacher.api={kind: openai, model: gpt-5}") == {}


@pytest.mark.parametrize("path", ["", "/", "/v1"])
def test_any_server_that_a_person_names_is_asked(called, tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with Vllm() as server:
        code, out, _ = called("doctor", "--server", server.url + path)
    assert (code, f"{server.url}/v1 is up (openai) and has Qwen/Qwen3-4B" in out) == (0, True)


def test_ollama_is_known_by_its_answer_and_silence_ends_with_2(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with OllamaStore(tmp_path, infos={"a:latest": {}, "b:1": {}}) as server:
        found = stillhouse.doctor(server=server.url)
        bare = stillhouse.doctor(server=server.url.removeprefix("http://"))
    assert found.findings[-1].text == f"{server.url} is up (ollama) and has a:latest, b:1"
    assert bare.findings[-1] == found.findings[-1]
    assert called("doctor", "--server", "http://127.0.0.1:9")[0] == 2
