"""A sample depends on what it is keyed by and on nothing else."""
import json
import random

import pytest

COMMON = ["--k", 3, "--max-tokens", 24, "--set", "thought.thought_tokens=4", "--seed", 7, "--dtype", "fp32"]


def generate(tpo, model, prompts, out, *more, ranks=0):
    tpo.ok("generate", "--model", model, "--prompts", prompts, "--out", out, "--jsonl", *COMMON, *more, ranks=ranks)
    return [json.loads(line) for line in out.read_text().splitlines()]


@pytest.fixture(scope="module")
def expected(tpo, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("expected")
    prompts = folder / "prompts.jsonl"
    tpo.ok("synth", "--constraints", "--n", 7, "--seed", 3, "--out", prompts)
    return prompts, generate(tpo, tiny_model, prompts, folder / "out.jsonl")


def test_all_samples_are_there_in_order(expected):
    prompts, rows = expected
    ids = [json.loads(line)["id"] for line in prompts.read_text().splitlines()]
    assert [(r["id"], r["k"]) for r in rows] == [(i, k) for i in ids for k in range(3)]
    assert len({r["text"] for r in rows}) > len(rows) // 2
    for row in rows:
        assert set(row) >= {"id", "k", "text", "thought", "response", "format_ok", "finish_reason", "n_prompt_tokens",
                            "n_tokens", "n_thought_tokens", "logprob"}
        assert 0 < row["n_tokens"] and row["logprob"] < 0


@pytest.mark.parametrize("slots", [1, 2, 5, 64])
def test_slots_do_not_matter(tpo, tiny_model, expected, tmp_path, slots):
    prompts, rows = expected
    assert generate(tpo, tiny_model, prompts, tmp_path / "o.jsonl", "--slots", slots) == rows


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_do_not_matter(tpo, tiny_model, expected, tmp_path, ranks):
    prompts, rows = expected
    assert generate(tpo, tiny_model, prompts, tmp_path / "o.jsonl", "--slots", 4, ranks=ranks) == rows


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_do_not_matter(tpo, tiny_model, expected, tmp_path, threads):
    prompts, rows = expected
    assert generate(tpo, tiny_model, prompts, tmp_path / "o.jsonl", "--threads", threads) == rows


def test_order_and_number_of_prompts_do_not_matter(tpo, tiny_model, expected, tmp_path):
    prompts, rows = expected
    lines = prompts.read_text().splitlines()
    random.Random(5).shuffle(lines)
    some = tmp_path / "some.jsonl"
    some.write_text("\n".join(lines[:4]) + "\n")
    by_key = {(r["id"], r["k"]): r for r in rows}
    got = generate(tpo, tiny_model, some, tmp_path / "o.jsonl")
    assert len(got) == 12
    for row in got:
        assert row == by_key[row["id"], row["k"]]


def test_fewer_samples_are_the_first_ones(tpo, tiny_model, expected, tmp_path):
    prompts, rows = expected
    got = generate(tpo, tiny_model, prompts, tmp_path / "o.jsonl", "--k", 2)
    assert got == [r for r in rows if r["k"] < 2]


def test_seed_and_iteration_matter(tpo, tiny_model, expected, tmp_path):
    prompts, rows = expected
    texts = [r["text"] for r in rows]
    assert [r["text"] for r in generate(tpo, tiny_model, prompts, tmp_path / "a.jsonl", "--seed", 8)] != texts
    assert [r["text"] for r in generate(tpo, tiny_model, prompts, tmp_path / "b.jsonl", "--iteration", 1)] != texts


def test_greedy_samples_are_equal(tpo, tiny_model, expected, tmp_path):
    rows = generate(tpo, tiny_model, expected[0], tmp_path / "o.jsonl", "--temperature", 0)
    for i in range(0, len(rows), 3):
        assert rows[i]["text"] == rows[i + 1]["text"] == rows[i + 2]["text"]


def test_forced_format_always_holds(tpo, tiny_model, expected, tmp_path):
    rows = generate(tpo, tiny_model, expected[0], tmp_path / "o.jsonl", "--thought", "generic", "--max-tokens", 60,
                    "--set", "thought.thought_tokens=12", "--set", "thought.on_budget=force", ranks=2)
    parsed = [r for r in rows if r["format_ok"]]
    assert len(parsed) >= len(rows) * 0.8  # a response of white space alone is the one way to fail
    for row in parsed:
        assert row["response"] and row["thought"]
        assert row["thought"] in row["text"] and row["response"] in row["text"]
        assert row["n_thought_tokens"] >= 12


def test_sampler_and_trainer_agree(tpo, tiny_model, expected, tmp_path):
    """The log-probability of a sample is the one that `tpo logprobs` computes for its tokens."""
    h5py = pytest.importorskip("h5py")
    out = tmp_path / "s.h5"
    tpo.ok("generate", "--model", tiny_model, "--prompts", expected[0], "--out", out, *COMMON)
    with h5py.File(out) as f:
        token_offset, prompt_offset = f["token_offset"][:], f["prompt_token_offset"][:]
        sequences = [[*f["prompt_token_ids"][prompt_offset[i]:prompt_offset[i + 1]].tolist(),
                      *f["token_ids"][token_offset[i]:token_offset[i + 1]].tolist()] for i in range(5)]
        starts = [int(prompt_offset[i + 1] - prompt_offset[i]) for i in range(5)]
        inserted = [f["inserted"][token_offset[i]:token_offset[i + 1]].tolist() for i in range(5)]
        logprob = f["logprob"][:5].tolist()
    stdin = "".join(json.dumps({"ids": ids}) + "\n" for ids in sequences)
    lines = tpo.ok("logprobs", "--model", tiny_model, "--dtype", "fp32", stdin=stdin).splitlines()
    for line, start, forced, expected_sum in zip(lines, starts, inserted, logprob):
        total = sum(p for p, was_inserted in zip(json.loads(line)["logprobs"][start - 1:], forced) if not was_inserted)
        assert total == pytest.approx(expected_sum, abs=2e-3)


def test_what_one_rank_does_alone_ends_under_mpirun(tpo, tiny_model):
    out = tpo.ok("logprobs", "--model", tiny_model, stdin='{"ids":[1,2,3]}\n', ranks=2, timeout=60)
    assert len(json.loads(out)["logprobs"]) == 2
    tpo.ok("chat", "--model", tiny_model, "--max-tokens", 4, "--thought", "none", stdin="Hello\n", ranks=2, timeout=60)
    assert tpo.ok("--version", ranks=2).count("libraries:") == 1
