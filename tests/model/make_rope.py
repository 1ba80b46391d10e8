"""Writes tests/model/fixtures/rope.json: inverse frequencies, and the factor of cosines and sines, that transformers
computes for config.json objects of all kinds of rope.

    python tests/model/make_rope.py

Needs torch and transformers. "long" has the frequencies of sequences beyond the original context.
"""

import json
import os

from transformers import LlamaConfig, Phi3Config
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures", "rope.json")
SIZES = {"vocab_size": 96, "hidden_size": 256, "intermediate_size": 48, "num_hidden_layers": 2,
         "num_attention_heads": 4, "max_position_embeddings": 4096}


def factors(n, first, step):
    return [round(first + step * i, 3) for i in range(n)]


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}
LONG = {"type": "longrope", "short_factor": factors(24, 1.0, 0.01), "long_factor": factors(24, 1.05, 0.7)}
CASES = [
    ("llama", {}),
    ("llama", {"rope_theta": 500000.0, "head_dim": 96}),
    ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 8.0}}),
    ("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 8.0}}),
    ("llama", {"rope_theta": 500000.0,
               "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                "original_max_position_embeddings": 512}}),
    ("llama", {"rope_scaling": YARN}),
    ("llama", {"rope_theta": 1000000.0, "rope_scaling": dict(YARN, factor=40.0, beta_fast=16.0, beta_slow=2.0)}),
    ("llama", {"rope_scaling": dict(YARN, truncate=False)}),
    ("llama", {"rope_scaling": dict(YARN, mscale=1.0, mscale_all_dim=0.7)}),
    ("llama", {"rope_scaling": dict(YARN, attention_factor=1.25)}),
    ("llama", {"rope_scaling": dict(YARN, original_max_position_embeddings=4)}),
    ("phi3", {"partial_rotary_factor": 0.75, "original_max_position_embeddings": 1024, "rope_scaling": LONG}),
    ("phi3", {"partial_rotary_factor": 0.75, "original_max_position_embeddings": 4096, "rope_scaling": LONG}),
    ("phi3", {"partial_rotary_factor": 0.75, "original_max_position_embeddings": 1024,
              "rope_scaling": dict(LONG, attention_factor=1.5)}),
]


def compute(family, keys):
    written = {"model_type": family, **SIZES, **keys}
    config = {"llama": LlamaConfig, "phi3": Phi3Config}[family](**json.loads(json.dumps({**SIZES, **keys})),
                                                                 pad_token_id=0)
    kind = config.rope_parameters["rope_type"]
    if kind == "default":
        (short, factor), (long, _) = [LlamaRotaryEmbedding.compute_default_rope_parameters(config)] * 2
    else:
        short, factor = ROPE_INIT_FUNCTIONS[kind](config)
        long, _ = ROPE_INIT_FUNCTIONS[kind](config, seq_len=config.max_position_embeddings)
    return {"config": written, "factor": float(factor), "short": [float(x) for x in short],
            "long": [float(x) for x in long]}


def main():
    with open(PATH, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(compute(*case)) for case in CASES) + "\n]\n")


if __name__ == "__main__":
    main()
