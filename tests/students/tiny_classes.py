"""Examples with named answers for the tiny students, and the oracle: each answer read by itself."""

import numpy as np
import torch
from tiny_students import VOCAB, gradients_of

from stillhouse.losses.terms import Objective
from stillhouse.students.class_examples import NO_LABEL, ClassExample
from stillhouse.tokens.answer_trees import grow_tree
from stillhouse.tokens.encode import EncodedConversation

KD_TEMPERATURE = 3.0
BY_CLASS = Objective((), 0.3, KD_TEMPERATURE, class_kl=0.7)
END = 2
CLASSES = ([5, 6], [5, 6, 7], [5, 8], [9], [10, 11, 12, 13])
"""The first is how the second begins, and three share their first token."""


def conversation(prompt, answer):
    ids = np.array([*prompt, *answer, END], np.int32)
    is_trained = np.arange(len(ids)) >= len(prompt)
    offsets = np.zeros((len(ids), 2), np.int32)
    return EncodedConversation(ids, is_trained, offsets, "", "view", "completion", 0)


def draw_class_examples(count, *, seed=0, classes=CLASSES):
    """Prompts of 3 to 12 tokens, and of 30, so that trees share rows; a teacher that is noise.

    Each third example is without a label.
    """
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        prompt = rng.integers(14, VOCAB, rng.integers(3, 13) if number % 4 else 30)
        tree = grow_tree([conversation(prompt, answer) for answer in classes])
        probs = torch.from_numpy(rng.normal(size=len(classes)) * 2).softmax(0)
        hard = NO_LABEL if number % 3 == 2 else int(rng.integers(len(classes)))
        found.append(ClassExample(tree, probs.numpy().astype(np.float32), hard))
    return found


def path_of(tree, answer):
    """All ids of one answer's conversation, and where its answer starts."""
    tokens = tree.tokens_of(answer)
    last = tree.predictors[tokens[-1]]
    before = [j for j in range(last + 1) if last < tree.ends[j]]
    ids = [*tree.ids[before].tolist(), int(tree.scored[tokens[-1]])]
    return ids, len(ids) - len(tokens)


def naive_example(model, example, objective=BY_CLASS):
    """Class KL of one example, and the summed cross-entropy and number of its hard tokens."""
    scores, hard, count = [], 0.0, 0
    for answer in range(example.tree.num_answers):
        ids, start = path_of(example.tree, answer)
        ids = torch.tensor(ids, device=model.device)
        logprobs = model(input_ids=ids[None]).logits[0].log_softmax(-1)
        own = logprobs[torch.arange(start - 1, len(ids) - 1), ids[start:]]
        scores.append(own.sum())
        if answer == example.hard_label:
            hard, count = -own.sum(), len(own)
    temperature = objective.kd_temperature
    log_q = (torch.stack(scores) / temperature).log_softmax(-1)
    p = torch.from_numpy(example.teacher_probs).to(log_q)
    log_p = (p.log() / temperature).log_softmax(-1)
    return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(), hard, count


def class_oracle(model, examples, objective=BY_CLASS):
    """Loss and gradients of the means over examples and over hard tokens."""
    model.zero_grad()
    found = [naive_example(model, example, objective) for example in examples]
    tokens = sum(count for *_, count in found)
    divergence = sum(kl for kl, *_ in found) / len(examples)
    cross_entropy = sum(hard for _, hard, _ in found) / max(tokens, 1)
    loss = objective.class_kl * divergence + objective.cross_entropy * cross_entropy
    loss.backward()
    return loss.item(), gradients_of(model)
