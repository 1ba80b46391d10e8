"""New instructions by few-shot prompting. The model is a chain of characters made for the purpose: it writes sentences of
invented words, and now and then something that must be refused."""
import collections
import gzip
import json
import math
import pathlib
import random
import re
import signal
import subprocess
import time

import pytest

import tiny
from conftest import command, environment

SEEDS = pathlib.Path(__file__).parent / "seeds.jsonl"
LETTERS = "aeioulnrst"
# Share of the answers that begin with a quote that nothing closes, a bell character, or end with a comma.
QUOTE, BELL, COMMA = 0.06, 0.04, 0.15


def chain():
    """{character: {next character or None for the end of the turn: probability}}"""
    steps = {":": {"W": 1 - QUOTE - BELL, '"': QUOTE, "\x07": BELL}, '"': {"W": 1.0}, "\x07": {"W": 1.0},
             "W": {c: 1 / len(LETTERS) for c in LETTERS}, " ": {c: 1 / len(LETTERS) for c in LETTERS},
             ",": {None: 1.0}, ".": {None: 1.0}}
    for c in LETTERS:
        steps[c] = {d: 0.72 / len(LETTERS) for d in LETTERS}
        steps[c].update({" ": 0.22, ".": 0.06 * (1 - COMMA), ",": 0.06 * COMMA})
    return steps


def make_chain_model(folder, context=1536):
    """One-hot embeddings, layers that add nothing, and an LM head that holds the chain's log-probabilities."""
    folder.mkdir(parents=True)
    vocab = tiny.write_tokenizer(folder)
    tokens = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    hidden, heads = 288, 4
    assert vocab <= hidden
    alphabet = tiny.byte_alphabet()
    end = tokens["<|im_end|>"]
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab, "hidden_size": hidden,
        "num_hidden_layers": 1, "num_attention_heads": heads, "num_key_value_heads": heads, "intermediate_size": 16,
        "max_position_embeddings": context, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu",
        "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": end, "torch_dtype": "float32"}))
    embed = [0.0] * (vocab * hidden)
    head = [0.0] * (vocab * hidden)
    for i in range(vocab):
        embed[i * hidden + i] = 1.0
    for c, following in chain().items():
        column = tokens[alphabet[ord(c)]]
        for row in range(vocab):
            head[row * hidden + column] = -30 / math.sqrt(hidden)
        for d, p in following.items():
            row = end if d is None else tokens[alphabet[ord(d)]]
            head[row * hidden + column] = math.log(p) / math.sqrt(hidden)

    def zeros(*shape):
        return list(shape), [0.0] * math.prod(shape)

    def ones(n):
        return [n], [1.0] * n

    p = "model.layers.0."
    tensors = {"model.embed_tokens.weight": ([vocab, hidden], embed), "lm_head.weight": ([vocab, hidden], head),
               "model.norm.weight": ones(hidden), p + "input_layernorm.weight": ones(hidden),
               p + "post_attention_layernorm.weight": ones(hidden), p + "mlp.down_proj.weight": zeros(hidden, 16),
               p + "mlp.gate_proj.weight": zeros(16, hidden), p + "mlp.up_proj.weight": zeros(16, hidden)}
    for name in "qkvo":
        tensors[f"{p}self_attn.{name}_proj.weight"] = zeros(hidden, hidden)
    tiny.write_safetensors(folder / "model.safetensors", tensors)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_chain_model(tmp_path_factory.mktemp("chain") / "model", context=4096)


COMMON = ["--dtype", "fp32", "--seed", "3", "--temperature", "1", "--top-p", "1", "--max-tokens", "200"]


def synth(tpo, model, out, *args, seeds=SEEDS, n=20, **kwargs):
    return tpo("synth", "--model", model, "--seeds", seeds, "--n", n, "--out", out, *COMMON, *args, **kwargs)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def counts(stderr):
    """The reasons of the last line that tells them."""
    line = [x for x in stderr.decode().splitlines() if "refused: " in x][-1]
    return {name: int(n) for n, name in re.findall(r"(\d+) ([a-z' ]+?)(?=,|;|$)", line.split("refused: ")[1])}


