"""A vocabulary that is larger than the tokenizer's, as in Qwen's models: what is drawn from its end is kept and trained on."""
import json

import pytest

import tiny

h5py = pytest.importorskip("h5py")
PADDING = 120


@pytest.fixture(scope="module")
def padded(tpo, tmp_path_factory):
    """The model, the tokenizer's size, and samples of it."""
    folder = tmp_path_factory.mktemp("padded")
    model = tiny.make(folder / "model", padding=PADDING)
    size = json.loads((model / "config.json").read_text())["vocab_size"] - PADDING
    tiny.write_prompts(folder / "prompts.jsonl", "p", 4)
    tpo.ok("generate", "--model", model, "--prompts", folder / "prompts.jsonl", "--out", folder / "samples.h5", "--k", 4,
           "--temperature", 1, "--top-p", 1, "--max-tokens", 40, "--thought", "none", "--dtype", "fp32")
    return folder, model, size


def outputs(path):
    """Of each sample: the prompt's ids, its own, their log-probabilities, its text."""
    with h5py.File(path) as f:
        ends, prompt_ends, n = f["token_offset"][:], f["prompt_token_offset"][:], len(f["k"])
        for i in range(n):
            of, prompt = slice(ends[i], ends[i + 1]), slice(prompt_ends[i], prompt_ends[i + 1])
            yield (f["prompt_token_ids"][prompt].tolist(), f["token_ids"][of].tolist(), f["token_logprob"][of].tolist(),
                   f["text"][i].decode())


def test_what_the_tokenizer_lacks_is_sampled_and_says_nothing(padded):
    folder, model, size = padded
    names = {i: t for t, i in json.loads((model / "tokenizer.json").read_text())["model"]["vocab"].items()}
    byte_of = {c: bytes([b]) for b, c in enumerate(tiny.byte_alphabet())}
    unknown = 0
    for _, ids, _, text in outputs(folder / "samples.h5"):
        unknown += sum(i >= size for i in ids)
        said = b"".join(byte_of[c] for i in ids if len(tiny.SPECIAL) <= i < size for c in names[i])
        if said.isascii() and b"\0" not in said:
            assert text == said.decode()
        assert max(ids) < size + PADDING
    assert unknown > 40


def test_their_log_probabilities_are_the_samplers(tpo, padded, tmp_path):
    folder, model, _ = padded
    rows = list(outputs(folder / "samples.h5"))
    asked = "".join(json.dumps({"ids": prompt + ids}) + "\n" for prompt, ids, _, _ in rows)
    told = [json.loads(line)["logprobs"] for line in
            tpo.ok("logprobs", "--model", model, "--dtype", "fp32", stdin=asked).splitlines()]
    for (prompt, ids, expected, _), got in zip(rows, told, strict=True):
        assert max(abs(a - b) for a, b in zip(got[len(prompt) - 1:], expected, strict=True)) < 2e-4
    export = tmp_path / "back"
    tpo.ok("dpo", "--model", model, "--pairs", write_pairs(tmp_path, rows), "--out", tmp_path / "c.h5", "--batch", 2,
           "--set", "train.learning_rate=1e-12", "--dtype", "fp32")
    tpo.ok("export", tmp_path / "c.h5", "--to", "hf", export)
    again = [json.loads(line)["logprobs"] for line in
             tpo.ok("logprobs", "--model", export, "--dtype", "fp32", stdin=asked).splitlines()]
    assert all(max(abs(a - b) for a, b in zip(x, y)) < 1e-4 for x, y in zip(told, again, strict=True))


def write_pairs(folder, rows):
    path = folder / "pairs.jsonl"
    with open(path, "w") as f:
        for prompt, chosen, _, _ in rows[:8]:
            f.write(json.dumps({"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": chosen[::-1]}) + "\n")
    return path


def test_training_on_them_prefers_them(tpo, padded, tmp_path):
    folder, model, size = padded
    pairs = tmp_path / "pairs.jsonl"
    with open(pairs, "w") as f:
        for i in range(8):
            f.write(json.dumps({"prompt_ids": [5, 6, 7 + i], "chosen_ids": [size + 3, size + 5], "rejected_ids": [9, 10 + i]}) + "\n")
    metrics = tmp_path / "m.jsonl"
    tpo.ok("dpo", "--model", model, "--pairs", pairs, "--out", tmp_path / "c.h5", "--metrics", metrics, "--batch", 4,
           "--set", "train.epochs=4", "--set", "train.learning_rate=1e-3", "--dtype", "fp32")
    steps = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert steps[-1]["margin"] > 0.1 and steps[-1]["chosen_logprob"] > steps[0]["chosen_logprob"]


def test_what_lies_beyond_the_padding_is_refused(tpo, padded, tmp_path):
    _, model, size = padded
    assert str(size + PADDING) in tpo.fails("logprobs", "--model", model, stdin=json.dumps({"ids": [1, size + PADDING]}) + "\n", code=1)
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"prompt_ids": [1], "chosen_ids": [size + PADDING], "rejected_ids": [2]}) + "\n")
    assert "pairs.jsonl:1" in tpo.fails("dpo", "--model", model, "--pairs", pairs, "--out", tmp_path / "c.h5", code=1)


def test_a_tokenizer_larger_than_the_model_is_refused(tpo, tmp_path):
    model = tiny.make(tmp_path / "model", padding=-3)
    tiny.write_prompts(tmp_path / "p.jsonl", "p", 1)
    message = tpo.fails("generate", "--model", model, "--prompts", tmp_path / "p.jsonl", "--out", tmp_path / "s.h5", code=1)
    assert "the tokenizer has" in message and "the model's vocabulary only" in message
