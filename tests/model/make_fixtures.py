"""Writes tests/model/fixtures: tiny random Llama models with the log-probabilities and gradients that PyTorch and
transformers give for them, and the same for SmolLM2-135M-Instruct when its GGUF is named.

    python tests/model/make_fixtures.py [SmolLM2-135M-Instruct.Q4_1.gguf]

Needs torch, transformers, safetensors, gguf. Everything follows from fixed seeds.
"""

import json
import os
import shutil
import sys

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
SIZES = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-5, hidden_act="silu",
             attention_bias=False, mlp_bias=False)
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}


def random_model(seed, sizes, theta, scaling, tied, dtype):
    """A model in fp32 whose weights are values of dtype. Large weights, so that attention and positions matter."""
    torch.manual_seed(seed)
    rope = dict(scaling or {"rope_type": "default"}, rope_theta=theta)
    config = LlamaConfig(**sizes, rope_parameters=rope, tie_word_embeddings=tied, attn_implementation="eager")
    model = LlamaForCausalLM(config).float().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(1 + 0.2 * torch.randn(p.shape) if p.dim() == 1 else 0.25 * torch.randn(p.shape))
            p.copy_(p.to(dtype).float())
    return model


def sequences(seed, vocab, lengths):
    rng = np.random.default_rng(seed)
    return [[int(i) for i in rng.integers(0, vocab, n)] for n in lengths]


def logprobs(model, ids):
    logits = model(torch.tensor([ids])).logits[0].float()
    all_of_them = torch.log_softmax(logits, -1)
    return all_of_them[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]


def expected(model, ids_lists, path):
    with torch.no_grad():
        rows = [{"ids": ids, "logprobs": [round(float(x), 7) for x in logprobs(model, ids)]} for ids in ids_lists]
    with open(path, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")


def write_weights(model, folder, dtype, shards, tied):
    tensors = {n: p.detach().to(dtype).contiguous() for n, p in model.named_parameters()}
    if shards == 1:
        save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
        return
    names, index = sorted(tensors), {}
    for s in range(shards):
        file = f"model-{s + 1:05d}-of-{shards:05d}.safetensors"
        part = {n: tensors[n] for n in names[s::shards]}
        index.update({n: file for n in part})
        save_file(part, os.path.join(folder, file), metadata={"format": "pt"})
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}, "weight_map": index}, f)


def folder_of(name, model, config, dtype, shards=1, gradients=False):
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump({"architectures": ["LlamaForCausalLM"], "model_type": "llama", **config}, f, indent=1)
    write_weights(model, folder, dtype, shards, config.get("tie_word_embeddings", False))
    ids = sequences(7, config["vocab_size"], [2, 40, 150])
    expected(model, ids, os.path.join(folder, "logprobs.json"))
    if gradients:
        write_gradients(model, folder, ids[1])


def write_gradients(model, folder, ids):
    """d loss / d weights for loss = sum of d_i * logprob_i, with fixed d."""
    d = torch.tensor(np.random.default_rng(11).normal(size=len(ids) - 1), dtype=torch.float32)
    d[::5] = 0
    model.zero_grad()
    (logprobs(model, ids) * d).sum().backward()
    save_file({n: p.grad for n, p in model.named_parameters()}, os.path.join(folder, "gradients.safetensors"))
    with open(os.path.join(folder, "gradients.json"), "w") as f:
        json.dump({"ids": ids, "dlogprob": [float(x) for x in d]}, f)


def interleave(weight, heads):
    """From the rotate-half order of rows within a head to GGUF's interleaved one."""
    rows, cols = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, cols).swapaxes(1, 2).reshape(rows, cols)


GGUF_NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
              "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
              "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
OTHER_NAMES = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
               "lm_head.weight": "output.weight"}


def gguf_name(name):
    if name in OTHER_NAMES:
        return OTHER_NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{GGUF_NAMES[rest.removesuffix('.weight')]}.weight"


def llama3_divisors(theta, head_dim):
    frequency = 1.0 / theta ** (np.arange(0, head_dim, 2) / head_dim)
    wavelength = 2 * np.pi / frequency
    original, low, high, factor = 64, 1.0, 4.0, 8.0
    smooth = (original / wavelength - low) / (high - low)
    between = 1 / ((1 - smooth) / factor + smooth)
    return np.where(wavelength < original / high, 1, np.where(wavelength > original / low, factor, between))


