"""The judge that leaves each instruction to another: mixtures, instructions that none fits, and one scale for all."""
import json
import statistics

import pytest

import tiny
from fake_server import FakeServer, error, reply

h5py = pytest.importorskip("h5py")

PLAIN = {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}  # no proxy between us and the server
PROGRAM = """#!/usr/bin/env python3
import json, sys
for line in sys.stdin:
    r = json.loads(line)
    print(json.dumps({"id": r["id"], "scores": [100 + 3 * len(x["text"]) for x in r["responses"]]}), flush=True)
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("judge") / "judge.py"
    path.write_text(PROGRAM)
    path.chmod(0o755)
    return f"command:{path}"


def write_prompts(path, n):
    """In turn: with checks, with a reference in the category math, of another category, and with nothing."""
    with open(path, "w") as f:
        for i in range(n):
            line = {"id": f"q{i}", "instruction": f"Write something, number {i}."}
            if i % 4 == 0:
                line["checks"] = [{"type": "keywords:letter_frequency", "letter": letter, "let_frequency": 1,
                                   "let_relation": "at least"} for letter in "etan"]
            if i % 4 == 1:
                line.update(category="math", reference="t")
            if i % 4 == 2:
                line["category"] = "stories"
            f.write(json.dumps(line) + "\n")


@pytest.fixture(scope="module")
def samples(tpo, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    write_prompts(folder / "prompts.jsonl", 12)
    tpo.ok("generate", "--model", tiny_model, "--prompts", folder / "prompts.jsonl", "--out", folder / "samples.h5", "--k", 3,
           "--temperature", 1, "--top-p", 1, "--max-tokens", 48, "--set", "thought.thought_tokens=10", "--set",
           "thought.response_tokens=16")
    return folder / "samples.h5"


def read(path):
    with h5py.File(path) as f:
        return [{"id": f["prompt_id"][i].decode(), "k": int(f["k"][i]), "response": f["response"][i].decode(),
                 "ok": bool(f["format_ok"][i]), "score": float(f["score"][i]), "detail": json.loads(f["score_detail"][i])}
                for i in range(len(f["k"]))]


def route_args(routes, standardise=False):
    """A YAML file would do; --set takes a list too."""
    return ["--judge", "route", "--set", "judge.routes=" + json.dumps(routes), "--set",
            f"judge.standardise={'true' if standardise else 'false'}"]


def judge(tpo, samples, out, *args, ranks=0):
    tpo.ok("judge", "--samples", samples, "--out", out, *args, ranks=ranks)
    return [row for row in read(out) if row["ok"]]


@pytest.mark.parametrize("ranks", [0, 2])
def test_each_instruction_goes_to_the_first_judge_that_fits(tpo, samples, program, tmp_path, ranks):
    routes = ["checks -> rule", "category=math -> rule", f"* -> {program}"]
    rows = judge(tpo, samples, tmp_path / "routed.h5", *route_args(routes), ranks=ranks)
    alone = {kind: judge(tpo, samples, tmp_path / "alone.h5", "--judge", kind) for kind in ("rule", program)}
    assert rows
    for i, row in enumerate(rows):
        kind = "rule" if int(row["id"][1:]) % 4 < 2 else program
        own = alone[kind][i]
        assert (own["id"], own["k"]) == (row["id"], row["k"])
        assert row["detail"]["judge"] == kind
        assert row["score"] == row["detail"]["raw"] == own["score"]
        assert row["detail"]["detail"] == own["detail"]


SECRET = "PLANTED-SECRET-4410"
THOUGHT = tiny.layout_with(SECRET)
LISTENER = """#!/usr/bin/env python3
import json, os, sys
log = os.open(%r, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
os.write(log, (json.dumps([sys.argv[1:], dict(os.environ)]) + "\\n").encode())
for line in sys.stdin:
    os.write(log, line.encode())
    r = json.loads(line)
    print(json.dumps({"id": r["id"], "scores": [len(x["text"]) for x in r["responses"]]}), flush=True)
"""


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_judge_behind_a_route_never_sees_a_thought(tpo, tiny_model, tmp_path, ranks):
    write_prompts(tmp_path / "prompts.jsonl", 8)
    (tmp_path / "thought.yaml").write_text(THOUGHT)
    listener, log = tmp_path / "listener.py", tmp_path / "heard"
    listener.write_text(LISTENER % str(log))
    listener.chmod(0o755)
    tpo.ok("generate", "--model", tiny_model, "--prompts", tmp_path / "prompts.jsonl", "--out", tmp_path / "samples.h5", "--k", 3,
           "--temperature", 1, "--top-p", 1, "--max-tokens", 48, "--thought", tmp_path / "thought.yaml")
    with h5py.File(tmp_path / "samples.h5") as f:
        assert all(SECRET.encode() in thought for thought in f["thought"][:])
    rows = judge(tpo, tmp_path / "samples.h5", tmp_path / "s.h5", *route_args(["checks -> rule", f"* -> command:{listener}"]),
                 ranks=ranks)
    heard = log.read_text()
    responses = [x["text"] for line in heard.splitlines() if line[0] == "{" for x in json.loads(line)["responses"]]
    asked = [row["response"] for row in rows if int(row["id"][1:]) % 4]
    assert asked and sorted(responses) == sorted(asked)
    assert SECRET not in heard and "Notes to myself" not in heard


CHAT = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Sing."}]


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_chat_takes_the_route_of_messages(tpo, tiny_model, program, tmp_path, ranks):
    with open(tmp_path / "prompts.jsonl", "w") as f:
        for i in range(8):
            line = {"id": f"q{i}", **({"messages": CHAT} if i % 2 else {"instruction": "Sing."})}
            f.write(json.dumps(line) + "\n")
    tpo.ok("generate", "--model", tiny_model, "--prompts", tmp_path / "prompts.jsonl", "--out", tmp_path / "samples.h5", "--k", 2,
           "--temperature", 1, "--top-p", 1, "--max-tokens", 48, "--set", "thought.thought_tokens=10", "--set",
           "thought.response_tokens=16", ranks=ranks)
    rows = judge(tpo, tmp_path / "samples.h5", tmp_path / "s.h5", *route_args([f"messages -> {program}", "* -> rule"]), ranks=ranks)
    assert {row["id"] for row in rows} >= {"q0", "q1"}
    for row in rows:
        assert row["detail"]["judge"] == (program if int(row["id"][1:]) % 2 else "rule")


@pytest.mark.parametrize("chat", [False, True])
def test_the_checks_of_a_chat_are_looked_at_by_the_judge_that_it_goes_to(tpo, tiny_model, program, tmp_path, chat):
    """Before anything is sampled: by the rule judge, unless the route of messages leads to another."""
    write_prompts(tmp_path / "p.jsonl", 8)
    with open(tmp_path / "p.jsonl", "a") as f:
        prompt = {"messages": CHAT} if chat else {"instruction": "Sing."}
        f.write(json.dumps({"id": "odd", **prompt, "checks": [{"type": "nonsense:type"}]}) + "\n")
    config = tmp_path / "c.yaml"
    config.write_text(f"""
model: {{path: {tiny_model}}}
data: {{validation: {tmp_path / 'p.jsonl'}, prompts_per_iteration: 4, validation_prompts: 4}}
judge: {{kind: route}}
run: {{dir: {tmp_path / 'run'}, iterations: 1}}
""")
    for routes, by_rule in [([f"messages -> {program}", "* -> rule"], not chat), (["messages -> rule", f"* -> {program}"], chat)]:
        args = ["run", config, "--plan-only", "--set", "judge.routes=" + json.dumps(routes)]
        if by_rule:
            assert "nonsense:type" in tpo.fails(*args, code=1)
        else:
            tpo.ok(*args)


def test_an_instruction_that_no_route_fits_is_a_failure(tpo, samples, program, tmp_path):
    args = route_args(["checks -> rule", f"category -> {program}"])
    message = tpo.fails("judge", "--samples", samples, "--out", tmp_path / "s.h5", *args, code=1)
    assert "none of judge.routes fits" in message and "judge.max_failed" in message and "q3" in message
    rows = judge(tpo, samples, tmp_path / "s.h5", *args, "--set", "judge.max_failed=0.5")
    for row in rows:
        assert ("error" in row["detail"]) == (int(row["id"][1:]) % 4 == 3)


@pytest.mark.parametrize("ranks", [0, 2])
def test_scores_are_in_units_of_each_judges_spread(tpo, samples, program, tmp_path, ranks):
    routes = ["checks -> rule", "category=math -> rule", f"* -> {program}"]
    rows = judge(tpo, samples, tmp_path / "s.h5", *route_args(routes, standardise=True), ranks=ranks)
    for kind in ("rule", program):
        of = [row for row in rows if row["detail"]["judge"] == kind]
        raw = [row["detail"]["raw"] for row in of]
        mean, sd = statistics.mean(raw), statistics.stdev(raw) or 1
        for row in of:
            assert row["detail"]["scale"] == pytest.approx({"mean": mean, "sd": sd})
            assert row["score"] == pytest.approx((row["detail"]["raw"] - mean) / sd)


def test_a_run_keeps_the_scale_of_its_first_batch(tpo, tiny_model, program, tmp_path):
    write_prompts(tmp_path / "train.jsonl", 16)
    write_prompts(tmp_path / "validation.jsonl", 8)
    config, run_dir = tmp_path / "c.yaml", tmp_path / "run"
    config.write_text(f"""
seed: 5
model: {{path: {tiny_model}, dtype: fp32}}
thought: {{name: generic, thought_tokens: 10, response_tokens: 16, on_budget: force}}
data: {{train: {tmp_path / 'train.jsonl'}, validation: {tmp_path / 'validation.jsonl'}, prompts_per_iteration: 8, validation_prompts: 4}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 48, slots: 8}}
judge:
  kind: route
  routes: ["checks -> rule", "* -> {program}"]
