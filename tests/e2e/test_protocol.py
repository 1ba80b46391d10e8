"""Iterations as the paper ran them: validation that draws again what does not parse, prompts left out when a judge
fails, and a judge that only compares."""
import json

import h5py
import pytest

import tiny

CONFIG = """
seed: 5
model: {{path: {model}, dtype: fp32}}
thought: {{name: letter, prompt: "{{instruction}}", response_marker: "e", on_budget: stop}}
data: {{train: {train}, validation: {validation}, prompts_per_iteration: 6, validation_prompts: 8}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 40, slots: 8}}
train: {{learning_rate: 1e-4, batch: 4, epochs: 2, micro_batch_tokens: 4096, warmup: 0}}
run: {{dir: {run_dir}, iterations: 1, validation_temperature: {temperature}, validation_k: {k},
      validation_resample: {resample}, deadline: 60}}
"""


@pytest.fixture
def run(tpo, tiny_model, tmp_path):
    train, validation = tmp_path / "train.jsonl", tmp_path / "validation.jsonl"
    tiny.write_prompts(train, "train", 6)
    tiny.write_prompts(validation, "validation", 8)

    def go(name, resample, *options, temperature=1, k=2, ranks=0):
        config, run_dir = tmp_path / f"{name}.yaml", tmp_path / name
        config.write_text(CONFIG.format(model=tiny_model, train=train, validation=validation, run_dir=run_dir,
                                        temperature=temperature, k=k, resample=resample))
        result = tpo("run", config, *options, ranks=ranks)
        assert result.returncode == 0, result.stderr
        go.told = result.stderr.decode()
        return run_dir

    return go


def validation(run_dir, iteration=0):
    with h5py.File(run_dir / f"iter-{iteration:03d}" / "validation.h5") as f:
        names = ["prompt_id", "k", "text", "format_ok", "scored"]
        return list(zip(*[[v.decode() if isinstance(v, bytes) else int(v) for v in f[name]] for name in names]))


def event(run_dir, iteration=0):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return next(e for e in lines if e["event"] == "validate" and e["iteration"] == iteration)


def test_what_does_not_parse_is_drawn_again_and_counted(run):
    once, again = run("once", 0), run("again", 5)
    before, after = validation(once), validation(again)
    failed = [row for row in before if not row[3]]
    assert 0 < len(failed) < len(before), "the marker must come in some outputs and not in others"
    assert event(once)["resampled"] == 0 and event(once)["unparsed"] == len(failed)
    assert event(again)["resampled"] >= len(failed)
    assert event(again)["unparsed"] == sum(not row[3] for row in after) < len(failed)
    for old, new in zip(before, after):
        assert old[:2] == new[:2], "each output keeps its prompt and its number"
        assert old == new or not old[3], "what parsed is left as it was"
    assert all(row[4] == row[3] for row in after), "what parses is scored, and nothing else"


def test_a_marker_that_comes_again_ends_the_response(run):
    with h5py.File(run("again", 0) / "iter-000" / "validation.h5") as f:
        rows = list(zip(f["text"][:], f["finish_reason"][:], f["format_ok"][:]))
    assert all(text.count(b"e") <= 1 for text, _, _ in rows)
    stopped = [ok for _, reason, ok in rows if reason == b"stop_string"]
    assert stopped and any(stopped)


def test_a_likeliest_output_that_does_not_parse_is_drawn_at_the_sampling_temperature(run):
    run_dir = run("greedy", 5, temperature=0, k=1)
    once = run("greedy-once", 0, temperature=0, k=1)
    assert event(once)["unparsed"] > event(run_dir)["unparsed"]


def test_validation_draws_the_same_outputs_on_any_number_of_ranks(run):
    assert validation(run("one", 3)) == validation(run("two", 3, ranks=2))


def test_training_keeps_what_does_not_parse_as_rejected_or_leaves_it_out(tpo, run, tmp_path):
    run_dir = run("pairs", 1)
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    pairs = next(e for e in lines if e["event"] == "pairs")
    assert pairs["rejected_parse_failures"] > 0 and pairs["unjudged"] == 0
    tpo.ok("pairs", "--samples", run_dir / "iter-001/scored.h5", "--out", tmp_path / "pairs.h5", "--set",
           "pairs.reject_failures=false")
    with h5py.File(tmp_path / "pairs.h5") as f, h5py.File(run_dir / "iter-001/scored.h5") as scored:
        without = json.loads(f.attrs["statistics"])
        assert all(scored["format_ok"][f["rejected"][:]]), "both outputs of each pair parse"
    assert without["rejected_parse_failures"] == 0 and without["parse_failures"] == pairs["parse_failures"]


