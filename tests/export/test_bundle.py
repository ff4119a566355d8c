import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tests.export.card_facts import FACTS
from tests.models.tiny_models import build, save
from transformers import AutoModelForCausalLM, AutoTokenizer

from stillhouse.core.errors import ArtifactError, NotBuiltError, UsageError
from stillhouse.export.bundle import Student, export_student
from stillhouse.export.merge import merge_student, write_adapter
from stillhouse.export.parity import check_merge, check_reload
from stillhouse.models.load import load_model

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")

PROBES = [np.arange(5, 25, dtype=np.int32), np.arange(40, 47, dtype=np.int32)]
BOTH = ("merged", "adapter")


def adapted(tokenizer, family="llama", dtype=torch.float32):
    torch.manual_seed(3)
    base = build(family, tokenizer, seed=1).to(dtype)
    config = LoraConfig(
        r=4,
        target_modules=["c_attn", "c_proj"] if family == "gpt2" else "all-linear",
        task_type="CAUSAL_LM",
        fan_in_fan_out=family == "gpt2",
    )
    model = get_peft_model(base, config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model.eval()


def export(model, tokenizer_folder, folder, formats=BOTH):
    return export_student(
        Student(model, tokenizer_folder, "org/base", FACTS), formats, folder, PROBES
    )


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.from_numpy(PROBES[0]).long()[None]).logits


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2", "gpt_oss"])
def test_a_merged_adapter_says_the_same_and_reloads_bit_by_bit(
    family, tokenizer, tokenizer_folder, tmp_path
):
    model = adapted(tokenizer, family)

    report = export(model, tokenizer_folder, tmp_path)

    merge, reload = report.parity
    assert merge.num_compared == 27
    assert 0.0 <= merge.max_abs_diff <= 1e-4
    assert reload.max_abs_diff == 0.0
    assert reload.num_compared == len(merge_student(model).state_dict())
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(merged), logits(model), atol=1e-4, rtol=1e-4)


def test_the_bundle_is_what_other_tools_load(tokenizer, tokenizer_folder, tmp_path):
    model = adapted(tokenizer)
    save("llama", tokenizer, tokenizer_folder, tmp_path / "base", seed=1)

    export(model, tokenizer_folder, tmp_path / "bundle")

    over = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tmp_path / "base"), tmp_path / "bundle" / "adapter"
    )
    ours = load_model(tmp_path / "bundle" / "adapter", base=tmp_path / "base")
    assert torch.equal(logits(over.eval()), logits(model))
    assert torch.equal(logits(ours), logits(model))
    for name in BOTH:
        loaded = AutoTokenizer.from_pretrained(tmp_path / "bundle" / name)
        assert loaded("home again")["input_ids"] == tokenizer.encode("home again")[0].tolist()


def test_exporting_leaves_the_student_as_it_was(tokenizer, tokenizer_folder, tmp_path):
    model = adapted(tokenizer).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    export(model, tokenizer_folder, tmp_path)

    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_full_student_is_its_own_merge(tokenizer, tokenizer_folder, tmp_path):
    model = build("qwen3", tokenizer)

    report = export(model, tokenizer_folder, tmp_path, ("merged",))

    assert [one.compared for one in report.parity] == ["merged folder against memory"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "merged"]


def test_a_bfloat16_student_is_written_in_bfloat16(tokenizer, tokenizer_folder, tmp_path):
    export(adapted(tokenizer, dtype=torch.bfloat16), tokenizer_folder, tmp_path)

    tensors = load_file(tmp_path / "merged" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}


