"""Hostile files: each is refused with one message that names it, quickly, without much memory, and never with a crash."""
import gzip
import json
import os
import random
import resource
import shutil
import struct
import subprocess

import pytest

import gguf
import tiny
from conftest import BUILD, environment

IDS = b'{"ids":[1,2,3]}\n'


def run(*args, stdin=IDS, memory=2 << 30):
    """Within 20 s and 2 GiB of addresses; no limit under the address sanitizer, which takes terabytes of them."""
    def limit():
        if not os.environ.get("ASAN_OPTIONS"):
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    return subprocess.run([BUILD / "tpo", *map(str, args)], input=stdin, capture_output=True, timeout=20,
                          env=environment(), preexec_fn=limit, check=False)


def refused(*args, words=(), code=(1, 2), stdin=IDS):
    result = run(*args, stdin=stdin)
    text = result.stderr.decode()
    assert result.returncode in code, f"exit {result.returncode}\n{text}"
    lines = text.splitlines()
    assert len(lines) == 1 and lines[0].startswith("tpo"), text
    for word in words:
        assert word in lines[0], f"{word!r} is not in: {lines[0]}"
    return lines[0]


@pytest.fixture
def model(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


@pytest.mark.parametrize("key", ["num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads",
                                 "num_key_value_heads", "head_dim", "vocab_size", "max_position_embeddings"])
def test_absurd_sizes(model, key):
    text = (model / "config.json").read_text()
    for value in (0, -1, 1 << 31, 10 ** 18, 10 ** 30, 1.5, "32", [], 1e308):
        config = json.loads(text)
        config[key] = value
        (model / "config.json").write_text(json.dumps(config))
        refused("logprobs", "--model", model, words=["config.json", key])


@pytest.mark.parametrize("key, value", [("rope_theta", 0), ("rope_theta", -1), ("rope_theta", "x"), ("rms_norm_eps", 0),
                                        ("rms_norm_eps", 2), ("head_dim", 7), ("num_attention_heads", 5),
                                        ("sliding_window", 5), ("tie_word_embeddings", False)])
def test_contradictions(model, key, value):
    config = json.loads((model / "config.json").read_text())
    config[key] = value
    (model / "config.json").write_text(json.dumps(config))
    refused("logprobs", "--model", model, words=[str(model)])


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "generation_config.json"])
@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 200_000, '{"a":' * 200_000, "\0", '{"a":1,"a":2}',
                                     '{"a":"' + "x" * 40_000_000])
def test_json_that_is_not_what_it_should_be(tpo, model, prompts, tmp_path, name, content):
    (model / name).write_text(content)
    refused("generate", "--model", model, "--prompts", prompts, "--out", tmp_path / "o.h5", words=[name])


@pytest.mark.parametrize("path, value, word", [
    (["model", "merges"], ["a"], "merge 0"), (["model", "merges"], ["qq zz"], "qq"), (["model", "merges"], [5], "merge 0"),
    (["model", "vocab"], {"a": 0, "b": 0}, "id 0"), (["model", "vocab"], {"a": -1}, "vocab"),
    (["model", "vocab"], {"a": 2 ** 31 - 1}, "vocab"), (["model", "vocab"], [], "vocab"),
    (["model", "type"], "Unigram", "Unigram"), (["added_tokens", 0, "id"], 2 ** 31 - 1, "id"),
    (["added_tokens", 0, "content"], "", "added token"), (["pre_tokenizer"], {"type": "X\x1b[31m"}, r"X\x1b[31m")])
def test_tokenizers(model, path, value, word):
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    place = tokenizer
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    refused("tokenize", "--model", model, words=["model", word], code=(1,))


@pytest.mark.parametrize("pattern", ["(a+)+$", "(", "(?R)", "(?<=a+)b", "\\p{Zorro}", "\\K", "(" * 300_000])
def test_regular_expressions_that_never_end(model, pattern):
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    refused("tokenize", "--model", model, words=["regular expression"] if pattern != "\\K" else ["\\K"], code=(1,),
            stdin=b"a" * 20_000 + b" b")


def test_endless_lists_of_end_tokens(model, prompts, tmp_path):
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": list(range(100_000))}))
    refused("generate", "--model", model, "--prompts", prompts, "--out", tmp_path / "o.h5", words=["eos_token_id"])


