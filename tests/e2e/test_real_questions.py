"""accounting-qa and neurons on real rows: teacher, student, twin, the nearest other row's answer.

Slow: about ten processor minutes in all. Their figures are printed.
"""

from __future__ import annotations

import csv
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import log

import pytest
from tests.conftest import SHARED_DATA
from tests.data.accounting_rows import write_spreadsheet

import stillhouse
from stillhouse.core.errors import GateRefusedError
from stillhouse.data.words import words_of

pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("real-questions"),
    pytest.mark.skipif(
        not (SHARED_DATA / "instruct" / "gsm8k_test_even.jsonl").is_file(),
        reason="the data sets are not here",
    ),
]
NAMES = ("kl_to_teacher", "cross_entropy", "top1_agreement", "exact_match", "bleu.answer")
LARGER = [
    "compute.threads=1",
    "teacher.scratch.tokenizer.vocab_size=1500",
    "label.targets=top_k",
    "evaluate.batch_size=32",
    "gate.enforce=false",
]


class Nearest:
    """`with Nearest(pairs) as url:` answers a question as the most alike other one is answered."""

    def __init__(self, pairs):
        self._answers = [answer for _, answer in pairs]
        self._sets = [frozenset(words_of(question)) for question, _ in pairs]
        seen = Counter(word for words in self._sets for word in words)
        self._weight = {word: log(len(pairs) / number) for word, number in seen.items()}

    def answer(self, text):
        asked = frozenset(words_of(text))
        best = max(
            (at for at, words in enumerate(self._sets) if words != asked),
            key=lambda at: self._alike(asked, self._sets[at]),
        )
        return self._answers[best]

    def _alike(self, one, other):
        weigh = self._weight.get
        both = sum(weigh(word, 0.0) for word in one & other)
        return both / (1e-9 + sum(weigh(word, 0.0) for word in one | other))

    def __enter__(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.dumps({"answer": outer.answer(asked["text"])}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,)).start()
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def measure(recipe, root, pairs, changes):
    """Run the tiny profile on other rows; its report's candidates, and the verdict of its gate."""
    with Nearest(pairs) as url:
        baseline = f"evaluate.baselines=[{{name: nearest, http: {{url: '{url}'}}}}]"
        call = stillhouse.Call([*LARGER, *changes, baseline], str(root), profile="tiny")
        try:
            status = stillhouse.run(recipe, call)
        except GateRefusedError as error:
            print(error)
            status = stillhouse.status(f"{recipe}-tiny", str(root))
    found = {
        one.key.partition("@")[2]: one.summary["metrics"]
        for one in status.stages
        if one.key.startswith("evaluate@") and one.summary
    }
    print(f"\n{recipe}: {found['student']['exact_match']['n']} measured rows")
    for name in NAMES:
        told = {
            who: f"{one['value']:.4g} [{one['low']:.4g}, {one['high']:.4g}]"
            for who, metrics in found.items()
            if (one := metrics.get(name))
        }
        print(f"  {name:<16}" + "  ".join(f"{who} {value}" for who, value in told.items()))
    seconds = sum(one.seconds or 0.0 for one in status.stages)
    print(f"  {seconds:.0f} s of stages on this machine, one thread each")
    return status, found


def test_accounting_qa_on_real_questions(tmp_path):
    path = tmp_path / "final_qa.csv"
    planted = write_spreadsheet(SHARED_DATA, path)
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    pairs = [(row["Question"], row["Answer"]) for row in rows]
    changes = [
        f"collect.source={{file: '{path}'}}",
        "teacher.scratch.config={n_embd: 128, n_layer: 3, n_head: 4, n_positions: 192}",
        "student.scratch.config={n_embd: 96, n_layer: 2, n_head: 4, n_positions: 192}",
        "prepare.split.parts={holdout: 300, validation: 100, teacher: rest}",
        "finetune.length={steps: 500, batch_size: 16}",
        "train.length={steps: 400, batch_size: 16}",
        "finetune.optimizer.learning_rate=1.5e-3",
        "train.optimizer.learning_rate=1.5e-3",
    ]
    status, found = measure("accounting-qa", tmp_path / "runs", pairs, changes)
    flow = stillhouse.read_report("accounting-qa-tiny", str(tmp_path / "runs")).row_flow
    for one in flow:
        print(f"  {one.step:<24}{one.rows_in:>7}{one.rows_out:>7} {dict(one.dropped)}")
    assert flow[0].rows_in == planted["rows"] >= 2000
    assert found["student"]["kl_to_teacher"]["value"] < found["twin"]["kl_to_teacher"]["value"]
    assert status.stages


def prompt_rows():
    """Six real prompt sets, one a domain: what is asked, and what answers it.

    thinking: GSM8K, the number that comes out. task: seed tasks of self-instruct, what was done.
    action: role prompts, which role they call. reflection: Vicuna's questions, their kind.
    debug: Parti's prompts, what is hard about them. memory: questions of Natural Questions.
    """
    instruct, prompts = SHARED_DATA / "instruct", SHARED_DATA / "prompts"

    def lines(path):
        return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]

    def table(path, delimiter):
        with path.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream, delimiter=delimiter))

    for one in lines(instruct / "gsm8k_test_even.jsonl"):
        yield "thinking", one["question"], one["answer"].rpartition("####")[2].strip()
    for one in lines(instruct / "self_instruct_seed_tasks.jsonl"):
        given = one["instances"][0]
        yield "task", f"{one['instruction']} {given['input']}", given["output"][:120]
    for one in table(prompts / "awesome_chatgpt_prompts_a.csv", ","):
        yield "action", one["prompt"][:400], one["act"]
    for one in lines(instruct / "vicuna_80_questions.jsonl"):
        yield "reflection", one["turns"][0], one["category"]
    for one in table(prompts / "partiprompts_even.tsv", "\t"):
        yield "debug", one["Prompt"], one["Challenge"]
    for one in lines(instruct / "nq_open_val_0_1200.jsonl")[:700]:
        yield "memory", one["question"], one["answer"][0]


def test_neurons_on_six_real_prompt_sets(tmp_path):
    rows = list(prompt_rows())
    path = tmp_path / "neurons.jsonl"
    keys = ("domain", "prompt", "answer")
    path.write_text("".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in rows))
    changes = [
        f"collect.source={{file: '{path}'}}",
        "teacher.scratch.config={hidden_size: 128, intermediate_size: 384, num_hidden_layers: 3,"
        " num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 256,"
        " tie_word_embeddings: true}",
        "student={layers_of_teacher: [0, 1]}",
        "prepare.max_tokens=192",
        "prepare.cut_field=prompt",
        "prepare.split.parts={holdout: 300, validation: 120, unlabelled: 900, teacher: rest}",
        "finetune.length={steps: 400, batch_size: 16}",
        "label.cut_at_most=1.0",
        "train.length={steps: 50, batch_size: 8}",
    ]
    pairs = [row[1:] for row in rows]
    status, found = measure("neurons", tmp_path / "runs", pairs, changes)
    print("  rows:", dict(Counter(row[0] for row in rows)))
    slices = next(one.summary["slices"] for one in status.stages if one.key == "evaluate@student")
    for one in slices:
        if one["metric"] == "kl_to_teacher":
            print(f"  {one['name']:<12} {one['value']:.4f} [{one['low']:.4f}, {one['high']:.4f}]")
    assert found["student"]["kl_to_teacher"]["value"] < found["twin"]["kl_to_teacher"]["value"]
