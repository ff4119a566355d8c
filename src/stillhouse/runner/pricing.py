"""The price of every instance of a plan, from one look at the examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from stillhouse.recipes.estimate import (
    ROWS_BYTES,
    Corpus,
    Cost,
    Machine,
    generation_cost,
    repeated,
    scoring_cost,
    share_of,
    together,
    training_cost,
)
from stillhouse.recipes.measuring_cost import Asked, Measured, with_measurements
from stillhouse.recipes.memory import ALONE, Beside, Held
from stillhouse.recipes.plan import Instance
from stillhouse.recipes.rates import Rates
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.sizes import Sizes, sizes_of
from stillhouse.recipes.training import Training
from stillhouse.runner.collecting import asking_seconds
from stillhouse.runner.domain_pricing import domains_cost
from stillhouse.runner.export_pricing import export_cost, shipped
from stillhouse.runner.meaning_pricing import with_comparisons
from stillhouse.runner.money import asking_cost, judging_cost, with_judges, with_step_engines
from stillhouse.runner.preview import Preview
from stillhouse.runner.resolve import Resolved
from stillhouse.targets.forecast import bytes_per_token, store_bytes

_GATE_BYTES = 200 << 20
"""measured: peak of a gate, which brings scipy's exact intervals."""

_DOCUMENTS, _CHOICES, _REQUEST_TOKENS = 1000, 4, 100
"""assumption: of a public task, whose size nobody knows before it is downloaded; MMLU's 57 tasks
hold 246 questions each, HellaSwag 10,042, and both have four choices."""

_HARNESS_BYTES, _HARNESS_SECONDS = 90 << 20, 5.0
"""measured: what importing lm-evaluation-harness and describing the machine adds."""

_SHARDS = Cost(memory_bytes=0, seconds=2.0)
"""measured: what writing and syncing completions and shards adds to a labelling."""