@pytest.mark.parametrize("kind", ["../x", "absolute", ".", "", "missing", "number", "fifo", "loop", "text"])
def test_an_index_that_leads_elsewhere(model, tmp_path, kind):
    shutil.move(model / "model.safetensors", tmp_path / "outside.safetensors")
    name = {"../x": "../outside.safetensors", "absolute": str(tmp_path / "outside.safetensors"), ".": ".", "": "",
            "missing": "b.safetensors", "number": 5}.get(kind, "c.safetensors")
    if kind == "fifo":
        os.mkfifo(model / "c.safetensors")
    elif kind == "loop":
        os.symlink("c.safetensors", model / "c.safetensors")
    elif kind == "text":
        (model / "c.safetensors").write_text("secret words, which no message may show")
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
    assert "secret" not in refused("logprobs", "--model", model, words=["model.safetensors.index.json"])


def safetensors(model, change):
    path = model / "model.safetensors"
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    body = change(header, bytearray(data[8 + size:]))
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


@pytest.mark.parametrize("field, value", [
    ("data_offsets", [0, 10 ** 18]), ("data_offsets", [128, 0]), ("data_offsets", [-4, 124]), ("data_offsets", [0, 128]),
    ("data_offsets", [2 ** 64 - 128, 2 ** 64]), ("data_offsets", None), ("shape", [10 ** 18]), ("shape", [2 ** 32, 2 ** 32]),
    ("shape", [-32]), ("shape", [1] * 5000), ("shape", [16]), ("shape", None), ("dtype", "F64"), ("dtype", "F99"),
    ("dtype", 5)])
def test_safetensors_that_contradict_themselves(model, field, value):
    def change(header, body):
        header["model.norm.weight"][field] = value
        return body

    safetensors(model, change)
    refused("logprobs", "--model", model, words=["model.safetensors"], code=(1,))


def test_weights_that_are_no_numbers(model):
    safetensors(model, lambda header, body: body[:-4] + b"\x00\x00\xc0\x7f")
    refused("logprobs", "--model", model, words=["model.safetensors", "model.norm.weight", "nan"], code=(1,))


GGUF_CASES = [
    dict(version=1), dict(version=99), dict(n_tensors=2 ** 64 - 1), dict(n_tensors=2 ** 32), dict(n_pairs=2 ** 64 - 1),
    dict(n_pairs=2 ** 40), dict(offsets={3: 2 ** 64 - 32}), dict(offsets={3: 10 ** 9}), dict(offsets={3: 7}),
    dict(offsets={3: 0}), dict(more=gguf.pair("llama.block_count", gguf.U32, 2)),
    dict(more=gguf.string("x") + struct.pack("<I", 77)), dict(more=struct.pack("<Q", 2 ** 64 - 1)),
    dict(more=gguf.string("x") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 100_000),
    dict(more=gguf.string("x") + struct.pack("<IIQ", 9, 0, 2 ** 63)),
    dict(more=gguf.string("x") + struct.pack("<IIQ", 9, 8, 2 ** 61)),
    dict(more=gguf.pair("general.alignment", gguf.U32, 0)), dict(more=gguf.pair("general.alignment", gguf.U32, 7))]


@pytest.mark.parametrize("case", range(len(GGUF_CASES)))
def test_gguf_headers(tiny_model, tmp_path, case):
    path = tmp_path / "x.gguf"
    path.write_bytes(gguf.build(gguf.metadata(tiny_model), gguf.tensors(tiny_model), **GGUF_CASES[case]))
    for command in ("logprobs", "tokenize"):
        refused(command, "--model", path, words=["x.gguf"], code=(1,))
    refused("inspect", path, words=["x.gguf"], code=(1,))


@pytest.mark.parametrize("key, kind, value", [
    ("llama.block_count", gguf.U32, 2 ** 32 - 1), ("llama.block_count", gguf.U64, 2 ** 64 - 1),
    ("llama.block_count", gguf.STRING, "2"), ("llama.block_count", gguf.U32, 3), ("llama.block_count", gguf.U32, 0),
    ("llama.embedding_length", gguf.U32, 2 ** 31), ("llama.embedding_length", gguf.U32, 33),
    ("llama.attention.head_count", gguf.U32, 0), ("llama.vocab_size", gguf.U32, 5),
    ("llama.rope.freq_base", gguf.F32, float("nan")), ("llama.context_length", gguf.U32, 0),
    ("general.architecture", gguf.STRING, b"\xff\x1b[31m"), ("general.architecture", gguf.U32, 1)])
def test_gguf_sizes_that_do_not_fit(tiny_model, tmp_path, key, kind, value):
    path = tmp_path / "x.gguf"
    meta = gguf.metadata(tiny_model)
    meta[key] = (kind, value)
    path.write_bytes(gguf.build(meta, gguf.tensors(tiny_model)))
    refused("logprobs", "--model", path, words=["x.gguf"], code=(1,))