def write_gguf(name, model, theta, quantization, llama3):
    """Also replaces the model's weights by what the file holds, so that expected values follow the file."""
    c, path = model.config, os.path.join(HERE, name + ".gguf")
    w = gguf.GGUFWriter(path, "llama")
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_head_count_kv(c.num_key_value_heads)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_rope_freq_base(theta)
    w.add_vocab_size(c.vocab_size)
    if llama3:
        w.add_rope_scaling_orig_ctx_len(64)
        w.add_tensor("rope_freqs.weight", llama3_divisors(theta, c.hidden_size // c.num_attention_heads)
                     .astype(np.float32))
    for n, p in model.named_parameters():
        heads = {"q_proj": c.num_attention_heads, "k_proj": c.num_key_value_heads}.get(n.split(".")[-2])
        value = p.detach().numpy()
        if heads:
            value = interleave(value, heads)
        kind = gguf.GGMLQuantizationType.F32 if p.dim() == 1 or value.shape[1] % 32 else quantization
        packed = gguf.quants.quantize(np.ascontiguousarray(value), kind)
        w.add_tensor(gguf_name(n), packed, raw_dtype=kind)
        back = torch.tensor(gguf.quants.dequantize(packed, kind)).reshape(value.shape)
        if heads:
            rows, cols = back.shape
            back = back.reshape(heads, rows // heads // 2, 2, cols).swapaxes(1, 2).reshape(rows, cols)
        with torch.no_grad():
            p.copy_(back)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    expected(model, sequences(7, c.vocab_size, [2, 40, 150]), os.path.join(HERE, name + ".json"))


def small_tokenizer():
    """Every byte a token, and two special ones: a tokenizer for what saves and exports models."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|begin|>", "<|end|>"])
    folder = os.path.join(HERE, "tokenizer")
    os.makedirs(folder, exist_ok=True)
    tokenizer.save(os.path.join(folder, "tokenizer.json"), pretty=False)
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin|>", "eos_token": "<|end|>",
                   "add_bos_token": False, "add_eos_token": False, "clean_up_tokenization_spaces": False}, f, indent=1)


def smollm2(path):
    from transformers import AutoModelForCausalLM, AutoTokenizer
    folder, file = os.path.split(os.path.abspath(path))
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    texts = ["<|im_start|>user\nName three colours of the rainbow.<|im_end|>\n<|im_start|>assistant\n"
             "Red, green and violet are three colours of the rainbow.<|im_end|>\n",
             "The river rose all night. By morning the lower field was a lake, and the gate stood in it up to the hinge.",
             "for (int i = 0; i < n; i++) total += prices[i] * 1.19;  /* with tax */"]
    ids = [tokenizer(t, add_special_tokens=False)["input_ids"] for t in texts]
    ids += sequences(3, 49152, [600])
    expected(model, ids, os.path.join(HERE, "smollm2.json"))


def main():
    os.makedirs(HERE, exist_ok=True)
    f32, f16, bf16 = torch.float32, torch.float16, torch.bfloat16

    tied = dict(SIZES, rope_theta=10000.0, rope_scaling=None, tie_word_embeddings=True, torch_dtype="float32")
    folder_of("default_tied_f32", random_model(1, SIZES, 1e4, None, True, f32), tied, f32, gradients=True)

    untied = dict(SIZES, head_dim=8, rope_parameters=dict(LLAMA3, rope_theta=500.0), tie_word_embeddings=False,
                  dtype="bfloat16")
    folder_of("llama3_untied_bf16", random_model(2, SIZES, 500.0, LLAMA3, False, bf16), untied, bf16, gradients=True)

    old = {"type": "linear", "factor": 2.0}
    sizes = dict(SIZES, head_dim=16)
    folder_of("linear_sharded_f16", random_model(3, sizes, 1e4, {"rope_type": "linear", "factor": 2.0}, False, f16),
              dict(sizes, rope_theta=10000.0, rope_scaling=old, tie_word_embeddings=False, torch_dtype="float16"), f16,
              shards=3)

    plain = {k: v for k, v in SIZES.items() if k not in ("num_key_value_heads", "attention_bias", "mlp_bias")}
    folder_of("no_groups_f32", random_model(4, dict(plain, num_key_value_heads=4), 1e4, None, False, f32), plain, f32)

    q = gguf.GGMLQuantizationType
    write_gguf("llama3_bf16", random_model(2, SIZES, 500.0, LLAMA3, False, bf16), 500.0, q.BF16, True)
    write_gguf("default_q8_0", random_model(5, SIZES, 1e4, None, True, f32), 1e4, q.Q8_0, False)
    small_tokenizer()
    if len(sys.argv) > 1:
        smollm2(sys.argv[1])


if __name__ == "__main__":
    main()