def test_what_does_not_parse_is_at_most_a_share_of_the_rejected(tpo, run, tmp_path):
    run_dir = run("share", 1, "--set", "pairs.max_failure_share=0.6", ranks=2)
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    counts = next(e for e in lines if e["event"] == "pairs")
    assert 0 < counts["rejected_parse_failures"] <= 0.6 * counts["pairs"]
    assert counts["failures_passed_over"] > 0
    left_out = "prompts the outputs that do not parse were left out because of pairs.max_failure_share"
    assert f"iteration 1: of {counts['failures_passed_over']} {left_out}" in run.told
    made = tpo("pairs", "--samples", run_dir / "iter-001/scored.h5", "--out", tmp_path / "pairs.h5", "--seed", 5,
               "--iteration", 1, "--max-failure-share", 0.6)
    assert made.returncode == 0 and f"of {counts['failures_passed_over']} {left_out}".encode() in made.stderr
    assert b"no pair is left" not in made.stderr
    none = tpo("pairs", "--samples", run_dir / "iter-001/scored.h5", "--out", tmp_path / "none.h5", "--margin", 1e9,
               "--max-failure-share", 0)
    assert none.returncode == 0 and b"no pair is left: of " in none.stderr, none.stderr
    with h5py.File(tmp_path / "pairs.h5") as ours, h5py.File(run_dir / "iter-001/pairs.h5") as of_run:
        assert all((ours[name][:] == of_run[name][:]).all() for name in ("chosen", "rejected"))
        assert json.loads(ours.attrs["statistics"]) == json.loads(of_run.attrs["statistics"])
    assert "failures_passed_over" in tpo.ok("inspect", tmp_path / "pairs.h5")
    assert "failures passed over" in (run_dir / "report.html").read_text()
    tpo.fails("pairs", "--samples", run_dir / "iter-001/scored.h5", "--out", tmp_path / "no.h5",
              "--max-failure-share", 1.5, code=2)


def parts(text, rule):
    """Thought and response of "...a thought e response", or None."""
    thought = text.find("a")
    response = text.find("e", thought)
    if thought < 0 or response < 0 or rule == "strict" and (text.count("a") > 1 or text.count("e") > 1):
        return None
    found = text[thought + 1:response].strip(), text[response + 1:].strip()
    return found if all(found) else None


def test_either_rule_of_parsing_is_counted_and_samples_alike(tpo, run, tmp_path, tiny_model):
    layout = ["--set", "thought.thought_marker=a", "--set", "pairs.reject_failures=false", "--set", "sampling.k=16"]
    run_dir = run("search", 0, *layout, "--set", "thought.parse=search", ranks=2)
    with h5py.File(run_dir / "iter-001/samples.h5") as f:
        names = ["text", "thought", "response", "format_ok"]
        rows = list(zip(*[[v.decode() if isinstance(v, bytes) else bool(v) for v in f[name]] for name in names]))
    for text, thought, response, ok in rows:
        assert ok == bool(parts(text, "search")) and (not ok or (thought, response) == parts(text, "search")), text
    counts = {rule: sum(bool(parts(row[0], rule)) for row in rows) for rule in ("strict", "search")}
    assert 0 < counts["strict"] < counts["search"] < len(rows)
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    event = next(e for e in lines if e["event"] == "sample")
    assert {rule: event[f"parsed_{rule}"] for rule in counts} == counts
    assert "kept, search" in (run_dir / "report.html").read_text()
    (tmp_path / "layout.yaml").write_text('prompt: "{instruction}"\nthought_marker: "a"\nresponse_marker: "e"\nparse: strict\n')
    out = tpo.ok("generate", "--model", tiny_model, "--prompts", run_dir / "iter-001/prompts.jsonl", "--jsonl", "--out", "-",
                 "--thought", tmp_path / "layout.yaml", "--seed", 5, "--iteration", 1, "--k", 16, "--temperature", 1,
                 "--top-p", 1, "--max-tokens", 40, "--set", "model.dtype=fp32")
    strict = [json.loads(line) for line in out.splitlines()]
    assert [row["text"] for row in strict] == [row[0] for row in rows], "the rule changes no sample"
    assert sum(row["format_ok"] for row in strict) == counts["strict"]


