"""Folders of each family that ask for what isn't there or contradict themselves: one sentence, with the place and the feature."""
import json
import math

import pytest

import families
from test_hostile import refused

# Every family is asked for two of them, so that each is met, and not all of all.
EVERY = [("hidden_act", "relu"), ("quantization_config", {"quant_method": "awq"}), ("num_local_experts", 8), ("num_experts", 60),
         ("alibi", True), ("add_cross_attention", True), ("rope_scaling", {"rope_type": "spiral", "factor": 2.0}),
         ("model_type", "mllama"), ("mlp_bias", True), ("logit_scale", 0.5)]


@pytest.fixture(scope="module", params=families.CONFIGS)
def whole(request, tmp_path_factory):
    return families.make(tmp_path_factory.mktemp("bad") / request.param, request.param)


def write(folder, settings):
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def test_features_that_no_family_has(whole):
    text = (whole / "config.json").read_text()
    at = list(families.CONFIGS).index(json.loads(text)["model_type"])
    for key, value in EVERY[at % 10], EVERY[(at + 3) % 10]:
        settings = json.loads(text)
        settings.pop("hidden_activation", None)
        line = refused("logprobs", "--model", write(whole, {**settings, key: value}), words=["config.json", key])
        assert len(line) < 700
    write(whole, json.loads(text))


# family, key, values, what the sentence names (the key, unless said)
VALUES = [
    ("llama", "attention_bias", [True], None),
    ("llama", "mlp_bias", [True, 5], None),
    ("llama", "layer_types", [["full_attention"] * 3, ["full_attention"] * 5, ["chunked_attention"] * 4, "full_attention",
                              ["full_attention", 5, "full_attention", "full_attention"]], None),
    ("mistral", "sliding_window", [0, -1, 1.5, "24", [], 1 << 40], None),
    ("mistral", "layer_types", [families.SLIDING[:3], ["linear_attention"] * 4], None),
    ("qwen2", "max_window_layers", [-1, "2", 1.5], None),
    ("qwen2", "use_sliding_window", ["yes", 2], None),
    ("qwen2", "sliding_window", [0, "x"], None),
    ("qwen3", "attention_bias", [True], None),
    ("gemma", "hidden_act", ["silu", "relu", 5, ["gelu"]], None),
    ("gemma", "hidden_activation", ["gelu", "silu"], None),
    ("gemma2", "attn_logit_softcapping", [0, -5.0, "x", float("nan"), float("inf")], None),
    ("gemma2", "final_logit_softcapping", [0, -1.0, "x", float("nan")], None),
    ("gemma2", "query_pre_attn_scalar", [0, -1, "x", float("nan")], None),
    ("gemma2", "hidden_activation", ["silu", "gelu", 5], None),
    ("gemma2", "layer_types", [["full_attention"]], None),
    ("gemma3_text", "rope_local_base_freq", [0, -1.0, "x"], "rope"),
    ("gemma3_text", "use_bidirectional_attention", [True], None),
    ("gemma3_text", "sliding_window", [0, -3], None),
    ("phi3", "partial_rotary_factor", [-0.5, 0, 1.5, "x", float("nan")], "rota"),
    ("phi3", "original_max_position_embeddings", [0, -1, "x"], None),
    ("phi3", "rope_scaling", [{"type": "longrope", "short_factor": [1.0], "long_factor": [1.0] * 4},
                              {"type": "longrope", "short_factor": [1.0] * 4}, {"type": "longrope"},
                              {"type": "longrope", "short_factor": [1.0, 1.0, 1.0, 0.0], "long_factor": [1.0] * 4},
                              {"type": "longrope", "short_factor": ["x"] * 4, "long_factor": [1.0] * 4}], ""),
    ("olmo2", "clip_qkv", [8.0], None),
    ("olmo2", "attention_bias", [True], None),
    ("granite", "embedding_multiplier", [0, "x", float("nan"), float("inf")], None),
    ("granite", "residual_multiplier", [0, [], float("nan")], None),
    ("granite", "attention_multiplier", [0, "x", float("nan")], None),
    ("granite", "logits_scaling", [0, "x", float("nan"), float("inf")], None),
    ("smollm3", "no_rope_layers", [[1, 1, 1], [1, 1, 1, 0, 1], "x", [1, 1, 1, 2], [1, 1, 1, "0"]], None),
    ("smollm3", "no_rope_layer_interval", ["x", 0], None),
]


