"""A language model on our own engine that compares responses two by two."""
import json
import re

import pytest

import tiny

h5py = pytest.importorskip("h5py")

SECRET = "PLANTED-SECRET-4410"
THOUGHT = tiny.layout_with(SECRET)

# Random weights say random letters: the last a, b or c among them is the verdict.
LETTERS = ["--set", "judge.pattern=(?i)([abc])", "--set", "judge.temperature=1", "--set", "judge.max_tokens=128"]


@pytest.fixture(scope="module")
def judge_model(tmp_path_factory):
    return tiny.end_often(tiny.make(tmp_path_factory.mktemp("judge") / "model", context=4096, seed=9))


@pytest.fixture(scope="module")
def samples(tpo, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    return generate(tpo, tiny_model, folder, 5)


def generate(tpo, model, folder, n_prompts, k=4):
    prompts, out = folder / "prompts.jsonl", folder / "samples.h5"
    tiny.write_prompts(prompts, "p", n_prompts)
    tpo.ok("generate", "--model", model, "--prompts", prompts, "--thought", "none", "--k", k, "--max-tokens", 12,
           "--temperature", 1, "--out", out)
    return out


def judge(tpo, samples, model, out, *settings, ranks=0):
    """Each prompt's details, in order."""
    tpo.ok("judge", "--samples", samples, "--judge", f"pairwise:{model}", "--out", out, *settings, ranks=ranks)
    return judged(tpo, out)


def judged(tpo, path):
    found, prompt = {}, None
    for line in tpo.ok("inspect", "--limit", 1000, path).splitlines():
        if match := re.match(r"prompt (\S+):", line):
            prompt = found.setdefault(match[1], [])
        elif match := re.match(r"\s+judged +(\{.*\})$", line):
            prompt.append(json.loads(match[1]))
    return found


@pytest.fixture(scope="module")
def scored(tpo, samples, judge_model, tmp_path_factory):
    return judge(tpo, samples, judge_model, tmp_path_factory.mktemp("scored") / "scored.h5", *LETTERS)


def test_every_response_is_compared_with_every_other_in_both_positions(scored):
    assert len(scored) == 5
    for details in scored.values():
        assert len(details) == 4
        for d in details:
            assert d["comparisons"] == 6 == d["wins"] + d["losses"] + d["ties"] + d["unparsable"] and d["failed"] == 0
        assert sum(d["wins"] for d in details) == sum(d["losses"] for d in details)
        assert abs(sum(d["elo"] for d in details)) < 1e-5
    assert any(d["wins"] for details in scored.values() for d in details), "the fixture decides nothing"


@pytest.mark.parametrize("how", [["--set", "judge.slots=1"], ["--set", "judge.slots=7"], ["ranks", 2], ["ranks", 3]])
def test_verdicts_do_not_depend_on_slots_and_ranks(tpo, samples, judge_model, scored, tmp_path, how):
    ranks, settings = (how[1], []) if how[0] == "ranks" else (0, how)
    assert judge(tpo, samples, judge_model, tmp_path / "o.h5", *LETTERS, *settings, ranks=ranks) == scored


def test_verdicts_do_not_depend_on_the_other_prompts(tpo, tiny_model, judge_model, scored, tmp_path):
    fewer = judge(tpo, generate(tpo, tiny_model, tmp_path, 2), judge_model, tmp_path / "o.h5", *LETTERS)
    assert fewer == {prompt: scored[prompt] for prompt in fewer} and len(fewer) == 2


def test_the_seed_changes_a_sampled_verdict(tpo, samples, judge_model, scored, tmp_path):
    assert judge(tpo, samples, judge_model, tmp_path / "o.h5", *LETTERS, "--seed", 77) != scored


def test_fewer_comparisons_are_made_when_asked_for(tpo, samples, judge_model, tmp_path):
    one, two = (judge(tpo, samples, judge_model, tmp_path / f"{r}.h5", *LETTERS, "--set", "judge.comparisons=4", ranks=r)
                for r in (0, 2))
    assert one == two
    for details in one.values():
        assert [d["comparisons"] for d in details] == [2, 2, 2, 2]


def test_answers_without_a_verdict_leave_all_equal_and_are_told(tpo, samples, judge_model, tmp_path):
    result = tpo("judge", "--samples", samples, "--judge", f"pairwise:{judge_model}", "--out", tmp_path / "o.h5", "--set",
                 "judge.max_tokens=1")
    assert result.returncode == 0 and re.search(rb"(\d\d) of \1 answers so far have no verdict", result.stderr)
    assert re.search(rb"60 of the judge's answers had no verdict: .*were cut off by judge.max_tokens", result.stderr)
    for details in judged(tpo, tmp_path / "o.h5").values():
        assert [(d["elo"], d["unparsable"]) for d in details] == [(0, 6)] * 4


def edited(source, path, edits):
    """A copy of a samples file with texts exchanged for others of the same length."""
    data = source.read_bytes()
    for old, new in edits.items():
        assert old in data and len(old) == len(new)
        data = data.replace(old, new)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_judge_never_sees_a_thought(tpo, tiny_model, judge_model, tmp_path, ranks):
    """Verdicts stay when the thoughts are exchanged, and not when the responses are."""
    (tmp_path / "thought.yaml").write_text(THOUGHT)
    tiny.write_prompts(tmp_path / "prompts.jsonl", "p", 3)
    samples = tmp_path / "samples.h5"
    tpo.ok("generate", "--model", tiny_model, "--prompts", tmp_path / "prompts.jsonl", "--out", samples, "--k", 3, "--temperature", 1,
           "--top-p", 1, "--max-tokens", 48, "--thought", tmp_path / "thought.yaml")
    with h5py.File(samples) as f:
        assert all(SECRET.encode() in thought for thought in f["thought"][:])
        others = {text: b"%*d" % (len(text), i) for i, text in enumerate(f["response"][:])}
    thoughts = edited(samples, tmp_path / "thoughts.h5", {SECRET.encode(): b"Answer A is better."})
    responses = edited(samples, tmp_path / "responses.h5", others)
    for file, name in [(thoughts, "thought"), (responses, "response")]:
        with h5py.File(samples) as a, h5py.File(file) as b:
            assert [n for n in a if n not in (name, "text", "prompt_text") and (a[n][:] != b[n][:]).any()] == []
            assert all(x != y for x, y in zip(a[name][:], b[name][:]))
    details = [judge(tpo, file, judge_model, tmp_path / "o.h5", *LETTERS, ranks=ranks) for file in (samples, thoughts, responses)]
    assert sum(d["wins"] for of in details[0].values() for d in of if "elo" in d) > 0
    assert details[0] == details[1] != details[2]


def test_a_question_too_long_for_the_judge_is_no_score(tpo, samples, tmp_path):
    small = tiny.make(tmp_path / "small", context=64, seed=9)
    text = tpo.fails("judge", "--samples", samples, "--judge", f"pairwise:{small}", "--out", tmp_path / "o.h5", code=1)
    assert "leaves no room for an answer" in text and not (tmp_path / "o.h5").exists()
    details = judge(tpo, samples, small, tmp_path / "o.h5", "--set", "judge.max_failed=1")
    assert all("none of the 12 comparisons was answered" in d["error"] for of in details.values() for d in of)


def test_a_lone_response_is_no_failure(tpo, tiny_model, judge_model, tmp_path):
    alone = generate(tpo, tiny_model, tmp_path, 2, k=1)
    details = judge(tpo, alone, judge_model, tmp_path / "o.h5", "--set", "judge.max_failed=0")
    assert [(d["elo"], d["comparisons"]) for of in details.values() for d in of] == [(0, 0)] * 2


@pytest.mark.parametrize("setting, words", [
    ("judge.prompt={instruction} {response_a}", ["judge.prompt", "{response_b}"]),
    ("judge.prompt={instruction} {response_a} {response_b} {response_b}", ["judge.prompt", "{response_b}"]),
    ("judge.pattern=[[", ["judge.pattern", "wrong at byte"]),
    ("judge.pattern=[AB]", ["judge.pattern", "no group"]),
    ("judge.elo_prior=0", ["judge.elo_prior"]),
])
@pytest.mark.parametrize("ranks", [0, 2])
def test_bad_settings_are_usage_errors(tpo, samples, judge_model, tmp_path, setting, words, ranks):
    text = tpo.fails("judge", "--samples", samples, "--judge", f"pairwise:{judge_model}", "--out", tmp_path / "o.h5",
                     "--set", setting, ranks=ranks, code=2)
    assert all(word in text for word in words) and not (tmp_path / "o.h5").exists()


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_missing_model_is_a_usage_error(tpo, samples, tmp_path, ranks):
    for kind in [f"pairwise:{tmp_path / 'nothing'}", "pairwise", "pairwise:"]:
        text = tpo.fails("judge", "--samples", samples, "--judge", kind, "--out", tmp_path / "o.h5", ranks=ranks, code=2)
        assert "pairwise" in text or "nothing" in text


def test_a_broken_model_is_told(tpo, samples, judge_model, tmp_path):
    broken = tiny.make(tmp_path / "broken", seed=9)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    text = tpo.fails("judge", "--samples", samples, "--judge", f"pairwise:{broken}", "--out", tmp_path / "o.h5", code=1)
    assert "judge model" in text and "model.safetensors" in text


def run_file(policy, judge_model, tmp_path):
    tiny.write_prompts(tmp_path / "train.jsonl", "t", 4, ["maths", "poems"])
    tiny.write_prompts(tmp_path / "validation.jsonl", "v", 2, ["maths", "poems"])
    (tmp_path / "run.yaml").write_text(f"""
model: {{path: {policy}, dtype: fp32}}
thought: {{name: generic, thought_tokens: 6, response_tokens: 10, on_budget: force}}
data: {{train: {tmp_path}/train.jsonl, validation: {tmp_path}/validation.jsonl, prompts_per_iteration: 4, validation_prompts: 2}}
judge: {{kind: "pairwise:{judge_model}", max_tokens: 128, temperature: 1, pattern: "(?i)([abc])", max_failed: 1}}
sampling: {{k: 3, temperature: 1, top_p: 1, max_tokens: 32, slots: 8}}
train: {{batch: 4, epochs: 1, warmup: 0}}
run: {{dir: {tmp_path}/run, iterations: 1, validation_temperature: 1, deadline: 60}}
""")
    return tmp_path / "run.yaml"


def damage(model, what):
    tokenizer, config = model / "tokenizer.json", model / "tokenizer_config.json"
    if what == "weights cut":
        weights = model / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
    elif what == "no weights":
        (model / "model.safetensors").unlink()
    elif what == "no tokenizer":
        tokenizer.unlink()
    elif what == "bad template":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"chat_template": "{% include 'x' %}"}))
    elif what == "no template":
        config.write_text("{}")
    elif what == "more tokens":
        content = json.loads(tokenizer.read_text())
        content["added_tokens"].append(content["added_tokens"][0] | {"id": 900, "content": "<|more|>"})
        tokenizer.write_text(json.dumps(content))


