"""Where the files of a bundle lie on the hub, and what its card says of them there."""

from pathlib import Path

import pytest

from stillhouse.export.bundle_files import BundleFile
from stillhouse.export.hub_layout import hub_card, hub_files


def files(*names):
    return [BundleFile(name, Path(name), 1, "0" * 64) for name in names]


@pytest.mark.parametrize(
    ("names", "there"),
    [
        (("merged/config.json", "gguf/a-F16.gguf", "gguf/Modelfile", "README.md"),
         {"config.json", "a-F16.gguf", "Modelfile"}),
        (("adapter/adapter_config.json", "data_card.md"), {"adapter_config.json", "data_card.md"}),
        (("adapter/adapter_config.json", "merged/config.json"),
         {"adapter/adapter_config.json", "config.json"}),
        # Its config names the base beside its folder.
        (("adapter/adapter_config.json", "base/config.json"),
         {"adapter/adapter_config.json", "base/config.json"}),
        (("adapters_kd/a/adapter_config.json", "int8/config.json"),
         {"adapters_kd/a/adapter_config.json", "int8/config.json"}),
    ],
)  # fmt: skip
def test_what_is_looked_for_lies_at_the_root(names, there):
    assert set(hub_files(files(*names))) == there


def test_the_card_names_each_form_where_it_lies_there():
    card = "# small\n\n## Measured\n\n| a | b |\n\n## Use\n\n`merged/` is a folder\n"
    names = ["config.json", "model.safetensors", "adapter/adapter_config.json", "a-F16.gguf",
             "a-adapter.gguf", "a-imatrix.gguf", "int8/config.json", "Modelfile"]  # fmt: skip

    told = hub_card(card, names, "me/small")

    assert told.startswith("# small\n\n## Measured\n\n| a | b |\n\n## Use\n\n")
    assert "merged/" not in told
    assert 'PeftModel.from_pretrained(base_model, "me/small", subfolder="adapter")' in told
    assert 'from_pretrained("me/small", subfolder="int8")' in told
    assert "--hf-repo me/small --hf-file a-F16.gguf" in told
    assert "--lora a-adapter.gguf" in told
    assert "imatrix" not in told
    assert "ollama create my-student -f Modelfile" in told
    assert "REPO" not in told
