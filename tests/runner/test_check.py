"""What check says is what a run then needs; what cannot fit is refused before anything starts."""

import json

import numpy as np
import pytest

import stillhouse
from stillhouse.core.errors import CapacityError, InputError, NotBuiltError, UsageError
from stillhouse.recipes.estimate import Corpus, Machine, generation_cost, training_cost
from stillhouse.recipes.rates import Rates
from stillhouse.recipes.sizes import sizes_of
from stillhouse.recipes.training import Length, Lora, Training
from stillhouse.runner.opening import named_place, open_recipe
from stillhouse.stages.corpus import open_corpus
from stillhouse.store.artifacts import ArtifactStore
from stillhouse.tokens.packing import pack_rows

pytestmark = pytest.mark.xdist_group("e2e")
FACTOR = 1.5


def within(predicted, measured):
    return measured / FACTOR <= predicted <= measured * FACTOR


def test_predicted_tokens_memory_and_disk_are_near_the_measured_ones(tiny_recipe, tiny_run):
    # given a finished run and what check says of it
    found = stillhouse.check(str(tiny_recipe), stillhouse.Call(runs=str(tiny_run.root)))
    status = stillhouse.status("tiny", str(tiny_run.root))
    predicted = {item.key: item for item in found.instances}
    assert all(item.is_done for item in found.instances)
    assert found.seconds == 0
    for stage in status.stages:
        cost = predicted[stage.key].cost
        # then
        assert within(cost.memory_bytes, stage.peak_bytes), stage.key
        trained = stage.summary.get("tokens_trained") or stage.summary.get("target_tokens")
        if trained:
            assert within(cost.answer_tokens, trained), stage.key
    store = ArtifactStore(tiny_run.root / "artifacts")
    for key in ("finetune", "train@student", "label"):
        manifest = store.find(predicted[key].artifact_id)
        assert within(predicted[key].cost.disk_bytes, sum(f.bytes for f in manifest.files)), key


def test_what_an_interrupted_run_left_for_a_resume_needs_no_room_again(tiny_recipe, tmp_path):
    call = stillhouse.Call(runs=str(tmp_path))
    before = stillhouse.check(str(tiny_recipe), call)
    label = next(item for item in before.instances if item.key == "label")
    scratch = tmp_path / "artifacts" / ".work" / label.artifact_id / "scratch"
    scratch.mkdir(parents=True)

    (scratch / "shard-0").write_bytes(bytes(1000))
    assert before.disk_bytes - stillhouse.check(str(tiny_recipe), call).disk_bytes == 1000
    # More than it needs counts for no other stage.
    (scratch / "shard-0").write_bytes(bytes(20 * label.cost.disk_bytes))
    gone = before.disk_bytes - stillhouse.check(str(tiny_recipe), call).disk_bytes
    assert gone == label.cost.disk_bytes + label.cost.scratch_bytes


def test_parts_are_counted_exactly(tiny_recipe, tiny_run):
    found = stillhouse.check(str(tiny_recipe), stillhouse.Call(runs=str(tiny_run.root)))
    folder = named_place(str(tiny_run.root), "tiny").store.path(
        next(item.artifact_id for item in found.instances if item.key == "prepare")
    )
    counted = {}
    for example in open_corpus(folder).examples:
        counted[example.part] = counted.get(example.part, 0) + 1
    assert found.parts == counted


def test_gold_answers_that_are_longer_than_may_be_written_are_counted(tiny_recipe, tiny_run):
    call = stillhouse.Call(["evaluate.max_new_tokens=20"], str(tiny_run.root))
    long, looked_at = stillhouse.check(str(tiny_recipe), call).long_answers
    assert 0 < long <= looked_at
    found = stillhouse.check(str(tiny_recipe), stillhouse.Call(runs=str(tiny_run.root)))
    assert found.long_answers == (0, looked_at)


