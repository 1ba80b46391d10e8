"""Bad input gives one clear message with its place, the right exit status, and never a hang or a crash."""
import json
import resource
import shutil
import subprocess

import pytest

import tiny
from conftest import command, environment


def one_message(text, *words):
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, f"expected one line:\n{text}"
    assert lines[0].startswith("tpo")
    for word in words:
        assert word in lines[0], f"{word!r} is not in: {lines[0]}"


def changed(model, tmp_path, **keys):
    folder = tmp_path / "changed"
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    config.update(keys)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_usage_errors_exit_2(tpo, tiny_model, prompts, tmp_path):
    one_message(tpo.fails("nosuch", code=2), "nosuch", "--help")
    one_message(tpo.fails("generate", "--nosuch", code=2), "--nosuch")
    one_message(tpo.fails("generate", "--model", code=2), "--model", "needs a value")
    one_message(tpo.fails("generate", "--prompts", prompts, code=2), "--model")
    one_message(tpo.fails("generate", "--model", tiny_model, "--out", tmp_path / "o", code=2), "--prompts")
    one_message(tpo.fails("generate", "--model", tiny_model, "--prompts", prompts, "--out", tmp_path / "o", "--k", "many",
                          code=2), "--k", "many")
    one_message(tpo.fails("pairs", "--samples", "s", "--out", "o", "--length-penalty", "0.7", code=2), "0.7", "0.5")
    one_message(tpo.fails("config", tmp_path / "missing.yaml", code=2), "missing.yaml")
    one_message(tpo.fails("generate", "--model", tiny_model, "--prompts", tmp_path / "missing.jsonl", "--out",
                          tmp_path / "o.h5", code=2), "missing.jsonl")


def test_usage_error_on_two_ranks_is_told_once(tpo):
    text = tpo.fails("generate", "--nosuch", ranks=2, code=2)
    assert sum("--nosuch" in line for line in text.splitlines()) == 1


def test_errors_of_a_configuration_are_told_together(tpo, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("seed: x\ntrain:\n  bta: 0.1\n  batch: 0\n")
    text = tpo.fails("config", path, code=2)
    for words in (["1", "seed"], ["3", "bta", "beta"], ["4", "batch"]):
        assert any(all(w in line for w in words) for line in text.splitlines()), (words, text)


@pytest.mark.parametrize("content, words", [
    (b"", ["prompts.jsonl"]),
    (b"\n\n", ["prompts.jsonl"]),
    (b'{"instruction": "a"}\n{"instruction": 5}\n', ["prompts.jsonl:2", "instruction"]),
    (b'{"instruction": "caf\xe9"}\n', ["prompts.jsonl:1", "UTF-8"]),
    (b'{"instruction": ""}\n', ["prompts.jsonl:1"]),
    (b'{"instruction": "a", "id": "x"}\n{"instruction": "b", "id": "x"}\n', ["prompts.jsonl:2", "x"]),
    (b'{"instruction": "a"\n', ["prompts.jsonl:1"]),
    (b'[\n {"instruction": "a"}\n]\n', ["prompts.jsonl", "JSON array", "jq -c '.[]'"]),
    (b"PAR1\x15\x04\x15", ["prompts.jsonl", "Parquet", "read_parquet"]),
    (b'{"messages": [{"role": "user", "content": "a", "tool_calls": [{}]}]}\n', ["prompts.jsonl:1", "tool_calls"]),
])
def test_bad_prompt_files(tpo, tiny_model, tmp_path, content, words):
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(content)
    one_message(tpo.fails("generate", "--model", tiny_model, "--prompts", path, "--out", tmp_path / "o.h5", code=1), *words)
    assert not (tmp_path / "o.h5").exists()


def test_a_prompt_longer_than_the_context(tpo, tiny_model, tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"id": "long-one", "instruction": "word " * 600}) + "\n")
    for ranks in (0, 2):
        text = tpo.fails("generate", "--model", tiny_model, "--prompts", path, "--out", tmp_path / "o.h5", ranks=ranks, code=1)
        assert "long-one" in text and "1536" in text