train: {{learning_rate: 1e-4, batch: 4, epochs: 1, warmup: 0}}
run: {{dir: {run_dir}, iterations: 2, validation_temperature: 1, validation_k: 2}}
""")
    tpo.ok("run", config, ranks=2)
    scales = json.loads((run_dir / "judge-scales.json").read_text())
    assert set(scales) == {"rule", program}
    first = {}
    for name in ["iter-000/validation.h5", "iter-001/scored.h5", "iter-001/validation.h5", "iter-002/scored.h5"]:
        for row in read(run_dir / name):
            if row["ok"]:
                detail = row["detail"]
                first.setdefault(detail["judge"], []).append(detail["raw"])
                assert detail["scale"] == {k: scales[detail["judge"]][k] for k in ("mean", "sd")}
                assert row["score"] == pytest.approx((detail["raw"] - detail["scale"]["mean"]) / detail["scale"]["sd"])
        if name.startswith("iter-000"):
            for kind, raw in first.items():
                assert scales[kind]["mean"] == pytest.approx(statistics.mean(raw))
                assert scales[kind]["responses"] == len(raw)


@pytest.mark.parametrize("ranks", [0, 2])
def test_validation_takes_an_instructions_own_route(tpo, tiny_model, tmp_path, ranks):
    """Also where judges that compare are shown the start model's response beside it. q1 is asked about in vain once for each
    two responses, so it can't be told who wins."""
    write_prompts(tmp_path / "train.jsonl", 4)
    write_prompts(tmp_path / "validation.jsonl", 4)
    seen = set()

    def behave(request):
        instruction, *responses = request.user.split("=====")
        key = (instruction, *sorted(responses))
        if "number 1" in instruction and key not in seen:
            seen.add(key)
            return error(400, "not today")
        a, b = responses
        return reply(f"[[{'A' if a > b else 'B' if a < b else 'C'}]]")
    run_dir = tmp_path / "run"
    with FakeServer(behave) as server:
        (tmp_path / "c.yaml").write_text(f"""
model: {{path: {tiny_model}, dtype: fp32}}
thought: {{name: generic, thought_tokens: 10, response_tokens: 16, on_budget: force}}
data: {{train: {tmp_path / 'train.jsonl'}, validation: {tmp_path / 'validation.jsonl'}, prompts_per_iteration: 4, validation_prompts: 4}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 48, slots: 8}}
judge:
  kind: route
  mode: pairwise
  model: m
  prompt: "{{instruction}}====={{response_a}}====={{response_b}}"
  routes: ["id=q0 -> {server.url}", "id=q1 -> {server.url}", "* -> rule"]
  max_failed: 1
train: {{learning_rate: 1e-4, batch: 4, epochs: 1, warmup: 0}}
run: {{dir: {run_dir}, iterations: 1, validation_temperature: 1, validation_k: 2}}
""")
        tpo.ok("run", tmp_path / "c.yaml", ranks=ranks, env=PLAIN)
    rows = [row for row in read(run_dir / "iter-001" / "validation.h5") if row["detail"]]
    assert {row["id"] for row in rows} == {"q0", "q1", "q2", "q3"}
    for row in rows:
        assert row["detail"]["judge"] == (server.url if row["id"] in ("q0", "q1") else "rule")
        if row["id"] == "q0":
            assert row["score"] in (0, 0.5, 1) and row["detail"]["detail"]["comparisons"] == 2
        assert ("not today" in row["detail"].get("error", "")) == (row["id"] == "q1")
    found = [e for e in map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines()) if e["event"] == "win_rate"]
    assert found[-1]["unjudged"] == 1 and found[-1]["n"] == 3


