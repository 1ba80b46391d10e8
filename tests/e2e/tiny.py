"""Makes a tiny Llama folder out of nothing but the standard library: random weights, a byte-level tokenizer with a few
merges, a ChatML template. Small enough to run a whole iteration in seconds."""
import json
import math
import pathlib
import random
import struct

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = [("t", "h"), ("th", "e"), ("i", "n"), ("e", "r"), ("a", "n"), ("\u0120", "the"), ("o", "n"), ("r", "e"),
          ("\u0120", "a"), ("an", "d"), ("e", "s"), ("o", "u"), ("\u0120", "s"), ("in", "g")]
# Our own; the system message that it adds is SmolLM2's.
CHATML = ("{% if messages and messages[0].role != 'system' %}<|im_start|>system\n"
          "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n{% endif %}"
          "{% for turn in messages %}{{ '<|im_start|>' + turn.role }}\n{{ turn.content + '<|im_end|>' }}\n{% endfor %}"
          "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def byte_alphabet():
    """GPT-2's visible stand-ins for the 256 bytes."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {}, 0
    for byte in range(256):
        if byte in visible:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(256 + extra)
            extra += 1
    return [table[b] for b in range(256)]


def write_tokenizer(folder):
    vocab = {}
    for token in SPECIAL + byte_alphabet() + [a + b for a, b in MERGES]:
        vocab.setdefault(token, len(vocab))
    added = [{"id": vocab[t], "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for t in SPECIAL]
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
                 "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
                 "post_processor": None,
                 "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
                 "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                           "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                           "vocab": vocab, "merges": [f"{a} {b}" for a, b in MERGES]}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
         "chat_template": CHATML}))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": vocab["<|im_end|>"]}))
    return len(vocab)


def write_safetensors(path, tensors):
    header, offset, blobs = {}, 0, []
    for name, (shape, values) in tensors.items():
        blob = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def make(folder, hidden=32, layers=2, heads=4, kv_heads=2, ffn=64, context=1536, seed=1, scale=0.08, padding=0):
    """padding: rows of the vocabulary that the tokenizer has no tokens for."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vocab = write_tokenizer(folder) + padding
    head = hidden // heads
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab, "hidden_size": hidden,
              "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
              "intermediate_size": ffn, "max_position_embeddings": context, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
              "hidden_act": "silu", "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2,
              "torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    rng = random.Random(seed)

    def normal(*shape):
        return list(shape), [rng.gauss(0, scale) for _ in range(math.prod(shape))]

    tensors = {"model.embed_tokens.weight": normal(vocab, hidden)}
    for i in range(layers):
        p = f"model.layers.{i}."
        tensors[p + "input_layernorm.weight"] = ([hidden], [1.0] * hidden)
        tensors[p + "self_attn.q_proj.weight"] = normal(heads * head, hidden)
        tensors[p + "self_attn.k_proj.weight"] = normal(kv_heads * head, hidden)
        tensors[p + "self_attn.v_proj.weight"] = normal(kv_heads * head, hidden)
        tensors[p + "self_attn.o_proj.weight"] = normal(hidden, heads * head)
        tensors[p + "post_attention_layernorm.weight"] = ([hidden], [1.0] * hidden)
        tensors[p + "mlp.gate_proj.weight"] = normal(ffn, hidden)
        tensors[p + "mlp.up_proj.weight"] = normal(ffn, hidden)
        tensors[p + "mlp.down_proj.weight"] = normal(hidden, ffn)
    tensors["model.norm.weight"] = ([hidden], [1.0] * hidden)
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


def end_often(folder):
    """Lets every twelfth token end an output: random weights draw one soon, and the output is not cut off."""
    vocab = json.loads((folder / "config.json").read_text())["vocab_size"]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": list(range(2, vocab, 12))}))
    return folder


def write_prompts(path, name, n, categories=(None,)):
    """Instructions with checks that random bytes sometimes pass: letters that must or must not be frequent. categories: taken in
    turn, None is none."""
    with open(path, "w") as f:
        for i in range(n):
            checks = [{"type": "keywords:letter_frequency", "letter": letter, "let_frequency": 1 + i % 2,
                       "let_relation": relation} for letter, relation in zip("etans", ["at least", "less than"] * 3)]
            category = categories[i % len(categories)]
            f.write(json.dumps({"id": f"{name}-{i}", "instruction": f"Write something, {name} number {i}.",
                                "checks": checks, **({"category": category} if category else {})}) + "\n")


def layout_with(secret):
    """A thought layout whose thoughts all hold `secret`, which no judge may see."""
    return f"""
prompt: "Think, then reply. Request: {{instruction}}"
thought_marker: "Notes to myself:"
response_marker: "\\nReply for the user:"
prefill: "Notes to myself:\\n{secret} "
thought_tokens: 10
response_tokens: 16
on_budget: force
"""
