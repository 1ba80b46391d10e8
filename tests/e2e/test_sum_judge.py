"""The judge that adds up others: shares in the detail, scales, failing terms, runs; and the repetition term of any judge."""
import json
import re
import statistics

import pytest

import reward_models
from fake_server import FakeServer, error, reply
from test_route_judge import PLAIN, judge, read, program, samples, write_prompts  # noqa: F401 (fixtures)

RUN = """
seed: 5
model: {{path: {model}, dtype: fp32}}
thought: {{name: generic, thought_tokens: 10, response_tokens: 16, on_budget: force}}
data: {{train: {folder}/train.jsonl, validation: {folder}/validation.jsonl, prompts_per_iteration: 8, validation_prompts: 4}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 48, slots: 8}}
judge: {judge}
train: {{learning_rate: 1e-4, batch: 4, epochs: 1, warmup: 0}}
run: {{dir: {dir}, iterations: {iterations}, validation_temperature: 1, validation_k: 2}}
"""


def sum_args(terms, standardise=True):
    return ["--judge", "sum", "--set", "judge.terms=" + json.dumps([{"kind": k, "weight": w} for k, w in terms]), "--set",
            f"judge.standardise={'true' if standardise else 'false'}"]


@pytest.fixture(scope="module")
def reward(tmp_path_factory):
    return f"reward:{reward_models.make_seqcls(tmp_path_factory.mktemp('seqcls') / 'model')}"


@pytest.mark.parametrize("ranks", [0, 2])
@pytest.mark.parametrize("standardise", [True, False])
def test_a_score_is_the_weighted_sum_of_its_terms(tpo, samples, program, reward, tmp_path, ranks, standardise):
    terms = [("rule", 1), (reward, 0.5), (program, -2)]
    rows = judge(tpo, samples, tmp_path / "sum.h5", "--dtype", "fp32", *sum_args(terms, standardise), ranks=ranks)
    alone = {kind: judge(tpo, samples, tmp_path / "alone.h5", "--dtype", "fp32", "--judge", kind) for kind, _ in terms}
    assert len(rows) > 3
    for i, row in enumerate(rows):
        score = 0
        for (kind, weight), term in zip(terms, row["detail"]["terms"]):
            raw = [own["score"] for own in alone[kind]]
            assert (term["judge"], term["weight"], term["raw"]) == (kind, weight, raw[i])
            assert term["detail"] == alone[kind][i]["detail"]
            mean, sd = statistics.mean(raw), statistics.stdev(raw)
            if standardise:
                assert term["scale"] == pytest.approx({"mean": mean, "sd": sd})
                assert term["standardised"] == pytest.approx((raw[i] - mean) / sd)
            score += weight * ((raw[i] - mean) / sd if standardise else raw[i])
        assert row["score"] == pytest.approx(score, abs=1e-9)


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_failing_term_leaves_no_score_and_is_named(tpo, samples, tmp_path, ranks):
    """On q3's responses alone."""
    def behave(request):
        return error(400, "not today") if "number 3." in request.user else reply(f"[[{len(request.user) % 7}]]")
    with FakeServer(behave) as server:
        args = [*sum_args([("rule", 1), (server.url, 1)]), "--set", "judge.model=m"]
        message = tpo.fails("judge", "--samples", samples, "--out", tmp_path / "s.h5", *args, "--set", "judge.max_failed=0",
                            ranks=ranks, env=PLAIN, code=1)
        assert f'judge.terms, "{server.url}": ' in message and "not today" in message
        tpo.ok("judge", "--samples", samples, "--out", tmp_path / "s.h5", *args, ranks=ranks, env=PLAIN)
    rows = [row for row in read(tmp_path / "s.h5") if row["ok"]]
    assert {row["id"] for row in rows} >= {"q2", "q3"}
    for row in rows:
        failed = row["id"] == "q3"
        assert ("error" in row["detail"]) == (row["score"] != row["score"]) == failed
        assert ("standardised" in row["detail"]["terms"][0]) != failed
        if failed:
            assert "not today" in row["detail"]["error"] and row["detail"]["terms"][0]["raw"] == 0


