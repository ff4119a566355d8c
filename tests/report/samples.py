"""Reports to draw: a plain one, a rich one, and one made of everything that could go wrong."""

from __future__ import annotations

import math
from decimal import Decimal

from stillhouse.report.content import (
    Curve,
    ExampleRow,
    FlowStep,
    GateView,
    MetricRow,
    RuleRow,
    RunReport,
    StageRow,
)
from stillhouse.report.findings import (
    CandidateCost,
    CandidateRow,
    CompressionView,
    CopiedAnswer,
    CopiedReport,
    CostView,
    Difference,
    ErrorCluster,
    ErrorExample,
    ErrorReport,
    Ratio,
    Reliability,
    ReliabilityBin,
    SizeRow,
    SliceCell,
    SliceRow,
    SliceTable,
    SpendingRow,
)
from stillhouse.report.record import Estimate
from stillhouse.report.scorecard import scorecard

HOSTILE = "<script>alert('x')</script><img src=http://e.invalid/x.png> \u202eevil\u202c & \"q\""
ARABIC = "ما هي عاصمة فرنسا؟ أجب بكلمة واحدة."
CHINESE = "请用一句话解释知识蒸馏是什么，以及为什么学生模型可以比教师模型小得多。"
LONG_WORD = "Donaudampfschifffahrtsgesellschaftskapitän" * 6
CLASS_NAMES = tuple(f"intent_{i:02d}_card_payment_not_recognised" for i in range(77))


def small_report(**changes: object) -> RunReport:
    """A report with nothing but what must be there."""
    facts = {"title": "Tiny", "run_state": "running", "headline": "Two of nine stages are done."}
    return RunReport.model_validate(facts | changes)


def _decay(start: float, end: float, step: int, num_steps: int) -> float:
    return end + (start - end) * math.exp(-4.5 * step / num_steps)


