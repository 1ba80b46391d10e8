"""The memory that `tpo run --plan-only` tells is a bound of what training then takes, and not far above it."""
import json
import random
import re

import pytest

import tiny
from conftest import command, watched

UNITS = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}
CONFIG = """
model: {{path: {model}, dtype: {dtype}}}
thought: {{name: generic, thought_tokens: 10, response_tokens: 16, on_budget: force}}
data: {{train: {folder}/train.jsonl, validation: {folder}/validation.jsonl, prompts_per_iteration: {prompts}, validation_prompts: 4}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 48, slots: 8}}
train: {{learning_rate: 1e-5, batch: {batch}, micro_batch_tokens: {tokens}, epochs: 2}}
run: {{dir: {run_dir}, iterations: 1, deadline: 600}}
"""


def peak(*args, ranks=0):
    """Bytes of the rank that took most."""
    done, most = watched(command(args, ranks, timeout=600))
    assert done.returncode == 0, done.stderr
    return most


def told(text):
    """All of it, and the program's own part."""
    found = re.search(r"Memory of each of .*: at most ([\d.]+) (\w+), ([\d.]+) (\w+) of it the program's own", text)
    most, unit, own, own_unit = found.groups()
    return float(most) * UNITS[unit] * 1.005, float(own) * UNITS[own_unit]  # told in three digits


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.make(tmp_path_factory.mktemp("wide") / "m", hidden=96, layers=6, ffn=384)


def write_config(tmp_path, model, dtype, tokens, prompts=64, batch=64):
    """Pairs of 64 prompts fill a pass of each of two ranks, whatever `tokens` it takes."""
    tiny.write_prompts(tmp_path / "train.jsonl", "train", prompts)
    tiny.write_prompts(tmp_path / "validation.jsonl", "validation", 4)
    path = tmp_path / "memory.yaml"
    path.write_text(CONFIG.format(model=model, dtype=dtype, tokens=tokens, prompts=prompts, batch=batch, folder=tmp_path,
                                  run_dir=tmp_path / "run"))
    return path


def write_pairs(path, n, tokens):
    """Pairs of two sequences that are `tokens` long together."""
    rng = random.Random(2)
    each = tokens // 4

    def ids(n):
        return [rng.randrange(3, 250) for _ in range(n)]

    path.write_text("".join(json.dumps({"prompt_ids": ids(each), "chosen_ids": ids(each), "rejected_ids": ids(each)}) + "\n"
                            for _ in range(n)))
    return path


def assert_bounded(measured, base, most, own):
    """The bound holds; beside what any command takes, it is at most a quarter (and what a few buffers add) above."""
    assert measured <= most, f"{measured / 1e6:.0f} MB were taken, at most {most / 1e6:.0f} told"
    assert base <= own, f"the program itself takes {base / 1e6:.0f} MB, {own / 1e6:.0f} told"
    assert most - own <= 1.25 * (measured - base) + 8e6, \
        f"{(measured - base) / 1e6:.0f} MB were taken beside the program's own, at most {(most - own) / 1e6:.0f} told"


