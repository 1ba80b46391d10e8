"""Files of a run: HDF5 that h5py reads, inspect, export, report."""
import json
import re
import subprocess
import sys

import pytest

import tiny

h5py = pytest.importorskip("h5py")


@pytest.fixture(scope="module")
def run(tpo, tiny_model, tmp_path_factory):
    tmp = tmp_path_factory.mktemp("files")
    config = tmp / "c.yaml"
    tiny.write_prompts(tmp / "train.jsonl", "train", 6)
    tiny.write_prompts(tmp / "validation.jsonl", "validation", 3)
    config.write_text(f"""
seed: 9
model: {{path: {tiny_model}, dtype: bf16}}
thought: {{name: generic, thought_tokens: 8, response_tokens: 12, on_budget: force}}
data: {{train: {tmp / 'train.jsonl'}, validation: {tmp / 'validation.jsonl'}, prompts_per_iteration: 6, validation_prompts: 3}}
sampling: {{k: 3, temperature: 1, top_p: 1, max_tokens: 40}}
train: {{learning_rate: 1e-4, batch: 4, warmup: 0}}
run: {{dir: {tmp / 'run'}, iterations: 1}}
""")
    tpo.ok("run", config, ranks=2)
    return tmp / "run"


@pytest.mark.parametrize("name, kind, datasets", [
    ("samples", "samples", ["prompt_id", "instruction", "prompt_text", "k", "text", "thought", "response", "format_ok",
                            "finish_reason", "token_ids", "token_offset", "logprob"]),
    ("scored", "scored", ["score", "score_detail", "response"]),
    ("pairs", "pairs", ["prompt_id", "chosen", "rejected", "chosen_score", "rejected_score", "margin"]),
    ("checkpoint", "checkpoint", ["model", "optimizer/m", "optimizer/v", "optimizer/master", "state", "tokenizer",
                                  "architecture"]),
])
def test_h5py_reads_them(run, name, kind, datasets):
    with h5py.File(run / "iter-001" / f"{name}.h5") as f:
        root = {k: v.decode() if isinstance(v, bytes) else v for k, v in f.attrs.items()}
        assert root["tpo_format"] == kind
        assert {"tpo_version", "created", "config", "content_hash"} <= root.keys()
        assert re.fullmatch("[0-9a-f]{32}", root["content_hash"])
        assert "seed: 9" in root["config"]
        for dataset in datasets:
            assert dataset in f, dataset


def test_samples_hold_whole_texts(run):
    with h5py.File(run / "iter-001" / "samples.h5") as f:
        n = len(f["k"])
        assert n == 18 and f["token_offset"].shape == (n + 1,)
        assert f["token_offset"][-1] == len(f["token_ids"])
        for i in range(n):
            text, response = f["text"][i].decode(), f["response"][i].decode()
            assert response in text


@pytest.mark.parametrize("name", ["samples", "scored", "pairs", "checkpoint"])
def test_inspect_shows_them(tpo, run, name):
    out = tpo.ok("inspect", run / "iter-001" / f"{name}.h5")
    assert name in out and len(out) > 200
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", out)


def test_inspect_shows_models(tpo, tiny_model):
    assert "model.embed_tokens.weight" in tpo.ok("inspect", tiny_model / "model.safetensors")


def read_safetensors(path):
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    return {k: (v, data[8 + size + v["data_offsets"][0]:8 + size + v["data_offsets"][1]])
            for k, v in header.items() if k != "__metadata__"}


def test_export_gives_the_same_log_probabilities(tpo, run, tmp_path):
    checkpoint = run / "iter-001" / "checkpoint.h5"
    tpo.ok("export", checkpoint, tmp_path / "hf", "--to", "hf")
    stdin = '{"ids":[5,80,12,33,200,7]}\n{"ids":[1,2]}\n'
    expected = tpo.ok("logprobs", "--model", checkpoint, "--dtype", "fp32", stdin=stdin)
    assert tpo.ok("logprobs", "--model", tmp_path / "hf", "--dtype", "fp32", stdin=stdin) == expected
    assert tpo.ok("tokenize", "--model", tmp_path / "hf", stdin="the thing <|im_end|>") == \
        tpo.ok("tokenize", "--model", checkpoint, stdin="the thing <|im_end|>")


