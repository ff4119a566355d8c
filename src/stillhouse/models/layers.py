"""A smaller model out of chosen layers of a larger one, with its embeddings, last norm and head."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from stillhouse.core.errors import ModelError
from stillhouse.models.load import quiet_transformers


def take_layers(model: PreTrainedModel, layers: Sequence[int]) -> PreTrainedModel:
    """A new model whose layers are copies of the chosen ones, in their order.

    Args:
        model: a causal language model without an adapter, not quantised; left as it is.
        layers: numbers counted from 0, ascending.

    Returns:
        Of the same architecture and dtype, on the CPU, in eval mode. Its config has the new number
        of layers, and of `layer_types` the chosen entries.

    Raises:
        ModelError: a layer that is not there, or an architecture whose layers depend on their
            number.

    Source: Sanh et al. 2019, arXiv:1910.01108, section 3, "Student initialization".
    """
    config = copy.deepcopy(model.config)
    count = config.num_hidden_layers
    beyond = [layer for layer in layers if not 0 <= layer < count]
    if beyond or not layers:
        raise ModelError(
            f"layers_of_teacher names {', '.join(map(str, beyond)) or 'no layer'}, but the teacher "
            f"has the layers 0 to {count - 1}"
        )
    if getattr(config, "scale_attn_by_inverse_layer_idx", False):
        raise ModelError("the teacher's attention is scaled by a layer's number, so none can move")
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[layer] for layer in layers]
    config.num_hidden_layers = len(layers)
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        small: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=model.dtype)
    small.load_state_dict(_renamed(model, layers), strict=True)
    small.generation_config = copy.deepcopy(model.generation_config)
    return small.eval()


def _renamed(model: PreTrainedModel, layers: Sequence[int]) -> dict[str, torch.Tensor]:
    """The tensors of the smaller model, by their names there."""
    prefix = _layers_prefix(model)
    place = {str(layer): str(number) for number, layer in enumerate(layers)}
    found = {}
    for name, tensor in model.state_dict().items():
        inside = re.fullmatch(rf"{re.escape(prefix)}\.(\d+)\.(.*)", name)
        if inside is None:
            found[name] = tensor
        elif inside[1] in place:
            found[f"{prefix}.{place[inside[1]]}.{inside[2]}"] = tensor
    return found


def _layers_prefix(model: PreTrainedModel) -> str:
    """Where the list of layers stands."""
    for name, module in model.named_modules():
        is_list = isinstance(module, torch.nn.ModuleList)
        if is_list and len(module) == model.config.num_hidden_layers:
            return name
    raise ModelError(f"the layers of a {type(model).__name__} are not known here")