JUDGE = """
import json, sys
for line in sys.stdin:
    item = json.loads(line)
    scores = [{score} for r in item["responses"]]
    print(json.dumps({{"id": item["id"], "scores": scores}}), flush=True)
"""


def test_a_judge_that_fails_too_often_ends_the_run_and_below_that_prompts_are_left_out(tpo, tiny_model, tmp_path):
    prompts, samples, judge = tmp_path / "p.jsonl", tmp_path / "s.h5", tmp_path / "judge.py"
    tiny.write_prompts(prompts, "p", 8)
    tpo.ok("generate", "--model", tiny_model, "--prompts", prompts, "--out", samples, "--k", 4, "--thought", "none",
           "--max-tokens", 12, "--temperature", 1)
    judge.write_text(JUDGE.format(score='None if item["id"] == "p-3" and r["k"] == 2 else len(r["text"]) + 0.01 * r["k"]'))
    kind, scored = f"command:python3 {judge}", tmp_path / "scored.h5"
    text = tpo.fails("judge", "--samples", samples, "--judge", kind, "--out", scored, "--set", "judge.max_failed=0.1",
                     code=1, ranks=2)
    assert "1 of 8 prompts" in text and "1 of 32 responses" in text and "sample 2 of prompt p-3" in text
    assert "judge.max_failed" in text and not scored.exists()
    result = tpo("judge", "--samples", samples, "--judge", kind, "--out", scored, "--set", "judge.max_failed=0.125", ranks=2)
    assert result.returncode == 0 and b"the judge counted: prompts 8, responses 32, failed 1\n" in result.stderr
    pairs = tmp_path / "pairs.h5"
    tpo.ok("pairs", "--samples", scored, "--out", pairs, "--length-penalty", 0)
    with h5py.File(pairs) as f:
        statistics = json.loads(f.attrs["statistics"])
        assert "p-3" not in [i.decode() for i in f["prompt_id"]] and len(f["prompt_id"]) == 7
    assert statistics["unjudged"] == 1 and statistics["unscored"] == 1


def test_a_failed_judgement_is_no_number_in_validation(tpo, tiny_model, tmp_path):
    train, held_back, judge = tmp_path / "train.jsonl", tmp_path / "validation.jsonl", tmp_path / "judge.py"
    tiny.write_prompts(train, "train", 4)
    tiny.write_prompts(held_back, "validation", 10)
    judge.write_text(JUDGE.format(score='None if item["id"] == "validation-7" else 10.0 + r["k"]'))
    config = tmp_path / "c.yaml"
    config.write_text(f"""
model: {{path: {tiny_model}, dtype: fp32}}
thought: none
judge: "command:python3 {judge}"
data: {{train: {train}, validation: {held_back}, prompts_per_iteration: 4, validation_prompts: 10}}
sampling: {{k: 3, temperature: 1, top_p: 1, max_tokens: 8}}
pairs: {{length_penalty: 0}}
train: {{epochs: 2, batch: 4}}
run: {{dir: {tmp_path / "run"}, iterations: 1, deadline: 60}}
""")
    out = tpo.ok("run", config, ranks=2)
    told = [event(tmp_path / "run", iteration) for iteration in (0, 1)]
    for e in told:
        assert e["mean_score"] == 10 and e["failures"] == 1 and e["unjudged"] == 1 and e["n"] == 10
        assert e["counts"]["failed"] == 1
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [e["score"] for e in lines if e["event"] == "epoch"] == [10, 10]
    win = next(e for e in lines if e["event"] == "win_rate")
    assert win["n"] == win["ties"] == 9 and win["unjudged"] == 1
    assert "instructions, 9 of them" in out
    page = (tmp_path / "run" / "report.html").read_text()
    assert "on 9 held-back instructions, before training and after iteration 1. Left out because the judge failed" in page
    assert "prompts: 4<br>responses: 12<" in page, "what the judge counted in training"