@pytest.mark.parametrize("change", ["missing", "twice", "unknown", "shape", "zero", "dimensions", "overflow", "type", "nan",
                                    "long name"])
def test_gguf_tensors(tiny_model, tmp_path, change):
    rows = gguf.tensors(tiny_model)
    norm = rows[1]
    if change == "missing":
        rows.pop()
    elif change == "twice":
        rows.append(rows[0])
    elif change == "unknown":
        rows.append(["\x1b]0;x\x07", [32], 0, bytes(128)])
    elif change == "nan":
        rows[0][3] = b"\xff" * len(rows[0][3])
    elif change == "type":
        norm[2] = 99
    elif change == "long name":
        norm[0] = "a" * 100_000
    else:
        norm[1] = {"shape": [31], "zero": [0], "dimensions": [1] * 1000, "overflow": [2 ** 32, 2 ** 32]}[change]
    path = tmp_path / "x.gguf"
    path.write_bytes(gguf.build(gguf.metadata(tiny_model), rows))
    assert "\x1b" not in refused("logprobs", "--model", path, words=["x.gguf"], code=(1,))


def test_damaged_files_never_crash(tpo, tiny_model, prompts, tmp_path):
    """Bytes changed at random in the tables of each kind of file."""
    scored, pairs, checkpoint = (tmp_path / f"{name}.h5" for name in ("scored", "pairs", "checkpoint"))
    samples = tmp_path / "samples.h5"
    tpo.ok("generate", "--model", tiny_model, "--prompts", prompts, "--out", samples, "--k", 3, "--max-tokens", 40,
           "--thought", "none", "--temperature", 1)
    tpo.ok("judge", "--samples", samples, "--judge", "rule", "--out", scored)
    (tmp_path / "p.jsonl").write_text('{"prompt_ids":[1,2],"chosen_ids":[3],"rejected_ids":[4,5]}\n')
    tpo.ok("dpo", "--model", tiny_model, "--pairs", tmp_path / "p.jsonl", "--out", checkpoint, "--batch", 1)
    whole = tmp_path / "whole.gguf"
    whole.write_bytes(gguf.build(gguf.metadata(tiny_model), gguf.tensors(tiny_model)))
    assert run("logprobs", "--model", whole).returncode == 0
    rng = random.Random(11)
    for source, commands in ((scored, [["inspect", "F"], ["pairs", "--samples", "F", "--out", pairs]]),
                             (checkpoint, [["inspect", "F"], ["logprobs", "--model", "F"]]),
                             (whole, [["inspect", "F"], ["logprobs", "--model", "F"], ["tokenize", "--model", "F"]])):
        data = source.read_bytes()
        for _ in range(12):
            changed = bytearray(data)
            for _ in range(rng.choice([1, 3, 8])):
                changed[rng.randrange(min(len(data), rng.choice([500, 5000, len(data)])))] = rng.choice([0, 127, 128, 255])
            path = tmp_path / ("f" + source.suffix)
            path.write_bytes(changed)
            for args in commands:
                code = run(*[path if a == "F" else a for a in args]).returncode
                assert code in (0, 1, 2), (args[0], source.name, code)


@pytest.mark.parametrize("text, word", [
    ("a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n", "anchors"), ("a: &a [*a]\n", "anchors"), ("[" * 100_000, "nested"),
    ("{a: " * 50_000, "nested"), ("seed: !!python/object/apply:os.system [ls]\n", "tags"), ("seed: 1\nseed: 2\n", "twice"),
    ("seed: 1\n---\nseed: 2\n", "document"), ("- 1\n", "mapping"), ('"\\e[31m": 1\n', r"\x1b[31m"), ('run: {dir: "a\\0"}\n', "NUL"),
    ("seed: " + "1" * 900_000, "seed"), ("x" * 2_000_000, "too many"), ("seed: \udcff\n", "UTF-8"),
    ("train: {learning_rate: 1e400}\n", "learning_rate"), ("sampling: {temperature: .nan}\n", "temperature"),
    ("pairs: {length_penalty: 0.6}\n", "0.5"), ("run: {iterations: 2147483648}\n", "iterations")])
def test_yaml(tmp_path, text, word):
    path = tmp_path / "c.yaml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    refused("config", path, words=["c.yaml", word], code=(2,))