@pytest.mark.parametrize("terms, words", [
    ("[]", "judge.terms is empty"),
    ("[rule, rule]", 'judge.terms, "rule": the judge stands in an earlier term already'),
    ("[{kind: sum}]", 'judge.terms, "sum": a term can be neither a route nor a further sum'),
    ("[route]", 'judge.terms, "route": a term can be neither a route nor a further sum'),
    ("[{kind: rule, weight: 0}]", "judge.terms, term 1: expected a number from -1e6 to 1e6, not 0"),
    ("[{kind: rule, weight: 1e999}]", "judge.terms, term 1: expected a number from -1e6 to 1e6, not 0"),
    ("[rule, {weight: 2}]", "judge.terms, term 2: expected a judge's KIND[:ARG]"),
    ("[rule, {kind: rwd}]", 'there is no judge "rwd"'),
    ('[rule, "command:./no-such-program"]', 'judge.terms, "command:./no-such-program": '),
    ("{kind: rule}", "judge.terms: expected a list of {kind: KIND[:ARG], weight: NUMBER}, not a mapping"),
    ("[rule", "not valid YAML"),
])
def test_terms_that_cannot_be_are_a_usage_error(tpo, samples, tmp_path, terms, words):
    message = tpo.fails("judge", "--samples", samples, "--out", tmp_path / "s.h5", "--judge", "sum", "--set",
                        f"judge.terms={terms}", code=2)
    assert words in message
    assert not (tmp_path / "s.h5").exists()


def scored(run_dir, names):
    return {name: read(run_dir / name) for name in names}


FILES = ["iter-000/validation.h5", "iter-001/scored.h5", "iter-001/validation.h5", "iter-002/scored.h5", "iter-002/validation.h5"]


