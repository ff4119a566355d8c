"""Peak memory by part, in closed form from sizes and recipe; no torch.

A training has four high moments: the loss, the beginning and the end of the backward pass, and the
optimizer's step. The parts are those of the highest, so they sum to the peak.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from stillhouse.recipes.activations import Batch, block_bytes, input_bytes, working_bytes
from stillhouse.recipes.quantised_bytes import quantised_bytes
from stillhouse.recipes.sizes import Sizes
from stillhouse.recipes.trainable import trainable_parameters
from stillhouse.recipes.trained_shapes import optimizer_bytes, trained_shapes
from stillhouse.recipes.training import Galore, Training

HEAVY_BYTES, LIGHT_BYTES = 400 << 20, 85 << 20
"""measured: peak of an idle process forked with torch, transformers and PEFT: 391 MB, and 439
where bitsandbytes is installed, which they import; with what reads and writes rows alone: 88 MB. A
process that is not forked, as under `torchrun`, has read these libraries' files itself: 572 MB,
some of which can be taken back."""

CONTEXT_BYTES = 500 << 20
"""assumption: what a CUDA device holds before the first tensor: its context and libraries."""

_CHUNK_BYTES, _CHUNK_ROWS = 32 << 20, 256
_HEAD_SHARE, _HEAD_SHARE_BF16 = 0.4, 1.3
"""Logits that the loss holds at once: `losses.fused_linear` cuts its rows by these numbers."""

_TILE_COPIES, _TILE_BYTES = 3, 2400 << 10
"""measured: of the few rows worked on at once, their exponentials and what is gathered."""

_SCORED_BYTES = 134 << 20
"""Logits that scoring holds at once; `models.logits` keeps them in one buffer."""

_HOLES = 0.6
"""measured: Qwen3 and GPT-2 of 100 M parameters, two steps on a CPU: 0.54 and 0.54, and 0.70 beside
an adapter. What glibc keeps of freed blocks between those in use, as a share of what is kept for
the backward pass; with a fixed M_MMAP_THRESHOLD there is none, and steps take longer."""

_LARGEST_ON_THE_HEAP = 32 << 20
"""glibc maps blocks from this size on by themselves and gives each back at once (mallopt(3),
M_MMAP_THRESHOLD, upper limit on 64 bits)."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Bytes at the peak, by what holds them.

    Attributes:
        process: interpreter and libraries.
        weights: of the model, adapters and dequantised matrices included.
        file: of the weight file, what was read to quantise it; taken back when memory is short.
        teacher: of a live teacher, with what it holds of a batch.
        gradients: of what is trained.
        optimizer: its state, and what its step holds.
        activations: kept for the backward pass, with what works on them.
        head: logits of a chunk, and the gradients of head and hidden states.
        cache: keys and values while text is written.
        targets: examples and the teacher's stored signal.
        device: kind of it; what is not on it is in the machine's memory.
    """

    process: float = 0.0
    weights: float = 0.0
    file: float = 0.0
    teacher: float = 0.0
    gradients: float = 0.0
    optimizer: float = 0.0
    activations: float = 0.0
    head: float = 0.0
    cache: float = 0.0
    targets: float = 0.0
    device: str = "cpu"

    @property
    def total(self) -> int:
        """Of process and device together."""
        return int(sum(self.by_name().values()))

    @property
    def on_host(self) -> int:
        """In the machine's own memory; an Apple GPU shares it."""
        return int(self.process + self.targets) if self.device == "cuda" else self.total

    @property
    def on_device(self) -> int:
        """In the memory of a CUDA device; 0 without one."""
        if self.device != "cuda":
            return 0
        return self.total - self.on_host + CONTEXT_BYTES

    def by_name(self) -> dict[str, int]:
        """Every part, the largest first; those of nothing left out."""
        sizes = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "device"}
        ordered = sorted(sizes.items(), key=lambda item: -item[1])
        return {name: int(size) for name, size in ordered if size}


@dataclass(frozen=True, slots=True)
class Held:
    """How the weights of a model lie in memory.

    Attributes:
        value_bytes: of a weight that is not quantised: 4 or 2.
        quantization: of the linear layers of the blocks: none, int8, nf4.
    """

    value_bytes: int = 4
    quantization: str = "none"


