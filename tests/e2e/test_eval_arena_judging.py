"""`tpo eval arena --answers`: two games a question, asked of a judge's model."""
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

import scripted
from conftest import command, environment
from fake_server import FakeServer, error, reply

N = 6
LABELS = ["A>>B", "A>B", "A=B", "B>A", "B>>A"]


@pytest.fixture
def files(tmp_path):
    """Questions, and answers of two models, which are told apart by what they say."""
    lines = {"question": [{"question_id": f"q{i}", "turns": [{"content": f"Question {i}?"}]} for i in range(N)]}
    for model, tokens in (("mine", 10), ("gpt", 20)):
        lines[model] = [{"question_id": f"q{i}", "model_id": model, "choices": [{"index": 0, "turns": [
            {"content": f"{model} says \x1b[2J {i}", "token_len": tokens + i}]}]} for i in range(N)]
    for name, rows in lines.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def arguments(files, url, *more):
    return ["eval", "arena", "--answers", files / "mine.jsonl", "--baseline", files / "gpt.jsonl", "--prompts", files / "question.jsonl",
            "--judge", f"http:{url}", "--set", "judge.model=fake", "--set", "judge.retries=0", *more]


def place(request):
    """Number of the question, of the game, and of the attempt."""
    messages = request.json["messages"]
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"][:len(messages)]
    asked = messages[1]["content"]
    return int(re.search(r"Question (\d)", asked)[1]), 1 if asked.index("gpt says") < asked.index("mine says") else 2, len(messages) // 2


def behave(request):
    i, game, attempt = place(request)
    if i < 5 and game == 1:
        return reply(f"My answer is 1. [[{LABELS[i]}]] So: [[{LABELS[i]}]]")
    if (i, game) == (0, 2):  # a verdict at the second attempt
        return reply("I see." if attempt == 1 else "[[B>>A]]")
    if (i, game) == (1, 2):  # none at all
        return reply("" if attempt == 1 else "Both are fine.")
    if (i, game) == (2, 2):
        return reply("[[A>B]], or rather [[B>A]]")
    if (i, game) == (3, 2):
        return reply("[[A<B]]")
    if (i, game) == (4, 2):
        return reply("<think>[[A>B]]</think>[[A=B]]")
    return error(400, "no") if game == 2 else reply("[[A=B]]")


TABLE = """question_id\tmodel\tgame1\tgame2
q0\tmine\tA>>B\tB>>A
q1\tmine\tA>B\t
q2\tmine\tA=B\t
q3\tmine\tB>A\tA<B
q4\tmine\tB>>A\tA=B
q5\tmine\tA=B\t
"""


def test_games_are_asked_for_and_what_they_come_to(tpo, files):
    """On two ranks: two games a question, a second attempt where there is no verdict, and the same from the games' files."""
    allow = ["--set", "judge.max_failed=0.2"]
    with FakeServer(behave) as server:
        args = arguments(files, server.url, *allow, "--save", files / "out", "--games-out", files / "deep.jsonl")
        result = json.loads(tpo.ok(*args, ranks=2))
        asked = sorted(place(request) for request in server.requests)
    assert asked == sorted([(i, g, 1) for i in range(N) for g in (1, 2)] + [(0, 2, 2), (1, 2, 2)])
    first = next(r for r in server.requests if place(r) == (0, 2, 2)).json["messages"]
    assert first[2]["content"] == "I see." and "[[B>>A]]" in first[3]["content"]
    assert all(label in first[1]["content"] for label in LABELS)
    # won by mine: q3.1, q4.1 three times; by gpt: q0 both three times, q1.1; ties: q2.1, q4.2, q5.1
    assert [result[k] for k in ("model", "baseline", "wins", "losses", "ties")] == ["mine", "gpt", 4, 7, 3]
    assert result["score"] == pytest.approx(100 * 5.5 / 14)
    expected = {"games": 12, "null_games": 3, "unknown_labels": 1, "asked_again": 2, "contradicted": 1, "failed_games": 1,
                "failed_again": 0, "cut_off": 0, "n_questions": N, "avg_tokens": 12, "baseline_avg_tokens": 22}
    assert {name: result[name] for name in expected} == expected
    assert result["judge_counts"]["requests"] == 14
    judge = result["provenance"]["judge"]
    assert (judge["model"], judge["temperature"]) == ("fake", 0) and judge["prompt_hash"] and judge["system_hash"]
    assert (files / "out" / "games.tsv").read_text() == TABLE
    rows = [json.loads(line) for line in (files / "deep.jsonl").read_text().splitlines()]
    assert rows[0]["games"][1]["judgment"] == "\nI see.\n[[B>>A]]" and rows[0]["games"][1]["score"] == "B>>A"
    assert (rows[5]["games"][1]["judgment"], rows[5]["games"][1]["score"], rows[5]["judge"]) == ("", None, "fake")
    assert json.loads((files / "out" / "arena.json").read_text()) == result
    assert not (files / "deep.jsonl.journal").exists()
    assert (files / "out" / "judgments.jsonl").read_bytes() == (files / "deep.jsonl").read_bytes()
    for file in (files / "out" / "games.tsv", files / "deep.jsonl"):
        again = json.loads(tpo.ok("eval", "arena", "--games", file, "--anchor", "gpt"))
        for name in ("model", "score", "lower", "upper", "wins", "losses", "ties", "games", "null_games", "unknown_labels"):
            assert again[name] == result[name], name