def test_steps_and_epochs_of_every_training_are_told(tiny_recipe, tiny_run):
    found = stillhouse.check(str(tiny_recipe), stillhouse.Call(runs=str(tiny_run.root)))
    told = {item.key: (item.cost.steps, item.cost.epochs) for item in found.instances}
    status = stillhouse.status("tiny", str(tiny_run.root))
    for stage in status.stages:
        if "epochs" in stage.summary:
            steps, epochs = told[stage.key]
            assert steps >= stage.summary["steps"]
            if steps == stage.summary["steps"]:
                assert epochs == pytest.approx(stage.summary["epochs"], rel=0.1)


def test_a_model_that_cannot_fit_is_refused_with_what_it_needs(tmp_path):
    huge = [
        "teacher.scratch.config.hidden_size=16384",
        "teacher.scratch.config.num_hidden_layers=90",
    ]
    with pytest.raises(CapacityError, match=r"finetune needs about [\d.]+ GB of memory") as caught:
        stillhouse.run("quickstart", stillhouse.Call(huge, str(tmp_path)))
    assert caught.value.exit_code == 2
    assert "lora" in caught.value.hint
    assert not (tmp_path / "artifacts").exists()


def test_references_that_are_not_what_the_recipe_says_are_refused_first(tiny_recipe, tmp_path):
    fields = ["evaluate.fields.intent.kind=label", "evaluate.fields.intent.classes=[refund]"]
    with pytest.raises(InputError, match=r"evaluate\.fields\.intent is one of refund, and the ref"):
        stillhouse.run(str(tiny_recipe), stillhouse.Call(fields, str(tmp_path)))
    assert not (tmp_path / "artifacts").exists()


def test_a_smoke_run_keeps_the_chain_and_shrinks_the_rest():
    _, recipe = open_recipe("quickstart", smoke=2)
    assert set(recipe.prepare.split.parts.values()) == {2}
    assert recipe.train.length.steps == 2
    assert recipe.gate is not None
    assert not recipe.gate.enforce
    assert recipe.register_as.name == "quickstart-smoke"
    _, unnamed = open_recipe("quickstart", ["register=null"], smoke=2)
    assert unnamed.register_as.name == "quickstart-smoke"


def test_a_smoke_run_trains_on_gold_answers_where_there_are_some_since_its_teacher_ends_none():
    _, recipe = open_recipe("quickstart", smoke=2)
    assert recipe.label.completions == "mix"
    assert recipe.label.parts == ("labelled", "unlabelled")
    assert recipe.train.parts == ("unlabelled", "labelled")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "artifacts", "registry"])
def test_a_run_cannot_be_named_like_a_path_or_a_folder_of_ours(name):
    with pytest.raises(UsageError, match="cannot name a run"):
        named_place("runs", name)


def test_what_is_not_built_is_refused_by_name(tmp_path):
    with pytest.raises(NotBuiltError, match=r"train\.mode"):
        stillhouse.run("quickstart", stillhouse.Call(["train.mode=on_policy"], str(tmp_path)))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("finetune=null", "random weights teaches nothing"),
        ("teacher.scratch.tokenizer=null", "learns its tokenizer"),
        ("student={path: x}", "the teacher learns a tokenizer, and the student has one"),
        (
            "student.template={system: '{content}', user: '{content}', assistant: '{content}'}",
            "student.template",
        ),
    ],
)
def test_models_that_do_not_go_together_are_refused(tmp_path, override, said):
    with pytest.raises(UsageError, match=said):
        stillhouse.check("quickstart", stillhouse.Call([override], str(tmp_path)))


def test_the_check_is_plain_json(tiny_recipe, tiny_run):
    found = stillhouse.check(str(tiny_recipe), stillhouse.Call(runs=str(tiny_run.root)))
    assert json.loads(json.dumps(found.as_json()))["name"] == "tiny"


