"""Finished runs with files for Ollama in their bundle, which no llama.cpp was asked about.

The file of the whole student is one that the child process of `tests/engines/fakes` opens: it has
the run's vocabulary, and answers by a rule that the stand-in of Ollama knows too.
"""

import json
import shutil

import gguf
import numpy as np
from tests.engines.fakes.gguf_child import logits_after, write_model
from tests.export.ollama_text import render

from stillhouse.core.hashing import digest_file
from stillhouse.export.modelfile import licence_lines, modelfile_text
from stillhouse.recipes.gguf_names import WEIGHTS_KEY
from stillhouse.recipes.measuring import Modelfile
from stillhouse.runner.opening import named_place
from stillhouse.stages.corpus import open_corpus
from stillhouse.tokens.ends import end_ids

WEIGHTS = "ab" * 32


def copied(run, folder):
    """A copy of a run that may be changed."""
    shutil.copytree(run.root, folder / "runs")
    return named_place(str(folder / "runs"), run.name)


def artifact(place, stage):
    item = next(one for one in place.folder.read().instances if one.stage == stage)
    return place.store.path(item.artifact_id)


def corpus_of(place):
    return open_corpus(artifact(place, "prepare"))


def seal(place, stage="export"):
    """List the files of an artifact anew."""
    folder = artifact(place, stage)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    files = sorted(one for one in folder.rglob("*") if one.is_file() and one != path)
    manifest["files"] = [
        {"path": one.relative_to(folder).as_posix(), "bytes": one.stat().st_size,
         "sha256": digest_file(one)}
        for one in files
    ]  # fmt: skip
    path.write_text(json.dumps(manifest))


def change_recipe(place, **sections):
    """Let the run's record say that it was run with other sections."""
    path = place.folder.path / "run.json"
    record = json.loads(path.read_bytes())
    for name, changes in sections.items():
        record["recipe"][name] = {**(record["recipe"][name] or {}), **changes}
    path.write_text(json.dumps(record))


def add_ollama(place, base=None, **told):
    """Put a file and a Modelfile into the bundle of a run."""
    corpus, folder = corpus_of(place), artifact(place, "export") / "bundle" / "gguf"
    folder.mkdir()
    asked = Modelfile(name="tiny", base=base, num_ctx=192, **told)
    own = "tiny-adapter.gguf" if base else "tiny-F16.gguf"
    if base:
        writer = gguf.GGUFWriter(folder / own, "qwen3")
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(WEIGHTS_KEY, WEIGHTS)
        writer.add_tensor("blk.0.attn_q.weight.lora_a", np.zeros((1, 4), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    else:
        texts = [corpus.tokenizer.token_of(one) for one in range(corpus.tokenizer.vocab_size)]
        write_model(folder / own, texts, 192, ends_of(corpus))
    text = modelfile_text(asked, own, corpus.template, corpus.tokenizer, {})
    (folder / "Modelfile").write_text(text + licence_lines("rows: made by Stillhouse"))
    seal(place)
    form = "gguf_adapter" if base else "gguf"
    plain = asked.model_dump(mode="json")
    change_recipe(place, export={"formats": ["merged", form, "modelfile"], "modelfile": plain,
                                 "gguf": {"weights": ["f16"]}})  # fmt: skip
    return folder / own


def ends_of(corpus):
    return sorted(end_ids(corpus.tokenizer, corpus.template))


def answers(corpus):
    """What the stand-in of Ollama answers: the file's rule, on what the model's template writes."""

    def answer(model, turns, options):
        system = turns[0][1] if turns[0][0] == "system" else None
        text = render(model["template"], turns[1:] if system is not None else turns, system)
        ids = corpus.tokenizer.encode(text)[0].tolist()
        written, ends = [], ends_of(corpus)
        while len(written) < options["num_predict"]:
            following = int(logits_after(ids + written, corpus.tokenizer.vocab_size).argmax())
            if following in ends:
                break
            written.append(following)
        told = corpus.tokenizer.decode(written)
        return told + (" and more" if model.get("adapters") else "")

    return answer
