"""Writes GGUF files of the tiny model, whole ones and self-contradicting ones."""
import json
import struct

import tiny

FORMATS = {4: "<I", 5: "<i", 6: "<f", 10: "<Q"}
STRING, ARRAY, U32, I32, F32, U64 = 8, 9, 4, 5, 6, 10
NAMES = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
         "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key, kind, value):
    if kind == STRING:
        return string(key) + struct.pack("<I", kind) + string(value)
    if kind == ARRAY:
        element, items = value
        packed = [string(i) if element == STRING else struct.pack(FORMATS[element], i) for i in items]
        return string(key) + struct.pack("<IIQ", kind, element, len(items)) + b"".join(packed)
    return string(key) + struct.pack("<I", kind) + struct.pack(FORMATS[kind], value)


def metadata(folder):
    vocab = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    tokens = sorted(vocab, key=vocab.get)
    special = len(tiny.SPECIAL)
    return {"general.architecture": (STRING, "llama"), "llama.block_count": (U32, 2), "llama.context_length": (U32, 512),
            "llama.embedding_length": (U32, 32), "llama.feed_forward_length": (U32, 64),
            "llama.attention.head_count": (U32, 4), "llama.attention.head_count_kv": (U32, 2),
            "llama.attention.layer_norm_rms_epsilon": (F32, 1e-5), "llama.rope.freq_base": (F32, 10000.0),
            "llama.vocab_size": (U32, len(tokens)), "tokenizer.ggml.model": (STRING, "gpt2"),
            "tokenizer.ggml.pre": (STRING, "gpt-2"), "tokenizer.ggml.tokens": (ARRAY, (STRING, tokens)),
            "tokenizer.ggml.token_type": (ARRAY, (I32, [3] * special + [1] * (len(tokens) - special))),
            "tokenizer.ggml.merges": (ARRAY, (STRING, [f"{a} {b}" for a, b in tiny.MERGES])),
            "tokenizer.ggml.bos_token_id": (U32, 1), "tokenizer.ggml.eos_token_id": (U32, 2),
            "tokenizer.chat_template": (STRING, tiny.CHATML)}


def tensors(folder):
    """[name, shape with the fastest dimension first, type number, bytes] of each."""
    data = (folder / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    rows = []
    for name, entry in json.loads(data[8:8 + size]).items():
        stem = name.removesuffix(".weight")
        if stem.startswith("model.layers."):
            layer, rest = stem.removeprefix("model.layers.").split(".", 1)
            stem = f"blk.{layer}.{NAMES[rest]}"
        stem = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}.get(stem, stem)
        begin, end = entry["data_offsets"]
        rows.append([stem + ".weight", entry["shape"][::-1], 0, data[8 + size + begin:8 + size + end]])
    return rows


def build(meta, rows, version=3, n_tensors=None, n_pairs=None, offsets=None, more=b""):
    """`more` is raw metadata, counted as one pair; offsets {index: offset} override where a tensor's data is said to be."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(rows) if n_tensors is None else n_tensors,
                                 len(meta) + bool(more) if n_pairs is None else n_pairs)
    head += b"".join(pair(key, *value) for key, value in meta.items()) + more
    body = b""
    for i, (name, shape, kind, data) in enumerate(rows):
        head += string(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", d) for d in shape)
        head += struct.pack("<IQ", kind, (offsets or {}).get(i, len(body)))
        body += data + b"\0" * (-len(data) % 32)
    return head + b"\0" * (-len(head) % 32) + body
