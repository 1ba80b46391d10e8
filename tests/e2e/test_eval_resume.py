"""Every evaluation that draws or judges and is killed on two ranks goes on, on one, to the same files and the same result;
it tells how far it is, and where its numbers come from."""
import json
import os
import re
import shutil
import signal
import time

import pytest

from fake_server import FakeServer, reply
from http_judging import PLAIN
from test_resume import ranks_of, size_of, start, stop_at

EPOCH = {"SOURCE_DATE_EPOCH": "1700000000", **PLAIN}
N = 40
DRAW = ["--temperature", 1, "--top-p", 1, "--max-tokens", 200, "--slots", 4, "--dtype", "fp32", "--thought", "none", "--seed", 7]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def prompts(name, folder):
    return write(folder / f"{name}-prompts.jsonl", [
        {"alpaca": {"instruction": f"Question {i}?", "dataset": "d"}, "arena": {"question_id": f"q{i}", "turns": [{"content": f"Question {i}?"}]},
         "ifeval": {"key": i, "prompt": f"Question {i}?", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}}[name]
        for i in range(N)])


def texts(name, folder, who):
    """Outputs or answers of a model, as published."""
    if name == "alpaca":
        path = folder / f"{who}.json"
        path.write_text(json.dumps([{"instruction": f"Question {i}?", "output": f"{who} says {i}.", "generator": who} for i in range(N)]))
        return path
    return write(folder / f"{who}.jsonl", [{"question_id": f"q{i}", "model_id": who, "choices": [
        {"index": 0, "turns": [{"content": f"{who} says {i}.", "token_len": 3}]}]} for i in range(N)])


def judging(name, folder, url, out):
    option, kept = {"alpaca": ("--outputs", "--annotations-out"), "arena": ("--answers", "--games-out")}[name]
    more = ["--prompts", prompts(name, folder)] if name == "arena" else []
    return ["eval", name, option, texts(name, folder, "mine"), "--baseline", texts(name, folder, "base"), *more, "--judge", f"http:{url}",
            "--set", "judge.model=fake", "--set", "judge.concurrency=2", "--set", f"judge.cache={folder / 'no' / out}", kept, folder / out,
            "--seed", 7]


def alike(text, *places):
    """A result without what a resumed one may have otherwise: where its files are, how many ranks made it, what was asked."""
    for place in places:
        text = text.replace(str(place), "PLACE")
    result = json.loads(text)
    result.pop("judge_counts", None)
    result["provenance"].pop("ranks")
    return result


def judge(request):
    """Prefers mine for even numbers."""
    mine = re.search(r"mine says (\d+)", request.user)
    first = mine.start() < request.user.index("base says")
    wins = int(mine[1]) % 2 == 0
    answer = {(True, True): ("m", "[[A>B]]"), (True, False): ("M", "[[B>A]]"), (False, True): ("M", "[[B>A]]"),
              (False, False): ("m", "[[A>B]]")}[(first, wins)]
    return reply(answer[0] if "=== Answer m ===" in request.user else answer[1])


@pytest.mark.parametrize("name", ["alpaca", "arena", "ifeval"])
def test_drawing_that_was_killed_goes_on(tpo, tiny_model, tmp_path, name):
    args = ["eval", name, "--model", tiny_model, "--prompts", prompts(name, tmp_path), *DRAW, "--out"]
    whole, part, journal = tmp_path / "whole.json", tmp_path / "part.json", tmp_path / "part.json.journal"
    told = tpo.ok(*args, whole, env=EPOCH)
    text = stop_at(start([*args, part], 2), journal, 4096, signal.SIGKILL)
    assert not part.exists() and size_of(journal) >= 4096, text
    assert "--resume" in tpo.fails(*args, part, env=EPOCH, code=2)
    other = tpo.fails(*args, part, "--resume", "--temperature", 0.5, env=EPOCH, code=2)
    assert "temperature: 1" in other and "temperature: 0.5" in other, other
    again = tpo(*args, part, "--resume", env=EPOCH)
    assert again.returncode == 0, again.stderr
    kept = int(re.search(rb"(\d+) .*(?:kept there|already)", again.stderr)[1])
    assert 0 < kept < N and not journal.exists()
    assert part.read_bytes() == whole.read_bytes()
    assert alike(again.stdout.decode(), part) == alike(told, whole)


@pytest.mark.parametrize("name", ["alpaca", "arena"])
def test_judging_that_was_killed_goes_on(tpo, tmp_path, name):
    done = []

    def until_killed(request):
        if len(done) >= 13:  # both ranks are gone before they have this answer
            for pid in ranks_of(process) if process.poll() is None else []:
                os.kill(pid, signal.SIGKILL)
            process.wait()
        done.append(request.user)
        return judge(request)

    with FakeServer(judge) as server:
        told = tpo(*judging(name, tmp_path, server.url, "whole.jsonl"), env=EPOCH)
        assert told.returncode == 0, told.stderr
        questions = len(server.requests)
        args = judging(name, tmp_path, server.url, "part.jsonl")
        server.behave = until_killed
        process = start(args, 2)
        process.communicate(timeout=60)
        assert not (tmp_path / "part.jsonl").exists() and size_of(tmp_path / "part.jsonl.journal") > 0
        server.behave = judge
        other = tpo.fails(*args, "--resume", "--set", "judge.temperature=0.5", env=EPOCH, code=2)
        assert "judge.temperature: 0" in other and "0.5" in other, other
        before = len(server.requests)
        again = tpo(*args, "--resume", env=EPOCH)
        assert again.returncode == 0, again.stderr
        assert 0 < len(server.requests) - before <= questions - 8
    assert (tmp_path / "part.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    places = [tmp_path / "part.jsonl", tmp_path / "whole.jsonl"]
    assert alike(again.stdout.decode(), *places) == alike(told.stdout.decode(), *places)


def test_a_judging_tells_how_far_it_is_and_where_its_numbers_come_from(tpo, tmp_path):
    def slow(request):
        time.sleep(0.15)
        return judge(request)

    with FakeServer(slow) as server:
        args = judging("alpaca", tmp_path, server.url, "a.json")
        first = tpo(*args, env=EPOCH)
        (tmp_path / "a.json").unlink()
        shutil.rmtree(tmp_path / "no")  # what was answered would not be asked again
        server.behave = judge
        second = tpo(*args, env=EPOCH)
    assert first.returncode == second.returncode == 0, second.stderr
    lines = [line for line in first.stderr.decode().splitlines() if re.search(r"\d+ of 40", line)]
    assert len(lines) >= 2 and any("40 of 40" in line for line in lines), first.stderr
    assert alike(first.stdout.decode()) == alike(second.stdout.decode())
    provenance = json.loads(first.stdout)["provenance"]
    assert provenance["seed"] == 7 and provenance["created"] == "2023-11-14T22:13:20Z" and provenance["tpo_version"]
    assert {"outputs", "baseline"} <= {file["name"] for file in provenance["files"]}
    assert all(re.fullmatch(r"[0-9a-f]{32}", file["hash"]) for file in provenance["files"])
    assert provenance["judge"]["model"] == "fake" and provenance["judge"]["prompt_hash"]