@pytest.mark.parametrize("routes, words", [
    ([], "judge.routes"),
    (["checks rule"], 'no "->"'),
    (["colour=red -> rule"], "instructions have the fields"),
    (["checks -> rules"], 'there is no judge "rules"'),
    (["checks -> route"], "further routes"),
    (["* -> rule", "checks -> rule"], "nothing reaches it"),
    (["* -> command:./no-such-program"], "does not exist"),
])
def test_a_route_that_cannot_be_is_a_usage_error_that_names_it(tpo, samples, tmp_path, routes, words):
    message = tpo.fails("judge", "--samples", samples, "--out", tmp_path / "s.h5", *route_args(routes), code=2)
    assert words in message
    for route in routes[-1:]:
        assert f'"{route}"' in message


@pytest.mark.parametrize("ranks", [0, 2])
@pytest.mark.parametrize("kind", ["rule", "route"])
def test_checks_that_no_rule_can_verify_are_refused_before_anything_is_sampled(tpo, tiny_model, program, tmp_path, kind, ranks):
    """Where another judge would get the instruction, nothing is asked of its checks."""
    write_prompts(tmp_path / "p.jsonl", 8)
    with open(tmp_path / "p.jsonl", "a") as f:
        f.write(json.dumps({"id": "odd", "instruction": "Sing.", "checks": [{"type": "nonsense:type"}]}) + "\n")
    run_dir = tmp_path / "run"
    config = tmp_path / "c.yaml"
    config.write_text(f"""
model: {{path: {tiny_model}}}
data: {{validation: {tmp_path / 'p.jsonl'}, prompts_per_iteration: 4, validation_prompts: 4}}
judge: {{kind: {kind}}}
run: {{dir: {run_dir}, iterations: 1}}
""")
    routes = [["checks -> rule", f"* -> {program}"], [f"id=odd -> {program}", "* -> rule"]]
    message = tpo.fails("run", config, "--set", "judge.routes=" + json.dumps(routes[0]), ranks=ranks, code=1)
    assert "p.jsonl" in message and "odd" in message and "nonsense:type" in message
    assert not list(run_dir.glob("*/*.h5"))
    if kind == "route":
        tpo.ok("run", config, "--set", "judge.routes=" + json.dumps(routes[1]), "--plan-only")


