"""Folders of tiny reward models, made of tests/judge/fixtures with nothing but the standard library."""
import json
import pathlib
import shutil
import struct

import tiny

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "judge" / "fixtures"


def read_safetensors(path):
    """The header and the bytes after it."""
    data = path.read_bytes()
    (n,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8:8 + n]), data[8 + n:]


def write_safetensors(path, tensors):
    """tensors: name -> (dtype, shape, bytes)"""
    header, offset = {}, 0
    for name, (dtype, shape, blob) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blob for _, _, blob in tensors.values()))


def load_tensors(path):
    header, data = read_safetensors(path)
    return {name: (t["dtype"], t["shape"], data[t["data_offsets"][0]:t["data_offsets"][1]])
            for name, t in header.items() if name != "__metadata__"}


def expected(name):
    return json.loads((FIXTURES / name / "expected.json").read_text())


def make_armorm(folder):
    """The fixture's few rows of the embedding in their places, zeros elsewhere."""
    fixture = FIXTURES / "armorm"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(fixture / name, folder)
    tensors = load_tensors(fixture / "compact.safetensors")
    dtype, (_, width), blob = tensors["model.embed_tokens.weight"]
    vocab, row = json.loads((fixture / "config.json").read_text())["vocab_size"], len(blob) // len(expected("armorm")["rows"])
    table = bytearray(vocab * row)
    for i, token in enumerate(expected("armorm")["rows"]):
        table[token * row:(token + 1) * row] = blob[i * row:(i + 1) * row]
    tensors["model.embed_tokens.weight"] = (dtype, [vocab, width], bytes(table))
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


def make_seqcls(folder):
    """With the tokenizer and the template of tiny.py."""
    shutil.copytree(FIXTURES / "seqcls", folder)
    tiny.write_tokenizer(folder)
    return folder
