"""Run by a test: one step by two gloo processes that share the weights out, against the oracle.

The weights are sharded by PyTorch's `fully_shard` itself, because the Trainer's own setting means
DDP on a machine without a GPU.
"""

import sys
from pathlib import Path

import torch
from tiny_students import BOTH, build, distance, draw_examples, oracle
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from two_processes import fork_two

from stillhouse.students.batches import Collator
from stillhouse.students.branch import install_branch

EXAMPLES = draw_examples(8)
TRAINED = sum(int(example.is_trained.sum()) for example in EXAMPLES)


def measure(_workdir):
    torch.distributed.init_process_group("gloo")
    cases = {
        "tied": ("qwen3", False),
        "untied": ("llama", False),
        "untied, head alone": ("llama", True),
    }
    return {name: error(*case) for name, case in cases.items()}


def error(kind, is_head_alone):
    """Of the loss and the gradients of one step, relative."""
    loss, gradients = oracle(build(kind, attention_dropout=0.0), EXAMPLES)
    student = build(kind, attention_dropout=0.0)
    install_branch(student)
    for layer in student.model.layers:
        fully_shard(layer)
    if is_head_alone:
        fully_shard(student.lm_head)
    fully_shard(student)
    batch = Collator(1)(EXAMPLES[torch.distributed.get_rank() :: 2])
    # The mean over processes is undone by the weight, as the trainer does.
    output = student(**batch, objective=BOTH, token_weights=torch.tensor(2 / TRAINED))
    output.loss.backward()
    assert all(isinstance(parameter, DTensor) for parameter in student.parameters())
    seen = {name: p.grad.full_tensor() for name, p in student.named_parameters()}
    mean = output.loss.detach()
    torch.distributed.all_reduce(mean)
    return max(distance(seen, gradients), abs(mean.item() / 2 / loss - 1))


if __name__ == "__main__":
    fork_two(measure, Path(sys.argv[1]), Path(sys.argv[2]))