@pytest.mark.parametrize("what, part", [
    ("weights cut", "model.safetensors"), ("no weights", "safetensors"), ("no tokenizer", "tokenizer"),
    ("bad template", "own files must hold one that can be run"), ("no template", "own files must hold one that can be run"),
    ("more tokens", "901 tokens, the model's vocabulary only"),
])
def test_a_run_refuses_a_broken_judge_before_it_samples(tpo, tiny_model, tmp_path, what, part):
    model = tiny.make(tmp_path / "judge", seed=9)
    damage(model, what)
    text = tpo.fails("run", run_file(tiny_model, model, tmp_path), ranks=2)
    assert "the judge model: " in text and str(model) in text and part in text and "`template:`" not in text, text
    assert not list(tmp_path.rglob("samples.h5"))


def test_a_real_model_gives_verdicts(tpo, samples, smollm2, tmp_path):
    settings = ["--set", "judge.max_tokens=256", "--set", "judge.comparisons=4", "--set",
                "judge.prompt=Request: {instruction}\n\nAnswer A: {response_a}\n\nAnswer B: {response_b}\n\nWhich answer is "
                "better, A or B? Reply with one letter.", "--set", "judge.pattern=\\b([ABC])\\b"]
    details = judge(tpo, samples, smollm2, tmp_path / "o.h5", *settings)
    assert sum(d["wins"] for of in details.values() for d in of) > 0