def test_a_run_keeps_its_scales_and_resumes_with_them(tpo, tiny_model, program, tmp_path):
    write_prompts(tmp_path / "train.jsonl", 16)
    write_prompts(tmp_path / "validation.jsonl", 8)
    text = f'{{kind: sum, repetition: 0.5, terms: [{{kind: rule}}, {{kind: "{program}", weight: 0.5}}]}}'
    config = tmp_path / "c.yaml"
    runs = [tmp_path / "whole", tmp_path / "resumed", tmp_path / "beside"]
    for run_dir, iterations in zip(runs, (2, 1, 1)):
        config.write_text(RUN.format(model=tiny_model, folder=tmp_path, judge=text, dir=run_dir, iterations=iterations))
        baseline = ["--set", f"run.baseline={runs[0]}"] if run_dir == runs[2] else []
        tpo.ok("run", config, *baseline, ranks=2)
        if run_dir == runs[1]:
            tpo.ok("run", config, "--resume", "--set", "run.iterations=2", ranks=2)
    whole = scored(runs[0], FILES)
    assert json.dumps(whole) == json.dumps(scored(runs[1], FILES))  # NaN equals itself here
    scales = json.loads((runs[0] / "judge-scales.json").read_text())
    assert set(scales) == {"rule", program}
    first = [row for row in whole[FILES[0]] if row["ok"]]
    for i, kind in enumerate(("rule", program)):
        raw = [row["detail"]["terms"][i]["raw"] for row in first]
        assert scales[kind]["mean"] == pytest.approx(statistics.mean(raw))
    for row in [row for rows in whole.values() for row in rows if row["ok"]]:
        terms, term = row["detail"]["terms"], row["detail"]["repetition_term"]
        assert [t["scale"] for t in terms] == [{k: scales[t["judge"]][k] for k in ("mean", "sd")} for t in terms]
        assert term["weight"] == 0.5 and terms[0]["detail"]["repetition"] == pytest.approx(term["share"])
        assert terms[0]["detail"]["penalty"] == 0  # not taken off twice
        assert row["score"] == pytest.approx(sum(t["weight"] * (t["raw"] - t["scale"]["mean"]) / t["scale"]["sd"]
                                                 for t in terms) - 0.5 * term["share"])
    events = [json.loads(line) for line in (runs[2] / "metrics.jsonl").read_text().splitlines()]
    against = [e for e in events if e["event"] == "win_rate" and e["against"] == "baseline"]
    assert [(e["n"], e["ties"]) for e in against] == [(4, 4), (4, 4)]  # the same run
    config.write_text(RUN.format(model=tiny_model, folder=tmp_path, judge=text.replace("0.5}", "0.25}"), dir=tmp_path / "other",
                                 iterations=1))
    message = tpo.fails("run", config, "--set", f"run.baseline={runs[0]}", code=2)
    assert "judge.terms" in message and "0.25" in message
    config.write_text(RUN.format(model=tiny_model, folder=tmp_path, judge=text.replace("0.5}", "0.25}"), dir=runs[1], iterations=2))
    assert "was started with another configuration" in tpo.fails("run", config, "--resume", code=1)


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_comparing_term_counts_in_training_and_in_validation(tpo, tiny_model, tmp_path, ranks):
    """In validation its verdict on a couple is added to the other terms' scores, and the better sum wins."""
    write_prompts(tmp_path / "train.jsonl", 8)
    write_prompts(tmp_path / "validation.jsonl", 4)

    def behave(request):
        _, a, b = request.user.split("=====")
        return reply(f"[[{'A' if a > b else 'B' if a < b else 'C'}]]")
    run_dir = tmp_path / "run"
    with FakeServer(behave) as server:
        text = f"""
  kind: sum
  mode: pairwise
  model: m
  prompt: "{{instruction}}====={{response_a}}====={{response_b}}"
  terms: [rule, {{kind: "{server.url}", weight: 0.25}}]"""
        (tmp_path / "c.yaml").write_text(RUN.format(model=tiny_model, folder=tmp_path, judge=text, dir=run_dir, iterations=1))
        plan = tpo.ok("run", tmp_path / "c.yaml", "--plan-only")
        assert "  rule: verifiable checks, no calls" in plan and f"  {server.url}: " in plan
        tpo.ok("run", tmp_path / "c.yaml", ranks=ranks, env=PLAIN)
    rows = [row for row in read(run_dir / "iter-001" / "scored.h5") if row["ok"]]
    elo = [row["detail"]["terms"][1]["raw"] for row in rows]
    assert min(elo) < -50 < 50 < max(elo)
    for row in rows:
        assert row["detail"]["terms"][1]["scale"]["sd"] == pytest.approx(statistics.stdev(elo))
        assert abs(row["detail"]["terms"][1]["standardised"]) < 5
        assert row["score"] == pytest.approx(sum(t["weight"] * t["standardised"] for t in row["detail"]["terms"]))
    compared = [row for row in read(run_dir / "iter-001" / "validation.h5") if row["detail"].get("terms")]
    assert compared and {row["score"] for row in compared} <= {0, 0.5, 1}
    for row in compared:
        own = sum(t["weight"] * t["standardised"] for t in row["detail"]["terms"])
        assert row["detail"]["terms"][1]["detail"]["comparisons"] == 2
        assert own == pytest.approx(own) and row["detail"]["terms"][1]["scale"]["sd"] == pytest.approx(statistics.stdev(elo))


@pytest.mark.parametrize("ranks", [0, 2])
def test_any_judge_may_be_given_a_repetition_term(tpo, samples, program, tmp_path, ranks):
    """Points of ELO, a program's units, and standard deviations of a route; and the rule judge's own penalty goes."""
    def behave(request):
        _, a, b = request.user.split("=====")
        return reply(f"[[{'A' if a > b else 'B' if a < b else 'C'}]]")
    with FakeServer(behave) as server:
        pairwise = ["--judge", server.url, "--set", "judge.mode=pairwise", "--set", "judge.model=m", "--set",
                    "judge.prompt={instruction}====={response_a}====={response_b}"]
        route = ["--judge", "route", "--set", "judge.routes=" + json.dumps(["checks -> rule", f"* -> {program}"])]
        for args in (pairwise, ["--judge", program], route, ["--judge", "rule"]):
            plain, less = (judge(tpo, samples, tmp_path / "s.h5", *args, "--set", f"judge.repetition={x}", "--set",
                                 f"judge.repetition_penalty={0 if x == 0 else 7}", ranks=ranks) for x in (0, 3))
            for a, b in zip(plain, less):
                term = b["detail"]["repetition_term"]
                assert term["weight"] == 3 and 0 <= term["share"] <= 1
                assert b["score"] == pytest.approx(a["score"] - 3 * term["share"]) and "repetition_term" not in a["detail"]
    assert "judge.repetition" in tpo.fails("judge", "--samples", samples, "--out", tmp_path / "s.h5", "--judge", "rule", "--set",
                                           "judge.repetition=-1", code=2)