def test_what_does_not_parse_is_never_better_than_what_does(tpo, tiny_model, tmp_path):
    """Where a judge's scores lie below judge.empty_score, the lowest of the start model's takes its place."""
    train, held_back, judge = tmp_path / "train.jsonl", tmp_path / "validation.jsonl", tmp_path / "judge.py"
    tiny.write_prompts(train, "train", 6)
    tiny.write_prompts(held_back, "validation", 8)
    judge.write_text(JUDGE.format(score='-500.0 + len(r["text"])'))
    told = {}
    for name, empty in [("default", -1), ("lower", -900)]:
        config, run_dir = tmp_path / f"{name}.yaml", tmp_path / name
        config.write_text(CONFIG.format(model=tiny_model, train=train, validation=held_back, run_dir=run_dir,
                                        temperature=1, k=2, resample=0) +
                          f'judge: {{kind: "command:python3 {judge}", empty_score: {empty}}}\n')
        tpo.ok("run", config, ranks=2)
        with h5py.File(run_dir / "iter-000/validation.h5") as f:
            ids, scored, scores = [f[k][:] for k in ("prompt_id", "scored", "score")]
        lowest, told[name] = min(scores[scored == 1]), event(run_dir)
        assert told[name]["unparsed"] > 0 and told[name]["unparsed_score"] == (lowest if empty == -1 else empty)
        filled = [s if ok else told[name]["unparsed_score"] for s, ok in zip(scores, scored)]
        means = [sum(v for v, i in zip(filled, ids) if i == name) / 2 for name in sorted(set(ids))]
        assert told[name]["mean_score"] == pytest.approx(sum(means) / len(means))
        assert event(run_dir, 1)["unparsed_score"] == told[name]["unparsed_score"]
        lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
        epochs = [e for e in lines if e["event"] == "epoch"]
        assert len(epochs) == 2 and all(e["unparsed"] > 0 and e["resampled"] == 0 for e in epochs)


@pytest.mark.parametrize("spared", [True, False])
def test_prompts_that_a_judge_did_not_score_in_full_are_told(tpo, tiny_model, tmp_path, spared):
    train, judge, config = tmp_path / "train.jsonl", tmp_path / "judge.py", tmp_path / "c.yaml"
    tiny.write_prompts(train, "train", 4)
    fails = 'item["id"] != "train-2" and r["k"] == 1' if spared else 'r["k"] == 1'
    judge.write_text(JUDGE.format(score=f'None if {fails} else 10.0 + r["k"]'))
    config.write_text(f"""
model: {{path: {tiny_model}, dtype: fp32}}
thought: none
judge: {{kind: "command:python3 {judge}", max_failed: 1}}
data: {{train: {train}, prompts_per_iteration: 4, validation_prompts: 0}}
sampling: {{k: 3, temperature: 1, top_p: 1, max_tokens: 8}}
pairs: {{length_penalty: 0}}
train: {{epochs: 1, batch: 4}}
run: {{dir: {tmp_path / "run"}, iterations: 1, validate_each_epoch: false, deadline: 60}}
""")
    result = tpo("run", config, ranks=2)
    text, n = result.stderr.decode(), 3 if spared else 4
    assert result.returncode == (0 if spared else 1), text
    assert f"iteration 1: the judge failed on {n} responses; their {n} of 4 prompts are left out" in text
    if not spared:
        assert "no preference pair" in text and "4 were not judged in full" in text


def test_a_judging_that_is_given_up_leaves_no_scale_behind(tpo, tiny_model, tmp_path):
    train, held_back, judge = tmp_path / "train.jsonl", tmp_path / "validation.jsonl", tmp_path / "judge.py"
    tiny.write_prompts(train, "train", 4)
    tiny.write_prompts(held_back, "validation", 10)
    judge.write_text(JUDGE.format(score='None if item["id"] > "validation-2" else 1000.0 + len(r["text"])'))
    config = tmp_path / "c.yaml"
    config.write_text(f"""
model: {{path: {tiny_model}, dtype: fp32}}
thought: none
judge: {{kind: route, routes: "* -> command:python3 {judge}"}}
data: {{train: {train}, validation: {held_back}, prompts_per_iteration: 4, validation_prompts: 10}}
sampling: {{k: 3, temperature: 1, top_p: 1, max_tokens: 8}}
run: {{dir: {tmp_path / "run"}, iterations: 1, deadline: 60}}
""")
    assert "7 of 10 responses" in tpo.fails("run", config, ranks=2, code=1)
    assert not (tmp_path / "run" / "judge-scales.json").exists()
    judge.write_text(JUDGE.format(score='1000.0 + len(r["text"]) + int(item["id"][-1])'))
    tpo.ok("run", config, "--resume")
    assert (tmp_path / "run" / "judge-scales.json").exists()
    assert abs(event(tmp_path / "run")["mean_score"]) < 1e-9