def test_what_was_judged_before_a_kill_is_not_asked_again(tpo, files):
    """Killed within the second attempts, and gone on from on two ranks by the journal alone."""
    def until_the_end(request):
        if place(request)[2] == 2:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return error(500)
        return reply("I see.")

    with FakeServer(until_the_end) as server:
        args = arguments(files, server.url, "--games-out", files / "games.tsv", "--set", "judge.concurrency=1")
        with subprocess.Popen(command(args)[4:], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
            process.communicate()
        assert (files / "games.tsv.journal").exists() and not (files / "games.tsv").exists()
        text = tpo.fails(*args, code=2)
        assert "--resume" in text and "judged games" in text
        shutil.rmtree(files / "judge-cache")
        asked, server.requests = server.requests, []
        server.behave = lambda request: reply(f"Then [[{LABELS[place(request)[0] % 5]}]]")
        tpo.ok(*args, "--resume", ranks=2)
        assert {place(request)[2] for request in server.requests} == {2} and len(server.requests) == 2 * N
        assert sum(place(request)[2] == 1 for request in asked) == 2 * N
    rows = (files / "games.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[2] for row in rows] == [LABELS[i % 5] for i in range(N)]
    assert not (files / "games.tsv.journal").exists()


def test_a_judge_that_says_nothing(tpo, files):
    with FakeServer(lambda request: reply("")) as server:
        run = tpo(*arguments(files, server.url, "--save", files / "out"))
    assert run.returncode == 0 and b"12 of 12 games have no verdict" in run.stderr
    result = json.loads(run.stdout)
    assert (result["score"], result["null_games"], result["asked_again"]) == (None, 12, 12) and "no battle" in result["note"]


def test_a_judge_that_is_not_there_leaves_nothing_in_the_way(tpo, files):
    """A wrong address keeps nothing, and a right one begins anew."""
    text = tpo.fails(*arguments(files, "http://127.0.0.1:9/v1", "--save", files / "out"), code=1)
    assert "127.0.0.1:9" in text and not list((files / "out").glob("*.journal"))
    with FakeServer(lambda request: reply("[[A=B]]")) as server:
        assert json.loads(tpo.ok(*arguments(files, server.url, "--save", files / "out")))["ties"] == 2 * N


def test_a_judge_that_fails_too_often(tpo, files):
    def fails(request):
        return error(400, "no such luck") if place(request)[0] == 0 else reply("[[A>B]]")

    with FakeServer(fails) as server:
        args = arguments(files, server.url, "--save", files / "out")
        text = tpo.fails(*args, code=1)
        assert "failed on 1 of 6 questions" in text and "no such luck" in text and "judge.max_failed" in text
        server.behave = lambda request: reply("[[A=B]]")
        result = json.loads(tpo.ok(*args, "--resume"))
    assert result["ties"] == 2 and result["failed_games"] == 0


def test_a_local_model_judges(tpo, files):
    model = scripted.make(files / "judge", ["Well,", " [[A>>B]]"])
    args = arguments(files, "x", "--save", files / "out", "--set", "judge.max_tokens=9")
    args[args.index("--judge") + 1] = f"pairwise:{model}"
    result = json.loads(tpo.ok(*args))
    assert (result["wins"], result["losses"], result["score"]) == (3 * N, 3 * N, 50)
    assert json.loads((files / "out" / "judgments.jsonl").read_text().splitlines()[0])["games"][0]["judgment"] == "\nWell, [[A>>B]]"


def test_missing_answers_are_counted(tpo, files):
    for name, left in (("mine", [0, 1, 2]), ("gpt", [1, 2, 3, 4])):
        rows = (files / f"{name}.jsonl").read_text().splitlines()
        (files / f"{name}.jsonl").write_text("".join(rows[i] + "\n" for i in left))
    with FakeServer(lambda request: reply("[[A=B]]")) as server:
        run = tpo(*arguments(files, server.url, "--save", files / "out"))
    result = json.loads(run.stdout)
    assert (result["n_questions"], result["without_answer"], result["without_baseline"], result["ties"]) == (2, 3, 2, 4)
    assert b"3 of 6 questions have no answer of mine, 2 none of gpt" in run.stderr


@pytest.mark.parametrize("change, code, words", [
    (["--set", "judge.pattern=(x)"], 2, ["judge.pattern"]), (["--set", "judge.verdicts={x: A, y: B}"], 2, ["judge.verdicts", "arena-hard"]),
    (["--set", "judge.prompt=hello"], 2, ["judge.prompt", "{instruction}"]), (["--judge", "rule"], 2, ["rule", "http"]),
    (["--model", "x"], 2, ["--model says nothing to answers to judge"]), (["--anchor", "x"], 2, ["--anchor says nothing"]),
    (["--games-out", "question.jsonl"], 2, ["question.jsonl", "that is read"]), (["--games-out", "-"], 2, ["--games-out", "file's name"]),
    (["--temperature", "0.7"], 2, ["--temperature goes with", "--model"]), (["--slots", "3"], 2, ["--slots"]), (["--dtype", "fp32"], 2, ["--dtype"]),
    (["--games-out", "g.tsv.gz"], 2, ["g.tsv.gz", "without .gz"]), (["--set", "judge.verdict_rule=last"], 2, ["judge.verdict_rule", "only"]),
    (["--bootstrap", "0"], 2, ["--bootstrap"]), (["--baseline", "mine.jsonl"], 1, ["both files' answers are of mine"]),
    (["--baseline", "missing.jsonl"], 2, ["missing.jsonl"]), (["--answers", "question.jsonl"], 1, ["question.jsonl:1", '"model_id" is missing']),
    (["--answers", "twice.jsonl"], 1, ["twice.jsonl:7", "question q0 has an answer"]), (["--prompts", "other.jsonl"], 1, ["none of the 1 questions"]),
    (["--answers", "tab.jsonl", "--games-out", "g.tsv"], 1, ["can't hold a tab"])])
def test_bad_input_is_told_before_anything_is_asked(tpo, files, monkeypatch, change, code, words):
    monkeypatch.chdir(files)
    rows = (files / "mine.jsonl").read_text()
    (files / "twice.jsonl").write_text(rows + rows)
    (files / "tab.jsonl").write_text(rows.replace('"mine"', '"my\\tmodel"'))
    (files / "other.jsonl").write_text('{"uid": "x", "prompt": "y"}\n')
    before = {name: (files / name).read_bytes() for name in os.listdir(files)}
    with FakeServer(behave) as server:
        text = tpo.fails(*arguments(files, server.url, "--games-out", files / "games.jsonl", *change), code=code)
        assert not server.requests
    lines = [line for line in text.splitlines() if line.startswith("tpo")]
    assert len(lines) == 1 and all(word in lines[0] for word in words), text
    assert {name: (files / name).read_bytes() for name in os.listdir(files)} == before