@pytest.mark.parametrize("keys, words", [
    ({"model_type": "gpt2"}, ["gpt2"]),
    ({"hidden_act": "gelu"}, ["hidden_act", "gelu"]),
    ({"attention_bias": True}, ["attention_bias"]),
    ({"rope_scaling": {"rope_type": "spiral", "factor": 2.0}}, ["spiral"]),
    ({"num_hidden_layers": 3}, ["model.layers.2"]),
    ({"num_hidden_layers": 1}, ["model.layers.1"]),
    ({"intermediate_size": 65}, ["gate_proj"]),
    ({"num_attention_heads": 0}, ["num_attention_heads"]),
    ({"vocab_size": 1 << 40}, ["vocab_size"]),
    ({"quantization_config": {"bits": 4}}, ["quantization_config"]),
])
def test_models_that_are_not_supported_are_refused_by_name(tpo, tiny_model, tmp_path, keys, words):
    folder = changed(tiny_model, tmp_path, **keys)
    one_message(tpo.fails("logprobs", "--model", folder, stdin='{"ids":[1,2]}\n', code=1), *words)


@pytest.mark.parametrize("size", [0, 7, 8, 100, 5000])
def test_truncated_safetensors(tpo, tiny_model, tmp_path, size):
    folder = changed(tiny_model, tmp_path)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    one_message(tpo.fails("logprobs", "--model", folder, stdin='{"ids":[1,2]}\n', code=1), "model.safetensors")


@pytest.mark.parametrize("line, word", [('{"ids":[1,99999]}', "99999"), ('{"ids":[]}', "ids"), ("{", "standard input:1"),
                                        ('{"ids":[-1]}', "ids"), ('{"ids":[' + "1," * 1600 + "1]}", "1536")])
def test_bad_ids(tpo, tiny_model, line, word):
    one_message(tpo.fails("logprobs", "--model", tiny_model, stdin=line + "\n", code=1), word)


@pytest.mark.parametrize("template, words", [
    ("{% for m in messages %}\n{% include 'turn' %}{% endfor %}", ["line 2", "include"]),
    ("{% for m in messages %}", ["line 1"]), ("a\n\n{{ 1 / 0 }}", ["line 3", "zero"]),
    ("\n{% for i in range(100000000) %}{% endfor %}", ["line 2"]), ("{{ raise_exception('only poems, please') }}", ["only poems, please"]),
    ("{{ messages[0].content.explode() }}", ["line 1", "explode"]),
    ("{% set ns = namespace(t='x') %}{% for i in range(60) %}{% set ns.t = ns.t + ns.t %}{% endfor %}", ["line 1"]),
    ("{% macro m() %}\n{{ m() }}{% endmacro %}{{ m() }}", ["line 2"])])
def test_a_chat_template_that_cant_be_run_is_refused_by_its_line(tpo, tiny_model, tmp_path, template, words):
    folder = changed(tiny_model, tmp_path)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": template}))
    text = tpo.fails("template", "--model", folder, stdin='[{"role":"user","content":"x"}]', code=1)
    one_message(text, str(folder))
    assert all(word in text for word in words), text


def test_a_check_that_nobody_can_verify_is_told_before_sampling(tpo, tiny_model, tmp_path):
    train, config = tmp_path / "train.jsonl", tmp_path / "c.yaml"
    train.write_text('{"id": "good", "instruction": "Say hi."}\n'
                     '{"id": "bad", "instruction": "Say hi.", "checks": [{"type": "keywords:existance"}]}\n')
    config.write_text(f"model: {{path: {tiny_model}}}\ndata: {{train: {train}, prompts_per_iteration: 1, validation_prompts: 0}}\n"
                      f"run: {{dir: {tmp_path / 'run'}, iterations: 1, validate_each_epoch: false}}\n")
    one_message(tpo.fails("run", config, code=1), "train.jsonl", "bad", "keywords:existance")
    assert not list((tmp_path / "run").rglob("*.h5"))