@pytest.mark.parametrize("line, words", [
    ('{"instruction":"x","a":' + "[" * 100_000, ["p.jsonl:1"]), ('{"instruction":"a\\u0000b"}', ["NUL"]),
    ('{"instruction":"\\ud800"}', ["p.jsonl:1"]), ('{"messages":[]}', ["messages"]),
    ('{"messages":[{"role":"zebra","content":"x"}]}', ["zebra"]), ('{"instruction":" "}', ["empty"]),
    ('{"instruction":"x","id":""}', ["id"]), ("[1,2]", ["p.jsonl:1"]), ("instruction\tid\nhi\n", ["p.jsonl:2"])])
def test_prompts(tiny_model, tmp_path, line, words):
    path = tmp_path / "p.jsonl"
    path.write_text(line + "\n")
    refused("generate", "--model", tiny_model, "--prompts", path, "--out", tmp_path / "o.h5", words=words, code=(1,))


def test_compressed_prompts_that_grow_or_end_early(tiny_model, tmp_path):
    path = tmp_path / "p.jsonl.gz"
    for data, word in ((gzip.compress(bytes(200_000_000), 1), "longer than"),
                       (gzip.compress(b'{"instruction":"x"}\n' * 1000)[:50], "ends too early")):
        path.write_bytes(data)
        refused("generate", "--model", tiny_model, "--prompts", path, "--out", tmp_path / "o.h5", words=["p.jsonl.gz", word])


GOOD = {"prompt_ids": [1, 2, 3], "chosen_ids": [4, 5], "rejected_ids": [6]}


@pytest.mark.parametrize("row, words", [
    (dict(GOOD, chosen_ids=[4, 9999]), ["q.jsonl:1", "chosen_ids[1]", "9999"]), (dict(GOOD, chosen_ids=[-1]), ["q.jsonl:1", "chosen_ids[0]"]),
    (dict(GOOD, chosen_ids=[2 ** 40]), ["chosen_ids[0]"]), (dict(GOOD, chosen_ids=[1.5]), ["chosen_ids[0]"]),
    ({"prompt_ids": [1], "chosen_ids": [2]}, ["rejected_ids"]), ({"prompt_ids": [1], "chosen": "x", "rejected": "y"}, ["chosen_ids"]),
    ({"prompt": "x", "chosen": "a\0b", "rejected": "y"}, ["NUL"]), ({"prompt": [["x"]], "chosen": 5, "rejected": None}, ["prompt[0]"]),
    ([1], ["q.jsonl:1"])])
def test_pairs(tiny_model, tmp_path, row, words):
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(row) + "\n")
    refused("dpo", "--model", tiny_model, "--pairs", path, "--out", tmp_path / "c.h5", words=["q.jsonl", *words], code=(1,))


@pytest.mark.parametrize("row, word", [(dict(GOOD, chosen_ids=[]), "1 without a response"), (dict(GOOD, prompt_ids=[]), "1 without a response"),
                                       (dict(GOOD, chosen_ids=[5] * 5000), "1 too long")])
def test_pairs_of_which_none_can_be_trained_on(tiny_model, tmp_path, row, word):
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(row) + "\n")
    result = run("dpo", "--model", tiny_model, "--pairs", path, "--out", tmp_path / "c.h5")
    told, message = result.stderr.decode().splitlines()
    assert result.returncode == 1 and f'{path}:1: pair "line-1" is left out' in told
    assert f"{path}: none of 1 pairs can be trained on" in message and word in message


def test_pairs_of_a_model_with_another_vocabulary(tpo, tiny_model, model, tmp_path):
    """The pairs' model has 20 tokens more than the one that is to be trained."""
    def shrink(header, body):
        begin, end = header["model.embed_tokens.weight"]["data_offsets"]
        header["model.embed_tokens.weight"]["shape"][0] -= 20
        for entry in header.values():
            if entry["data_offsets"][0] >= end:
                entry["data_offsets"] = [offset - 20 * 32 * 4 for offset in entry["data_offsets"]]
        header["model.embed_tokens.weight"]["data_offsets"] = [begin, end - 20 * 32 * 4]
        return body[:end - 20 * 32 * 4] + body[end:]

    safetensors(model, shrink)
    config = json.loads((model / "config.json").read_text())
    config["vocab_size"] -= 20
    (model / "config.json").write_text(json.dumps(config))
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"prompt_ids": [1], "chosen_ids": [config["vocab_size"] + 3], "rejected_ids": [4]}) + "\n")
    tpo.ok("dpo", "--model", tiny_model, "--pairs", path, "--out", tmp_path / "c.h5", "--batch", 1)
    refused("dpo", "--model", model, "--pairs", path, "--out", tmp_path / "d.h5", words=["q.jsonl", "not of this model"])