@pytest.fixture(scope="module")
def made(tpo, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "new.jsonl"
    result = synth(tpo, model, out, n=40)
    assert result.returncode == 0, result.stderr.decode()
    return out, result


def test_lines_have_ids_and_the_seeds_that_were_shown(made):
    rows = read(made[0])
    assert [r["id"] for r in rows] == [f"synth-{i:06d}" for i in range(1, 41)]
    known = {json.loads(line)["id"] for line in SEEDS.read_text().splitlines()}
    for row in rows:
        assert set(row) == {"id", "instruction", "dataset", "seeds"} and row["dataset"] == "synth"
        assert len(set(row["seeds"])) == 8 and set(row["seeds"]) <= known
    assert len({tuple(r["seeds"]) for r in rows}) == 40
    first = collections.Counter(r["seeds"][0] for r in rows)
    assert len(first) > 8  # not the file's order


def test_what_is_accepted_is_whole_and_new(made):
    rows = read(made[0])
    assert len({r["instruction"] for r in rows}) == 40
    for row in rows:
        assert re.fullmatch(r"W[a-z ]+\.", row["instruction"])
        assert 3 <= len(row["instruction"].split()) <= 150


def test_the_last_line_counts_the_reasons(made):
    refused = counts(made[1].stderr)
    assert {"unfinished", "with an open quote or bracket", "of bad characters"} <= set(refused)
    text = made[1].stderr.decode()
    spent = int(re.search(r"40 instructions accepted from (\d+) requests", text).group(1))
    assert spent == 40 + sum(refused.values())


@pytest.mark.parametrize("ranks, args", [(1, []), (2, []), (3, ["--slots", "3"])])
def test_ranks_and_slots_do_not_matter(tpo, model, made, tmp_path, ranks, args):
    result = synth(tpo, model, tmp_path / "o.jsonl", *args, n=40, ranks=ranks)
    assert result.returncode == 0, result.stderr.decode()
    assert (tmp_path / "o.jsonl").read_bytes() == made[0].read_bytes()


def test_fewer_are_the_first_ones(tpo, model, made, tmp_path):
    assert synth(tpo, model, tmp_path / "o.jsonl", n=5).returncode == 0
    assert read(tmp_path / "o.jsonl") == read(made[0])[:5]


def test_the_seed_matters(tpo, model, made, tmp_path):
    assert synth(tpo, model, tmp_path / "o.jsonl", "--set", "seed=4").returncode == 0
    assert {r["instruction"] for r in read(tmp_path / "o.jsonl")}.isdisjoint(r["instruction"] for r in read(made[0]))


def test_the_result_can_be_read_as_prompts_and_as_seeds(tpo, model, made, tmp_path):
    tpo.ok("generate", "--model", model, "--prompts", made[0], "--k", 1, "--max-tokens", 4, "--thought", "none", "--jsonl", "--out",
           tmp_path / "s.jsonl")
    result = synth(tpo, model, tmp_path / "o.jsonl", seeds=made[0], n=3)  # the same draws give the seeds again
    assert result.returncode == 1 and counts(result.stderr)["like a seed"] > 5
    assert synth(tpo, model, tmp_path / "o.jsonl", "--seed", 9, seeds=made[0], n=3).returncode == 0


def test_standard_output_and_input(tpo, model, made):
    result = tpo("synth", "--model", model, "--seeds", "-", "--n", 3, "--out", "-", *COMMON, stdin=SEEDS.read_bytes())
    assert result.returncode == 0, result.stderr.decode()
    assert [json.loads(x) for x in result.stdout.decode().splitlines()] == read(made[0])[:3]


def test_seeds_of_any_format(tpo, model, made, tmp_path):
    rows = read(SEEDS)
    table = tmp_path / "seeds.tsv"
    table.write_text("id\tinstruction\n" + "".join(f"{r['id']}\t{r['instruction']}\n" for r in rows))
    packed = tmp_path / "seeds.jsonl.gz"
    packed.write_bytes(gzip.compress("".join(json.dumps(
        {"id": r["id"], "messages": [{"role": "user", "content": r["instruction"]}]}) + "\n" for r in rows).encode()))
    for seeds in (table, packed):
        assert synth(tpo, model, tmp_path / "o.jsonl", seeds=seeds, n=4).returncode == 0
        assert read(tmp_path / "o.jsonl") == read(made[0])[:4]


def test_lengths_are_held(tpo, model, made, tmp_path):
    result = synth(tpo, model, tmp_path / "o.jsonl", "--min-words", 5, "--max-words", 20, n=8)
    assert result.returncode == 0, result.stderr.decode()
    assert all(5 <= len(r["instruction"].split()) <= 20 for r in read(tmp_path / "o.jsonl"))
    assert "too short" in counts(result.stderr)


def test_what_is_cut_off_is_refused(tpo, model, tmp_path):
    text = synth(tpo, model, tmp_path / "o.jsonl", "--max-tokens", 12, "--max-requests", 30, n=30)
    assert text.returncode == 1
    assert counts(text.stderr)["cut off"] > 15


def test_repetitions_are_refused(tpo, model, made, tmp_path):
    """A model that has few things to say: greedy, it says one."""
    result = synth(tpo, model, tmp_path / "o.jsonl", "--temperature", 0, "--max-requests", 20, n=5)
    assert result.returncode == 1
    refused = counts(result.stderr)
    assert refused.get("like another", 0) + refused.get("cut off", 0) + refused.get("too short", 0) >= 19


def test_seeds_come_back_as_such(tpo, model, made, tmp_path):
    """With what the model is about to write among the seeds, that is refused."""
    rows = read(made[0])
    seeds = tmp_path / "seeds.jsonl"
    shown = SEEDS.read_text().splitlines()
    known = " ".join(f"Wx{i}" for i in range(151))  # too long to be shown, so that the requests stay the same
    seeds.write_text("\n".join(shown + [json.dumps({"instruction": rows[i]["instruction"] + " " + known})
                                        for i in range(3)]) + "\n")
    result = synth(tpo, model, tmp_path / "o.jsonl", seeds=seeds, n=10)
    assert result.returncode == 0, result.stderr.decode()
    long_enough = [r["instruction"] for r in rows[:3] if len(r["instruction"].split()) >= 8]
    assert {r["instruction"] for r in read(tmp_path / "o.jsonl")}.isdisjoint(long_enough)
    assert not long_enough or counts(result.stderr)["like a seed"] >= len(long_enough)
    assert "3 of 19 seeds are longer" in result.stderr.decode()


@pytest.mark.parametrize("ranks", [0, 2])
def test_too_few_are_an_error_that_keeps_what_there_is(tpo, model, made, tmp_path, ranks):
    out = tmp_path / "o.jsonl"
    result = synth(tpo, model, out, "--max-requests", 25, n=40, ranks=ranks)
    text = result.stderr.decode()
    assert result.returncode == 1
    kept = read(out)
    assert 0 < len(kept) < 25 and kept == read(made[0])[:len(kept)]
    assert f"only {len(kept)} of 40 instructions were accepted from 25 requests" in text and str(out) in text
    assert len(kept) + sum(counts(result.stderr).values()) == 25


def test_nothing_accepted_writes_nothing(tpo, model, tmp_path):
    out = tmp_path / "o.jsonl"
    assert synth(tpo, model, out, "--max-tokens", 2, "--max-requests", 4, n=2).returncode == 1
    assert not out.exists()


@pytest.mark.parametrize("ranks, number", [(0, signal.SIGTERM), (2, signal.SIGUSR1)])
def test_a_signal_keeps_what_was_accepted(model, made, tmp_path, ranks, number):
    """Sent in the second of its rounds. The launcher passes SIGUSR1 on and waits for the ranks."""
    out, told = tmp_path / "o.jsonl", tmp_path / "stderr"
    args = ["synth", "--model", model, "--seeds", SEEDS, "--n", 40, "--out", out, *COMMON]
    with open(told, "wb") as stderr:
        process = subprocess.Popen(command(args, ranks)[4:], env=environment(), stdin=subprocess.DEVNULL, stderr=stderr)
    end = time.monotonic() + 60
    while not (accepted := re.search(r"(\d+) of 40 instructions after", told.read_text())):
        assert process.poll() is None and time.monotonic() < end, told.read_text()
        time.sleep(0.005)
    process.send_signal(number)
    assert process.wait(30) == 128 + number, told.read_text()
    kept = read(out)
    assert 0 < len(kept) == int(accepted.group(1)) < 40 and kept == read(made[0])[:len(kept)]
    text = told.read_text()
    assert f"stopped by {number.name}" in text and f"the accepted ones are in {out}" in text
    assert text.count("the accepted ones") == 1 and not list(tmp_path.glob("o.jsonl.*"))


@pytest.mark.parametrize("ranks", [0, 2])
def test_fewer_seeds_than_shots(tpo, model, tmp_path, ranks):
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text("".join(SEEDS.read_text().splitlines(True)[:5]))
    result = synth(tpo, model, tmp_path / "o.jsonl", seeds=seeds, ranks=ranks)
    assert result.returncode == 2 and "--shots" in result.stderr.decode() and "only 5" in result.stderr.decode()
    assert synth(tpo, model, tmp_path / "o.jsonl", "--shots", 5, seeds=seeds, n=2).returncode == 0
    assert all(len(r["seeds"]) == 5 for r in read(tmp_path / "o.jsonl"))


def test_requests_that_do_not_fit_are_named(tpo, tmp_path):
    small = make_chain_model(tmp_path / "small", context=256)
    result = synth(tpo, small, tmp_path / "o.jsonl")
    assert result.returncode == 1 and "request-" in result.stderr.decode() and "256" in result.stderr.decode()
    assert not (tmp_path / "o.jsonl").exists()


@pytest.mark.parametrize("args, words", [
    ([], "--constraints"),
    (["--model", "MODEL"], "--seeds"),
    (["--seeds", "SEEDS"], "--model"),
    (["--model", "MODEL", "--seeds", "SEEDS", "--shots", "0"], "--shots"),
    (["--model", "MODEL", "--seeds", "SEEDS", "--max-overlap", "1.5"], "--max-overlap"),
    (["--model", "MODEL", "--seeds", "SEEDS", "--max-overlap", "nan"], "--max-overlap"),
    (["--model", "MODEL", "--seeds", "SEEDS", "--min-words", "9", "--max-words", "8"], "--min-words"),
    (["--model", "MODEL", "--seeds", "SEEDS", "--first", "3"], "--first"),
    (["--model", "MODEL", "--seeds", "/nowhere/seeds.jsonl"], "/nowhere/seeds.jsonl"),
    (["--constraints", "--seeds", "SEEDS"], "--seeds"),
    (["--model", "/nowhere/model", "--seeds", "SEEDS"], "/nowhere/model"),
])
def test_wrong_usage(tpo, model, tmp_path, args, words):
    args = [str(model) if a == "MODEL" else str(SEEDS) if a == "SEEDS" else a for a in args]
    text = tpo.fails("synth", "--n", 3, "--out", tmp_path / "o.jsonl", *args, code=2)
    assert words in text and len(text.splitlines()) == 1
    assert not (tmp_path / "o.jsonl").exists()


def test_outputs_that_would_destroy_inputs(tpo, model, tmp_path):
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text(SEEDS.read_text())
    assert synth(tpo, model, seeds, seeds=seeds).returncode == 2
    assert seeds.read_text() == SEEDS.read_text()
    assert synth(tpo, model, model / "config.json").returncode == 2


@pytest.mark.parametrize("line", ['{"instruction": ""}', "not json", '{"id": "a"}', '{"instruction": "\\u0000"}'])
def test_bad_seeds(tpo, model, tmp_path, line):
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text(SEEDS.read_text() + line + "\n")
    result = synth(tpo, model, tmp_path / "o.jsonl", seeds=seeds)
    assert result.returncode == 1 and "seeds.jsonl:17" in result.stderr.decode()


def test_seeds_that_look_like_the_template_stay_text(tpo, model, tmp_path):
    rng = random.Random(1)
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text("".join(json.dumps({"instruction": f"<|im_end|> {{instruction}} [INST] %s %n {rng.random()}"}) + "\n"
                             for _ in range(9)))
    assert synth(tpo, model, tmp_path / "o.jsonl", seeds=seeds, n=3).returncode == 0


def test_composed_instructions_are_what_they_were(tpo, tmp_path):
    tpo.ok("synth", "--constraints", "--n", 6, "--seed", 3, "--out", tmp_path / "a.jsonl")
    tpo.ok("synth", "--constraints", "--n", 6, "--seed", 3, "--out", tmp_path / "b.jsonl", ranks=2)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert all(r["checks"] and r["id"].startswith("synth-train-") for r in read(tmp_path / "a.jsonl"))


def test_smollm2_writes_some(tpo, smollm2, tmp_path):
    """The model is small: what matters is that something comes, and the same on two ranks."""
    out = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path, ranks in zip(out, (0, 2)):
        tpo.ok("synth", "--model", smollm2, "--seeds", SEEDS, "--n", 1, "--out", path, "--seed", 1, "--max-tokens", 60,
               "--max-requests", 24, ranks=ranks, timeout=600)
    assert out[0].read_bytes() == out[1].read_bytes()
    assert len(read(out[0])) == 1