def test_transformers_loads_an_export(tpo, run, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    checkpoint = run / "iter-001" / "checkpoint.h5"
    tpo.ok("export", checkpoint, tmp_path / "hf", "--to", "hf")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    text = "the man and the thing"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert ids == [int(i) for i in tpo.ok("tokenize", "--no-special", "--model", checkpoint, stdin=text).split()]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    expected = [logits[i, ids[i + 1]].item() for i in range(len(ids) - 1)]
    line = tpo.ok("logprobs", "--model", checkpoint, "--dtype", "fp32", stdin=json.dumps({"ids": ids}) + "\n")
    assert json.loads(line)["logprobs"] == pytest.approx(expected, abs=2e-4)


def test_transformers_renders_the_prompts_of_training(tpo, run, tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("jinja2")
    tpo.ok("export", run / "iter-001" / "checkpoint.h5", tmp_path / "hf", "--to", "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    with h5py.File(run / "iter-001" / "samples.h5") as f:
        rows = set(zip(f["instruction"][:], f["prompt_text"][:]))
    assert len(rows) == 6
    for instruction, prompt in rows:
        chat = [{"role": "user", "content": instruction.decode()}]
        assert tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == prompt.decode()


@pytest.mark.parametrize("kind, allowed", [("f32", 0), ("bf16", 0.05), ("f16", 0.01), ("q8_0", 0.1), (None, 0.05)])
def test_a_gguf_file_is_the_checkpoint(tpo, run, tmp_path, kind, allowed):
    checkpoint, file = run / "iter-001" / "checkpoint.h5", tmp_path / "model.gguf"
    tpo.ok("export", checkpoint, file, "--to", "gguf", "--thought", "none", *(["--type", kind] if kind else []))
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]
    stdin = '{"ids":[5,80,12,33,200,7]}\n{"ids":[1,2]}\n'
    expected, got = (tpo.ok("logprobs", "--model", model, "--dtype", "fp32", stdin=stdin) for model in (checkpoint, file))
    for a, b in zip(expected.splitlines(), got.splitlines(), strict=True):
        assert json.loads(b)["logprobs"] == pytest.approx(json.loads(a)["logprobs"], abs=allowed)
    assert got == expected if kind == "f32" else got != expected or kind != "q8_0"
    chat = '[{"role":"user","content":"the thing <|im_end|>"}]'
    for args, text in (["tokenize"], "the thing <|im_end|>"), (["tokenize", "--plain"], "an\u00efve  42\n"), (["template"], chat):
        assert tpo.ok(*args, "--model", file, stdin=text) == tpo.ok(*args, "--model", checkpoint, stdin=text)


PACKAGE = """
import json, sys
import gguf, numpy as np
reader = gguf.GGUFReader(sys.argv[1])
names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
assert reader.fields["general.architecture"].contents() == "llama"
assert reader.fields["general.file_type"].contents() == gguf.LlamaFileType.MOSTLY_Q8_0
assert len(reader.fields["tokenizer.ggml.tokens"].contents()) == int(sys.argv[3])
with open(sys.argv[2], "rb") as file:
    header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    data = file.read()
header.pop("__metadata__", None)
assert {t.name for t in reader.tensors} == {names.get_name(name, try_suffixes=(".weight",)) for name in header}
held = header["model.layers.1.mlp.down_proj.weight"]
assert held["dtype"] == "F32"
values = np.frombuffer(data[slice(*held["data_offsets"])], np.float32).reshape(held["shape"])
tensor = next(t for t in reader.tensors if t.name == "blk.1.ffn_down.weight")
assert (np.asarray(tensor.data).ravel() == gguf.quantize(values, tensor.tensor_type).ravel()).all()
"""


def test_the_gguf_package_reads_an_export(tpo, tiny_model, tmp_path):
    python = [sys.executable, "-I", "-c"]  # without this folder, which has a gguf.py
    if subprocess.run([*python, "import gguf, numpy"], capture_output=True).returncode:
        pytest.skip("the package gguf is not there")
    tpo.ok("export", tiny_model, tmp_path / "model.gguf", "--to", "gguf", "--type", "q8_0")
    vocab = json.loads((tiny_model / "config.json").read_text())["vocab_size"]
    done = subprocess.run([*python, PACKAGE, tmp_path / "model.gguf", tiny_model / "model.safetensors", str(vocab)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_can_not_be_exported_as_gguf_is_told(tpo, run, tmp_path):
    checkpoint, file = run / "iter-001" / "checkpoint.h5", tmp_path / "model.gguf"
    for args, says in ((["--to", "gguf", "--type", "q4_0"], "--type is 'q4_0'; expected bf16, f32, f16 or q8_0"),
                       (["--to", "gguff"], "--to is 'gguff'; expected hf or gguf"),
                       (["--to", "hf", "--type", "f32"], "--type is for --to gguf")):
        assert says in tpo.fails("export", checkpoint, file, *args, code=2)
    assert "folder" in tpo.fails("export", checkpoint, tmp_path, "--to", "gguf", code=2)
    assert "the model itself" in tpo.fails("export", checkpoint, checkpoint, "--to", "gguf", code=2)
    assert "holds no model" in (text := tpo.fails("export", run / "iter-001" / "pairs.h5", file, "--to", "gguf")) or "pairs" in text
    assert not list(tmp_path.iterdir())


def test_report_is_one_page_without_network(run):
    page = (run / "report.html").read_text()
    assert "<svg" in page and page.count("<html") == 1
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert "@import" not in page and "<link" not in page


def test_report_escapes_model_text(tpo, tmp_path):
    """A model that can only say markup, and instructions made of markup: all of it shows as text."""
    model = tiny.make(tmp_path / "m")
    prompts = tmp_path / "p.jsonl"
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    prompts.write_text("".join(json.dumps({"id": f"<b>{i}", "instruction": f"{evil} {i}",
                                           "checks": [{"type": "length_constraints:number_words", "num_words": 1 + i,
                                                       "relation": "at least"}]}) + "\n" for i in range(6)))
    config = tmp_path / "c.yaml"
    config.write_text(f"""
model: {{path: {model}}}
thought: {{name: generic, thought_tokens: 6, response_tokens: 10, on_budget: force}}
data: {{train: {prompts}, prompts_per_iteration: 6, validation_prompts: 2}}
sampling: {{k: 4, max_tokens: 40}}
train: {{batch: 4}}
run: {{dir: {tmp_path / 'run'}, iterations: 1}}
""")
    tpo.ok("run", config)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "alert(1)" in page and "<script>alert" not in page and "<img src=x" not in page
    assert "&lt;img src=x" in page or "\\u003cimg src=x" in page


def test_samples_whose_texts_another_program_replaced_are_read(tpo, tiny_model, tmp_path):
    """h5py leaves the texts of a data set in another order, and those that it replaced as unused space."""
    prompts, samples, scored = tmp_path / "p.jsonl", tmp_path / "s.h5", tmp_path / "scored.h5"
    tiny.write_prompts(prompts, "p", 40)
    tpo.ok("generate", "--model", tiny_model, "--prompts", prompts, "--out", samples, "--k", 4, "--thought", "none",
           "--max-tokens", 30, "--temperature", 1)
    for turn in range(3):
        with h5py.File(samples, "r+") as f:
            f["response"][...] = [f"{'tea ' * (i % 7 + turn)}{i}".encode() for i in range(160)]
    tpo.ok("judge", "--samples", samples, "--judge", "rule", "--out", scored)
    with h5py.File(scored) as f:
        assert [r.decode() for r in f["response"]] == [f"{'tea ' * (i % 7 + 2)}{i}" for i in range(160)]
