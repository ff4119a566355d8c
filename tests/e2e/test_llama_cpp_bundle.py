"""The whole chain to files for llama.cpp: written, proved, evaluated there, gated, registered."""

import json
from importlib.util import find_spec

import pytest
from tests.engines.fakes.ollama_store import OllamaStore
from tests.export.ollama_text import render

import stillhouse
from stillhouse.core.errors import ArtifactError
from stillhouse.engines.gguf_examiner import GgufExaminer
from stillhouse.registry.versions import Registry
from stillhouse.stages.corpus import open_corpus

if find_spec("llama_cpp") is None:
    pytest.skip("make test-long installs llama-cpp-python", allow_module_level=True)

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("llama_cpp")]

ALL = """
  formats: [gguf, gguf_adapter, modelfile]
  gguf: {weights: [f32, q8_0, q4_k_m], max_kl: {q8_0: 0.05, q4_k_m: 0.2}}
  modelfile: {name: tiny, weights: q8_0, system: "Answer in JSON."}
"""


@pytest.fixture(scope="module")
def artifacts(tiny_recipe, tmp_path_factory):
    """Instance -> folder, of the tiny recipe with an adapter and every form for llama.cpp."""
    root = tmp_path_factory.mktemp("runs")
    lora = "  lora: {rank: 4}\n  weights: {forward_kl"
    text = tiny_recipe.read_text().replace("  weights: {forward_kl", lora)
    (root / "r.yaml").write_text(f"{text}export:{ALL}")
    stillhouse.run(str(root / "r.yaml"), stillhouse.Call(runs=str(root), name="r"))
    found = {}
    for path in root.glob("artifacts/*/manifest.json"):
        found[json.loads(path.read_bytes())["instance"]] = path.parent
    return root, found


def summary(folder):
    return json.loads((folder / "manifest.json").read_bytes())["summary"]


def test_each_file_was_asked_and_gated_by_itself(artifacts):
    _, found = artifacts
    forms = ("exported", "exported-q8_0", "exported-q4_k_m")
    student = summary(found["evaluate@student"])["metrics"]
    for form in forms:
        metrics = summary(found[f"evaluate@{form}"])["metrics"]
        found_kl, own_kl = (one["kl_to_teacher"]["value"] for one in (metrics, student))
        shift, size = abs(found_kl - own_kl), metrics["size_bytes"]["value"]
        print(f"{form}: KL to the teacher {found_kl:.5f}, student {own_kl:.5f}, {size:.0f} bytes")
        assert shift <= (1e-4 if form == "exported" else 0.05)
        assert summary(found[f"gate@{form}"])["verdict"]["passed"]


def test_the_version_holds_every_file_and_says_what_it_was_proved_to_be(artifacts):
    root, found = artifacts
    bundle = found["export"] / "bundle"
    record = json.loads((found["register"] / "version.json").read_bytes())
    version = Registry(root / "registry").read(record["name"], record["version_id"])
    names = {file.path for file in version.files}
    assert {f"gguf/tiny-{kind}.gguf" for kind in ("F32", "Q8_0", "Q4_K_M", "adapter")} <= names
    told = json.loads((bundle / "version_info.json").read_bytes())
    assert [one["weights"] for one in told["gguf"]] == ["f32", "q8_0", "q4_k_m", "f32"]
    assert told["training_data_size"] == 60
    assert told["validation_metrics"]["kl_to_teacher"]["value"] > 0
    assert (bundle / "gguf" / "Modelfile").read_text().splitlines()[1] == "FROM ./tiny-Q8_0.gguf"


@pytest.fixture
def served(artifacts, tmp_path):
    """A stand-in of Ollama that answers with llama.cpp on what it was sent, template and all."""
    _, found = artifacts
    corpus = open_corpus(found["prepare"])

    def answer(model, turns, options):
        (digest,) = model["files"].values()
        system = turns[0][1] if turns[0][0] == "system" else None
        text = render(model["template"], turns[1:] if system is not None else turns, system)
        with GgufExaminer(server.path(digest), 1) as examiner:
            # What it was sent alone: its tokenizer, its ends, its stop texts.
            (ids,) = examiner.tokenize([text])
            written = examiner.greedy(ids, options["num_predict"])
        told = corpus.tokenizer.decode(written)
        return told.split(model["parameters"]["stop"][0])[0]

    server = OllamaStore(tmp_path, answer)
    with server:
        yield server


def test_what_ollama_answers_is_what_the_gated_file_answers(artifacts, served):
    root, found = artifacts
    call = stillhouse.ExportCall("ollama", url=served.url, canaries=5)
    shipped = stillhouse.ship("r", call, str(root))
    body = served.models["tiny:latest"]
    print(f"{shipped.same} of {shipped.asked} answers equal, {served.received_bytes:,} bytes sent")
    assert (shipped.asked, shipped.same) == (5, 5)
    assert shipped.file[0] == "gguf/tiny-Q8_0.gguf"
    assert served.received_bytes == (found["export"] / "bundle" / shipped.file[0]).stat().st_size
    assert body["system"] == "Answer in JSON."
    assert body["license"] == "rows: made by Stillhouse (tickets)"
    # Another template is found before the model has its name.
    wrong = found["export"] / "bundle" / "gguf" / "Modelfile"
    told = wrong.read_text()
    assert shipped == stillhouse.ship("r", call, str(root))
    changed = told.replace('"""{{', '"""x{{', 1)
    assert changed != told
    wrong.write_text(changed)
    with pytest.raises(ArtifactError, match=r"its bytes are not|bytes, the manifest"):
        stillhouse.ship("r", call, str(root))
    wrong.write_text(told)
    served.models["tiny:latest"] = {"system": "older"}
    served.spoil = lambda model: model | {"template": model["template"].replace("user", "human")}
    with pytest.raises(ArtifactError, match="otherwise than the bundle's file"):
        stillhouse.ship("r", call, str(root))
    assert served.models == {"tiny:latest": {"system": "older"}}
