"""How a run moves from iteration to iteration: metrics.jsonl against what stands in the run's files, the report,
TensorBoard's own reader, and the comparison with a direct baseline."""
import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import time

import h5py
import numpy
import pytest

import tiny
from conftest import command, environment

try:
    from tensorboard.backend.event_processing import event_accumulator
except ImportError:
    event_accumulator = None
needs_reader = pytest.mark.skipif(event_accumulator is None, reason="tensorboard, which reads its files, is not installed")

CONFIG = """
seed: 5
model: {{path: {model}, dtype: fp32}}
thought: {thought}
data: {{train: {train}, validation: {validation}, prompts_per_iteration: 8, validation_prompts: 6}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 48, slots: 8}}
train: {{learning_rate: 3e-4, batch: 4, epochs: 2, micro_batch_tokens: 600, warmup: 0}}
run: {{dir: {run_dir}, iterations: {iterations}, validation_temperature: 1, validation_k: 2, deadline: 60, baseline: {baseline}}}
{more}
"""
THOUGHT = "{name: letter, prompt: \"{instruction}\", response_marker: \"Q\", on_budget: force, thought_tokens: 20, response_tokens: 16}"
FIELDS = {
    "sample": ["format_rate", "parsed_strict", "parsed_search", "mean_thought_tokens", "thought_tokens_25", "thought_tokens_50", "thought_tokens_75",
               "mean_response_tokens", "response_tokens_25", "response_tokens_50", "response_tokens_75", "repetition"],
    "judge": ["mean_score", "best_score", "worst_score", "score_25", "score_50", "score_75"],
    "pairs": ["rho", "ties", "single_valued", "too_few", "below_margin", "unjudged", "tie_share", "unpaired_share",
              "length_difference", "length_difference_tokens"],
    "logprob_gap": ["max", "mean"],
    "kl": ["outputs", "tokens", "per_output", "per_output_se", "per_token", "k3_per_token"],
    "validate": ["mean_score", "mean_score_se", "score_50", "format_rate", "thought_tokens_50", "response_tokens_50",
                 "repetition", "difference", "difference_se", "resampled", "unparsed", "unparsed_share"],
    "win_rate": ["n", "wins", "losses", "ties", "win_rate", "standard_error", "baseline_iteration"],
}