IN_FLOAT32 = Held()


def weight_bytes(sizes: Sizes, held: Held) -> float:
    """Bytes of a model's weights, scales of quantised ones included.

    Args:
        sizes: of the model.
        held: how.

    Returns:
        The linear layers of the blocks in few bits where that is asked, the rest as they are.
    """
    if held.quantization == "none":
        return float(sizes.parameters * held.value_bytes)
    quantised = sizes.layers * sum(
        quantised_bytes(held.quantization, one.outputs, one.inputs) for one in sizes.linears
    )
    return (sizes.parameters - sizes.matrix_parameters) * held.value_bytes + quantised


@dataclass(frozen=True, slots=True)
class Beside:
    """What a training holds beside the model that learns.

    Attributes:
        targets: bytes of examples and stored signal.
        teacher: sizes of a live teacher, None without one.
        teacher_held: how its weights lie.
        top_k: kept entries of a token's stored signal, or classes; 0 without one.
    """

    targets: float = 0.0
    teacher: Sizes | None = None
    teacher_held: Held = IN_FLOAT32
    top_k: int = 0

    def with_targets(self, targets: float) -> Beside:
        """The same with so many bytes of examples and signal."""
        return replace(self, targets=targets)


ALONE = Beside()


def training_memory(
    sizes: Sizes, training: Training, batch: Batch, held: Held, beside: Beside
) -> Parts:
    """The peak of fine-tuning or distilling one model.

    Args:
        sizes: of the model.
        training: the recipe's section.
        batch: the largest batch.
        held: how the frozen weights lie; trained ones are float32.
        beside: targets and a live teacher.

    Returns:
        The parts of the highest moment.
    """
    trained = trainable_parameters(sizes, training.lora)
    is_wide = training.lora is None or held == IN_FLOAT32
    batch = replace(batch, copies_weights=is_wide)
    weights = weight_bytes(sizes, held) + (4.0 * trained if training.lora else 0.0)
    weights += _dequantised(sizes, held)
    common = Parts(
        process=HEAVY_BYTES,
        weights=weights,
        file=_file(sizes, held, batch.device),
        teacher=_teacher(beside, batch),
        optimizer=float(optimizer_bytes(sizes, training)),
        targets=beside.targets,
        device=batch.device,
    )
    moments = _moments(sizes, training, batch, beside, common)
    return max(moments, key=lambda parts: parts.total)


def _moments(
    sizes: Sizes, training: Training, batch: Batch, beside: Beside, common: Parts
) -> tuple[Parts, ...]:
    """Loss, beginning and end of the backward pass, and the step."""
    galore = training.optimizer.galore or Galore()
    is_layerwise = training.optimizer.name == "galore_adamw" and galore.layerwise
    all_gradients = 4.0 * trainable_parameters(sizes, training.lora)
    waiting = all_gradients if training.length.accumulation > 1 else 0.0
    is_full = training.lora is None
    table = 4.0 * sizes.head_parameters if is_full else 0.0
    hidden = 4.0 * batch.answers * sizes.hidden
    kept = _kept(sizes, training, batch)
    working = working_bytes(sizes, batch)
    step = _step(sizes, training)
    # A tied table has two gradients, one of the head and one of the embedding.
    second = table if sizes.tied else 0.0
    at_loss = replace(
        common,
        activations=kept,
        gradients=waiting,
        head=table + 2 * hidden + _chunk(sizes, batch, beside),
    )
    first = 4.0 * max(one.weights for one in sizes.linears) if is_full else 0.0
    at_beginning = replace(
        common,
        activations=kept + working,
        gradients=waiting + first,
        optimizer=common.optimizer + (step if is_layerwise else 0.0),
        head=table + 2 * hidden,
    )
    at_end = replace(
        common,
        activations=working,
        gradients=(table if is_layerwise else all_gradients) + second,
    )
    at_step = replace(
        common,
        optimizer=common.optimizer + step,
        gradients=0.0 if is_layerwise else all_gradients,
    )
    return at_loss, at_beginning, at_end, at_step