def test_an_unwritable_run_folder(tpo, tiny_model, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text(f"model: {{path: {tiny_model}}}\nrun: {{dir: /proc/nowhere/run}}\n")
    for ranks in (0, 2):
        assert "/proc/nowhere" in tpo.fails("run", config, ranks=ranks, code=2)


def test_k_of_one_makes_no_run(tpo, tiny_model, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text(f"model: {{path: {tiny_model}}}\nsampling: {{k: 1}}\nrun: {{dir: {tmp_path / 'r'}}}\n")
    assert "sampling.k" in tpo.fails("run", config, code=2)


def test_budgets_must_hold_an_inserted_marker(tpo, tiny_model, prompts, tmp_path):
    """Ten tokens of a thought, the sixteen of the marker, and one of the response."""
    config = tmp_path / "c.yaml"
    config.write_text(f"model: {{path: {tiny_model}}}\nthought: {{name: generic, thought_tokens: 10}}\nsampling: {{max_tokens: 26}}\n"
                      f"run: {{dir: {tmp_path / 'r'}}}\n")
    words = ["c.yaml:3: sampling.max_tokens (26) can't hold thought.thought_tokens (10), the 16 tokens", "expected at least 27"]
    generate = ["generate", "--config", config, "--prompts", prompts, "--out", tmp_path / "o.h5", "--k", 2]
    one_message(tpo.fails(*generate, code=2), *words)
    one_message(tpo.fails("chat", "--config", config, stdin="Hi\n", code=2), *words)
    one_message(tpo.fails("run", config, "--plan-only", code=2), *words)
    for ranks in (0, 2):
        text = tpo.fails("run", config, ranks=ranks, code=2)
        assert words[0] in text and text.count("can't hold") == 1
    assert not (tmp_path / "r").exists()
    tpo.ok(*generate, "--max-tokens", 27)
    tpo.ok("chat", "--config", config, "--max-tokens", 27, stdin="Hi\n")
    assert "--max-tokens: sampling.max_tokens (2)" in tpo.fails("chat", "--model", tiny_model, "--max-tokens", 2, stdin="Hi\n", code=2)


def test_the_context_must_hold_an_inserted_marker(tpo, tmp_path, prompts):
    """The prompts have some hundreds of tokens, and the context leaves the longest of them too few."""
    h5py = pytest.importorskip("h5py")
    model, args = tiny.make(tmp_path / "model"), ["--prompts", prompts, "--k", 1, "--max-tokens", 40, "--dtype", "fp32"]
    tpo.ok("generate", "--model", model, *args, "--out", tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5") as f:
        longest = max(b - a for a, b in zip(f["prompt_token_offset"], f["prompt_token_offset"][1:]))
    for room, works in ((37, True), (36, False)):  # half of 40, 16 and 1
        short = changed(model, tmp_path / str(room), max_position_embeddings=int(longest) + room)
        config = tmp_path / "c.yaml"
        config.write_text(f"model: {{path: {short}, dtype: fp32}}\nsampling: {{max_tokens: 40}}\nrun: {{dir: {tmp_path / 'r'}}}\n"
                          f"data: {{train: {prompts}, prompts_per_iteration: 6, validation_prompts: 0}}\n")
        for command in (["generate", "--model", short, *args, "--out", tmp_path / "o.h5"],
                        ["run", config, "--plan-only", "--set", "run.iterations=1", "--set", "run.validate_each_epoch=false"]):
            if works:
                tpo.ok(*command)
            else:
                one_message(tpo.fails(*command, code=1), "instruction ", f": {longest} tokens; the model's context of {longest + 36} leaves 36",
                            "half of sampling.max_tokens (20; thought.thought_tokens is 0), the 16 tokens", "expected at least 37")


def test_a_full_disk_leaves_no_file(tiny_model, prompts, tmp_path):
    """A limit on file sizes stands for the full disk: the write fails in the middle."""
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    out = tmp_path / "o.h5"
    result = subprocess.run(command(["generate", "--model", tiny_model, "--prompts", prompts, "--out", out, "--max-tokens",
                                     "40", "--k", "2"]), capture_output=True, env=environment(), preexec_fn=limit, check=False)
    assert result.returncode == 1, result.stderr.decode()
    assert "o.h5" in result.stderr.decode()
    assert {path.name for path in tmp_path.glob("o.h5*")} <= {"o.h5.journal"}  # what was drawn is kept


@pytest.mark.parametrize("kind", ["truncated", "text", "other", "missing"])
def test_bad_samples_files(tpo, tiny_model, prompts, tmp_path, kind):
    path = tmp_path / "s.h5"
    if kind == "truncated":
        tpo.ok("generate", "--model", tiny_model, "--prompts", prompts, "--out", path, "--k", 2, "--max-tokens", 4, "--thought",
               "none")
        path.write_bytes(path.read_bytes()[:-700])
    elif kind == "text":
        path.write_text("not HDF5 at all\n")
    elif kind == "other":
        h5py = pytest.importorskip("h5py")
        h5py.File(path, "w").close()
    code = 2 if kind == "missing" else 1
    one_message(tpo.fails("judge", "--samples", path, "--judge", "rule", "--out", tmp_path / "o.h5", code=code), "s.h5")
    assert not (tmp_path / "o.h5").exists()


def test_a_tokenizer_larger_than_the_model_is_refused(tpo, prompts, tmp_path):
    folder = tiny.make(tmp_path / "m")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    for i in range(5):
        tokenizer["added_tokens"].append(dict(tokenizer["added_tokens"][0], id=len(tokenizer["model"]["vocab"]) + i,
                                              content=f"<|extra{i}|>"))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    text = tpo.fails("generate", "--model", folder, "--prompts", prompts, "--out", tmp_path / "o.h5", code=1)
    assert "vocabulary" in text