DYING = """#!/usr/bin/env python3
import json, os, sys
for i, line in enumerate(sys.stdin):
    r = json.loads(line)
    if i == %d and os.path.exists(%r):
        sys.exit(3)
    print(json.dumps({"id": r["id"], "scores": [len(x["text"]) for x in r["responses"]]}), flush=True)
"""


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_judging_that_was_stopped_is_taken_up_again(tpo, samples, tmp_path, ranks):
    """Its scores, details and scales are those of one that nothing stopped."""
    path, dies = tmp_path / "judge.py", tmp_path / "dies"
    path.write_text(DYING % (7 if ranks == 0 else 4, str(dies)))
    path.chmod(0o755)
    args = ["judge", "--samples", samples, "--out", tmp_path / "s.h5", *sum_args([("rule", 2), (f"command:{path}", 1)])]
    dies.touch()
    assert "exit status 3" in tpo.fails(*args, ranks=ranks, code=1)
    assert not (tmp_path / "s.h5").exists()
    dies.unlink()
    result = tpo(*args, "--resume", ranks=ranks)
    assert result.returncode == 0, result.stderr.decode()
    again = read(tmp_path / "s.h5")
    tpo.ok(*args[:4], tmp_path / "whole.h5", *args[5:])
    assert json.dumps(again) == json.dumps(read(tmp_path / "whole.h5"))
    if ranks == 0:  # of two, either may have been stopped in its first batch
        assert "are judged already" in result.stderr.decode()


def test_reasons_of_a_term_are_told_by_their_kinds(tpo, samples, tmp_path):
    """As of the judge alone, each with the term's name before it."""
    def behave(request):
        return [reply(f"nothing {request.number}"), error(400, f"odd {request.number}"), reply("[[4]]")][request.number % 3]
    with FakeServer(behave) as server:
        result = tpo("judge", "--samples", samples, "--out", tmp_path / "s.h5", *sum_args([("rule", 1), (server.url, 1)]), "--set",
                     "judge.model=m", "--set", "judge.max_failed=1", "--set", "judge.concurrency=1", env=PLAIN)
    text = result.stderr.decode()
    assert result.returncode == 0, text
    term = f'judge.terms, "{server.url}": '
    assert re.search(rf"\d+ times {term}no number that judge.pattern finds in the answer, such as: nothing 0[;\n]", text), text
    assert re.search(rf"\d+ times {term}HTTP 400, such as: odd 1[;\n]", text), text


@pytest.mark.parametrize("mode", ["absolute", "pairwise"])
@pytest.mark.parametrize("kind", ["sum", "route"])
def test_what_matched_and_means_nothing_is_told_of_judges_within(tpo, samples, tmp_path, kind, mode):
    with FakeServer(lambda _: reply("[[Assistant A]]")) as server:
        args = (sum_args([("rule", 1), (server.url, 1)]) if kind == "sum" else
                ["--judge", "route", "--set", f'judge.routes=["* -> {server.url}"]'])
        result = tpo("judge", "--samples", samples, "--out", tmp_path / "s.h5", *args, "--set", "judge.model=m", "--set",
                     f"judge.mode={mode}", "--set", r"judge.pattern=\[\[(.*?)\]\]", "--set", "judge.max_failed=1", env=PLAIN)
    assert result.returncode == 0 and b"judge.verdicts doesn't name, or no number ([[Assistant A]])" in result.stderr, result.stderr.decode()
    row = next(row["detail"] for row in read(tmp_path / "s.h5") if row["ok"])
    part = row["terms"][1] if kind == "sum" else row
    assert part["judge"] == server.url and part["detail"]["matched"] == "[[Assistant A]]"
    assert mode == "pairwise" or ("error" in part and "raw" not in part and "error" not in part["detail"])