EXPORT_ONCE = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
sys.path.append(sys.argv[1])
from tests.export.test_bundle import adapted, export
from stillhouse.tokens.tokenizer import load_tokenizer
tokens = Path(sys.argv[2])
report = export(adapted(load_tokenizer(tokens)), tokens, Path(sys.argv[3]))
"""


def test_equal_students_give_equal_bytes_in_every_process(
    tokenizer, tokenizer_folder, tmp_path, monkeypatch
):
    root = Path(__file__).parents[2]
    paths = [str(root), str(tokenizer_folder), str(tmp_path / "one")]
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    subprocess.run([sys.executable, "-c", EXPORT_ONCE, *paths], check=True)

    report = export(adapted(tokenizer), tokenizer_folder, tmp_path / "two")

    names = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert [name.as_posix() for name in names] == sorted(report.files)
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_nothing_written_names_this_machine(tokenizer, tokenizer_folder, tmp_path, folder_words):
    save("llama", tokenizer, tokenizer_folder, tmp_path / "base", seed=1)
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(load_model(tmp_path / "base"), config)

    report = export(model, tokenizer_folder, tmp_path / "bundle")

    for name in report.files:
        data = (tmp_path / "bundle" / name).read_bytes()
        assert not any(word in data for word in folder_words)
    adapter = json.loads((tmp_path / "bundle" / "adapter" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == "org/base"


@pytest.fixture
def folder_words(tmp_path):
    return [str(tmp_path).encode(), str(Path.home()).encode() + b"/"]


def test_an_absolute_base_is_refused(tokenizer, tmp_path):
    with pytest.raises(UsageError, match="exists on this machine alone"):
        write_adapter(adapted(tokenizer), tmp_path, "/models/base")


def test_a_full_student_has_no_adapter_to_write(tokenizer, tokenizer_folder, tmp_path):
    with pytest.raises(UsageError, match="this student has no adapter"):
        export(build("llama", tokenizer), tokenizer_folder, tmp_path)


def test_a_format_that_is_not_built_is_refused(tokenizer, tokenizer_folder, tmp_path):
    with pytest.raises(NotBuiltError, match="onnx is not written by this version"):
        export(build("llama", tokenizer), tokenizer_folder, tmp_path, ("merged", "onnx"))


def test_a_form_for_llama_cpp_needs_to_know_the_template(tokenizer, tokenizer_folder, tmp_path):
    with pytest.raises(UsageError, match="gguf needs the template"):
        export(build("llama", tokenizer), tokenizer_folder, tmp_path / "new", ("gguf",))

    assert not (tmp_path / "new").exists()


@pytest.fixture
def written(tokenizer, tokenizer_folder, tmp_path):
    model = build("llama", tokenizer)
    export(model, tokenizer_folder, tmp_path, ("merged",))
    return model, tmp_path / "merged"


def test_one_flipped_bit_breaks_parity(written):
    model, folder = written
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"].view(torch.int32)[3] ^= 1
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ArtifactError, match=r"model\.norm\.weight differs after a reload"):
        check_reload(model, folder)


def test_another_architecture_breaks_parity(written, tokenizer, tokenizer_folder, tmp_path):
    model, folder = written
    shutil.rmtree(folder)
    save("gpt2", tokenizer, tokenizer_folder, folder)

    with pytest.raises(ArtifactError, match="is in one and not in the other"):
        check_reload(model, folder)


def test_a_merge_that_lost_the_adapter_breaks_parity(tokenizer):
    model = adapted(tokenizer)

    with pytest.raises(ArtifactError, match="the merged student's logits differ"):
        check_merge(model, build("llama", tokenizer, seed=1), PROBES)


def test_a_merge_with_nan_breaks_parity(tokenizer):
    model = adapted(tokenizer)
    merged = merge_student(model)
    merged.lm_head.weight.data[0] = torch.nan

    with pytest.raises(ArtifactError, match="differ from the adapter's by nan"):
        check_merge(model, merged, PROBES)


def test_a_student_over_a_base_of_16_bits_ships_in_them_with_its_adapter_bit_by_bit(
    tokenizer, tokenizer_folder, tmp_path
):
    save("qwen3", tokenizer, tokenizer_folder, tmp_path / "base", seed=1)
    model = adapted(tokenizer, "qwen3")
    with torch.no_grad():  # about as much as a training moves
        for weight in (one for name, one in model.named_parameters() if "lora_B" in name):
            weight.mul_(0.2)
    write_adapter(model, tmp_path / "trained", "org/base")
    student = load_model(tmp_path / "trained", base=tmp_path / "base", dtype="bfloat16")

    merge, _ = export(student, tokenizer_folder, tmp_path / "bundle").parity

    whole = load_file(tmp_path / "bundle" / "merged" / "model.safetensors")
    assert {tensor.dtype for tensor in whole.values()} == {torch.bfloat16}
    assert merge.max_abs_diff > 0.0  # rounded once, within what check_merge lets pass
    name = "adapter_model.safetensors"
    ours, theirs = (load_file(tmp_path / one / name) for one in ("trained", "bundle/adapter"))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_an_adapter_alone_is_written_without_a_second_copy_of_the_weights(
    tokenizer, tokenizer_folder, tmp_path, monkeypatch
):
    model = adapted(tokenizer)
    monkeypatch.setattr("stillhouse.export.bundle.merge_student", None)

    report = export(model, tokenizer_folder, tmp_path, ("adapter",))

    assert report.parity == ()
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    assert not (tmp_path / "merged").exists()