def _kept(sizes: Sizes, training: Training, batch: Batch) -> float:
    """What the whole forward pass keeps, with holes of the heap where it has some."""
    block = block_bytes(sizes, batch, training.lora)
    behind = 2 * input_bytes(sizes, batch)
    if training.gradient_checkpointing:
        # The trainer has large blocks given back at once then.
        return sizes.layers * input_bytes(sizes, batch) + block + behind
    kept = sizes.layers * block + behind
    widest = batch.tokens * max(sizes.inner, sizes.queries) * batch.value_bytes
    is_on_heap = batch.device == "cpu" and widest < _LARGEST_ON_THE_HEAP
    return kept * (1.0 + _HOLES) if is_on_heap else kept


def _chunk(sizes: Sizes, batch: Batch, beside: Beside) -> float:
    """Logits that the loss holds, and the signal of a batch."""
    row = sizes.vocab * 4.0
    share = _HEAD_SHARE_BF16 if batch.is_narrow else _HEAD_SHARE
    room = max(_CHUNK_BYTES, share * row * sizes.hidden)
    rows = min(batch.answers, _CHUNK_ROWS)
    models = 2 if beside.teacher else 1
    logits = min(room, models * rows * row)
    tiles = _TILE_COPIES * min(max(_TILE_BYTES, row), rows * row)
    return logits + tiles + batch.answers * beside.top_k * 12


def _teacher(beside: Beside, batch: Batch) -> float:
    """Weights of a live teacher, its hidden states, and what one of its blocks holds."""
    if beside.teacher is None:
        return 0.0
    sizes, held = beside.teacher, beside.teacher_held
    passing = working_bytes(sizes, batch) + 2 * input_bytes(sizes, batch)
    hidden = 4.0 * batch.answers * sizes.hidden
    weights = weight_bytes(sizes, held) + _dequantised(sizes, held)
    return weights + _file(sizes, held, batch.device) + passing + hidden


def _file(sizes: Sizes, held: Held, device: str) -> float:
    """Matrices as they are stored; their pages stay as long as others of the file are in use."""
    is_read = held.quantization != "none" and device == "cpu"
    return float(sizes.matrix_parameters * held.value_bytes) if is_read else 0.0


def _dequantised(sizes: Sizes, held: Held) -> float:
    """The largest quantised matrix, made whole for its product."""
    if held.quantization != "nf4":
        return 0.0
    return float(max((one.weights for one in sizes.linears), default=0) * held.value_bytes)


def _step(sizes: Sizes, training: Training) -> float:
    """What the optimizer's step holds for a moment.

    GaLore widens one gradient to float64, and holds its product with itself and the vectors of
    that; the others work in place.
    """
    if training.optimizer.name != "galore_adamw":
        return 0.0
    matrices = trained_shapes(sizes, training).matrices
    short, long = max(((min(m), max(m)) for m in matrices), default=(0, 0))
    return 8.0 * short * long + 3 * 8.0 * short * short + 8.0 * short * long


def inference_memory(
    sizes: Sizes, held: Held, *, rows: float, longest: float, answers: float, device: str = "cpu"
) -> Parts:
    """The peak of writing or scoring text.

    Args:
        sizes: of the model.
        held: how its weights lie.
        rows: side by side.
        longest: tokens of the longest, its answer included.
        answers: tokens of a batch whose logits are looked at.
        device: kind of it.

    Returns:
        The parts.
    """
    narrow = min(held.value_bytes, 4)
    # Growing the cache of keys and values by one token copies one layer of it.
    cache = 2.0 * (sizes.layers + 1) * sizes.keys * rows * longest * narrow
    passing = rows * longest * (2 * sizes.inner + 4 * sizes.hidden) * narrow
    return Parts(
        process=HEAVY_BYTES,
        weights=weight_bytes(sizes, held) + _dequantised(sizes, held),
        file=_file(sizes, held, device),
        activations=passing,
        head=min(_SCORED_BYTES, answers * sizes.vocab * 4.0),
        cache=cache,
        device=device,
    )
