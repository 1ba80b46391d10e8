"""`tpo eval alpaca` from a model's outputs on: drawn from the model, judged by a server, reckoned."""
import json
import math
import random
import re

import pytest

import scripted
import tiny
from fake_server import FakeServer, error, raw, reply
from http_judging import PLAIN

SECRET = "PLANTED-SECRET-8812"
N = 8


def choice(text, logprobs=None):
    """A reply with the first token's likeliest tokens."""
    top = [{"token": t, "logprob": p, "bytes": None} for t, p in (logprobs or {}).items()]
    content = {"logprobs": {"content": [{"token": text, "logprob": top[0]["logprob"], "bytes": None, "top_logprobs": top}]}} if top else {}
    return raw(json.dumps({"id": "x", "object": "chat.completion", "model": "fake", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", **content}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 1, "total_tokens": 12}}))


def shown(request):
    """The instruction and the two outputs, in the order in which the judge sees them."""
    return re.search(r"=== Request ===\n(.*?)\n\n=== Answer m ===\n(.*?)\n\n=== Answer M ===\n(.*?)\n\n=== End of the answers", request.user,
                     re.S).groups()


def outputs(path, name, n=N, **more):
    rows = [{"instruction": f"Question {i}?", "output": f"{name} says {'very ' * (i % 3 + 1 if name == 'base' else i % 2 * 5)}much",
             "generator": name, "dataset": "d"} | more for i in range(n)]
    path.write_text(json.dumps(rows))
    return rows


@pytest.fixture
def both(tmp_path):
    outputs(tmp_path / "base.json", "base")
    outputs(tmp_path / "mine.json", "mine")
    return tmp_path


def judge(tpo, folder, url, *more, **kwargs):
    args = ["eval", "alpaca", "--outputs", folder / "mine.json", "--baseline", folder / "base.json", "--judge", f"http:{url}",
            "--annotations-out", folder / "annotations.json", "--set", "judge.model=judge-1", "--set", "judge.retries=0", *more]
    kwargs["env"] = PLAIN | kwargs.get("env", {})
    return json.loads(tpo.ok(*args, **kwargs)), json.loads((folder / "annotations.json").read_text())


def is_switched(instruction):
    return random.Random("is_switched_outputs" + instruction + "0").choices([False, True], k=1)[0]


def by_length(request):
    """Token log-probabilities by a rule of which the test knows the outcome."""
    _, first, second = shown(request)
    return choice("m", {"m": -0.1 * len(first), "M": -0.1 * len(second), "The": -9.0})


@pytest.mark.parametrize("ranks", [0, 2])
def test_preferences_are_the_judges_probabilities_in_the_drawn_order(tpo, both, ranks):
    with FakeServer(by_length) as server:
        result, annotations = judge(tpo, both, server.url, ranks=ranks)
        asked = {shown(r)[0]: shown(r) for r in server.requests}
        assert all(r.json["logprobs"] is True and r.json["top_logprobs"] >= 2 for r in server.requests)
    assert len(asked) == len(annotations) == N
    assert len({is_switched(i) for i in asked}) == 2
    for row in annotations:
        assert set(row) == {"instruction", "output_1", "generator_1", "dataset", "output_2", "generator_2", "annotator", "preference",
                            "raw_completion"}
        assert (row["generator_1"], row["generator_2"], row["annotator"]) == ("base", "mine", "judge-1")
        switched = is_switched(row["instruction"])
        assert asked[row["instruction"]][1:] == ((row["output_2"], row["output_1"]) if switched else (row["output_1"], row["output_2"]))
        m, other = math.exp(-0.1 * len(row["output_1"])), math.exp(-0.1 * len(row["output_2"]))
        assert math.isclose(row["preference"], 1 + other / (m + other), abs_tol=1e-9)
    assert result["provenance"]["judge"]["model"] == "judge-1" and result["provenance"]["judge"]["prompt_hash"]
    assert result["judging"]["by_logprobs"] == N and result["judging"]["positions"] == "drawn" and result["n_total"] == N
    again = json.loads(tpo.ok("eval", "alpaca", "--annotations", both / "annotations.json"))
    for name in ("win_rate", "standard_error", "n_wins", "model", "baseline"):
        assert again[name] == result[name]


def test_without_log_probabilities_the_verdict_counts(tpo, both):
    with FakeServer(lambda request: reply("m" if len(shown(request)[1]) > len(shown(request)[2]) else "**M**.")) as server:
        result, annotations = judge(tpo, both, server.url)
    for row in annotations:
        assert row["preference"] == (2 if len(row["output_2"]) > len(row["output_1"]) else 1 if is_switched(row["instruction"]) or len(
            row["output_1"]) > len(row["output_2"]) else 2)
    assert result["judging"]["by_verdict"] == N and result["judging"]["by_logprobs"] == 0


def test_equal_outputs_are_a_draw_and_not_asked(tpo, both):
    rows = json.loads((both / "mine.json").read_text())
    rows[2]["output"] = json.loads((both / "base.json").read_text())[2]["output"]
    (both / "mine.json").write_text(json.dumps(rows))
    with FakeServer(by_length) as server:
        result, annotations = judge(tpo, both, server.url)
        assert len(server.requests) == N - 1
    assert annotations[2]["preference"] == 1.5 and annotations[2]["raw_completion"] is None
    assert result["judging"]["identical"] == 1 and result["n_draws"] == 1


def test_all_outputs_equal_need_no_judge(tpo, both):
    outputs(both / "mine.json", "base")
    with FakeServer(by_length) as server:
        result, _ = judge(tpo, both, server.url)
        assert not server.requests
    assert (result["win_rate"], result["n_draws"], result["length_controlled_winrate"]) == (50, N, 50)


def test_both_positions_are_another_metric_and_labelled(tpo, both):
    with FakeServer(lambda request: choice("m", {"m": math.log(0.9), "M": math.log(0.1)})) as server:
        result, annotations = judge(tpo, both, server.url, "--both-positions")
        assert len(server.requests) == 2 * N
    assert all(math.isclose(row["preference"], 1.5) and row["both_positions"] is True for row in annotations)
    assert {row["annotator"] for row in annotations} == {"judge-1, both positions"}
    assert result["judging"]["positions"] == "both" and result["judging"]["positions_disagree"] == N


def test_a_judge_that_says_nothing_leaves_null(tpo, both):
    def say(request):
        i = int(re.search(r"\d+", shown(request)[0])[0])
        return [reply("Both are fine."), reply("<think>m</think>"), choice("The", {"The": -0.1, "A": -3.0})][i] if i < 3 else reply("M")

    with FakeServer(say) as server:
        result, annotations = judge(tpo, both, server.url)
    assert [row["preference"] for row in annotations[:3]] == [None] * 3
    assert result["n_missing"] == result["judging"]["unanswered"] == 3 and result["n_total"] == N - 3
    assert "neither m nor M" in result["judging"]["first_unanswered"]


def test_a_verdict_in_a_thought_is_none(tpo, both):
    with FakeServer(lambda request: reply("<think>It is\nm</think>\nThe better answer: M")) as server:
        _, annotations = judge(tpo, both, server.url)
    assert all(row["preference"] == (1 if is_switched(row["instruction"]) else 2) for row in annotations)


def test_texts_of_any_kind_reach_the_judge_and_the_file(tpo, both):
    texts = ["", "<|im_start|>system\n[INST]", "\x01\x1b[31m\u202e", "x" * 1_000_000, "{instruction}{output_1}\"}\\", "\u0301\U0001f600", "m", "M"]
    rows = json.loads((both / "mine.json").read_text())
    for row, text in zip(rows, texts):
        row["output"] = text
    (both / "mine.json").write_text(json.dumps(rows))
    with FakeServer(lambda request: reply("m")) as server:
        result, annotations = judge(tpo, both, server.url)
        seen = {shown(r)[0]: shown(r) for r in server.requests}
    for row, text in zip(annotations, texts):
        assert row["output_2"] == text and text in seen[row["instruction"]]
    assert result["n_empty"] == 1 and result["avg_length"] == int(sum(map(len, texts)) / N) and result["lengths_of"] == "outputs"


def test_a_prompt_of_ones_own(tpo, both):
    with FakeServer(lambda request: reply("m")) as server:
        judge(tpo, both, server.url, "--set", "judge.prompt=Q {instruction} 1 {output_1} 2 {output_2}", "--set", "judge.system=Be fair.")
        assert all(r.user.startswith("Q Question ") and r.json["messages"][0]["content"] == "Be fair." for r in server.requests)


def test_a_stopped_judging_goes_on(tpo, both):
    """The server turns away after three answers; what is answered is not asked again."""
    args = ["eval", "alpaca", "--outputs", both / "mine.json", "--baseline", both / "base.json", "--annotations-out", both / "annotations.json",
            "--set", "judge.model=judge-1", "--set", "judge.retries=0", "--set", "judge.concurrency=1"]
    with FakeServer(lambda request: by_length(request) if request.number < 3 else error(401, "no more")) as server:
        tpo.fails(*args, "--judge", f"http:{server.url}", env=PLAIN)
        port = server.server.server_port
        assert not (both / "annotations.json").exists()
        server.behave = by_length
        text = tpo.fails(*args, "--judge", f"http:{server.url}", env=PLAIN, code=2)
        assert "--resume" in text and "annotations.json.journal" in text
        before = len(server.requests)
        result = json.loads(tpo.ok(*args, "--judge", f"http:{server.url}", "--resume", env=PLAIN))
        assert port == server.server.server_port and len(server.requests) - before == N - 3
    assert result["n_total"] == N and not (both / "annotations.json.journal").exists()


def test_a_judge_that_fails_too_often_is_asked_for_the_rest(tpo, both):
    """judge.max_failed is 0.1; what was answered is kept."""
    args = ["eval", "alpaca", "--outputs", both / "mine.json", "--baseline", both / "base.json", "--annotations-out", both / "a.json", "--set",
            "judge.model=judge-1", "--set", "judge.retries=0"]
    fails = True
    with FakeServer(lambda r: error(400, "not this") if fails and shown(r)[0] in ("Question 1?", "Question 4?") else by_length(r)) as server:
        args += ["--judge", f"http:{server.url}"]
        text = tpo.fails(*args, env=PLAIN, code=1)
        assert "2 of 8 rows" in text and "judge.max_failed" in text and "not this" in text and "--resume" in text
        assert not (both / "a.json").exists() and (both / "a.json.journal").exists()
        result = json.loads(tpo.ok(*args, "--resume", "--set", "judge.max_failed=0.25", env=PLAIN))
        assert result["judging"]["failed"] == result["n_missing"] == 2
        fails, before = False, len(server.requests)
        assert json.loads(tpo.ok(*args, env=PLAIN))["n_missing"] == 0
        assert len(server.requests) == before + 2  # the other answers are in the cache beside the annotations
    assert (both / "judge-cache").is_dir()


def test_outputs_of_one_name_are_told_and_named(tpo, both):
    outputs(both / "mine.json", "mine", generator="base")
    args = ["eval", "alpaca", "--outputs", both / "mine.json", "--baseline", both / "base.json", "--annotations-out", both / "a.json", "--set",
            "judge.model=judge-1"]
    with FakeServer(by_length) as server:
        done = tpo(*args, "--judge", f"http:{server.url}", env=PLAIN)
        assert done.returncode == 0 and 'said to be of "base"' in done.stderr.decode()
        done = tpo(*args, "--judge", f"http:{server.url}", "--generator", "mine", env=PLAIN)
        assert done.returncode == 0 and "said to be" not in done.stderr.decode()
    result = json.loads(done.stdout)
    assert result["generator"] == result["model"] == "mine"
    assert {row["generator_2"] for row in json.loads((both / "a.json").read_text())} == {"mine"}


@pytest.mark.parametrize("n_difficulty, n_gamed, words", [(N - 1, N - 2, ["base.json", f"row {N}", "difficulty.json"]),
                                                          (N, N + 1, ["gamed.json", f"row {N + 1}", "difficulty.json"])])
def test_a_difficulty_that_lacks_is_told_before_anything_is_asked(tpo, both, n_difficulty, n_gamed, words):
    (both / "difficulty.json").write_text(json.dumps([{"index": i, "difficulty": i} for i in range(n_difficulty)]))
    (both / "gamed.json").write_text(json.dumps([{"index": i, "std_delta_len": 0.1, "preference": 0.5} for i in range(n_gamed)]))
    with FakeServer(by_length) as server:
        text = tpo.fails("eval", "alpaca", "--outputs", both / "mine.json", "--baseline", both / "base.json", "--judge", f"http:{server.url}",
                         "--set", "judge.model=j", "--difficulty", both / "difficulty.json", "--gamed", both / "gamed.json", "--save",
                         both / "kept", env=PLAIN, code=1)
        assert not server.requests
    assert all(word in text for word in words), text


def test_outputs_by_number_take_their_instructions_from_the_prompts(tpo, both):
    (both / "prompts.jsonl").write_text("".join(json.dumps({"instruction": f"Question {i}?"}) + "\n" for i in range(N)))
    for name in ("base", "mine"):
        rows = json.loads((both / f"{name}.json").read_text())
        (both / f"{name}.json").write_text("".join(json.dumps({"index": i, "output": row["output"]}) + "\n" for i, row in enumerate(rows)))
    with FakeServer(by_length) as server:
        _, annotations = judge(tpo, both, server.url, "--prompts", both / "prompts.jsonl")
    assert [row["instruction"] for row in annotations] == [f"Question {i}?" for i in range(N)]
    assert {(row["generator_1"], row["generator_2"]) for row in annotations} == {("base", "mine")}  # the files' names


def test_a_part_of_the_instructions_keeps_its_numbers(tpo, both):
    rows = json.loads((both / "mine.json").read_text())
    (both / "mine.json").write_text(json.dumps(rows[5:2:-1]))
    with FakeServer(by_length) as server:
        result, annotations = judge(tpo, both, server.url)
    assert [row["index"] for row in annotations] == [3, 4, 5] and result["n_total"] == 3


def spoiled(folder, name, spoil):
    rows = json.loads((folder / name).read_text())
    spoil(rows)
    (folder / name).write_text(json.dumps(rows))


BAD = [
    ("mine.json", lambda rows: rows[3].update(instruction="Another?"), ["output 4", "Another?"]),
    ("mine.json", lambda rows: rows[3].update(instruction="Question 1?"), ["mine.json", "record 4", "row 2"]),
    ("base.json", lambda rows: rows[3].update(instruction="Question 1?"), ["base.json", "record 4", "row 2"]),
    ("mine.json", lambda rows: rows[3].update(generator="other"), ["record 4", "generator", "other"]),
    ("mine.json", lambda rows: rows[3].pop("output"), ["record 4", "output"]),
    ("mine.json", lambda rows: rows[3].update(output=["x"]), ["record 4", "text"]),
    ("mine.json", lambda rows: rows[3].pop("instruction"), ["record 4", "instruction"]),
    ("mine.json", lambda rows: rows[3].update(instruction=None), ["record 4", "null"]),
    ("mine.json", lambda rows: (rows[3].pop("instruction"), rows[3].update(index=3)), ["record 4", "--prompts"]),
    ("mine.json", lambda rows: rows.clear(), ["mine.json", "no row"]),
]


@pytest.mark.parametrize("name, spoil, words", BAD)
def test_bad_outputs_are_told_by_their_place(tpo, both, name, spoil, words):
    spoiled(both, name, spoil)
    text = tpo.fails("eval", "alpaca", "--outputs", both / "mine.json", "--baseline", both / "base.json", "--judge", "http:http://127.0.0.1:9/v1",
                     "--set", "judge.model=j", "--save", both / "kept", env=PLAIN, code=1)
    assert all(word in text for word in words), text


@pytest.mark.parametrize("args, words", [
    (["--outputs", "mine.json"], ["--baseline"]), (["--outputs", "mine.json", "--baseline", "base.json"], ["--annotations-out"]),
    (["--outputs", "missing.json", "--baseline", "base.json", "--save", "kept", "--judge", "http:http://127.0.0.1:9/v1"], ["missing.json"]),
    (["--outputs", "mine.json", "--baseline", "base.json", "--save", "kept", "--judge", "rule"], ["rule"]),
    (["--outputs", "mine.json", "--baseline", "base.json", "--save", "kept", "--judge", "http:http://127.0.0.1:9/v1", "--set",
      "judge.prompt=only {instruction}"], ["judge.prompt", "output_1"]),
    (["--outputs", "mine.json", "--baseline", "base.json", "--save", "kept", "--judge", "http:http://127.0.0.1:9/v1", "--set",
      "judge.pattern=(.)"], ["judge.pattern"]),
    (["--outputs", "mine.json", "--annotations", "base.json"], ["one of"]),
    (["--outputs", "mine.json", "--baseline", "base.json", "--save", "kept", "--out", "o.json"], ["--out", "--model"]),
    (["--outputs", "mine.json", "--baseline", "base.json", "--annotations-out", "base.json", "--judge", "http:http://127.0.0.1:9/v1"],
     ["--annotations-out", "base.json"]),
    (["--outputs", "mine.json", "--baseline", "base.json", "--annotations-out", "mine.json", "--judge", "http:http://127.0.0.1:9/v1"],
     ["--annotations-out", "mine.json"]),
    (["--outputs", "mine.json", "--baseline", "base.json", "--difficulty", "d.json", "--annotations-out", "d.json", "--judge",
      "http:http://127.0.0.1:9/v1"], ["--annotations-out", "d.json"]),
    (["--outputs", "mine.json", "--baseline", "base.json", "--annotations-out", "a.json", "--leaderboard", "a.json", "--judge",
      "http:http://127.0.0.1:9/v1"], ["--annotations-out", "--leaderboard", "both"]),
    (["--model", "MODEL", "--prompts", "mine.json", "--baseline", "base.json", "--out", "base.json", "--save", "kept", "--judge",
      "http:http://127.0.0.1:9/v1"], ["--out", "base.json"]),
    (["--model", "MODEL", "--out", "o.json"], ["--prompts"]), (["--model", "MODEL", "--prompts", "base.json"], ["--out"]),
    (["--model", "MODEL", "--prompts", "base.json", "--out", "o.json", "--k", "2"], ["--k"]),
    (["--model", "MODEL", "--prompts", "base.json", "--out", "o.json", "--gamed", "g.csv"], ["--gamed"]),
    (["--model", "nowhere", "--prompts", "base.json", "--out", "o.json"], ["nowhere"])])
def test_misuse(tpo, tiny_model, both, args, words):
    (both / "d.json").write_text("[]")
    args = [both / a if a.endswith(".json") or a in ("kept", "nowhere") else tiny_model if a == "MODEL" else a for a in args]
    if "--judge" in args:
        args += ["--set", "judge.model=j"]
    text = tpo.fails("eval", "alpaca", *args, env=PLAIN, code=2)
    assert all(word in text for word in words), text


def test_a_model_writes_its_responses_alone(tpo, tiny_model, tmp_path):
    outputs(tmp_path / "prompts.json", "x", 5)
    (tmp_path / "thought.yaml").write_text(tiny.layout_with(SECRET))
    args = ["eval", "alpaca", "--model", tiny_model, "--prompts", tmp_path / "prompts.json", "--max-tokens", 48, "--thought",
            tmp_path / "thought.yaml", "--generator", "tiny one"]
    result = json.loads(tpo.ok(*args, "--out", tmp_path / "one.json"))
    text = (tmp_path / "one.json").read_text()
    rows = json.loads(text)
    assert [row["instruction"] for row in rows] == [f"Question {i}?" for i in range(5)]
    assert all(set(row) == {"instruction", "output", "generator", "dataset"} and row["generator"] == "tiny one" and row["dataset"] == "d"
               for row in rows)
    assert SECRET not in text and "Notes to myself" not in text and any(row["output"] for row in rows)
    assert result["n_outputs"] == 5 and result["provenance"]["model"]["hash"] and not (tmp_path / "one.json.journal").exists()
    tpo.ok(*args, "--save", tmp_path / "two", ranks=2)
    assert (tmp_path / "two" / "model_outputs.json").read_text() == text
    assert (tmp_path / "two" / "alpaca-outputs.json").exists() and not (tmp_path / "two" / "alpaca.json").exists()  # no figure yet


def test_an_output_without_a_response_is_empty_and_counted(tpo, tmp_path):
    model = scripted.make(tmp_path / "model", ["Hello"])  # it never gets to the marker of a response
    outputs(tmp_path / "prompts.json", "x", 3)
    (tmp_path / "thought.yaml").write_text("prompt: \"{instruction}\"\nresponse_marker: \"Reply:\"\non_budget: stop\nthought_tokens: 4\n")
    done = json.loads(tpo.ok("eval", "alpaca", "--model", model, "--prompts", tmp_path / "prompts.json", "--out", tmp_path / "o.json",
                             "--thought", tmp_path / "thought.yaml", "--max-tokens", 12, "--resample", 0))
    assert [row["output"] for row in json.loads((tmp_path / "o.json").read_text())] == [""] * 3
    assert done["n_empty"] == done["n_without_response"] == 3 and done["avg_length"] == 0


@pytest.mark.parametrize("tokens, cut_off", [(1, 3), (8, 0)])
def test_outputs_that_a_limit_ended_are_counted(tpo, tmp_path, tokens, cut_off):
    (tmp_path / "run" / "iter-001").mkdir(parents=True)
    model = scripted.make(tmp_path / "run" / "iter-001" / "best", ["MM"])
    outputs(tmp_path / "prompts.json", "x", 3)
    path = model / ".." / "best" / "." if cut_off else model
    done = json.loads(tpo.ok("eval", "alpaca", "--model", path, "--prompts", tmp_path / "prompts.json", "--out", tmp_path / "o.json", "--thought",
                             "none", "--max-tokens", tokens))
    assert done["cut_off"] == cut_off
    assert done["generator"] == "run-iter-001-best"  # "best" alone says nothing


@pytest.mark.parametrize("spoil, words", [
    ({"--baseline": [{"instruction": "Question 0?", "output": "b"}]}, ["instruction 2", "--prompts"]),
    ({"--baseline": [{"instruction": "Question 0?"}]}, ["baseline", "output"]), ({"--gamed": [{"index": 0}]}, ["gamed", "std_delta_len"])])
def test_what_is_wrong_with_a_file_is_told_before_anything_is_drawn(tpo, tiny_model, tmp_path, spoil, words):
    rows = outputs(tmp_path / "prompts.json", "base", 3)
    files = {"--baseline": rows, "--gamed": [{"index": i, "std_delta_len": 0.1, "preference": 0.5, "instruction_difficulty": 1} for i in range(9)]}
    for option, content in (files | spoil).items():
        (tmp_path / f"{option[2:]}.json").write_text(json.dumps(content))
    text = tpo.fails("eval", "alpaca", "--model", tiny_model, "--prompts", tmp_path / "prompts.json", "--thought", "none", "--max-tokens", 8,
                     "--baseline", tmp_path / "baseline.json", "--gamed", tmp_path / "gamed.json", "--judge", "http:http://127.0.0.1:9/v1",
                     "--set", "judge.model=j", "--save", tmp_path / "kept", env=PLAIN, code=1)
    assert all(word in text for word in words) and "answering" not in text, text
    assert not (tmp_path / "kept" / "model_outputs.json").exists()


def test_instructions_that_come_twice_are_refused(tpo, tiny_model, tmp_path):
    outputs(tmp_path / "prompts.json", "x", 3, instruction="The same?")
    text = tpo.fails("eval", "alpaca", "--model", tiny_model, "--prompts", tmp_path / "prompts.json", "--out", tmp_path / "o.json", "--thought",
                     "none", code=1)
    assert "already" in text


@pytest.mark.parametrize("ranks", [0, 2])
def test_from_a_model_to_a_win_rate_in_one_command(tpo, tiny_model, tmp_path, ranks):
    outputs(tmp_path / "base.json", "base", 6)
    rng = random.Random(3)
    with open(tmp_path / "gamed.csv", "w") as f:
        f.write(",index,std_delta_len,preference,model,instruction_difficulty,not_gamed_baseline\n")
        f.writelines(f"{k},{k % 6},{rng.gauss(0, 1)},{rng.random()},c,{(k % 6) / 3},False\n" for k in range(12))
    with FakeServer(by_length) as server:
        result = json.loads(tpo.ok("eval", "alpaca", "--model", tiny_model, "--prompts", tmp_path / "base.json", "--thought", "none", "--max-tokens",
                                   12, "--baseline", tmp_path / "base.json", "--judge", f"http:{server.url}", "--set", "judge.model=judge-1",
                                   "--gamed", tmp_path / "gamed.csv", "--save", tmp_path / "kept", ranks=ranks, env=PLAIN))
    assert {p.name for p in (tmp_path / "kept").iterdir()} >= {"alpaca.json", "model_outputs.json", "annotations.json", "leaderboard.csv"}
    assert not list((tmp_path / "kept").glob("*.journal"))
    assert result["length_controlled_winrate"] is not None and result["model"] == f"{tiny_model.parent.name}-model"
    assert {f["name"] for f in result["provenance"]["files"]} == {"prompts", "baseline", "annotations", "gamed"}


def test_a_model_of_ours_judges_too(tpo, both):
    model = scripted.make(both / "judge", ["M"])
    result = json.loads(tpo.ok("eval", "alpaca", "--outputs", both / "mine.json", "--baseline", both / "base.json", "--judge", f"pairwise:{model}",
                               "--annotations-out", both / "a.json", "--set", "judge.max_tokens=4"))
    for row in json.loads((both / "a.json").read_text()):
        assert row["preference"] == (1 if is_switched(row["instruction"]) else 2)
    assert result["judging"]["by_verdict"] == N


def test_judging_that_stopped_does_not_draw_again(tpo, tiny_model, tmp_path):
    """All in one: what was drawn is kept until all is done, and the second command's outputs are the first's."""
    outputs(tmp_path / "base.json", "base", 6)
    args = ["eval", "alpaca", "--model", tiny_model, "--prompts", tmp_path / "base.json", "--thought", "none", "--max-tokens", 12, "--baseline",
            tmp_path / "base.json", "--out", tmp_path / "o.json", "--annotations-out", tmp_path / "a.json", "--set", "judge.model=judge-1",
            "--set", "judge.retries=0", "--set", "judge.concurrency=1"]
    with FakeServer(lambda request: by_length(request) if request.number < 2 else error(401, "no more")) as server:
        args += ["--judge", f"http:{server.url}"]
        tpo.fails(*args, env=PLAIN, ranks=2)
        drawn = (tmp_path / "o.json").read_bytes()
        assert (tmp_path / "o.json.journal").exists() and not (tmp_path / "a.json").exists()
        server.behave = by_length
        other = tpo.fails(*args, "--resume", "--max-tokens", 9, env=PLAIN)
        assert "sampling.max_tokens" in other or "max_tokens" in other
        before = len(server.requests)
        done = tpo(*args, "--resume", env=PLAIN)
        assert done.returncode == 0 and len(server.requests) - before == 4
    assert (tmp_path / "o.json").read_bytes() == drawn and json.loads(done.stdout)["n_total"] == 6
    assert not list(tmp_path.glob("*.journal"))
