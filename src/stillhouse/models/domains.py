"""One base with an adapter for each domain, of which one at a time answers.

At rest every adapter is off, so that whoever asks without naming a domain asks the base.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard, cast

from transformers import PreTrainedModel

from stillhouse.core.errors import InputError
from stillhouse.models.fingerprint import check_base
from stillhouse.models.load import PLAIN, LoadOptions, load_model, put_adapter

if TYPE_CHECKING:
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTuner

_PREFIX = "domain-"
"""Of an adapter's name inside PEFT: a domain that is called as a module would be taken for one."""


def load_domains(
    folders: Mapping[str, Path],
    base: Path,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    options: LoadOptions = PLAIN,
) -> PeftModel:
    """The base, loaded once, with every adapter on it; all of them are off.

    Args:
        folders: of the adapters, by domain; at least one.
        base: a model folder.
        device: `cpu`, `cuda`, `mps`.
        dtype: as for `load_model`.
        options: of the base.

    Returns:
        A model in eval mode.

    Raises:
        ModelError: the base cannot be used, or an adapter was not trained on it.
    """
    for folder in folders.values():
        check_base(folder, base)
    model = load_model(base, device=device, dtype=dtype, options=options)
    return put_domains(model, folders, device)


def put_domains(
    base: PreTrainedModel | PeftModel, folders: Mapping[str, Path], device: str
) -> PeftModel:
    """The same of a base that is in memory, which is changed in place.

    Args:
        base: without an adapter.
        folders: of the adapters, by domain; at least one.
        device: of the base.

    Returns:
        A model in eval mode.

    Raises:
        ModelError: an adapter does not fit.
    """
    first, *others = folders
    model = put_adapter(base, folders[first], device, name=_PREFIX + first)
    for name in others:
        model = put_adapter(model, folders[name], device, name=_PREFIX + name)
    _tuner(model).disable_adapter_layers()
    return model.eval()


def has_domains(model: PreTrainedModel | PeftModel) -> TypeGuard[PeftModel]:
    """Whether a model was made by `load_domains`."""
    return any(name.startswith(_PREFIX) for name in getattr(model, "peft_config", ()))


@contextmanager
def using(model: PreTrainedModel | PeftModel, domain: str) -> Iterator[None]:
    """Inside, a model of `load_domains` answers with the adapter of a domain; after, with none.

    Any other model answers as it is: a teacher, a baseline.

    Args:
        model: with adapters or without.
        domain: whose adapter.

    Raises:
        InputError: the model has adapters, and none for that domain.
    """
    if not has_domains(model):
        yield
        return
    name = _PREFIX + domain
    if name not in model.peft_config:
        known = ", ".join(one.removeprefix(_PREFIX) for one in model.peft_config)
        raise InputError(
            f"the student has no adapter for the domain {domain!r}", f"it has adapters for: {known}"
        )
    try:
        _tuner(model).enable_adapter_layers()
        model.set_adapter(name, inference_mode=True)
        yield
    finally:
        _tuner(model).disable_adapter_layers()


def _tuner(model: PeftModel) -> BaseTuner:
    """What switches adapters on and off; PEFT's own switch says that it would train the one on."""
    return cast("BaseTuner", model.base_model)