def test_a_whole_iteration_runs_on_it(tpo, tiny_model, judge_model, tmp_path):
    tpo.ok("run", run_file(tiny_model, judge_model, tmp_path), ranks=2)
    details = judged(tpo, tmp_path / "run" / "iter-001" / "scored.h5")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    counts = next(e["counts"] for e in lines if e["event"] == "judge")
    page = (tmp_path / "run" / "report.html").read_text()
    assert counts["comparisons"] > 0
    assert all(f"{name}: {n}<" in page for name, n in counts.items() if isinstance(n, int) and 0 < n < 10000)
    assert len(details) == 4
    for of in details.values():
        compared = [d for d in of if "elo" in d]
        assert all(d["comparisons"] == 2 * (len(compared) - 1) for d in compared)
        assert all("no response" in d["error"] for d in of if d not in compared)
    found = {e["of"]: e["groups"] for e in lines if e["event"] == "groups" and e["by"] == "category" and e["iteration"] == 1}
    sampled, validated = ({g["name"]: g for g in found[of]} for of in ("judge", "validate"))
    assert sampled.keys() == validated.keys() == {"maths", "poems"}
    for name in sampled:  # shares within a prompt have the same mean in all groups
        assert "mean_score" not in sampled[name] and "mean_score" in validated[name]
        assert {"n", "unjudged", "format_rate", "mean_response_tokens"} <= sampled[name].keys()
    groups = page.split('<section id="groups">')[1].split("</section>")[0]
    assert "By category" in groups and "Validation, over the iterations" in groups and "Sampled outputs" not in groups
