"""Tiny folders of every family of models, out of nothing but the standard library: config.json as the family's own has its
keys, tensors under the family's names, the tokenizer of tiny.py. They are small, yet each feature shows: windows are shorter
than prompts, multipliers aren't 1, norms differ from 1, longrope's two stretches differ."""
import json
import math
import pathlib
import random

import tiny

WINDOW = 24
SIZES = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64,
         "max_position_embeddings": 512, "head_dim": 16, "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": True,
         "bos_token_id": 1, "eos_token_id": 2, "dtype": "float32"}
SLIDING = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]

# family: (class, what its config.json says beside SIZES; None takes a key out)
CONFIGS = {
    "llama": ("Llama", {"rope_theta": 10000.0}),
    "mistral": ("Mistral", {"sliding_window": WINDOW, "rope_theta": 10000.0, "tie_word_embeddings": False}),
    "qwen2": ("Qwen2", {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 2, "rope_theta": 10000.0,
                        "head_dim": None}),
    "qwen3": ("Qwen3", {"attention_bias": False, "use_sliding_window": False, "sliding_window": None, "max_window_layers": 4,
                        "rope_theta": 1000000.0, "tie_word_embeddings": False}),
    "gemma": ("Gemma", {"hidden_act": "gelu"}),  # as the published files have it, which means gelu_pytorch_tanh
    "gemma2": ("Gemma2", {"hidden_act": None, "hidden_activation": "gelu_pytorch_tanh", "sliding_window": WINDOW,
                          "query_pre_attn_scalar": 24, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}),
    "gemma3_text": ("Gemma3", {"hidden_act": None, "hidden_activation": "gelu_pytorch_tanh", "sliding_window": WINDOW,
                               "query_pre_attn_scalar": 24, "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
                               "layer_types": SLIDING, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}),
    "phi3": ("Phi3", {"head_dim": None, "hidden_size": 64, "partial_rotary_factor": 0.5, "original_max_position_embeddings": 64,
                      "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.1, 1.2, 1.3],
                                       "long_factor": [1.5, 2.0, 4.0, 8.0]},
                      "sliding_window": None, "tie_word_embeddings": False}),
    "olmo2": ("Olmo2", {"head_dim": None, "num_key_value_heads": 4, "tie_word_embeddings": False, "rope_theta": 500000.0}),
    "granite": ("Granite", {"head_dim": None, "embedding_multiplier": 6.0, "attention_multiplier": 0.3, "residual_multiplier": 0.4,
                            "logits_scaling": 2.0, "attention_bias": False, "mlp_bias": False}),
    "smollm3": ("SmolLM3", {"head_dim": None, "no_rope_layers": [1, 0, 1, 0], "no_rope_layer_interval": 2, "rope_theta": 2000000.0,
                            "use_sliding_window": False, "sliding_window": None, "attention_bias": False, "mlp_bias": False}),
}
WINDOWED = ("mistral", "qwen2", "gemma2", "gemma3_text")


def config(family, vocab, **changes):
    name, own = CONFIGS[family]
    keys = {"architectures": [name + "ForCausalLM"], "model_type": family, "vocab_size": vocab, **SIZES, **own, **changes}
    return {key: value for key, value in keys.items() if value is not None or key == "sliding_window"}


def tensors(settings, head=True):
    """{name: shape} as the family's files have them."""
    family, hidden, ffn = settings["model_type"], settings["hidden_size"], settings["intermediate_size"]
    dim = settings.get("head_dim", hidden // settings["num_attention_heads"])
    q, kv = settings["num_attention_heads"] * dim, settings["num_key_value_heads"] * dim
    sandwich, after = family in ("gemma2", "gemma3_text"), family in ("olmo2", "olmo3")
    layer = {} if after else {"input_layernorm": [hidden]}
    if family == "phi3":
        layer.update({"self_attn.qkv_proj": [q + 2 * kv, hidden], "mlp.gate_up_proj": [2 * ffn, hidden]})
    else:
        layer.update({"self_attn.q_proj": [q, hidden], "self_attn.k_proj": [kv, hidden], "self_attn.v_proj": [kv, hidden],
                      "mlp.gate_proj": [ffn, hidden], "mlp.up_proj": [ffn, hidden]})
    layer.update({"self_attn.o_proj": [hidden, q], "mlp.down_proj": [hidden, ffn], "post_attention_layernorm": [hidden]})
    if family in ("qwen3", "gemma3_text"):
        layer.update({"self_attn.q_norm": [dim], "self_attn.k_norm": [dim]})
    if after:
        layer.update({"self_attn.q_norm": [q], "self_attn.k_norm": [kv]})
    if sandwich:
        layer["pre_feedforward_layernorm"] = [hidden]
    if sandwich or after:
        layer["post_feedforward_layernorm"] = [hidden]
    layer = {name + ".weight": shape for name, shape in layer.items()}
    if family == "qwen2":
        layer.update({f"self_attn.{name}_proj.bias": [rows] for name, rows in (("q", q), ("k", kv), ("v", kv))})
    found = {"model.embed_tokens.weight": [settings["vocab_size"], hidden]}
    for i in range(settings["num_hidden_layers"]):
        found.update({f"model.layers.{i}.{name}": shape for name, shape in layer.items()})
    found["model.norm.weight"] = [hidden]
    if head and not settings["tie_word_embeddings"]:
        found["lm_head.weight"] = [settings["vocab_size"], hidden]
    return found


def values(family, name, shape, rng):
    """Norms are about 1, which Gemma's files hold the difference from."""
    if not name.endswith("norm.weight"):
        return [rng.gauss(0, 0.1) for _ in range(math.prod(shape))]
    middle = 0.0 if family.startswith("gemma") else 1.0
    return [middle + rng.gauss(0, 0.1) for _ in range(math.prod(shape))]


def write(folder, settings, found, seed=1):
    rng = random.Random(seed)
    (folder / "config.json").write_text(json.dumps(settings, indent=1))
    tiny.write_safetensors(folder / "model.safetensors",
                           {name: (shape, values(settings["model_type"], name, shape, rng)) for name, shape in found.items()})
    return folder


def make(folder, family, seed=1, **changes):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = config(family, tiny.write_tokenizer(folder), **changes)
    return write(folder, settings, tensors(settings), seed)


def make_reward(folder, family, seed=2, **changes):
    """A sequence classification model with one label."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = config(family, tiny.write_tokenizer(folder), **changes)
    name = {"gemma3_text": "Gemma3Text"}.get(family, CONFIGS[family][0])
    settings.update(architectures=[name + "ForSequenceClassification"], num_labels=1, id2label={"0": "LABEL_0"},
                    label2id={"LABEL_0": 0}, pad_token_id=0)
    return write(folder, settings, {**tensors(settings, head=False), "score.weight": [1, settings["hidden_size"]]}, seed)
