"""Students of a few thousand parameters, examples with targets, and the oracle: naive and dense."""

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GptOssConfig,
    LlamaConfig,
    Qwen3Config,
)

from stillhouse.core.targets import TargetKey, TokenTargets
from stillhouse.losses.divergences import ForwardKL
from stillhouse.losses.terms import Objective
from stillhouse.models.adapters import add_lora
from stillhouse.models.inference import plain_model
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.training import Length, Lora, Optimizer, Training
from stillhouse.students.assignment import TrainingData
from stillhouse.students.examples import EncodedExample
from stillhouse.students.target_sources import Cached
from stillhouse.students.train import Setting, train_model
from stillhouse.students.trainer import StudentTrainer

VOCAB = 61
KD_TEMPERATURE = 2.0
BOTH = Objective(((ForwardKL(), 0.7),), 0.3, KD_TEMPERATURE)
ONE_THREAD = ResolvedCompute("cpu", "float32", 1)
_SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIGS = {
    "qwen3": lambda: Qwen3Config(**_SIZES, head_dim=8, tie_word_embeddings=True),
    "llama": lambda: LlamaConfig(**_SIZES, attention_dropout=0.1),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCAB,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=64,
        bos_token_id=1,
        eos_token_id=2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    ),
    "gpt_oss": lambda: GptOssConfig(
        **_SIZES, head_dim=8, num_local_experts=3, num_experts_per_tok=2, sliding_window=8
    ),
}


def build(kind="qwen3", *, lora=False, seed=0, **changes):
    """A tiny student; with `lora`, its adapter has been moved away from zero."""
    torch.manual_seed(seed)
    config = CONFIGS[kind]()
    for name, value in changes.items():
        setattr(config, name, value)
    model = AutoModelForCausalLM.from_config(config)
    if not lora:
        return model
    model = add_lora(model, Lora(rank=4), seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return model


def draw_examples(count, *, seed=0, top_k=9, soft=True):
    """Examples of 6 to 20 tokens with one or two trained spans, and a teacher that is noise."""
    rng = np.random.default_rng(seed)
    return [_draw_example(rng, top_k, soft) for _ in range(count)]


def _draw_example(rng, top_k, soft):
    length = int(rng.integers(6, 21))
    ids = rng.integers(3, VOCAB, length).astype(np.int32)
    is_trained = np.zeros(length, np.bool_)
    is_trained[2:4] = rng.random() < 0.5
    is_trained[length // 2 :] = True
    if not soft:
        return EncodedExample(ids, is_trained)
    num_trained = int(is_trained.sum())
    logits = torch.from_numpy(rng.normal(size=(num_trained, VOCAB)) * 2)
    logprobs = logits.log_softmax(-1)
    top = logprobs.topk(top_k)
    log_z = torch.stack([(logprobs / t).logsumexp(-1) for t in (1.0, KD_TEMPERATURE)], 1)
    targets = TokenTargets(
        key=TargetKey("example", "completion", "view"),
        token_ids=ids[is_trained],
        byte_offsets=np.zeros((num_trained, 2), np.int32),
        observed_logprobs=np.zeros(num_trained, np.float32),
        top_ids=top.indices.numpy().astype(np.int32),
        top_logprobs=top.values.numpy().astype(np.float32),
        log_z=log_z.numpy().astype(np.float32),
    )
    return EncodedExample(ids, is_trained, targets)


def naive_terms(model, example, kd_temperature=KD_TEMPERATURE):
    """Sums over one example of forward KL (times T²) and cross-entropy: dense and row by row."""
    ids = torch.from_numpy(example.ids).long()
    logits = model(input_ids=ids[None]).logits[0].float()
    kl_sum = ce_sum = logits.sum() * 0
    places = [t for t in range(len(ids)) if example.is_trained[t]]
    for row, place in enumerate(places):
        predicted = logits[place - 1]
        ce_sum = ce_sum - predicted.log_softmax(-1)[ids[place]]
        if example.targets is not None:
            kl_sum = kl_sum + _naive_kl(predicted / kd_temperature, example.targets, row)
    return kd_temperature**2 * kl_sum, ce_sum, len(places)


def _naive_kl(softened, targets, row):
    q = softened.softmax(-1)
    top = torch.from_numpy(targets.top_ids[row]).long()
    p = torch.from_numpy(np.exp(targets.top_logprobs[row] / KD_TEMPERATURE - targets.log_z[row, 1]))
    others = [index for index in range(len(q)) if index not in set(top.tolist())]
    p = torch.cat((p, 1 - p.sum()[None]))
    q = torch.cat((q[top], q[others].sum()[None]))
    return (p * (p / q).log()).sum()


def oracle(model, examples, objective=BOTH):
    """Loss and gradients of the token mean, by name."""
    model.zero_grad()
    sums = [naive_terms(model, example) for example in examples]
    tokens = sum(count for _, _, count in sums)
    weights = {"forward_kl": 0.0, "cross_entropy": 0.0} | objective.weights
    loss = sum(weights["forward_kl"] * kl + weights["cross_entropy"] * ce for kl, ce, _ in sums)
    (loss / tokens).backward()
    return (loss / tokens).item(), gradients_of(model)


def gradients_of(model):
    found = {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    model.zero_grad()
    return found


def one_step(model, examples, batch_size, accumulation, workdir, objective=BOTH, **training):
    """Loss and gradients of one step of the real trainer; examples, or data with its source."""
    data = examples if isinstance(examples, TrainingData) else data_of(examples)
    seen = {}
    norm_of = StudentTrainer._get_grad_norm

    def spy(trainer, wrapped, grad_norm=None):
        seen.update(
            {n: p.grad.clone() for n, p in trainer.student.named_parameters() if p.requires_grad}
        )
        return norm_of(trainer, wrapped, grad_norm)

    StudentTrainer._get_grad_norm = spy
    try:
        section = quick(steps=1, batch_size=batch_size, accumulation=accumulation, **training)
        result = train_model(model, data, objective, section, Setting(ONE_THREAD, workdir, "plan"))
    finally:
        StudentTrainer._get_grad_norm = norm_of
    return result.curve[0].loss, seen


def quick(steps=8, batch_size=4, accumulation=1, checkpoint_every=None, **training):
    return Training(
        length=Length(
            steps=steps,
            batch_size=batch_size,
            accumulation=accumulation,
            checkpoint_every=checkpoint_every,
        ),
        optimizer=Optimizer(learning_rate=1e-2, max_grad_norm=1e9),
        **training,
    )


def data_of(train, validation=()):
    return TrainingData(train, validation, Cached(1))


def weights_of(model):
    return {name: value.detach().clone() for name, value in plain_model(model).state_dict().items()}


def distance(ours, theirs):
    """Norm of the difference relative to the norm, over all parameters together."""
    assert ours.keys() == theirs.keys()
    error = sum(float((ours[name] - theirs[name]).norm()) ** 2 for name in ours)
    size = sum(float(theirs[name].norm()) ** 2 for name in ours)
    return (error / size) ** 0.5
