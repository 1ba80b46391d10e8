"""`tpo run --plan-only` of published models, of which only config.json and the tokenizer are there: sizes as published."""
import json
import math
import re

import pytest

import families
import tiny
from test_hostile import refused
from test_plan import PAPER, UNITS, files, plan, sampling, write_config

# What the models' own config.json say, as far as it bears on shapes, and the number of parameters as published (Gemma's without
# its image tower).
PUBLISHED = {
    "Meta-Llama-3-8B-Instruct": (8_030_261_248, "llama", dict(
        vocab_size=128256, hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8,
        intermediate_size=14336, max_position_embeddings=8192, rope_theta=500000.0, tie_word_embeddings=False, head_dim=None)),
    "Llama-3.1-8B-Instruct": (8_030_261_248, "llama", dict(
        vocab_size=128256, hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8,
        intermediate_size=14336, max_position_embeddings=131072, rope_theta=500000.0, tie_word_embeddings=False, head_dim=None,
        rope_scaling=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                          original_max_position_embeddings=8192))),
    "Qwen3-8B": (8_190_735_360, "qwen3", dict(
        vocab_size=151936, hidden_size=4096, num_hidden_layers=36, num_attention_heads=32, num_key_value_heads=8,
        intermediate_size=12288, max_position_embeddings=40960, head_dim=128, max_window_layers=36, rms_norm_eps=1e-6)),
    "Qwen2.5-7B-Instruct": (7_615_616_512, "qwen2", dict(
        vocab_size=152064, hidden_size=3584, num_hidden_layers=28, num_attention_heads=28, num_key_value_heads=4,
        intermediate_size=18944, max_position_embeddings=32768, rope_theta=1000000.0, sliding_window=131072,
        use_sliding_window=False, max_window_layers=28, tie_word_embeddings=False, rms_norm_eps=1e-6)),
    "Mistral-7B-Instruct-v0.3": (7_248_023_552, "mistral", dict(
        vocab_size=32768, hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8,
        intermediate_size=14336, max_position_embeddings=32768, rope_theta=1000000.0, sliding_window=None, head_dim=None)),
    "Mistral-7B-Instruct-v0.1": (7_241_732_096, "mistral", dict(
        vocab_size=32000, hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8,
        intermediate_size=14336, max_position_embeddings=32768, sliding_window=4096, head_dim=None)),
    "gemma-7b-it": (8_537_680_896, "gemma", dict(
        vocab_size=256000, hidden_size=3072, num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=16,
        intermediate_size=24576, max_position_embeddings=8192, head_dim=256, rms_norm_eps=1e-6)),
    "gemma-2-9b-it": (9_241_705_984, "gemma2", dict(
        vocab_size=256000, hidden_size=3584, num_hidden_layers=42, num_attention_heads=16, num_key_value_heads=8,
        intermediate_size=14336, max_position_embeddings=8192, head_dim=256, sliding_window=4096, query_pre_attn_scalar=256,
        attn_logit_softcapping=50.0, final_logit_softcapping=30.0, rms_norm_eps=1e-6)),
    "gemma-3-4b-it": (3_880_263_168, "gemma3_text", dict(
        vocab_size=262208, hidden_size=2560, num_hidden_layers=34, num_attention_heads=8, num_key_value_heads=4,
        intermediate_size=10240, max_position_embeddings=131072, head_dim=256, sliding_window=1024, query_pre_attn_scalar=256,
        layer_types=[f"{'full' if i % 6 == 5 else 'sliding'}_attention" for i in range(34)], rms_norm_eps=1e-6)),
    "Phi-3-mini-4k-instruct": (3_821_079_552, "phi3", dict(
        vocab_size=32064, hidden_size=3072, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=32,
        intermediate_size=8192, max_position_embeddings=4096, original_max_position_embeddings=4096, rope_scaling=None,
        sliding_window=2047, partial_rotary_factor=None)),
    "OLMo-2-1124-7B-Instruct": (7_298_617_344, "olmo2", dict(
        vocab_size=100352, hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=32,
        intermediate_size=11008, max_position_embeddings=4096, rms_norm_eps=1e-6)),
    "granite-3.1-8b-instruct": (8_170_848_256, "granite", dict(
        vocab_size=49155, hidden_size=4096, num_hidden_layers=40, num_attention_heads=32, num_key_value_heads=8,
        intermediate_size=12800, max_position_embeddings=131072, rope_theta=10000000.0, embedding_multiplier=12.0,
        attention_multiplier=0.0078125, residual_multiplier=0.22, logits_scaling=16.0)),
    "SmolLM3-3B": (3_075_098_624, "smollm3", dict(
        vocab_size=128256, hidden_size=2048, num_hidden_layers=36, num_attention_heads=16, num_key_value_heads=4,
        intermediate_size=11008, max_position_embeddings=65536, rope_theta=5000000.0, no_rope_layer_interval=4,
        no_rope_layers=[int(i % 4 != 3) for i in range(36)], rms_norm_eps=1e-6)),
}