@pytest.fixture(scope="module")
def many(tpo, tiny_model, tmp_path_factory):
    """600 prompts with a response each, every other one of the category a."""
    folder = tmp_path_factory.mktemp("many")
    with open(folder / "prompts.jsonl", "w") as f:
        for i in range(600):
            f.write(json.dumps({"id": f"q{i}", "instruction": f"Write {i}.", "category": "ab"[i % 2]}) + "\n")
    tpo.ok("generate", "--model", tiny_model, "--prompts", folder / "prompts.jsonl", "--out", folder / "samples.h5", "--k", 1,
           "--thought", "none", "--temperature", 1, "--top-p", 1, "--max-tokens", 4)
    return folder / "samples.h5"


@pytest.mark.parametrize("ranks", [0, 2])
@pytest.mark.parametrize("behave", [lambda _: reply("no idea"),
                                    lambda request: reply("no idea") if request.number % 40 == 0 else error(400, "odd")])
def test_a_judge_that_never_works_is_asked_no_more_though_the_others_do(tpo, many, tmp_path, behave, ranks):
    with FakeServer(behave) as server:
        result = tpo("judge", "--samples", many, "--judge", "route", "--set", f'judge.routes=["category=a -> {server.url}", "* -> rule"]',
                     "--set", "judge.model=m", "--set", "judge.max_failed=1", "--out", tmp_path / "s.h5", ranks=ranks, env=PLAIN)
    assert result.returncode == 1 and len(server.requests) <= 120 * max(ranks, 1)
    assert f"the judge {server.url} gave no score to 1".encode() in result.stderr and b"responses in a row; the last: " in result.stderr
    assert not (tmp_path / "s.h5").exists()