class Pricer:
    """The price of each instance, from one look at the examples.

    Args:
        resolved: the recipe with its plan.
        seen: the look at the examples.
        rates: of the machine.
    """

    def __init__(self, resolved: Resolved, seen: Preview, rates: Rates) -> None:
        self.seen = seen
        self._resolved = resolved
        self._recipe = resolved.recipe
        compute = resolved.compute
        self._machine = Machine(rates, 2 if compute.dtype == "bfloat16" else 4, compute.device)
        self._student = self._sizes("student")
        # What is asked of a teacher behind an API is priced in calls.
        self._teacher = self._student if self._recipe.teacher.api else self._sizes("teacher")
        self._vocab = self._teacher.vocab
        most = float(resolved.recipe.label.max_new_tokens)
        mean, longest = seen.answer_tokens()
        self._answer = min(most, mean or most / 2)
        self._longest_answer = min(most, longest or most)
        # Whatever a teacher that reads otherwise does is counted by its own tokens.
        self._taught = Pricer(resolved, seen.by_teacher(), rates) if seen.readers[1:] else self

    @property
    def recipe(self) -> Recipe:
        """Whose instances are priced."""
        return self._recipe

    def of(self, recipe: Recipe) -> Pricer:
        """The prices of the same plan under another recipe, from the same look."""
        return Pricer(replace(self._resolved, recipe=recipe), self.seen, self._machine.rates)

    def price(self, instance: Instance) -> Cost:
        """What it takes to make an instance's artifact."""
        of = "teacher" if instance.stage in ("finetune", "label") else instance.config.get("of")
        cost = (self._taught if of == "teacher" else self)._price(instance)
        return with_judges(cost, self._recipe, self.seen) if instance.stage == "label" else cost

    def _price(self, instance: Instance) -> Cost:
        if "endpoint" in instance.config:
            return asking_cost(self._recipe, instance, self.seen)
        if "baseline" in instance.config:
            return self._baseline(instance)
        table: dict[str, Callable[[Instance], Cost]] = {
            "collect": lambda _: self._collect(),
            "step": lambda one: self._asking_rows(one, self._step(one)),
            "prepare": lambda one: self._asking_rows(one, self._rows(2.4e-4, 60 * self._vocab)),
            "finetune": self._finetune,
            "label": self._label,
            "train": self._train,
            "evaluate": self._evaluate,
            "speed": self._speed,
            "harness": self._harness,
            "judge": lambda one: judging_cost(self._recipe, one, self.seen),
            "gate": lambda _: Cost(memory_bytes=_GATE_BYTES, disk_bytes=4096, seconds=1.0),
            "export": self._export,
            "register": self._register,
        }
        return table[instance.stage](instance)

    def _sizes(self, which: str) -> Sizes:
        layers = getattr(self._recipe, which).layers_of_teacher
        if layers:
            return replace(self._sizes("teacher"), layers=len(layers))
        folder = getattr(self._resolved, which)
        if folder:
            return sizes_of(folder.config)
        scratch = getattr(self._recipe, which).scratch
        config = {"model_type": scratch.model_type} | scratch.config
        reader = self.seen.readers[-1 if which == "teacher" else 0]
        return sizes_of(config, reader.tokenizer.vocab_size)

    def _sizes_of(self, instance: Instance) -> Sizes:
        return self._teacher if instance.config["of"] == "teacher" else self._student

    def _collect(self) -> Cost:
        cost, base = self._rows(4e-5, 0), self._resolved.loaded.base_folder
        return replace(cost, seconds=cost.seconds + asking_seconds(self._recipe, base))

    def _rows(self, seconds_a_row: float, tokenizer_bytes: int) -> Cost:
        size = self._resolved.source.num_bytes
        rows = max(1, self._resolved.source.num_rows)
        return Cost(
            memory_bytes=ROWS_BYTES + 6 * max(size, rows * 600),
            disk_bytes=max(size // 2, rows * 42) + tokenizer_bytes,
            seconds=0.5 + rows * seconds_a_row,
        )

    def _step(self, instance: Instance) -> Cost:
        resolved = self._resolved
        cost, rows = self._rows(1.2e-4, 0), resolved.source.num_rows
        return with_comparisons(cost, instance, rows, resolved.locations)

    def _asking_rows(self, instance: Instance, cost: Cost) -> Cost:
        if "engines" not in instance.config:
            return cost
        return with_step_engines(cost, self._recipe, instance, self.seen)

    def _finetune(self, _: Instance) -> Cost:
        training = self._recipe.finetune
        assert training is not None
        corpus = self.seen.count(training.parts, self._answer)
        held = self._held(training, self._recipe.teacher.quantization)
        cost = training_cost(self._teacher, training, corpus, self._machine, held=held)
        validation = self.seen.count(("validation",), self._answer)
        measured = self._measured(training, validation)
        return with_measurements(cost, self._teacher, training, measured, self._machine)

    def _measured(self, training: Training, validation: Corpus) -> Measured:
        """What is measured while a model trains; of a live teacher nothing yet."""
        wanted = min(training.validation.examples, validation.examples)
        if not wanted:
            return Measured(validation)
        settings = self._recipe.evaluate
        texts = share_of(validation, wanted / validation.examples)
        longest = min(settings.max_new_tokens or self._longest_answer, self._longest_answer)
        return Measured(validation, asked=Asked(texts, settings.batch_size, longest))

    def _held(self, training: Training, quantization: str) -> Held:
        """Frozen weights are in the run's dtype, unless a bias of theirs learns."""
        is_frozen = training.lora is not None and training.lora.bias == "none"
        return Held(self._machine.bytes_per_value if is_frozen else 4, quantization)

    def _target_bytes(self, corpus: Corpus) -> float:
        """Of what `label` stores for each token, with its part of example and shard."""
        label = self._recipe.label
        store = label.token_store(self._vocab)
        if store is None:
            return 0.0
        found = bytes_per_token(
            codec=store.codec,
            top_k=store.top_k,
            num_draws=store.num_draws,
            vocab_size=self._vocab,
            kd_temperatures=label.temperatures,
        )
        whole = store_bytes(
            found.high,
            tokens=corpus.answer_tokens,
            examples=corpus.examples,
            shard_examples=label.shard_examples,
        )
        return whole / max(1, corpus.answer_tokens)

    def _target_memory(self) -> float:
        """Of the same, unpacked."""
        store = self._recipe.label.token_store(self._vocab)
        return float(store.memory_bytes) if store else 0.0

    def _label(self, _: Instance) -> Cost:
        label = self._recipe.label
        # The validation part is labelled with the rest, for the student's validation loss.
        parts = {*label.parts, "validation"}
        corpus = repeated(self.seen.count(parts, self._answer), label.samples)
        if label.targets == "classes":
            corpus = self._over_classes(corpus)
        scoring = scoring_cost(
            self._teacher,
            corpus,
            self._machine,
            batch_size=label.batch_size,
            target_bytes=self._target_bytes(corpus),
            shard_bytes=self._target_memory()
            * min(1.0, label.shard_examples / max(1, corpus.examples))
            * corpus.answer_tokens,
            quantization=self._quantization(self._teacher),
        )
        asked = {"teacher": parts, "gold": ()}.get(label.completions, ("unlabelled",))
        if label.stores_classes and label.class_field is None:
            asked = ()  # a plain answer is the likeliest class
        prompts = repeated(self.seen.count(set(asked) & parts, 0.0), label.most_samples)
        if not prompts.examples:
            return together(scoring, _SHARDS)
        generation = self._generation(self._teacher, prompts, label.batch_size)
        return together(scoring, generation, _SHARDS)

    def _train(self, instance: Instance) -> Cost:
        domains = instance.config.get("domains")
        if not domains:
            return self._train_on(instance, "")
        return domains_cost([self._train_on(instance, name) for name in domains], self._recipe)

    def _train_on(self, instance: Instance, domain: str) -> Cost:
        training = self._recipe.train
        twin = training.twin if instance.variant == "twin" else None
        parts = training.twin_parts if twin else training.parts
        corpus = self.seen.count(parts, self._answer, domain)
        own = self.seen.count(training.parts, self._answer, domain) if twin else corpus
        own = repeated(own, self._recipe.label.samples)
        validation = self.seen.count(("validation",), self._answer, domain)
        if twin and twin.text == "gold":
            # As long as the student, whatever it learns from.
            length = training.length.of_steps(training.length.num_steps(own.examples))
            training = training.model_copy(update={"length": length})
        else:
            corpus, validation = own, repeated(validation, self._recipe.label.samples)
        measured = self._measured(training, validation)
        if training.mode == "cached" and self._recipe.label.stores_classes and not twin:
            corpus = self._over_classes(corpus)
            measured = replace(measured, validation=self._over_classes(validation))
        beside = ALONE if twin else self._beside()
        cost = training_cost(
            self._student,
            training,
            corpus,
            self._machine,
            target_bytes=0.0 if twin else self._target_memory(),
            held=self._held(training, self._recipe.student.quantization),
            beside=beside,
        )
        measured = replace(measured, teacher=beside.teacher)
        return with_measurements(cost, self._student, training, measured, self._machine)

    def _over_classes(self, corpus: Corpus) -> Corpus:
        """Each example with every named answer behind its prompt, as one tree."""
        named = self._recipe.label.classes or ()
        # One more token ends each answer.
        own = round(corpus.answer_tokens / max(1, corpus.examples))
        encode = self.seen.reader.tokenizer.encode
        answers = sum(len(encode(str(name))[0]) + 1 for name in named)
        if self._recipe.label.class_field is not None:
            answers = own * len(named)  # the rest of the answer follows each of them
        more = answers - own
        return replace(
            corpus,
            tokens=corpus.tokens + more * corpus.examples,
            answer_tokens=answers * corpus.examples,
            longest=corpus.longest + more,
            lengths=tuple(length + more for length in corpus.lengths),
        )

    def _beside(self) -> Beside:
        """What the student is trained beside: stored signal, or the teacher itself."""
        store = self._recipe.label.token_store(self._vocab)
        if self._recipe.train.mode != "live":
            return Beside(top_k=store.top_k if store else 0)
        held = Held(self._machine.bytes_per_value, self._recipe.teacher.quantization)
        return Beside(teacher=self._teacher, teacher_held=held)

    def _evaluate(self, instance: Instance) -> Cost:
        settings, sizes = self._recipe.evaluate, self._sizes_of(instance)
        corpus = self.seen.count((instance.config["part"],), self._answer)
        stored = bytes_per_token(top_k=settings.top_k, vocab_size=self._vocab).high
        scoring = scoring_cost(
            sizes,
            corpus,
            self._machine,
            batch_size=settings.batch_size,
            target_bytes=stored if instance.variant == "teacher" else 0.0,
            quantization=self._quantization(sizes),
        )
        return together(scoring, *self._askings(sizes, corpus))

    def _baseline(self, instance: Instance) -> Cost:
        if instance.config["baseline"]["api"]:
            return asking_cost(self._recipe, instance, self.seen)
        examples = self.seen.count(("holdout",), self._answer).examples
        # assumption: of a service's answer; rules take next to nothing.
        seconds = 0.3 * examples if instance.config["baseline"]["http"] else 2e-3 * examples
        return Cost(memory_bytes=ROWS_BYTES, disk_bytes=400 * examples, seconds=1.0 + seconds)

    def _askings(self, sizes: Sizes, corpus: Corpus) -> list[Cost]:
        """Every time that the examples of an evaluation are asked."""
        settings = self._recipe.evaluate
        costs = [self._generation(sizes, corpus, settings.batch_size)]
        size = max(1, corpus.examples)
        if settings.repeats:
            share = min(settings.repeats.examples, size) * settings.repeats.times / size
            costs.append(self._generation(sizes, share_of(corpus, share), settings.batch_size))
        if settings.alone:
            share = min(settings.alone, size) / size
            costs.append(self._generation(sizes, share_of(corpus, share), 1))
        if settings.paraphrases:
            # assumption: one other wording of each.
            costs.append(self._generation(sizes, corpus, settings.batch_size))
        return costs

    def _generation(self, sizes: Sizes, corpus: Corpus, batch_size: int) -> Cost:
        return generation_cost(
            sizes,
            corpus,
            self._machine,
            batch_size=batch_size,
            answer_tokens=self._answer,
            longest_answer=self._longest_answer,
            quantization=self._quantization(sizes),
        )

    def _quantization(self, sizes: Sizes) -> str:
        """Of the model of those sizes."""
        recipe = self._recipe
        is_teacher = sizes is self._teacher and not recipe.teacher.api
        return recipe.teacher.quantization if is_teacher else recipe.student.quantization

    def _speed(self, instance: Instance) -> Cost:
        latency = self._recipe.evaluate.latency
        assert latency is not None
        sizes = self._sizes_of(instance)
        holdout = self.seen.count(("holdout",), self._answer)

        def asked(times: int, batch_size: int) -> Cost:
            corpus = share_of(holdout, times / max(1, holdout.examples))
            return self._generation(sizes, corpus, batch_size)

        timed = min(latency.examples, holdout.examples)
        alone = asked(timed + latency.warmup, 1)
        return replace(
            together(alone, asked(timed, self._recipe.evaluate.batch_size)), disk_bytes=4096
        )

    def _harness(self, instance: Instance) -> Cost:
        settings = self._recipe.evaluate.harness
        assert settings is not None
        sizes = self._sizes_of(instance)
        requests = _CHOICES * (settings.limit or _DOCUMENTS) * len(settings.tasks)
        length = _REQUEST_TOKENS * (1 + (settings.num_fewshot or 0))
        corpus = Corpus(requests, requests * length, requests * length, length)
        cost = scoring_cost(
            sizes,
            corpus,
            self._machine,
            batch_size=settings.batch_size,
            target_bytes=0.0,
            quantization=self._quantization(sizes),
        )
        return replace(
            cost,
            memory_bytes=cost.memory_bytes + _HARNESS_BYTES,
            disk_bytes=16 * requests,
            seconds=cost.seconds + _HARNESS_SECONDS,
        )

    def _export(self, _: Instance) -> Cost:
        holdout = self.seen.count(("holdout",), self._answer)
        return export_cost(
            self._recipe,
            self._student,
            self._machine,
            holdout,
            lambda texts: self._generation(self._student, texts, 1),
        )

    def _register(self, _: Instance) -> Cost:
        ships = shipped(self._recipe, self._student).ships
        return Cost(disk_bytes=ships, seconds=0.1 + ships / 4e8)