def folder_of(tmp_path, name):
    """config.json and tokenizer.json, no more."""
    folder = tmp_path / name
    folder.mkdir()
    _, family, sizes = PUBLISHED[name]
    tiny.write_tokenizer(folder)
    for more in "generation_config.json", "tokenizer_config.json":
        (folder / more).unlink()
    settings = families.config(family, **{"vocab": 0, **sizes})
    if name == "gemma-3-4b-it":  # a model for images, too, of which the text model is taken
        settings = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "text_config": settings,
                    "vision_config": {"hidden_size": 1152, "model_type": "siglip_vision_model"}, "mm_tokens_per_image": 256}
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def size(text, pattern):
    number, unit = re.search(pattern + r" ([\d.]+) (\w+)", text).groups()
    return float(number) * UNITS[unit]


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_many_as_published(tpo, tmp_path, name):
    config, _ = write_config(tmp_path, folder_of(tmp_path, name), "bf16")
    text = plan(tpo, config, "--backend", "cpu", "--set", "sampling.slots=2")
    count = PUBLISHED[name][0]
    assert size(text, r"training: .*?: weights") == pytest.approx(2 * count, rel=0.01)
    assert size(text, "gradient") == pytest.approx(4 * count, rel=0.01)
    assert files(text)["checkpoint.h5.journal"][0] == pytest.approx(12 * count, rel=0.01)
    assert sampling(text)["1"]["prompts"] == 8


@pytest.mark.parametrize("name", ["Qwen3-8B", "Mistral-7B-Instruct-v0.1", "gemma-2-9b-it", "gemma-3-4b-it"])
def test_a_window_bounds_what_is_kept(tpo, tmp_path, name):
    """Keys and values in bf16, of whole sequences where a layer attends to them, else of a window and a block or two."""
    config, _ = write_config(tmp_path, folder_of(tmp_path, name), "bf16")
    longest = 6000
    text = plan(tpo, config, "--backend", "cpu", "--set", "sampling.slots=1", "--set", "thought=none", "--set",
                f"sampling.max_tokens={longest}", "--set", "train.micro_batch_tokens=256", "--set", "train.max_pair_tokens=256")
    _, family, c = PUBLISHED[name]
    layers, window = c["num_hidden_layers"], c.get("sliding_window") or math.inf
    windowed = {"qwen3": 0, "mistral": layers, "gemma2": layers // 2, "gemma3_text": 29}[family]
    of_token = 2 * 2 * c["num_key_value_heads"] * c.get("head_dim") if c.get("head_dim") else 2 * 2 * 8 * 128
    told = size(text, "key-value cache up to")
    sequence = of_token * ((layers - windowed) * longest + windowed * min(longest, window if window < math.inf else longest))
    prompts = of_token * layers * 4 * 512
    assert sequence < told < sequence + prompts, (sequence, prompts, told)


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_the_configurations_can_be_planned_from_two_files(tpo, tmp_path, path):
    """With really no more: neither weights nor tokenizer_config.json."""
    wanted = re.search(r"path: models/(\S+)", path.read_text()).group(1)
    model = folder_of(tmp_path, wanted)
    tiny.write_prompts(tmp_path / "p.jsonl", "p", 40)
    tiny.write_prompts(tmp_path / "v.jsonl", "v", 5)
    steps = "sync_steps" in path.read_text()
    few = ("train.batch=1", "run.steps=40", "run.checkpoint_steps=10") if steps else ("data.prompts_per_iteration=10",)
    text = plan(tpo, path, "--backend", "cpu", *[x for key in (
        f"model.path={model}", f"data.train={tmp_path / 'p.jsonl'}", f"data.validation={tmp_path / 'v.jsonl'}",
        *few, "data.validation_prompts=5", f"run.dir={tmp_path / 'run'}") for x in ("--set", key)])
    assert sorted(x.name for x in model.iterdir()) == ["config.json", "tokenizer.json"]
    assert "has no chat template (in tokenizer_config.json or chat_template.jinja)" in " ".join(text.split())
    assert sampling(text)["total"]["samples"] == 4 * 10 * 8
    assert sampling(text)["10" if steps else "1"]["at most"] == 10 * 8 * 2048


def test_a_template_adds_to_the_prompts_that_are_planned_and_a_run_needs_it(tpo, tmp_path):
    model = folder_of(tmp_path, "Qwen3-8B")
    config, _ = write_config(tmp_path, model, "bf16")
    small = "--backend", "cpu", "--set", "sampling.slots=2"
    bare = plan(tpo, config, *small)
    refused("run", config, words=[str(model), "no chat template", "`template:`"])
    (model / "chat_template.jinja").write_text(tiny.CHATML)
    whole = plan(tpo, config, *small)
    assert "no chat template" in bare and "no chat template" not in whole
    system = len(re.search("system\n(.*?)<", tiny.CHATML, re.S).group(1))
    more = (sampling(whole)["1"]["prompt tokens"] - sampling(bare)["1"]["prompt tokens"]) / 8
    assert 12 < more < 60 + system, more  # markers, roles and ChatML's own system message
    (model / "chat_template.jinja").write_text("{% include 'x' %}")  # one that is there isn't passed over
    refused("run", config, "--plan-only", *small, words=["line 1", "include"])