def test_a_judge_sees_all_of_a_chat(tpo, tiny_model, tmp_path):
    prompts, samples, judge, seen = tmp_path / "p.jsonl", tmp_path / "s.h5", tmp_path / "judge.py", tmp_path / "seen"
    chat = [{"role": "user", "content": "Name a colour."}, {"role": "assistant", "content": "Blue."},
            {"role": "user", "content": "Another one."}]
    prompts.write_text(json.dumps({"id": "chat", "messages": chat}) + "\n" + json.dumps({"instruction": "Name a town."}))
    tpo.ok("generate", "--model", tiny_model, "--prompts", prompts, "--out", samples, "--k", 2, "--thought", "none",
           "--max-tokens", 12, "--temperature", 1)
    judge.write_text(f"import json, sys\nfor line in sys.stdin:\n  open({str(seen)!r}, 'a').write(line)\n"
                     "  item = json.loads(line)\n"
                     "  print(json.dumps({'id': item['id'], 'scores': [0.0] * len(item['responses'])}), flush=True)\n")
    tpo.ok("judge", "--samples", samples, "--judge", f"command:python3 {judge}", "--out", tmp_path / "scored.h5")
    first, second = [json.loads(line) for line in seen.read_text().splitlines()]
    assert first["messages"] == chat and first["instruction"] == "Another one." and "messages" not in second


def test_a_chats_checks_may_hold_any_character(tpo, tiny_model, tmp_path):
    prompts, samples, scored = tmp_path / "p.jsonl", tmp_path / "s.h5", tmp_path / "scored.h5"
    checks = [{"type": "keywords:existence", "keywords": ["a\0b"]}]
    chat = [{"role": role, "content": "Write."} for role in ("user", "assistant", "user")]
    prompts.write_text(json.dumps({"messages": chat, "checks": checks}))
    tpo.ok("generate", "--model", tiny_model, "--prompts", prompts, "--out", samples, "--k", 2, "--thought", "none",
           "--max-tokens", 12, "--temperature", 1)
    tpo.ok("judge", "--samples", samples, "--judge", "rule", "--out", scored, "--set", "judge.max_failed=1")
    with h5py.File(scored) as f:
        assert [json.loads(meta) for meta in f["meta"]] == [{"checks": checks, "messages": chat}] * 2


def test_the_rule_judge_sees_no_thought(tpo, tiny_model, tmp_path):
    """A word that only the thoughts hold is asked for, and found in none of the responses."""
    prompts, layout, samples, scored = [tmp_path / name for name in ["p.jsonl", "layout.yaml", "s.h5", "scored.h5"]]
    prompts.write_text(json.dumps({"instruction": "Write.", "checks": [
        {"type": "keywords:existence", "keywords": ["PLANTED-SECRET-8802"]}]}))
    layout.write_text('prompt: "{instruction}"\nthought_marker: "Notes:"\nresponse_marker: "\\nReply:"\n'
                      'prefill: "Notes: PLANTED-SECRET-8802 "\nthought_tokens: 6\nresponse_tokens: 12\n'
                      "on_budget: force\n")
    tpo.ok("generate", "--model", tiny_model, "--prompts", prompts, "--out", samples, "--k", 6, "--thought", layout,
           "--max-tokens", 40, "--temperature", 1)
    tpo.ok("judge", "--samples", samples, "--judge", "rule", "--out", scored)
    with h5py.File(scored) as f:
        assert all("PLANTED-SECRET-8802" in t.decode() for t in f["thought"])
        details = [json.loads(d) for d in f["score_detail"]]
    assert all("error" in d or d["passed"] == 0 for d in details) and any("checks" in d for d in details)