def _curves() -> tuple[Curve, ...]:
    def train(name: str, start: float, end: float, num_steps: int) -> Curve:
        wave = [0.09 * math.sin(step * 1.7) * math.cos(step * 0.31) for step in range(num_steps)]
        points = [(s, _decay(start, end, s, num_steps) + wave[s]) for s in range(num_steps)]
        return Curve(name=name, points=tuple(points), kind="train")

    def validation(name: str, start: float, end: float, num_steps: int) -> Curve:
        steps = range(0, num_steps + 1, num_steps // 10)
        points = [(s, _decay(start, end, s, num_steps) + 0.05) for s in steps]
        return Curve(name=name, points=tuple(points), kind="validation")

    shapes = (("teacher", 2.31, 0.62, 240), ("student", 2.65, 0.78, 600), ("twin", 2.66, 1.04, 600))
    return tuple(make(*shape) for shape in shapes for make in (train, validation))


def _metrics() -> tuple[MetricRow, ...]:
    def row(name: str, title: str, better: str, unit: str, note: str, values: object) -> MetricRow:
        estimates = {
            candidate: Estimate(value=v, low=low, high=high, n=400)
            for candidate, (v, low, high) in dict(values).items()  # type: ignore[call-overload]
        }
        facts = {"name": name, "title": title, "better": better, "unit": unit, "note": note}
        return MetricRow.model_validate({**facts, "values": estimates})

    def three(teacher: object, student: object, twin: object) -> dict[str, object]:
        return {"teacher": teacher, "student": student, "twin": twin}

    exact = three((0.9125, 0.8825, 0.94), (0.8775, 0.8450, 0.9075), (0.8125, 0.7750, 0.8500))
    kl = {"student": (0.04131, 0.03912, 0.04377), "twin": (0.30182, 0.28814, 0.31719)}
    nll = three((0.6211, 0.601, 0.643), (0.7792, 0.752, 0.808), (1.0413, 1.009, 1.077))
    f1 = three((0.9011, 0.871, 0.928), (0.8614, 0.828, 0.893), (0.7839, 0.744, 0.823))
    speed = three((118.2, 114.9, 121.4), (1243.7, 1210.2, 1279.9), (1239.1, 1206.0, 1274.3))
    size = {"teacher": (1238.4, None, None), "student": (134.5, None, None)}
    return (
        row("exact_match", "Exact match", "higher", "fraction", "", exact),
        row("kl_to_teacher", "KL to the teacher", "lower", "nats",
            "Top 1,024 entries and the tail as one bucket, so this is a lower bound.", kl),
        row("nll", "Negative log-likelihood of the reference", "lower", "nats", "", nll),
        row("macro_f1", "Macro F1 over 77 intents", "higher", "", "", f1),
        row("tokens_per_s", "Speed of generation", "higher", "tokens/s", "", speed),
        row("weights_mb", "Size of the weights", "lower", "MB", "Measured once.", size),
        row("distinct_2", "Distinct pairs of words", "higher", "", "", f1).model_copy(
            update={"group": "diversity"}),
    )  # fmt: skip


def _with_differences(metrics: tuple[MetricRow, ...]) -> tuple[MetricRow, ...]:
    gaps = {
        "teacher": Difference(value=-0.035, low=-0.0575, high=-0.0125, n=400, p_value=0.004,
                              p_corrected=0.016, test="McNemar, mid-p"),
        "twin": Difference(value=0.065, low=0.0375, high=0.0925, n=400, p_value=0.00002,
                           p_corrected=0.0002, test="McNemar, mid-p"),
    }  # fmt: skip
    first, second, *others = metrics
    untested = Difference(value=-0.26051, low=-0.27, high=-0.2501, n=400)
    return (
        first.model_copy(update={"differences": gaps}),
        second.model_copy(update={"differences": {"twin": untested}}),
        *others,
    )


def _slices(names: tuple[str, ...]) -> tuple[SliceTable, ...]:
    def cell(value: float, n: int) -> SliceCell:
        low, high = max(0.0, value - 2 / n**0.5), min(1.0, value + 2 / n**0.5)
        return SliceCell(value=value, low=low, high=high, n=n, is_enough=n >= 30)

    sizes = (120, 96, 60, 44, 12, 3)
    rows = [
        SliceRow(name=name, cells={"teacher": cell(0.95 - i * 0.03, sizes[i % 6]),
                                   "student": cell(0.92 - i * 0.07, sizes[i % 6]),
                                   "twin": cell(0.88 - i * 0.1, sizes[i % 6])})
        for i, name in enumerate(names[:6])
    ]  # fmt: skip
    empty = SliceRow(name="none", cells={"student": SliceCell(n=0, is_enough=False)})
    return (
        SliceTable(kind="genre", metric="exact_match", title="Exact match", better="higher",
                   enough=30, rows=(*rows, empty)),
    )  # fmt: skip


def _calibration(*candidates: str) -> tuple[Reliability, ...]:
    def one(candidate: str, shift: float) -> Reliability:
        bins = tuple(
            ReliabilityBin(low=i / 10, high=(i + 1) / 10, n=4 + i * i, confidence=i / 10 + 0.05,
                           accuracy=max(0.0, i / 10 + 0.05 - shift),
                           accuracy_low=max(0.0, i / 10 - 0.1 - shift),
                           accuracy_high=min(1.0, i / 10 + 0.2 - shift))
            for i in range(2, 10)
        )  # fmt: skip
        said = {"of": "answer", "title": "the whole answer", "error": shift + 0.01}
        note = "Probability of the class among all."
        return Reliability(candidate=candidate, bins=bins, note=note, **said)

    return tuple(one(name, 0.05 * i) for i, name in enumerate(candidates))


def _errors(*texts: str) -> ErrorReport:
    def example(i: int, text: str) -> ErrorExample:
        return ErrorExample(example_id=f"holdout-{i}", prompt=text, expected=CLASS_NAMES[i % 77],
                            given="" if i == 2 else CLASS_NAMES[(i + 1) % 77])  # fmt: skip

    shown = tuple(example(i, text) for i, text in enumerate(texts))
    clusters = (
        ErrorCluster(kind="confusion", title="card_arrival answered as card_delivery_estimate",
                     num_wrong=37, num_seen=52, examples=shown, advice="37 of 41 errors confuse "
                     "card_arrival with card_delivery_estimate: add rows of card_arrival"),
        ErrorCluster(kind="words", title="prompts with the word pending", num_wrong=9, num_seen=11,
                     examples=shown[:2], advice="9 of 11 are wrong, 40 of 389 elsewhere: add rows "
                     "whose prompt holds pending"),
        ErrorCluster(kind="cut", title="cut at their longest", num_wrong=2, num_seen=2,
                     advice="2 of 49 wrong answers were cut: train longer"),
    )  # fmt: skip
    return ErrorReport(candidate="student", num_wrong=49, num_examples=400, clusters=clusters)


def _copied(*texts: str) -> CopiedReport:
    answers = tuple(
        CopiedAnswer(example_id=f"holdout-{i}", learned_id=f"labelled-{i}", given=text,
                     passage=text if i else "", num_words=13 * i, likeness=0.0 if i else 0.95)
        for i, text in enumerate(texts)
    )  # fmt: skip
    return CopiedReport(candidate="student", num_copied=len(texts), num_examples=400,
                        num_learned=1600, num_prompts_seen=3, answers=answers)  # fmt: skip


def _costs() -> CostView:
    spent = Decimal("1.2345")
    return CostView(
        stages=(SpendingRow(stage="label", requests=1612, accepted=1590, tokens=812_000,
                            spent_usd=Decimal("1.1345"), unknown_usd=Decimal("0.0021")),
                SpendingRow(stage="evaluate@teacher", requests=400, accepted=400, tokens=99_000,
                            spent_usd=Decimal("0.1"), unknown_usd=Decimal(0))),
        spent_usd=spent, budget_usd=Decimal(5), baseline="teacher",
        candidates=(CandidateCost(candidate="teacher", usd_per_thousand=Decimal("0.25"),
                                  source="ledger: evaluate@teacher, 400 answers"),
                    CandidateCost(candidate="student", usd_per_thousand=Decimal(0),
                                  seconds_per_thousand=48.2, source="it asks no API")),
        saved_usd_per_thousand=Decimal("0.25"), answers_to_pay_back=4938,
    )  # fmt: skip


def _compression() -> CompressionView:
    return CompressionView(
        rows=(SizeRow(candidate="teacher", parameters=494_032_768, latency_mean_s=1.42,
                      bytes_by_dtype={"bfloat16": 988_065_536}, disk_bytes=1_238_400_000,
                      latency_p95_s=2.61, per_minute=84.0, source="counted in memory"),
              SizeRow(candidate="student", parameters=33_600_000, latency_mean_s=0.11,
                      bytes_by_dtype={"bfloat16": 67_200_000, "float32": 134_400_000},
                      disk_bytes=134_500_000, latency_p95_s=0.16, per_minute=1243.7),
              SizeRow(candidate="exported", disk_bytes=136_000_000, source="export: all files")),
        ratios=(Ratio(name="parameters", value=14.7, words="14.70 times smaller"),
                Ratio(name="bfloat16 to float32", value=7.35, words="7.350 times smaller",
                      is_pair=True),
                Ratio(name="latency", value=12.9, words="12.91 times faster")),
        kept_metric="Exact match", kept=0.9616,
    )  # fmt: skip


def _examples() -> tuple[ExampleRow, ...]:
    prompts = [
        "I still have not received my new card, I ordered over a week ago.",
        "Why was my top-up cancelled?\nIt says “pending” but the money has left my account.",
        ARABIC, CHINESE, HOSTILE,
        "Can I get a physical card as well as the virtual one? 💳🙂",
    ]  # fmt: skip
    rows = []
    for i in range(20):
        agrees = i % 7 != 3
        teacher = CLASS_NAMES[i * 3]
        answers = {"teacher": teacher, "student": teacher if agrees else HOSTILE, "twin": ARABIC}
        rows.append(ExampleRow(example_id=f"holdout-{i:04d}", prompt=prompts[i % len(prompts)],
                               reference=teacher, answers=answers, agrees=agrees))  # fmt: skip
    return tuple(rows)


def _stages() -> tuple[StageRow, ...]:
    facts = [
        ("collect", "reused", None, None, "10,003 rows out of two files"),
        ("prepare", "done", 3.82, 318_000_000, "8,412 examples in five parts"),
        ("finetune", "done", 412.6, 6_214_000_000, "LoRA rank 16, 240 steps"),
        ("label", "done", 188.3, 4_380_000_000, "1,024 entries a token, 26.4 bytes a token"),
        ("train", "done", 734.9, 3_912_000_000, "600 steps, forward KL at temperature 2"),
        ("evaluate", "done", 96.4, 2_204_000_000, "400 holdout examples, 2,000 draws"),
        ("gate", "done", 0.09, 71_000_000, "3 of 3 rules pass"),
        ("export", "done", 12.1, 1_118_000_000, "merged safetensors, equal logits"),
        ("register", "skipped", None, None, "not asked for"),
    ]
    return tuple(
        StageRow.model_validate({"name": n, "state": s, "seconds": t, "peak_bytes": b, "summary": d,
                                 "instance": "student" if n == "train" else "",
                                 "artifact_id": f"{n}-{i:x}4c19e07ab52" if s != "skipped" else ""})
        for i, (n, s, t, b, d) in enumerate(facts)
    )  # fmt: skip


def rich_report() -> RunReport:
    """What a good run of nine stages looks like."""
    rules = (
        RuleRow(text="Exact match of the student is at least the teacher's minus 0.05 (confidence)",
                value=-0.035, low=-0.0475, high=-0.0125, limit=-0.05, outcome="pass", n=400,
                reason="lower bound −0.0475 of 400 paired examples"),
        RuleRow(text="KL to the teacher at most 0.1 nats (confidence)", value=0.04131, limit=0.1,
                outcome="pass", reason="upper bound 0.0438"),
        RuleRow(text="Exact match beats the twin (point)", value=0.065, limit=0.0, outcome="pass"),
    )  # fmt: skip
    flow = (
        FlowStep(step="clean", rows_in=10003, rows_out=9911, changed=2210,
                 dropped={"empty": 61, "not the language": 31}),
        FlowStep(step="pair_with", rows_in=9911, rows_out=11911, emitted=2000),
        FlowStep(step="merge_near_duplicates", rows_in=11911, rows_out=9744, merged=2167),
        FlowStep(step="rephrase", rows_in=9744, rows_out=8744, changed=3100,
                 dropped={"lost a number": 402, "far in meaning": 400},
                 deferred={"rate limited": 198}, notes={"question worded by an engine": 3100}),
        FlowStep(step="decontaminate", rows_in=8744, rows_out=8702, dropped={"in the holdout": 42}),
        FlowStep(step="token limit", rows_in=8702, rows_out=8412, dropped={"too long": 290}),
    )  # fmt: skip
    parts = {
        "teacher": 3000,
        "labelled": 3000,
        "unlabelled": 1612,
        "validation": 400,
        "holdout": 400,
    }
    facts = (
        ("Recipe", "bank-intents, sha256 9f3c1a7742e0d1b85c6f"), ("Stillhouse", "0.1.0"),
        ("Python, torch", "3.11.9, 2.13.0"), ("Device", "cpu, 16 threads, bfloat16 teacher"),
        ("Teacher", "Qwen/Qwen2.5-0.5B-Instruct @ 7ae557604adf67be50417f59c2c2f167def9a775"),
        ("Seeds", "split 0, train 0, bootstrap 0"),
    )  # fmt: skip
    report = RunReport(
        title="Bank intents: 0.5B teacher to 30M student",
        description="77 intents of bank customers, answered by a name. English, synthetic holdout.",
        run_state="passed",
        headline="The student keeps 0.96 of the teacher's exact match at a ninth of its size, "
        "and beats its twin that never saw the teacher.",
        stages=_stages(),
        curves=_curves(),
        metrics=_with_differences(_metrics()),
        candidates=tuple(
            CandidateRow(name=name, role=role)
            for name, role in (
                ("teacher", "the model that is imitated"),
                ("student", "taught by the teacher"),
                ("twin", "the same model and steps, without the teacher"),
            )
        ),
        slices=_slices(("rock", "folk", "hip-hop", "gospel", "jazz", "opera")),
        calibration=_calibration("teacher", "student"),
        errors=_errors("My card has not come.", ARABIC, HOSTILE),
        copied=_copied("Your card is on its way.", ARABIC, HOSTILE),
        costs=_costs(),
        compression=_compression(),
        row_flow=flow,
        parts=parts,
        gate=GateView(passed=True, candidate="student", rules=rules, fallback="teacher"),
        examples=_examples(),
        facts=facts,
        recipe_yaml="name: bank-intents\ntask: intents\nlabel:\n  top_k: 1024\n  kd_temperatures: "
        "[1.0, 2.0]\ntrain:\n  loss: forward_kl\n  kd_temperature: 2.0\n  steps: 600\n",
    )
    return report.model_copy(update={"scorecard": scorecard(report)})


def extreme_report() -> RunReport:
    """Long words, foreign scripts, NaN, huge values, 200 rows: none of it may break the page."""
    names = (LONG_WORD, ARABIC, CHINESE, HOSTILE, *CLASS_NAMES[:4])
    numbers = (math.nan, math.inf, 1e300, -1e-12, 0.0, 123456.789, 0.5, -3.0)
    values = {
        name: Estimate(value=v, low=v - abs(v) * 0.1, high=v + abs(v) * 0.1, n=10**9)
        for name, v in zip(names, numbers, strict=True)
    }
    metrics = tuple(
        MetricRow(name=f"m{i}", title=f"{title} {i}", better="lower", unit=unit, values=values,
                  note=title)
        for i, (title, unit) in enumerate([(LONG_WORD, "nats"), (ARABIC, "s"), (HOSTILE, "")] * 66)
    )  # fmt: skip
    gaps = [(s, math.nan if s % 10 == 4 else 1.0 / (s + 1)) for s in range(2000)]
    curves = (
        Curve(name=HOSTILE, points=tuple(gaps), kind="train"),
        Curve(name=LONG_WORD, points=((0, 1.0),), kind="validation"),
        Curve(name="lost", points=((0, math.nan), (1, math.inf)), kind="train"),
        Curve(name="huge", points=((0, 1e300), (10**9, -1e300)), kind="train", unit=LONG_WORD),
        Curve(name="none", points=(), kind="train", unit="never shown"),
    )
    flow = tuple(
        FlowStep(step=f"{LONG_WORD}{i}", rows_in=10**12, rows_out=10**12 - 77,
                 dropped=dict.fromkeys(CLASS_NAMES, 1))
        for i in range(200)
    )  # fmt: skip
    rules = tuple(
        RuleRow(text=f"{LONG_WORD} {i}", value=None, limit=1e-9, outcome="not enough data",
                reason=ARABIC)
        for i in range(200)
    )  # fmt: skip
    stages = tuple(
        StageRow(name=LONG_WORD, instance=CHINESE, artifact_id="f" * 64, state="failed",
                 seconds=10.0**i, peak_bytes=10**i, summary=HOSTILE)
        for i in range(12)
    )  # fmt: skip
    examples = tuple(
        ExampleRow(example_id=HOSTILE, prompt=text, reference=text, agrees=False,
                   answers=dict.fromkeys(names, text * 3))
        for text in (*names, "\x00\x07 bell", "")
    )  # fmt: skip
    gaps_of = {name: Difference(value=v, low=-v, high=v, n=1, p_value=0.0, p_corrected=0.0,
                                test=LONG_WORD)
               for name, v in zip(names, numbers, strict=True)}  # fmt: skip
    return RunReport(
        title=LONG_WORD, description=ARABIC, run_state="refused", headline=CHINESE * 4,
        stages=stages, curves=curves, row_flow=flow,
        metrics=tuple(one.model_copy(update={"differences": gaps_of}) for one in metrics),
        candidates=tuple(CandidateRow(name=name, role=LONG_WORD) for name in names),
        slices=_slices((LONG_WORD, ARABIC, CHINESE, HOSTILE, "", "x")),
        calibration=_calibration(LONG_WORD, HOSTILE),
        errors=_errors(LONG_WORD, ARABIC, HOSTILE, CHINESE * 9),
        copied=_copied(LONG_WORD, ARABIC, HOSTILE, CHINESE * 9),
        costs=_costs(), compression=_compression(),
        parts={name: i for i, name in enumerate(CLASS_NAMES)},
        gate=GateView(passed=None, candidate=HOSTILE, rules=rules, fallback=LONG_WORD),
        examples=examples, facts=((LONG_WORD, LONG_WORD), (HOSTILE, ARABIC)),
        recipe_yaml=f"key: {LONG_WORD}\n{HOSTILE}\n",
    )  # fmt: skip
