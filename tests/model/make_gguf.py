"""Writes tests/model/fixtures/families_gguf: the models of tests/model/fixtures/families as GGUF files, by the rules of
llama.cpp's conversion and with the names, keys and types of the gguf package. Their log-probabilities are the folders'.

    python tests/model/make_gguf.py [NAME ...]

Needs gguf, numpy. Matrices are bf16, as in the folders, vectors fp32.
"""

import json
import math
import os
import sys

import gguf
import numpy as np

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
ARCHITECTURES = {"mistral": "llama", "gemma3_text": "gemma3"}
INTERLEAVED = {"llama", "granite", "smollm3"}


def read_safetensors(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        data = f.read()
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        begin, end = tensor["data_offsets"]
        assert tensor["dtype"] == "BF16"
        bits = np.frombuffer(data[begin:end], np.uint16).astype(np.uint32) << 16
        yield name, bits.view(np.float32).reshape(tensor["shape"])


def interleave(rows, heads):
    """Feature i of a head's first half, then feature i of its second, and so on."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)


class Conversion:
    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "config.json")) as f:
            self.config = json.load(f)
        self.kind = self.config["model_type"]
        self.name = ARCHITECTURES.get(self.kind, self.kind)
        self.arch = next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == self.name)
        self.heads = self.config["num_attention_heads"]
        self.head_dim = self.config.get("head_dim") or self.config["hidden_size"] // self.heads

    def put_sizes(self, w):
        c = self.config
        w.add_context_length(c["max_position_embeddings"])
        w.add_embedding_length(c["hidden_size"])
        w.add_block_count(c["num_hidden_layers"])
        w.add_feed_forward_length(c["intermediate_size"])
        w.add_head_count(self.heads)
        w.add_head_count_kv(c["num_key_value_heads"])
        w.add_layer_norm_rms_eps(c["rms_norm_eps"])
        if "head_dim" in c:
            w.add_key_length(c["head_dim"])
            w.add_value_length(c["head_dim"])

    def put_rope(self, w):
        rope = self.config["rope_parameters"]
        local = rope.get("sliding_attention")
        rope = rope.get("full_attention", rope)
        if self.name not in ("gemma", "gemma2"):
            w.add_rope_freq_base(rope["rope_theta"])
        if local:
            w.add_float32("gemma3.rope.freq_base_swa", local["rope_theta"])
        if rope["rope_type"] in ("linear", "yarn"):
            w.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
            w.add_rope_scaling_factor(rope["factor"])
        if rope["rope_type"] == "yarn":
            w.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        if self.name in ("llama", "granite", "smollm3"):
            w.add_rope_dimension_count(self.head_dim)
        if self.name == "phi3":
            self.put_longrope(w, rope)

    def put_longrope(self, w, rope):
        context, original = self.config["max_position_embeddings"], rope["original_max_position_embeddings"]
        w.add_rope_dimension_count(int(rope["partial_rotary_factor"] * self.head_dim))
        w.add_rope_scaling_orig_ctx_len(original)
        w.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(context / original) / math.log(original)))
        w.add_tensor("rope_factors_long.weight", np.array(rope["long_factor"], np.float32))
        w.add_tensor("rope_factors_short.weight", np.array(rope["short_factor"], np.float32))

    def put_rest(self, w):
        c = self.config
        if c.get("sliding_window"):
            w.add_sliding_window(c["sliding_window"])
        if self.name in ("gemma3", "qwen2", "qwen3") and c.get("sliding_window"):
            w.add_sliding_window_pattern([t == "sliding_attention" for t in c["layer_types"]])
        if self.name == "phi3":
            w.add_sliding_window(c["sliding_window"] or 0)
        if self.name == "gemma2":
            w.add_attn_logit_softcapping(c["attn_logit_softcapping"])
            w.add_final_logit_softcapping(c["final_logit_softcapping"])
        if self.name == "granite":
            w.add_attention_scale(c["attention_multiplier"])
            w.add_embedding_scale(c["embedding_multiplier"])
            w.add_residual_scale(c["residual_multiplier"])
            w.add_logit_scale(c["logits_scaling"])

    def turn(self, name, data):
        """The numbers as GGUF has them. Its Gemma has no key for query_pre_attn_scalar: it goes into the queries."""
        if self.name in INTERLEAVED and ".q_proj" in name:
            data = interleave(data, self.heads)
        if self.name in INTERLEAVED and ".k_proj" in name:
            data = interleave(data, self.config["num_key_value_heads"])
        if self.name.startswith("gemma") and name.endswith("norm.weight"):
            data = data + np.float32(1)
        if name.endswith({"gemma2": ".q_proj.weight", "gemma3": ".q_norm.weight"}.get(self.name, "-")):
            data = data * np.float32(math.sqrt(self.head_dim / self.config["query_pre_attn_scalar"]))
        return data

    def put_tensors(self, w):
        names = gguf.get_tensor_name_map(self.arch, self.config["num_hidden_layers"])
        for name, data in read_safetensors(os.path.join(self.folder, "model.safetensors")):
            known = names.get_name(name, try_suffixes=(".weight", ".bias"))
            turned = self.turn(name, data)
            exact = data.ndim > 1 and np.array_equal(gguf.dequantize(
                gguf.quantize(turned, gguf.GGMLQuantizationType.BF16), gguf.GGMLQuantizationType.BF16), turned)
            kind = gguf.GGMLQuantizationType.BF16 if exact else gguf.GGMLQuantizationType.F32
            w.add_tensor(known, gguf.quantize(turned, kind), raw_dtype=kind)

    def write(self, path):
        w = gguf.GGUFWriter(path, self.name)
        self.put_sizes(w)
        self.put_rope(w)
        self.put_rest(w)
        self.put_tensors(w)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.write_tensors_to_file()
        w.close()


def main():
    folders = os.path.join(HERE, "families")
    os.makedirs(os.path.join(HERE, "families_gguf"), exist_ok=True)
    for name in sys.argv[1:] or sorted(os.listdir(folders)):
        path = os.path.join(HERE, "families_gguf", name + ".gguf")
        Conversion(os.path.join(folders, name)).write(path)
        print(name, os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
