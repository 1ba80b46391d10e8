"""Writes tests/model/fixtures/families: a tiny random model of each family, as its users have it on disk, with the
log-probabilities and gradients that transformers gives for it in double precision.

    python tests/model/make_families.py [NAME ...]

Needs torch, transformers, safetensors. Everything follows from fixed seeds. Models are small, but have every kind of
layer that their family has, and sequences reach beyond windows and original contexts.
"""

import contextlib
import copy
import json
import os
import shutil
import sys

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures", "families")
VOCAB, CONTEXT, WINDOW = 96, 128, 20
SIZES = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=CONTEXT, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
             pad_token_id=None)
DEFAULT = {"rope_type": "default", "rope_theta": 10000.0}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}
LONGROPE = {"rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
            "original_max_position_embeddings": 32, "short_factor": [1.0, 1.05, 1.1, 1.2, 1.3, 1.5],
            "long_factor": [1.1, 1.5, 2.0, 2.7, 3.5, 4.5]}
# Gemma 3: the layers that see everything have other positions than those of a window.
BY_REACH = {"full_attention": {"rope_type": "linear", "rope_theta": 1000000.0, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}

# Of the configuration, what differs from SIZES. A folder's place is its seed: another comes last.
FAMILIES = {
    "gemma2": ("Gemma2", dict(num_hidden_layers=3, head_dim=16, query_pre_attn_scalar=24, sliding_window=WINDOW,
                              attn_logit_softcapping=4.0, final_logit_softcapping=3.0)),
    "gemma3": ("Gemma3Text", dict(num_hidden_layers=3, head_dim=16, query_pre_attn_scalar=24, sliding_window=WINDOW,
                                  layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                                  rope_parameters=BY_REACH)),
    "granite": ("Granite", dict(embedding_multiplier=3.0, attention_multiplier=0.2, residual_multiplier=0.4,
                                logits_scaling=2.0)),
    "llama_yarn": ("Llama", dict(rope_parameters=YARN)),
    "mistral_window": ("Mistral", dict(num_hidden_layers=3, sliding_window=WINDOW, head_dim=16)),
    "olmo2": ("Olmo2", dict()),
    "phi3_longrope": ("Phi3", dict(num_attention_heads=2, num_key_value_heads=1, rope_parameters=LONGROPE,
                                   original_max_position_embeddings=32, partial_rotary_factor=0.75)),
    "qwen2_tied": ("Qwen2", dict(tie_word_embeddings=True, sliding_window=WINDOW, use_sliding_window=False)),
    "qwen2_window_yarn": ("Qwen2", dict(num_hidden_layers=3, sliding_window=WINDOW, use_sliding_window=True,
                                        max_window_layers=1, rope_parameters=YARN)),
    "qwen3": ("Qwen3", dict(head_dim=16)),
    "smollm3": ("SmolLM3", dict(num_hidden_layers=4, no_rope_layers=[1, 1, 1, 0], tie_word_embeddings=True,
                                rope_parameters=dict(DEFAULT, rope_theta=2000000.0))),
    "gemma": ("Gemma", dict(head_dim=16)),
}
CLASSES = {"Gemma3Text": "Gemma3"}


@contextlib.contextmanager
def in_double():
    """Also where the models' code goes to single precision by name: norms, softmax and angles."""
    single, to_single = torch.float32, torch.Tensor.float
    torch.float32, torch.Tensor.float = torch.float64, torch.Tensor.double
    try:
        yield
    finally:
        torch.float32, torch.Tensor.float = single, to_single


def random_weight(name, p, from_one):
    """Large, so that attention, positions and caps matter."""
    if p.dim() == 1 and "norm" in name:
        return (0 if from_one else 1) + 0.2 * torch.randn(p.shape)
    return 0.25 * torch.randn(p.shape)


def make(name):
    family, differences = FAMILIES[name]
    config_class = getattr(transformers, family + "Config")
    model_class = getattr(transformers, CLASSES.get(family, family) + "ForCausalLM")
    settings = dict(SIZES, rope_parameters=DEFAULT)
    settings.update(differences)
    config = config_class(**settings, attn_implementation="eager")
    torch.manual_seed(list(FAMILIES).index(name))
    model = model_class(config).eval()
    with torch.no_grad():
        for n, p in model.named_parameters():
            p.copy_(random_weight(n, p, family.startswith("Gemma")).to(torch.bfloat16))
    return model


def sequences(lengths):
    rng = np.random.default_rng(7)
    return [[int(i) for i in rng.integers(0, VOCAB, n)] for n in lengths]


def logprobs(model, ids):
    logits = model(torch.tensor([ids])).logits[0]
    assert logits.dtype == torch.float64
    return torch.log_softmax(logits, -1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]


def write_logprobs(model, folder, ids_lists):
    with torch.no_grad(), in_double():
        rows = [{"ids": ids, "logprobs": [round(float(x), 6) for x in logprobs(model, ids)]} for ids in ids_lists]
    with open(os.path.join(folder, "logprobs.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")


def write_gradients(model, folder, ids):
    """Of sum of d_i * logprob_i. Matrices' are kept in fp16, which must not move them much."""
    d = torch.tensor([round(0.3 + 0.25 * ((7 * i) % 11 - 5), 4) if i % 5 else 0.0 for i in range(len(ids) - 1)])
    model.zero_grad()
    with in_double():
        (logprobs(model, ids) * d).sum().backward()
    exact = {n: p.grad for n, p in model.named_parameters()}
    rounded = {n: g.to(torch.float16 if g.dim() > 1 else torch.float32).contiguous() for n, g in exact.items()}
    for n, g in exact.items():
        off = float((rounded[n].double() - g).norm() / g.norm())
        assert off < 4e-4, f"{n}: rounding the gradient to fp16 moves it by {off}"
    save_file(rounded, os.path.join(folder, "gradients.safetensors"))
    with open(os.path.join(folder, "gradients.json"), "w") as f:
        json.dump({"ids": ids, "dlogprob": [float(x) for x in d]}, f)


def write(name):
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    model = make(name)
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)  # rounds the frequencies, too
    os.remove(os.path.join(folder, "generation_config.json"))
    model.to(torch.float64)
    ids = sequences([2, 30, 100])
    write_logprobs(model, folder, ids)
    write_gradients(model, folder, ids[2][:44])
    print(name)


def main():
    os.makedirs(HERE, exist_ok=True)
    for name in sys.argv[1:] or FAMILIES:
        write(name)


if __name__ == "__main__":
    main()