@pytest.mark.parametrize("dtype, ranks, tokens", [("fp32", 0, 2048), ("fp32", 2, 2048), ("bf16", 0, 4096), ("bf16", 2, 1024)])
def test_dpo_stays_below_the_plan_and_near_it(tpo, model, tmp_path, dtype, ranks, tokens):
    config = write_config(tmp_path, model, dtype, tokens)
    most, own = told(tpo.ok("run", config, "--plan-only", "--set", "run.validate_each_epoch=false", ranks=ranks))
    base = peak("run", config, "--plan-only", ranks=ranks)
    pairs = write_pairs(tmp_path / "pairs.jsonl", 2 * max(ranks, 1), tokens // 2)
    measured = peak("dpo", "--config", config, "--pairs", pairs, "--out", tmp_path / "c.h5", ranks=ranks)
    assert_bounded(measured, base, most, own)


def longest_told(text):
    return int(re.search(r"activations of (\d+)\s+tokens", text).group(1))


@pytest.mark.parametrize("dtype, ranks", [("fp32", 0), ("bf16", 2)])
def test_a_batch_that_cannot_fill_a_pass_needs_no_room_for_one(tpo, model, tmp_path, dtype, ranks):
    config = write_config(tmp_path, model, dtype, 16384, prompts=8, batch=8)
    few = ["--set", "run.kl_outputs=0", "--set", "run.validate_each_epoch=false", "--set", "pairs.mode=best-worst"]
    text = tpo.ok("run", config, "--plan-only", *few, ranks=ranks)
    most, own = told(text)
    share = longest_told(text)
    assert share < 8192
    base = peak("run", config, "--plan-only", ranks=ranks)
    pairs = write_pairs(tmp_path / "pairs.jsonl", 8, share // (8 // max(ranks, 1)) // 4 * 4)
    measured = peak("dpo", "--config", config, "--pairs", pairs, "--out", tmp_path / "c.h5", ranks=ranks)
    assert_bounded(measured, base, most, own)


def test_the_plan_has_the_tokens_of_a_ranks_share(tpo, model, tmp_path):
    config = write_config(tmp_path, model, "fp32", 16384, prompts=8, batch=8)
    few = ["--set", "pairs.mode=best-worst"]
    eight = longest_told(tpo.ok("run", config, "--plan-only", *few))
    assert longest_told(tpo.ok("run", config, "--plan-only", *few, ranks=2)) * 2 == eight
    assert longest_told(tpo.ok("run", config, "--plan-only", *few, "--set", "train.batch=2")) * 4 == eight
    assert longest_told(tpo.ok("run", config, "--plan-only", *few, "--set", "train.batch=64")) == eight
    assert longest_told(tpo.ok("run", config, "--plan-only", *few, "--set", "train.max_pair_tokens=50")) == 8 * 2 * 50
    assert longest_told(tpo.ok("run", config, "--plan-only", *few, "--set", "train.micro_batch_tokens=100")) == 100


@pytest.mark.parametrize("ranks, iterations, more", [
    (0, "iterations: 3", ["run.reference=start"]), (2, "iterations: 1", []),
    (0, "sync_steps: 1, steps: 3", ["run.reference=start", "train.batch=4", "train.epochs=1"])])
def test_a_run_stays_below_the_plan(tpo, model, tmp_path, ranks, iterations, more):
    """Also with the start model in memory beside its training."""
    config = write_config(tmp_path, model, "fp32", 2048, prompts=4)
    text = config.read_text().replace("iterations: 1", iterations)
    config.write_text(text.replace("prompts_per_iteration: 4, ", "") if "steps" in iterations else text)
    tiny.write_prompts(tmp_path / "train.jsonl", "train", 12)
    sets = [word for pair in more for word in ("--set", pair)]
    text = tpo.ok("run", config, "--plan-only", *sets, ranks=ranks)
    most, _ = told(text)
    assert ("which stay in" in text) == bool(more)
    measured = peak("run", config, *sets, ranks=ranks)
    assert measured <= most, f"{measured / 1e6:.0f} MB were taken, at most {most / 1e6:.0f} told"


@pytest.mark.parametrize("dtype, ranks", [("fp32", 0), ("bf16", 2)])
def test_a_run_in_steps_stays_below_the_plan(tpo, model, tmp_path, dtype, ranks):
    """Its trainer stays open, and so does the reference."""
    config = write_config(tmp_path, model, dtype, 2048, prompts=8, batch=2)
    steps = [x for key in ("run.sync_steps=2", "run.steps=4", "run.reference=start", "train.epochs=1") for x in ("--set", key)]
    most, _ = told(tpo.ok("run", config, "--plan-only", *steps, ranks=ranks))
    measured = peak("run", config, *steps, ranks=ranks)
    assert measured <= most, f"{measured / 1e6:.0f} MB were taken, at most {most / 1e6:.0f} told"


def test_a_pair_longer_than_a_pass_takes_no_more(tpo, model, tmp_path):
    """Its layers are computed twice instead, with the same losses."""
    config = write_config(tmp_path, model, "fp32", 1024)
    most, _ = told(tpo.ok("run", config, "--plan-only", "--set", "run.validate_each_epoch=false"))
    pairs = write_pairs(tmp_path / "pairs.jsonl", 1, 2600)
    metrics = []
    for tokens in (1024, 8192):
        out = tmp_path / f"{tokens}.h5"
        measured = peak("dpo", "--config", config, "--pairs", pairs, "--out", out, "--micro-batch-tokens", tokens, "--metrics",
                        tmp_path / f"{tokens}.jsonl")
        lines = [json.loads(line) for line in (tmp_path / f"{tokens}.jsonl").read_text().splitlines()]
        metrics.append([(m["loss"], m["grad_norm"]) for m in lines])
        assert (measured <= most) == (tokens == 1024)
    assert metrics[0] == metrics[1] and len(metrics[0]) == 2