@pytest.fixture(scope="module")
def configure(tiny_model, tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    tiny.write_prompts(data / "train.jsonl", "train", 16, ["a", "b", None])
    tiny.write_prompts(data / "validation.jsonl", "validation", 6, ["a", "b", None])

    def write(folder, name, thought=THOUGHT, iterations=2, baseline="", more="", validation="validation.jsonl"):
        path = folder / f"{name}.yaml"
        path.write_text(CONFIG.format(model=tiny_model, thought=thought, train=data / "train.jsonl", more=more,
                                      validation=data / validation, run_dir=folder / name, iterations=iterations,
                                      baseline=baseline or "null"))
        return path, folder / name

    return write


@pytest.fixture(scope="module")
def direct(tpo, configure, tmp_path_factory):
    """The same without thoughts, over one iteration less."""
    config, run_dir = configure(tmp_path_factory.mktemp("direct"), "direct", thought="none", iterations=1)
    tpo.ok("run", config, ranks=2)
    return run_dir


@pytest.fixture(scope="module")
def finished(tpo, configure, direct, tmp_path_factory):
    config, run_dir = configure(tmp_path_factory.mktemp("finished"), "run", baseline=direct)
    return config, run_dir, tpo.ok("run", config, ranks=2)


def events(run_dir, name=None):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [e for e in lines if name in (None, e["event"])]


def event(run_dir, name, iteration, against=None):
    found = [e for e in events(run_dir, name) if e["iteration"] == iteration and e.get("against") == against]
    assert len(found) == 1, f"{name} of iteration {iteration}"
    return found[0]


def read(path, *names):
    with h5py.File(path) as f:
        return [[v.decode() if isinstance(v, bytes) else v for v in f[name][:]] for name in names]


def test_every_number_is_recorded_in_every_iteration(finished):
    _, run_dir, _ = finished
    expected = [(name, i, None) for name in ("sample", "judge", "pairs", "logprob_gap", "kl") for i in (1, 2)]
    expected += [("validate", i, None) for i in (0, 1, 2)]
    expected += [("win_rate", i, "previous") for i in (1, 2)] + [("win_rate", i, "baseline") for i in (0, 1, 2)]
    for name, iteration, against in expected:
        found = event(run_dir, name, iteration, against)
        for field in FIELDS[name]:
            assert isinstance(found[field], (int, float)) and math.isfinite(found[field]), (name, iteration, field)


def test_lengths_and_scores_are_those_of_the_samples(finished):
    _, run_dir, _ = finished
    for i in (1, 2):
        tokens, thought, score, ok, scored = read(run_dir / f"iter-{i:03d}/scored.h5", "token_offset", "n_thought_tokens",
                                                  "score", "format_ok", "scored")
        tokens, thought, score = numpy.diff(tokens), numpy.array(thought), numpy.array(score)
        score = score[numpy.array(scored) != 0]
        assert len(score) < len(ok) or all(ok)
        found = event(run_dir, "sample", i)
        assert found["format_rate"] == pytest.approx(numpy.mean(ok))
        for key, values in [("thought_tokens", thought), ("response_tokens", tokens - thought)]:
            assert found[f"mean_{key}"] == pytest.approx(values.mean())
            assert [found[f"{key}_{q}"] for q in (25, 50, 75)] == pytest.approx(numpy.percentile(values, [25, 50, 75]))
        found = event(run_dir, "judge", i)
        assert found["scored"] == len(score) and found["mean_score"] == pytest.approx(score.mean())
        assert [found[f"score_{q}"] for q in (25, 50, 75)] == pytest.approx(numpy.percentile(score, [25, 50, 75]))


def test_numbers_that_do_not_exist_are_not_told_as_numbers(tpo, configure, tmp_path):
    """One validation instruction has no standard error; the folder's name has what a shell takes apart."""
    folder = tmp_path / "it's one"
    folder.mkdir()
    config, run_dir = configure(folder, "run", iterations=1, more="pairs: {reject_failures: true}")
    result = tpo("run", config, "--set", "data.validation_prompts=1", "--set", "run.validation_k=1", "--set", "train.epochs=1",
                 "--set", "run.validate_each_epoch=false", ranks=2)
    text, log = result.stdout.decode(), result.stderr.decode()
    assert result.returncode == 0, log
    assert "(one instruction, so without a standard error)" in text and "Too few instructions" in text
    assert "against the start, by one instruction)" in log
    page = (run_dir / "report.html").read_text()
    visible = page[page.index("</style>"):page.rindex("<script")]
    shown = [tpo.ok("inspect", run_dir / "iter-001" / name) for name in ("samples.h5", "scored.h5", "pairs.h5")]
    for words in (text, log, visible, *shown):
        assert not re.search(r"\bnan\b", words, re.I) and "± –" not in words
    assert "in z units of a prompt's samples" in shown[2]
    line = next(line for line in text.splitlines() if line.startswith("try next"))
    words = shlex.split(line.removeprefix("try next"))
    assert words[1:] == ["chat", "--model", str(run_dir / "iter-001" / "checkpoint.h5"), "--show-thoughts"]
    chat = tpo(*words[1:], "--max-tokens", 40, stdin=b"Hello\n")
    assert chat.returncode == 0 and b"its thought layout is letter, which it was trained with" in chat.stderr


def test_nothing_scored_has_no_mean(tpo, tiny_model, tmp_path):
    tiny.write_prompts(tmp_path / "p.jsonl", "p", 2)
    tpo.ok("generate", "--model", tiny_model, "--prompts", tmp_path / "p.jsonl", "--k", 2, "--max-tokens", 8, "--set",
           "thought.on_budget=stop", "--out", tmp_path / "s.h5")
    result = tpo("judge", "--samples", tmp_path / "s.h5", "--judge", "rule", "--out", tmp_path / "o.h5")
    assert result.returncode == 0 and b"none of the responses scored; 4 without format" in result.stderr, result.stderr
    assert "score    none scored" in tpo.ok("inspect", tmp_path / "o.h5")


def response_tokens(path):
    """Of each output, behind its marker and within what is judged; an end token is none."""
    offset, thought, unjudged, finish = read(path, "token_offset", "n_thought_tokens", "n_unjudged_tokens", "finish_reason")
    return numpy.maximum(numpy.diff(offset) - thought - unjudged - [f == "stop" for f in finish], 0)


def test_pairs_tell_length_differences_and_ties(finished):
    _, run_dir, _ = finished
    for i in (1, 2):
        folder = run_dir / f"iter-{i:03d}"
        response, ok = read(folder / "scored.h5", "response", "format_ok")
        chosen, rejected = read(folder / "pairs.h5", "chosen", "rejected")
        both = [(c, r) for c, r in zip(chosen, rejected) if ok[c] and ok[r]]
        tokens = response_tokens(folder / "scored.h5")
        found = event(run_dir, "pairs", i)
        assert found["mean_chosen_tokens"] == pytest.approx(numpy.mean([tokens[c] for c, _ in both]))
        assert found["mean_rejected_tokens"] == pytest.approx(numpy.mean([tokens[r] for _, r in both]))
        assert found["length_difference"] == pytest.approx(
            numpy.mean([len(response[c]) - len(response[r]) for c, r in both]))
        assert found["length_difference_tokens"] == pytest.approx(
            numpy.mean([tokens[c] - tokens[r] for c, r in both]))
        assert found["tie_share"] == pytest.approx((found["ties"] + found["single_valued"]) / 8)
        assert found["unpaired_share"] == pytest.approx(1 - len(chosen) / 8)


def z(values):
    values = numpy.array(values, dtype=float)
    return numpy.zeros(len(values)) if numpy.ptp(values) == 0 else (values - values.mean()) / values.std()


@pytest.mark.parametrize("unit", ["characters", "tokens"])
def test_length_control_counts_in_its_unit(tpo, finished, tmp_path, unit):
    _, run_dir, _ = finished
    scored, out = run_dir / "iter-001/scored.h5", tmp_path / "pairs.h5"
    options = [] if unit == "characters" else ["--length-unit", unit]
    tpo.ok("pairs", "--samples", scored, "--out", out, "--length-penalty", 0.5, "--max-failure-share", 0, *options)
    prompt, response, ok, score = read(scored, "prompt_id", "response", "format_ok", "score")
    length = response_tokens(scored) if unit == "tokens" else [len(r) for r in response]
    expected = []
    for name in dict.fromkeys(prompt):
        rows = [i for i, p in enumerate(prompt) if p == name and ok[i]]
        value = z([score[i] for i in rows]) - 0.5 * z([length[i] for i in rows])
        best, worst = (rows[i] for i in (value.argmax(), value.argmin()))
        if score[best] > score[worst] and value.max() > value.min():
            expected.append((best, worst))
    assert len(expected) > 1 and list(zip(*read(out, "chosen", "rejected"))) == expected


def logprobs(tpo, model, rows):
    text = "".join(json.dumps({"ids": [int(t) for t in prompt + out]}) + "\n" for prompt, out, *_ in rows)
    lines = tpo.ok("logprobs", "--model", model, "--dtype", "fp32", stdin=text).splitlines()
    return [numpy.array(json.loads(line)["logprobs"][len(row[0]) - 1:]) for line, row in zip(lines, rows)]


def outputs(path):
    """(prompt ids, token ids, which were sampled, the sampler's log-probabilities) of each sample."""
    with h5py.File(path) as f:
        prompts, offsets = f["prompt_token_offset"][:], f["token_offset"][:]
        ids, tokens, inserted, probs = (f[n][:] for n in ("prompt_token_ids", "token_ids", "inserted", "token_logprob"))
        return [(list(ids[prompts[i]:prompts[i + 1]]), list(tokens[a:b]), inserted[a:b] == 0, probs[a:b])
                for i, (a, b) in enumerate(zip(offsets, offsets[1:]))]


def test_the_first_iteration_is_at_no_distance_and_the_second_at_the_one_worked_out_here(tpo, finished, tiny_model):
    _, run_dir, _ = finished
    first, second = event(run_dir, "kl", 1), event(run_dir, "kl", 2)
    assert first["per_output"] == first["per_token"] == first["k3_per_token"] == 0
    rows = outputs(run_dir / "iter-002/samples.h5")
    assert any(not row[2].all() for row in rows), "some marker must have been inserted"
    policy = logprobs(tpo, run_dir / "iter-001/checkpoint.h5", rows)
    seed = logprobs(tpo, tiny_model, rows)
    ratios = [(p - s)[row[2]] for p, s, row in zip(policy, seed, rows)]
    sums, every = numpy.array([r.sum() for r in ratios]), numpy.concatenate(ratios)
    assert second["outputs"] == len(rows) and second["tokens"] == len(every)
    assert second["k3_per_token"] > 1e-4
    assert second["k3_per_token"] == pytest.approx((numpy.exp(-every) - 1 + every).mean(), rel=1e-3)
    assert second["per_token"] == pytest.approx(every.mean(), abs=1e-6)
    assert second["per_output"] == pytest.approx(sums.mean(), abs=1e-4)
    assert second["per_output_se"] == pytest.approx(sums.std(ddof=1) / math.sqrt(len(sums)), rel=1e-3)
    gaps = numpy.concatenate([abs(p - row[3])[row[2]] for p, row in zip(policy, rows)])
    gap = event(run_dir, "logprob_gap", 2)
    assert gap["max"] == pytest.approx(gaps.max(), abs=2e-6) and gap["max"] < 1e-4


def prompt_scores(run_dir, iteration):
    """Means over each prompt's outputs; what has no score counts with judge.empty_score."""
    prompt, score, scored = read(run_dir / f"iter-{iteration:03d}/validation.h5", "prompt_id", "score", "scored")
    return {p: numpy.mean([s if t else -1 for q, s, t in zip(prompt, score, scored) if p == q]) for p in prompt}


def assert_win_rate(found, now, before):
    outcome = [1 if now[p] > before[p] else 0 if now[p] < before[p] else 0.5 for p in now]
    assert found["n"] == len(outcome) == 6 and found["unmatched"] == 0
    assert [found["wins"], found["losses"], found["ties"]] == [outcome.count(x) for x in (1, 0, 0.5)]
    assert found["win_rate"] == pytest.approx(numpy.mean(outcome))
    assert found["standard_error"] == pytest.approx(numpy.std(outcome, ddof=1) / math.sqrt(6))


def test_win_rates_against_the_iteration_before_and_the_direct_baseline(finished, direct):
    _, run_dir, out = finished
    for i in (1, 2):
        found = event(run_dir, "win_rate", i, "previous")
        assert found["baseline_iteration"] == i - 1
        assert_win_rate(found, prompt_scores(run_dir, i), prompt_scores(run_dir, i - 1))
    for i, other in ((0, 0), (1, 1), (2, 1)):  # the baseline has one iteration only
        found = event(run_dir, "win_rate", i, "baseline")
        assert found["baseline_iteration"] == other
        assert_win_rate(found, prompt_scores(run_dir, i), prompt_scores(direct, other))
    assert "won against this run's iteration 1" in out and "won against the baseline's iteration 1" in out


def test_validation_tells_its_spread(finished):
    _, run_dir, _ = finished
    scores = numpy.array(list(prompt_scores(run_dir, 1).values()))
    found = event(run_dir, "validate", 1)
    assert found["mean_score"] == pytest.approx(scores.mean())
    assert found["mean_score_se"] == pytest.approx(scores.std(ddof=1) / math.sqrt(6))
    assert [found[f"score_{q}"] for q in (25, 50, 75)] == pytest.approx(numpy.percentile(scores, [25, 50, 75]))


def test_the_report_shows_them(finished):
    _, run_dir, _ = finished
    page = (run_dir / "report.html").read_text()
    for words in ["Win rate on validation", "against the baseline", "Distance from the start model", "Length penalty",
                  "Prompts without a pair", "Repetition", "Sampled thoughts", "Sampled responses", "Sampler against trainer",
                  "Scores of sampled outputs", "pairs of equal outputs", "win rate, baseline", "KL a token, k3", "chosen − rejected, tokens"]:
        assert words in page, words
    assert "Not shown" not in page
    rate = event(run_dir, "win_rate", 2, "baseline")["win_rate"]
    assert f"{100 * rate:.1f} %" in page


def accumulator(run_dir):
    found = event_accumulator.EventAccumulator(str(run_dir / "tensorboard"))
    found.Reload()
    return found


def scalars(found):
    return {tag: [(x.step, x.value) for x in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


@needs_reader
def test_tensorboard_reads_the_same_numbers(finished):
    _, run_dir, _ = finished
    found = accumulator(run_dir)
    read_back = scalars(found)
    steps = events(run_dir, "step")
    for tag in ("loss", "margin", "accuracy", "lr", "grad_norm", "chosen_logprob", "rejected_logprob"):
        assert read_back[f"train/{tag}"] == [(i, numpy.float32(e[tag])) for i, e in enumerate(steps, 1)]
    for tag, name, key, against in [
            ("validation_score", "validate", "mean_score", None), ("format_rate", "sample", "format_rate", None),
            ("thought_tokens", "sample", "mean_thought_tokens", None), ("response_tokens_75", "sample", "response_tokens_75", None),
            ("repetition", "sample", "repetition", None), ("score_mean", "judge", "mean_score", None),
            ("score_best", "judge", "best_score", None), ("score_worst", "judge", "worst_score", None),
            ("rho", "pairs", "rho", None), ("tie_share", "pairs", "tie_share", None),
            ("length_difference", "pairs", "length_difference", None), ("logprob_gap_max", "logprob_gap", "max", None),
            ("kl_per_token", "kl", "per_token", None), ("kl_k3_per_token", "kl", "k3_per_token", None),
            ("win_rate_previous", "win_rate", "win_rate", "previous"),
            ("win_rate_baseline", "win_rate", "win_rate", "baseline")]:
        expected = [(e["iteration"], numpy.float32(e[key])) for e in events(run_dir, name) if e.get("against") == against]
        assert read_back[f"iteration/{tag}"] == expected, tag
    assert [x.wall_time for x in found.Scalars("train/loss")] == [e["time"] for e in steps]
    assert abs(steps[-1]["time"] - time.time()) < 3600
    assert [p.name for p in (run_dir / "tensorboard").iterdir()] == ["events.out.tfevents.0000000000.tpo"]


def without_times(run_dir):
    return [{k: v for k, v in e.items() if k not in ("time", "seconds")} for e in events(run_dir)]


@pytest.fixture(scope="module", params=[("kl", 1), ("epoch", 1), ("judge", 2)], ids=lambda last: f"{last[0]}-{last[1]}")
def resumed(request, tpo, configure, direct, tmp_path_factory):
    """A run that was killed behind an event and taken up, one that was not, and a reader that had the files open."""
    last, tmp_path = request.param, tmp_path_factory.mktemp("resumed")
    config, whole = configure(tmp_path, "whole", baseline=direct)
    tpo.ok("run", config)
    config, run_dir = configure(tmp_path, "killed", baseline=direct)
    process = subprocess.Popen(command(["run", config])[4:], env=environment(), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    metrics = run_dir / "metrics.jsonl"
    while time.monotonic() < until and process.poll() is None:
        if metrics.exists() and f'"event":"{last[0]}","iteration":{last[1]}' in metrics.read_text():
            break
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    watching = accumulator(run_dir) if event_accumulator else None
    tpo.ok("run", config, "--resume")
    return last, run_dir, whole, watching


def test_killed_and_resumed_it_tells_the_same(resumed):
    _, run_dir, whole, _ = resumed
    assert without_times(run_dir) == without_times(whole)


@needs_reader
def test_killed_and_resumed_tensorboard_reads_the_same(resumed):
    last, run_dir, whole, watching = resumed
    assert scalars(accumulator(run_dir)) == scalars(accumulator(whole))
    if last[0] != "epoch":  # an epoch's numbers that were told may be told again, in a file of their own
        watching.Reload()
        assert scalars(watching) == scalars(accumulator(whole)), "a reader that had the file open sees the rest"


def test_they_can_be_switched_off(tpo, configure, tmp_path):
    config, run_dir = configure(tmp_path, "run", iterations=1)
    tpo.ok("run", config, "--set", "run.tensorboard=false", "--set", "run.kl_outputs=0")
    assert not (run_dir / "tensorboard").exists()
    assert not events(run_dir, "kl") and event(run_dir, "logprob_gap", 1)["max"] < 1e-4
    assert [e["against"] for e in events(run_dir, "win_rate")] == ["previous"]


def test_fewer_outputs_are_spread_over_the_iteration(tpo, configure, tmp_path):
    config, run_dir = configure(tmp_path, "run", iterations=1)
    tpo.ok("run", config, "--set", "run.kl_outputs=5", ranks=3)
    rows = outputs(run_dir / "iter-001/samples.h5")
    found = event(run_dir, "kl", 1)
    assert found["outputs"] == 5
    assert found["tokens"] == sum(int(rows[i * len(rows) // 5][2].sum()) for i in range(5))


def test_with_the_start_model_as_reference_both_distances_are_there(tpo, configure, finished, tmp_path):
    config, run_dir = configure(tmp_path, "run")
    tpo.ok("run", config, "--set", "run.reference=seed", ranks=2)
    for i in (1, 2):
        assert event(run_dir, "logprob_gap", i)["max"] < 1e-4
    # The first iteration's reference is the same model either way, so the second one samples from the same.
    _, previous, _ = finished
    assert event(run_dir, "kl", 2)["k3_per_token"] == event(previous, "kl", 2)["k3_per_token"] > 0


def test_a_judge_that_compares_is_asked_for_win_rates(tpo, configure, tmp_path):
    judge = tiny.end_often(tiny.make(tmp_path / "judge", context=4096, seed=9))
    more = f'judge: {{kind: "pairwise:{judge}", max_tokens: 128, temperature: 1, pattern: "(?i)([abc])", max_failed: 1}}'
    config, base = configure(tmp_path, "direct", thought="none", iterations=1, more=more)
    tpo.ok("run", config)
    config, run_dir = configure(tmp_path, "run", baseline=base, more=more)
    tpo.ok("run", config, ranks=2)
    prompt, score, scored = read(run_dir / "iter-001/validation.h5", "prompt_id", "score", "scored")
    shares = [numpy.mean(of) for p in dict.fromkeys(prompt)
              if (of := [s for q, s, t in zip(prompt, score, scored) if q == p and t])]
    found = event(run_dir, "win_rate", 1, "previous")  # what the validation score is, too
    assert [found["wins"], found["losses"]] == [sum(s > 0.5 for s in shares), sum(s < 0.5 for s in shares)]
    for against, iterations in (("previous", (1, 2)), ("baseline", (0, 1, 2))):
        for i in iterations:
            found = event(run_dir, "win_rate", i, against)
            assert 0 < found["n"] <= 6 and found["n"] == found["wins"] + found["losses"] + found["ties"]
    config, alone = configure(tmp_path, "alone", baseline=base, more=more)
    tpo.ok("run", config)
    one, two = (event(d, "win_rate", 0, "baseline") for d in (run_dir, alone))
    assert {**one, "time": 0} == {**two, "time": 0}, "the start model's verdicts do not depend on the ranks"


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_baseline_that_can_not_be_one_is_refused_before_anything_is_computed(tpo, configure, direct, tmp_path, ranks):
    (tmp_path / "empty").mkdir()
    cases = [(tmp_path / "nothing", [], ["run.baseline", "nothing"]),
             (tmp_path / "empty", [], ["run.baseline", "manifest.json"]),
             (tmp_path / "run", [], ["run.baseline", "own folder"]),
             (direct, ["--set", "judge.strict=false"], ["judged otherwise", "judge.strict: true", "judge.strict: false"]),
             (direct, ["--set", "run.validation_k=3"], ["validated otherwise", "run.validation_k: 2", "run.validation_k: 3"]),
             (direct, ["--set", "run.validation_temperature=0.5"], ["validated otherwise", "run.validation_temperature"]),
             (direct, ["--set", "run.validation_resample=0"], ["validated otherwise", "run.validation_resample"]),
             (direct, ["--set", "data.validation_prompts=0"], ["data.validation_prompts"])]
    for baseline, settings, words in cases[::3] if ranks else cases:  # rank 0 finds out, all ranks hear of it
        config, run_dir = configure(tmp_path, "run", baseline=baseline)
        text = tpo.fails("run", config, *settings, ranks=ranks, code=2)
        assert all(word in text for word in words), text
        assert not (run_dir / "iter-000/validation.h5").exists()
        subprocess.run(["rm", "-rf", run_dir], check=True)


def test_a_baselines_judge_that_differs_in_a_long_text_is_told_from_this_runs(tpo, configure, direct, tmp_path):
    config, _ = configure(tmp_path, "run", baseline=direct)
    text = tpo.fails("run", config, "--set", "judge.prompt=" + "Which is better? " * 200, code=2)
    assert 'there "judge.prompt: null"' in text and 'here "judge.prompt: ' in text
    config, base = configure(tmp_path, "base", iterations=1)
    tpo.ok("run", config, "--set", "judge.prompt=" + "Which is better? " * 200)
    config, _ = configure(tmp_path, "run", baseline=base)
    text = tpo.fails("run", config, "--set", "judge.prompt=Which?", code=2)
    assert 'there "judge.prompt: ' in text and 'here "judge.prompt: "Which?""' in text


def test_a_baseline_that_is_not_finished_is_warned_of(tpo, configure, direct, tmp_path):
    config, run_dir = configure(tmp_path, "run", iterations=1, baseline=direct)
    assert b"is not finished" not in tpo("run", config).stderr
    unfinished = shutil.copytree(direct, tmp_path / "unfinished")
    manifest = json.loads((unfinished / "manifest.json").read_text())
    (unfinished / "manifest.json").write_text(json.dumps({**manifest, "done": False}))
    config, run_dir = configure(tmp_path, "other", iterations=1, baseline=unfinished)
    assert b"is not finished" in tpo("run", config).stderr


def test_a_judges_other_settings_may_differ(tpo, configure, direct, tmp_path):
    config, run_dir = configure(tmp_path, "run", iterations=1, baseline=direct)
    tpo.ok("run", config, "--set", "judge.max_failed=0.5", "--set", "judge.slots=3")
    assert event(run_dir, "win_rate", 1, "baseline")["n"] == 6


@pytest.mark.parametrize("change", ["id", "instruction"])
def test_a_baseline_on_other_instructions_is_named(tpo, configure, direct, tmp_path, change):
    other = tmp_path / "other.jsonl"
    tiny.write_prompts(other, "validation", 6)
    rows = [json.loads(line) for line in other.read_text().splitlines()]
    other.write_text("".join(json.dumps({**row, change: row[change] + "x"}) + "\n" for row in rows))
    config, run_dir = configure(tmp_path, "run", baseline=direct, validation=other)
    text = tpo.fails("run", config, ranks=2, code=2)
    assert str(direct / "iter-000/validation.h5") in text and str(run_dir) in text and "none of the validation" in text


def test_instructions_that_only_one_has_are_counted(tpo, configure, direct, tmp_path):
    other = tmp_path / "other.jsonl"
    tiny.write_prompts(other, "validation", 6)
    rows = [json.loads(line) for line in other.read_text().splitlines()]
    rows[2]["instruction"] += " Please."
    rows[4]["id"] = "new"
    other.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config, run_dir = configure(tmp_path, "run", iterations=1, baseline=direct, validation=other)
    tpo.ok("run", config)
    found = event(run_dir, "win_rate", 1, "baseline")
    assert (found["n"], found["unmatched"]) == (4, 2)