@pytest.mark.parametrize("family, key, bad, word", VALUES, ids=[f"{f}-{k}" for f, k, _, _ in VALUES])
def test_values_that_cannot_be(tmp_path, family, key, bad, word):
    folder = families.make(tmp_path / family, family)
    settings = json.loads((folder / "config.json").read_text())
    if key == "no_rope_layer_interval":
        del settings["no_rope_layers"]
    for value in bad:
        named = "JSON" if isinstance(value, float) and not math.isfinite(value) else key if word is None else word
        refused("logprobs", "--model", write(folder, {**settings, key: value}), words=["config.json", named])


def with_tensors(folder, change):
    settings = json.loads((folder / "config.json").read_text())
    found = families.tensors(settings)
    change(found)
    return families.write(folder, settings, found)


@pytest.mark.parametrize("family, missing", [
    ("qwen2", "model.layers.2.self_attn.k_proj.bias"), ("qwen3", "model.layers.0.self_attn.q_norm.weight"),
    ("gemma2", "model.layers.3.post_feedforward_layernorm.weight"), ("gemma3_text", "model.layers.1.self_attn.k_norm.weight"),
    ("phi3", "model.layers.0.self_attn.qkv_proj.weight"), ("olmo2", "model.layers.0.post_attention_layernorm.weight"),
    ("granite", "model.norm.weight"), ("smollm3", "model.layers.3.mlp.up_proj.weight"), ("mistral", "lm_head.weight")])
def test_a_tensor_that_is_missing(tmp_path, family, missing):
    folder = with_tensors(families.make(tmp_path / family, family), lambda found: found.pop(missing))
    refused("logprobs", "--model", folder, words=[str(folder), missing])


@pytest.mark.parametrize("family, name, shape", [
    ("llama", "model.layers.1.self_attn.q_proj.bias", [64]), ("qwen3", "model.layers.0.self_attn.q_proj.bias", [64]),
    ("qwen2", "model.layers.0.self_attn.o_proj.bias", [32]), ("olmo2", "model.layers.0.input_layernorm.weight", [32]),
    ("gemma2", "model.layers.0.self_attn.q_norm.weight", [16]), ("phi3", "model.layers.0.self_attn.q_proj.weight", [64, 64]),
    ("mistral", "model.layers.0.block_sparse_moe.gate.weight", [8, 32]),
    ("gemma", "model.layers.0.pre_feedforward_layernorm.weight", [32])])
def test_a_tensor_of_another_family(tmp_path, family, name, shape):
    folder = with_tensors(families.make(tmp_path / family, family), lambda found: found.update({name: shape}))
    refused("logprobs", "--model", folder, words=[str(folder), name])


@pytest.mark.parametrize("family, name, shape", [
    ("phi3", "model.layers.2.self_attn.qkv_proj.weight", [96, 64]), ("phi3", "model.layers.0.mlp.gate_up_proj.weight", [64, 64]),
    ("qwen2", "model.layers.0.self_attn.q_proj.bias", [16]), ("qwen3", "model.layers.0.self_attn.k_norm.weight", [32]),
    ("olmo2", "model.layers.0.self_attn.q_norm.weight", [8]), ("gemma2", "model.layers.0.pre_feedforward_layernorm.weight", [64])])
def test_a_tensor_of_another_shape(tmp_path, family, name, shape):
    folder = with_tensors(families.make(tmp_path / family, family), lambda found: found.update({name: shape}))
    refused("logprobs", "--model", folder, words=[str(folder), name, f"{shape[0]}"])


@pytest.mark.parametrize("family, other", [("qwen3", "llama"), ("llama", "qwen2"), ("gemma2", "gemma3_text"), ("mistral", "phi3"),
                                           ("olmo2", "granite"), ("gemma", "gemma2")])
def test_weights_of_another_family(tmp_path, family, other):
    folder = families.make(tmp_path / family, family)
    theirs = families.make(tmp_path / other, other)
    (folder / "model.safetensors").write_bytes((theirs / "model.safetensors").read_bytes())
    refused("logprobs", "--model", folder, words=[str(folder), "model."])


def test_a_family_that_nobody_knows_is_told_the_ones_that_are(tmp_path):
    folder = families.make(tmp_path / "m", "llama")
    settings = json.loads((folder / "config.json").read_text())
    line = refused("logprobs", "--model", write(folder, {**settings, "model_type": "gpt_bigcode"}), words=["gpt_bigcode", *families.CONFIGS])
    assert len(line) < 500
    line = refused("score", "--judge", f"reward:{write(folder, {**settings, 'architectures': ['BertForSequenceClassification']})}",
                   words=["BertForSequenceClassification", "Qwen3ForSequenceClassification", "value_head_prefix"])
    assert len(line) < 900