SIZES = sizes_of({"model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28})
CORPUS = Corpus(examples=1000, tokens=200_000, answer_tokens=50_000, longest=512)
MACHINE = Machine(Rates.guessed(1e11))


def training(**changes):
    plain = {"length": Length(steps=100, batch_size=8)} | changes
    return Training(**plain)


def test_adapters_and_checkpointing_need_less_memory_and_twice_the_steps_twice_the_time():
    full = training_cost(SIZES, training(), CORPUS, MACHINE)
    lora = training_cost(SIZES, training(lora=Lora(rank=8)), CORPUS, MACHINE)
    spared = training_cost(SIZES, training(gradient_checkpointing=True), CORPUS, MACHINE)
    longer = training_cost(SIZES, training(length=Length(steps=200, batch_size=8)), CORPUS, MACHINE)
    assert lora.memory_bytes < full.memory_bytes
    assert lora.disk_bytes < full.disk_bytes / 20
    assert spared.memory_bytes < full.memory_bytes
    assert spared.seconds > full.seconds
    assert longer.seconds == pytest.approx(2 * full.seconds, rel=0.01)
    # weights, gradients and two moments in float32
    assert full.memory_bytes > SIZES.parameters * 16


def test_generation_costs_one_pass_a_token():
    short = generation_cost(
        SIZES, CORPUS, MACHINE, batch_size=32, answer_tokens=10, longest_answer=10
    )
    long = generation_cost(
        SIZES, CORPUS, MACHINE, batch_size=32, answer_tokens=1000, longest_answer=1000
    )
    assert long.seconds > 5 * short.seconds


SPREADS = {
    "many are short": lambda rng, count: np.clip(rng.lognormal(5.3, 0.6, count), 16, 512),
    "any length": lambda rng, count: rng.integers(20, 512, count),
    "none fits beside another": lambda rng, count: rng.integers(260, 512, count),
    "all are equal": lambda _rng, count: np.full(count, 200),
}


@pytest.mark.parametrize("batch_size", [1, 4, 8, 32])
@pytest.mark.parametrize("draw", SPREADS.values(), ids=SPREADS)
def test_what_packed_rows_hold_is_known_from_the_lengths(draw, batch_size):
    rng = np.random.default_rng(0)
    sample = sorted(draw(rng, 400).astype(int).tolist())
    batches = [draw(rng, batch_size).astype(int).tolist() for _ in range(200)]
    held = np.mean([len(pack_rows(batch)) * max(batch) for batch in batches])
    corpus = Corpus(400, sum(sample), 0, sample[-1], tuple(sample))
    assert corpus.held_by(batch_size) == pytest.approx(held, rel=0.15)


def test_lengths_that_pack_badly_cost_more_a_token():
    even = Corpus(1000, 400_000, 50_000, 512, (400,) * 400)
    spread = Corpus(1000, 400_000, 50_000, 512, (290,) * 200 + (510,) * 200)
    costs = [training_cost(SIZES, training(), corpus, MACHINE).seconds for corpus in (even, spread)]
    assert costs[1] > 1.1 * costs[0]


def test_epochs_and_steps_mean_the_same_work():
    epochs = training(length=Length(epochs=2.0, batch_size=10))
    steps = training(length=Length(steps=200, batch_size=10))
    assert training_cost(SIZES, epochs, CORPUS, MACHINE) == training_cost(
        SIZES, steps, CORPUS, MACHINE
    )


def label_cost(tmp_path, *overrides):
    found = stillhouse.check("quickstart", stillhouse.Call(list(overrides), str(tmp_path)))
    return next(item.cost for item in found.instances if item.key == "label")


def test_what_is_stored_decides_what_labelling_costs(tmp_path):
    drawn = ("label.targets=sampled", "label.num_draws=20", "train.weights={forward_kl: 1.0}")
    small = ("label.top_k=4",)

    plain, cheap, nothing = (
        label_cost(tmp_path, *overrides)
        for overrides in (
            small,
            drawn,
            ("label.targets=none", "train.weights={forward_kl: 0.0, cross_entropy: 1.0}"),
        )
    )
    whole = label_cost(tmp_path, "label.targets=full")

    assert nothing.disk_bytes < plain.disk_bytes
    assert nothing.disk_bytes < cheap.disk_bytes < whole.disk_bytes
    assert plain.memory_bytes < whole.memory_bytes


def test_a_vocabulary_that_is_too_large_to_keep_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("stillhouse.recipes.labels.MOST_IN_FULL", 200)

    with pytest.raises(UsageError, match=r"label\.targets: full keeps vocabularies of at most 200"):
        label_cost(tmp_path, "label.targets=full")
