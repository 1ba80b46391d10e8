"""The judge that is a server: scores, retries, the cache, and a key that must not get out."""
import base64
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

import tiny
from conftest import command, environment
from fake_server import DROP, FakeServer, error, raw, reply
from http_judging import PLAIN, PROMPT, SECRET, arguments, first_time, judge, rate, samples, samples_of, usable

h5py = pytest.importorskip("h5py")

__all__ = ["samples"]  # a fixture
KEY = "sk-do-not-tell/0123456789"  # JSON may escape a slash


@pytest.mark.parametrize("ranks", [0, 1, 2])
def test_scores_are_the_servers_and_in_their_places(tpo, samples, tmp_path, ranks):
    with FakeServer(rate) as server:
        out = judge(tpo, tmp_path, samples, server.url, ranks=ranks)
    rows = usable(out)
    assert len(rows) >= 10 and len({row["score"] for row in rows}) > 1
    for row in rows:
        assert row["score"] == len(row["response"]) + 0.5
        assert row["detail"] == {"score": row["score"], "answer": f"Fair enough.\n[[{row['score']}]]"}
    assert len(server.requests) == len({(row["id"], row["response"]) for row in rows})


def test_a_request_is_what_the_protocol_says(tpo, samples, tmp_path):
    with FakeServer(lambda _: reply("[[1]]")) as server:
        tpo.ok(*arguments(samples, server.url + "/", tmp_path / "s.h5", "judge.temperature=0.25", "judge.max_tokens=77",
                          "seed=5"), env={**PLAIN, "TPO_JUDGE_KEY": KEY})
    for request in server.requests:
        assert request.path == "/v1/chat/completions" and request.headers["Content-Type"] == "application/json"
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        body = dict(request.json)
        messages = body.pop("messages")
        assert body == {"model": "judge-1", "temperature": 0.25, "max_tokens": 77, "n": 1, "seed": 5}
        assert [m["role"] for m in messages] == ["system", "user"] and "Write something, p number" in messages[1]["content"]


@pytest.mark.parametrize("form", ["http:{base}", "{base}", "http:{base}/chat/completions", "{base}/chat/completions?v=2"])
def test_an_address_may_be_given_in_several_forms(tpo, samples, tmp_path, form):
    with FakeServer(lambda _: reply("[[1]]")) as server:
        tpo.ok("judge", "--samples", samples, "--judge", form.format(base=server.url), "--out", tmp_path / "s.h5", "--set",
               "judge.model=m", env=PLAIN)
    assert {r.path for r in server.requests} == {"/v1/chat/completions" + ("?v=2" if "?" in form else "")}
    assert "Authorization" not in server.requests[0].headers


@pytest.mark.parametrize("mode, answer", [("absolute", "[[1]]"), ("pairwise", "[[A]]")])
def test_a_judge_never_sees_a_thought(tpo, samples, tmp_path, mode, answer):
    with FakeServer(lambda _: reply(answer)) as server:
        tpo.ok(*arguments(samples, server.url, tmp_path / "s.h5", f"judge.mode={mode}"), env=PLAIN, ranks=2)
    with h5py.File(samples) as f:
        assert any(SECRET in t.decode() for t in f["thought"])
    assert server.requests
    for request in server.requests:
        assert SECRET.encode() not in request.body and b"Notes to myself" not in request.body
        assert SECRET not in str(request.headers)


@pytest.mark.parametrize("ranks, limit", [(0, 1), (0, 4), (2, 5)])
def test_no_more_requests_are_under_way_than_allowed(tpo, samples, tmp_path, ranks, limit):
    def slow(request):
        time.sleep(0.1)
        return rate(request)
    with FakeServer(slow) as server:
        judge(tpo, tmp_path, samples, server.url, f"judge.concurrency={limit}", ranks=ranks)
    assert server.most_in_flight <= limit
    assert server.most_in_flight >= min(limit, 2), "nothing ran at the same time"


TROUBLES = {
    "429": error(429, "slow down"),
    "500": error(500, "oops"),
    "503": raw("<html>Bad day</html>", 503),
    "long-502": raw("<html>" + "Bad day. " * 40000, 502),
    "529": error(529, "overloaded"),
    "drop": DROP,
    "cut-off": raw('{"choices":[{"mess', length=5000),
    "long-header": raw("{}", 200, {"X-Long": "x" * 150000}),
    "many-headers": raw("{}", 200, {f"X-{i}": "x" * 50000 for i in range(12)}),
    "408": error(408, "took too long"),
    "error-in-200": raw('{"error":{"message":"upstream fell over"}}'),
    "error-502-in-200": raw('{"error":{"message":"upstream fell over","code":502}}'),
    "error-in-choice": raw('{"choices":[{"message":{"content":"[[1"},"finish_reason":"error","error":{"message":"fell over"}}]}'),
    "half-json": raw('{"choices":[{"message":{"content":"[[5'),
}


@pytest.mark.parametrize("case, ranks", [(case, 0) for case in TROUBLES] + [("500", 2), ("drop", 2)])
def test_passing_troubles_are_waited_out(tpo, samples, tmp_path, case, ranks):
    with FakeServer(first_time(TROUBLES[case])) as server:
        out = judge(tpo, tmp_path, samples, server.url, ranks=ranks)
    assert all(row["score"] == len(row["response"]) + 0.5 for row in usable(out))
    assert len(server.requests) == 2 * len({r.user for r in server.requests})


def test_no_rank_waits_longer_than_the_deadline_for_a_slow_server(tpo, tiny_model, tmp_path):
    """16 prompts at once would take one rank 19 seconds, and the other is done after 5."""
    many = samples_of(tpo, tiny_model, tmp_path, 20)

    def slow(request):
        time.sleep(0.4)
        return rate(request)
    with FakeServer(slow) as server:
        out = judge(tpo, tmp_path, many, server.url, "judge.concurrency=2", "run.deadline=12", ranks=2)
    assert len(usable(out)) > 50 and all(row["score"] == len(row["response"]) + 0.5 for row in usable(out))


def test_a_rank_that_failed_waits_for_no_more_than_the_others_batch(tpo, tiny_model, tmp_path):
    """A first batch is the fewest prompts with 16 responses."""
    many = samples_of(tpo, tiny_model, tmp_path, 40)

    def behave(request):
        if request.number == 1:
            return error(401, "no key")
        time.sleep(0.1)
        return rate(request)
    with FakeServer(behave) as server:
        settings = [f"judge.prompt={PROMPT}", "judge.concurrency=2"]
        text = tpo.fails(*arguments(many, server.url, tmp_path / "s.h5", *settings), env=PLAIN, ranks=2, code=1)
    assert "HTTP 401: no key" in text and len(server.requests) <= 18 + 1


def test_a_server_that_stays_in_trouble_is_no_score(tpo, samples, tmp_path):
    def behave(request):
        return error(503, "closed for today") if server.requests[0].user == request.user else rate(request)
    with FakeServer(behave) as server:
        out = judge(tpo, tmp_path, samples, server.url, "judge.retries=2", "judge.max_failed=1")
        asked = [r.user for r in server.requests]
    failed = [row for row in usable(out) if "error" in row["detail"]]
    assert len({row["id"] for row in failed}) == 1 and asked.count(asked[0]) == 3
    assert failed[0]["detail"] == {"error": "no answer in 3 attempts, the last: HTTP 503: closed for today"}


def test_more_failures_than_allowed_stop_the_judging_with_a_reason(tpo, samples, tmp_path):
    with FakeServer(lambda _: error(500, "oops, ünïcode")) as server:
        text = tpo.fails(*arguments(samples, server.url, tmp_path / "s.h5", "judge.retries=0"), env=PLAIN, code=1)
    assert "judge.max_failed" in text and "HTTP 500: oops, ünïcode" in text and not (tmp_path / "s.h5").exists()


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_slow_server_is_a_failed_judgement(tpo, samples, tmp_path, ranks):
    stop = threading.Event()

    def behave(_):
        stop.wait(30)
        return reply("[[1]]")
    with FakeServer(behave) as server:
        start = time.time()
        out = judge(tpo, tmp_path, samples, server.url, "judge.timeout=1", "judge.retries=1", "judge.max_failed=1",
                     "judge.concurrency=64", ranks=ranks)
        assert time.time() - start < 20
        stop.set()
    for row in usable(out):
        assert "no answer in 2 attempts" in row["detail"]["error"] and "timed out" in row["detail"]["error"].lower()


WRONG = {"400": (error(400, "too long a prompt"), "HTTP 400: too long a prompt"),
         "422": (raw('{"detail":"no such field"}', 422), "HTTP 422: no such field"),
         "empty-object": (raw("{}"), "no text at choices[0].message.content"),
         "no-choices": (raw('{"choices":[]}'), "no text at choices[0]"),
         "null": (raw('{"choices":[{"message":{"content":null},"finish_reason":"length"}]}'), "finish_reason length"),
         "number": (raw('{"choices":[{"message":{"content":7}}]}'), "no text at choices[0]"),
         "list": (raw('[1,2]'), "no text at choices[0]"),
         "error-in-200": (raw('{"error":{"message":"too long","type":"invalid_request_error"}}'),
                          "HTTP 400: an error in place of an answer: too long"),
         "text": (reply("I like it."), "no number that judge.pattern finds in the answer: I like it."),
         "words": (reply("[[good]]"), "judge.pattern matched [[good]], which is no number"),
         "infinite": (reply("[[inf]]"), "is no number"), "nan": (reply("[[nan]]"), "is no number"),
         "huge-number": (reply("[[" + "9" * 500 + "]]"), "a number that is too large"), "hex": (reply("[[0x10]]"), "is no number"),
         "empty": (reply(""), "no number"), "nul": (reply("[[\u00005]]"), "is no number")}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_answer_is_no_score_and_is_not_asked_for_again(tpo, samples, tmp_path, case):
    answer, words = WRONG[case]
    with FakeServer(lambda _: answer) as server:
        out = judge(tpo, tmp_path, samples, server.url, "judge.max_failed=1")
    assert len(server.requests) == len({r.user for r in server.requests})
    for row in usable(out):
        assert words in row["detail"]["error"]


def test_no_json_is_asked_for_again_and_then_no_score(tpo, samples, tmp_path):
    with FakeServer(lambda _: raw("<html>hello</html>")) as server:
        out = judge(tpo, tmp_path, samples, server.url, "judge.max_failed=1", "judge.retries=1")
    assert len(server.requests) == 2 * len({r.user for r in server.requests})
    assert all("not valid JSON" in row["detail"]["error"] for row in usable(out))


@pytest.mark.parametrize("tokens, size, words", [(1024, 200 << 10, "more than 128 KiB"), (10000000, 5 << 20, "more than 4096 KiB")])
def test_a_flood_is_cut_off(tpo, samples, tmp_path, tokens, size, words):
    flood = reply("x" * size)
    with FakeServer(lambda _: flood) as server:
        out = judge(tpo, tmp_path, samples, server.url, "judge.max_failed=1", "judge.concurrency=2", f"judge.max_tokens={tokens}")
    assert all(words in row["detail"]["error"] for row in usable(out))


def test_the_longest_answer_that_the_tokens_can_be_is_read(tpo, samples, tmp_path):
    text = "\u00e9" * (64 * 1024 // 6 - 20) + " [[3]]"  # each of six bytes in the reply
    with FakeServer(lambda _: reply(text)) as server:
        out = judge(tpo, tmp_path, samples, server.url, "judge.max_tokens=1024")
    assert all(row["score"] == 3 for row in usable(out))


def test_a_long_answer_is_shortened_in_the_detail(tpo, samples, tmp_path):
    with FakeServer(lambda _: reply("ü" * 10000 + "[[3]]")) as server:
        out = judge(tpo, tmp_path, samples, server.url)
    for row in usable(out):
        assert row["score"] == 3 and row["detail"]["answer"] == "ü" * 500 + "..."


FATAL = {"401": (error(401, "Incorrect API key provided"), ["HTTP 401", "Incorrect API key provided", "TPO_JUDGE_KEY"]),
         "403": (error(403, "no"), ["HTTP 403", "TPO_JUDGE_KEY"]),
         "404": (error(404, "The model `judge-1` does not exist"), ["HTTP 404", "does not exist", "judge.model"]),
         "402": (error(429, "nothing left")  | {"body": b'{"error":{"message":"nothing left","code":"insufficient_quota"}}'},
                 ["HTTP 402: nothing left"]),
         "403-in-200": (raw('{"error":{"message":"not for you","code":403}}'), ["HTTP 403", "not for you", "TPO_JUDGE_KEY"]),
         "301": (raw("", 301, {"Location": "http://127.0.0.1:1/elsewhere"}), ["HTTP 301", "redirects"])}


@pytest.mark.parametrize("case, ranks", [(case, 0) for case in FATAL] + [("401", 2), ("404", 3)])
def test_a_wrong_key_address_or_model_ends_it_with_one_message(tpo, samples, tmp_path, case, ranks):
    answer, words = FATAL[case]
    with FakeServer(lambda _: answer) as server:
        text = tpo.fails(*arguments(samples, server.url, tmp_path / "s.h5", "judge.max_failed=1"), env=PLAIN, ranks=ranks, code=1)
    assert all(word in text for word in words) and server.url in text
    assert len(re.findall("HTTP " + case[:3], text)) == 1 and not (tmp_path / "s.h5").exists()
    assert len(server.requests) <= 16
    if not ranks:
        assert len(text.splitlines()) == 2 and "judge-cache" in text.splitlines()[0]


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_server_that_is_not_there_is_told(tpo, samples, tmp_path, ranks):
    text = tpo.fails(*arguments(samples, "http://127.0.0.1:9/v1", tmp_path / "s.h5", "judge.retries=1", "judge.max_failed=1"),
                     env=PLAIN, ranks=ranks, code=1)
    assert "http://127.0.0.1:9/v1/chat/completions can't be reached, 2 attempts" in text


def test_requests_and_tokens_are_counted_over_all_ranks(tpo, samples, tmp_path):
    settings = [f"judge.cache={tmp_path / 'cache'}", "judge.max_failed=1"]
    broken = set()

    def behave(request):
        if request.number == 0:
            broken.add(request.user)
        return reply("no idea") if request.user in broken else first(request)
    first = first_time(error(500, "oops"))
    with FakeServer(behave) as server:
        out = judge(tpo, tmp_path, samples, server.url, *settings, ranks=2)
    n, questions = len(usable(out)), len({r.user for r in server.requests})
    unparsable = sum("error" in row["detail"] for row in usable(out))

    def told():
        with h5py.File(out) as f:
            text = f.attrs["judge_counts"]
        return json.loads(text.decode() if isinstance(text, bytes) else text)
    expected = {"responses": n, "failed": 0, "unparsable": unparsable, "no_match": unparsable, "requests": 2 * questions - 1, "retries": questions - 1,
                "cached": 0, "repeated": n - questions, "truncated": 0, "prompt_tokens": 11 * questions,
                "completion_tokens": 3 * questions}
    assert unparsable >= 1 and told() == expected
    judge(tpo, tmp_path, samples, server.url, *settings)  # nobody listens there any more
    assert told() == {**expected, "requests": 0, "retries": 0, "cached": questions, "prompt_tokens": 0, "completion_tokens": 0}


def test_nothing_is_asked_twice(tpo, samples, tmp_path):
    """On any number of ranks, and with a damaged cache only what is damaged."""
    out, cache = tmp_path / "scored.h5", tmp_path / "cache"
    settings = [f"judge.prompt={PROMPT}", f"judge.cache={cache}"]
    with FakeServer(rate) as server:
        tpo.ok(*arguments(samples, server.url, out, *settings), env=PLAIN, ranks=2)
        first, rows = len(server.requests), usable(out)
        for ranks in (0, 3, 1):
            tpo.ok(*arguments(samples, server.url, out, *settings), env=PLAIN, ranks=ranks)
            assert len(server.requests) == first and usable(out) == rows
        tpo.ok(*arguments(samples, server.url, out, *settings, model="judge-2"), env=PLAIN)
        assert len(server.requests) == 2 * first, "another model's answers are others"
        server.requests.clear()
        files = sorted(cache.glob("*.journal"), key=lambda path: path.stat().st_mtime_ns)  # judge-2 has the last
        files[0].write_bytes(files[0].read_bytes().replace(b"Fair", b"Foul", 1)[:-9])
        with open(files[-1], "ab") as f:
            f.write(b"\x00\xff and more that is no answer")
        (cache / "answers-0-1-2.jsonl").write_text("{}\n")
        result = tpo(*arguments(samples, server.url, out, *settings), env=PLAIN)
        assert result.returncode == 0 and len(server.requests) == 2 and usable(out) == rows
        assert b"1 entries are damaged" in result.stderr and b"1 files *.jsonl of an earlier version are not read" in result.stderr


@pytest.mark.parametrize("ranks", [0, 2])
def test_what_was_paid_for_is_not_asked_again_after_too_many_failures(tpo, samples, tmp_path, ranks):
    """Without any setting: the answers are kept beside --out, and a line says so."""
    (tmp_path / "sub").mkdir()
    out, settings = tmp_path / "sub" / "scored.h5", [f"judge.prompt={PROMPT}", "judge.retries=0"]
    refused = set()

    def behave(request):
        if request.number % 2 or request.user in refused:
            refused.add(request.user)
            return error(400, "too long" if len(refused) % 3 else "too odd")
        return rate(request)
    with FakeServer(behave) as server:
        text = tpo.fails(*arguments(samples, server.url, out, *settings), env=PLAIN, code=1, ranks=ranks)
        assert f"the judge's answers are kept in {out.parent}/judge-cache: none is asked for twice" in text
        assert re.search(r"the judge gave no score to \d+ responses: \d+ times HTTP 400: too long; \d+ times HTTP 400: too odd\n", text)
        n, server.behave = len(server.requests), rate
        answered = {r.user for r in server.requests} - refused
        tpo.ok(*arguments(samples, server.url, out, *settings), env=PLAIN, ranks=ranks)
        assert {r.user for r in server.requests[n:]} == refused and answered
    assert all(row["score"] == len(row["response"]) + 0.5 for row in usable(out))
    assert list((out.parent / "judge-cache").glob("*.journal"))


def test_reasons_for_failures_are_told_though_they_are_few_enough(tpo, samples, tmp_path):
    with FakeServer(lambda request: rate(request) if request.number else error(400, "not this one")) as server:
        result = tpo(*arguments(samples, server.url, tmp_path / "s.h5", f"judge.prompt={PROMPT}", "judge.max_failed=0.5"), env=PLAIN)
    assert result.returncode == 0 and b"no score to 1 response: once HTTP 400: not this one\n" in result.stderr


def test_reasons_of_a_kind_are_told_together_with_an_example(tpo, samples, tmp_path):
    """Where each is another: the answers that held no number, and what a server says of each question."""
    def behave(request):
        if request.number < 2:
            return error(503, f"closed until {request.number}") if request.number else rate(request)
        return error(400, f"too long: {request.number}") if request.number % 3 == 0 else reply(f"I like it: {request.number}.")
    with FakeServer(behave) as server:
        settings = [f"judge.prompt={PROMPT}", "judge.max_failed=1", "judge.concurrency=1", "judge.retries=0"]
        result = tpo(*arguments(samples, server.url, tmp_path / "s.h5", *settings), env=PLAIN)
    text = result.stderr.decode()
    told = re.search(r"the judge gave no score to (\d+) responses: (.*)", text)
    assert result.returncode == 0 and told
    assert re.fullmatch(r"(\d+) times no number that judge.pattern finds in the answer, such as: I like it: 2\.; "
                        r"(\d+) times HTTP 400, such as: too long: 3; once no answer in 1 attempts, the last: HTTP 503: closed until 1", told[2])
    assert int(told[1]) == 1 + sum(map(int, re.findall(r"(\d+) times", told[2])))


def test_only_a_judge_that_asks_a_server_keeps_answers(tpo, samples, tmp_path):
    result = tpo("judge", "--samples", samples, "--judge", "rule", "--out", tmp_path / "s.h5")
    assert result.returncode == 0 and b"kept" not in result.stderr and not (tmp_path / "judge-cache").exists()


def test_failures_are_not_kept(tpo, samples, tmp_path):
    settings = [f"judge.prompt={PROMPT}", f"judge.cache={tmp_path / 'cache'}", "judge.max_failed=1", "judge.retries=0"]
    with FakeServer(lambda _: error(400, "no")) as server:
        tpo.ok(*arguments(samples, server.url, tmp_path / "s.h5", *settings), env=PLAIN)
        first = len(server.requests)
        server.behave = rate
        tpo.ok(*arguments(samples, server.url, tmp_path / "s.h5", *settings), env=PLAIN)
        assert len(server.requests) == 2 * first
    assert all(row["score"] == len(row["response"]) + 0.5 for row in usable(tmp_path / "s.h5"))


def test_a_cache_that_cannot_be_written_is_an_error(tpo, samples, tmp_path):
    (tmp_path / "file").write_text("")
    with FakeServer(rate) as server:
        text = tpo.fails(*arguments(samples, server.url, tmp_path / "s.h5", f"judge.cache={tmp_path / 'file'}"), env=PLAIN)
    assert str(tmp_path / "file") in text


@pytest.mark.parametrize("how, ranks", [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGUSR1, 2)])
def test_what_is_under_way_at_a_signal_gets_some_seconds_and_is_kept(samples, tpo, tmp_path, how, ranks):
    """Two of the answers under way come soon, the others never do. Of two ranks one may have all the work, and half of the slots."""
    last = 5 if ranks else 7
    asked, settings, never = threading.Event(), [f"judge.prompt={PROMPT}", "judge.concurrency=4"], threading.Event()

    def behave(request):
        if request.number == last:
            asked.set()
        if request.number in (4, 5):
            asked.wait(30)
            time.sleep(0.7)
        elif request.number > 5:
            never.wait(30)
        return rate(request)
    with FakeServer(behave) as server:
        args = command(arguments(samples, server.url, tmp_path / "s.h5", *settings), ranks=ranks)[4:]  # no `timeout`, which ends it soon
        job = subprocess.Popen(args, env=environment(PLAIN), stderr=subprocess.PIPE, text=True)
        assert asked.wait(30)
        time.sleep(0.2)
        start, n = time.time(), len(server.requests)
        job.send_signal(how)
        text = job.communicate(timeout=20)[1]
        assert len(server.requests) == n, "nothing more is asked after a signal"
        assert (0 if ranks else 4) < time.time() - start < 10 and f"stopped by {signal.Signals(how).name} while judging" in text
        told = re.search(r"of (\d) requests under way (\d) were answered within 5 s and (\d) are lost; (at least )?(\d) answers are kept in "
                         + re.escape(f"{tmp_path}/judge-cache"), text)
        assert told and int(told[1]) == int(told[2]) + int(told[3]) and ": the same command goes on" in text
        if not ranks:
            assert told.groups() == ("4", "2", "2", None, "6")
        never.set()
        server.behave = rate
        tpo.ok(*arguments(samples, server.url, tmp_path / "s.h5", *settings), env=PLAIN)
        assert {r.user for r in server.requests[:6]}.isdisjoint({r.user for r in server.requests[n:]})
    assert all(row["score"] == len(row["response"]) + 0.5 for row in usable(tmp_path / "s.h5"))


def test_a_signal_ends_it_at_once_when_nothing_is_under_way_and_a_second_one_in_any_case(samples, tpo, tmp_path):
    asked = threading.Event()

    def behave(request):
        asked.set()
        return error(503, "later", {"Retry-After": "9"}) if request.number == 0 else time.sleep(30)
    args = command(arguments(samples, "URL", tmp_path / "s.h5", "judge.concurrency=1"))[4:]
    with FakeServer(behave) as server:
        args = [arg.replace("URL", server.url) for arg in args]
        for signals in (1, 2):
            job = subprocess.Popen(args, env=environment(PLAIN), stderr=subprocess.PIPE, text=True)
            assert asked.wait(30)
            asked.clear()
            time.sleep(0.3)
            start = time.time()
            for _ in range(signals):
                job.send_signal(signal.SIGINT)
                time.sleep(0.3)
            text = job.communicate(timeout=20)[1]
            assert time.time() - start < 3 and job.returncode in (-signal.SIGINT, 130)
            assert ("stopped by SIGINT while judging; 0 answers" in text) == (signals == 1)


def traces(folder):
    return b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())


def test_the_key_is_written_nowhere(tpo, samples, tiny_model, tmp_path):
    """Not even where the server says it back, in errors, answers and broken replies."""
    env = {**PLAIN, "MY_KEY": KEY}
    escaped = "".join(f"\\u{ord(c):04x}" for c in KEY)
    disguises = ["".join(f"%{ord(c):02X}" for c in KEY), KEY.replace("/", "%2F"), "".join(f"&#{ord(c)};" for c in KEY),
                 base64.b64encode(KEY.encode()).decode(), base64.b64encode(f"Bearer {KEY}".encode()).decode()]
    echoes = [reply(f"Your key is {KEY}.\n[[2]]"), error(401, f"Incorrect API key provided: {KEY}."), raw(f"bad {KEY}", 403),
              raw(f'{{"error":"{escaped}"}}', 404), raw(f'{{"errors":["{escaped}"]}}', 400),
              raw('{"errors":["%s"' % KEY.replace("/", "\\/"), 500), error(400, "x" * 300 + KEY), error(500, f"{KEY}{KEY}"), raw(KEY),
              raw(f'{{"choices":[],"error":{{"message":"{KEY}"}}}}'), raw("", 301, {"Location": f"http://{KEY}/"}),
              *[raw(f"<p>bad {form}</p>", 403) for form in disguises]]
    seen = b""
    for i, echo in enumerate(echoes):
        with FakeServer(lambda _: echo) as server:
            result = tpo(*arguments(samples, server.url, tmp_path / f"{i}.h5", "judge.key_env=MY_KEY", "judge.max_failed=1",
                                    "judge.retries=1", f"judge.cache={tmp_path / 'cache'}"), "--verbose",
                         *["--log-json"][:i % 2], env=env, ranks=2 if i < 4 else 0)
            seen += result.stdout + result.stderr
            assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    assert b"[key]" in seen and b"HTTP 401" in seen
    details = json.dumps([row["detail"] for row in usable(tmp_path / "0.h5")])
    assert "Your key is [key]." in details
    for h5 in tmp_path.glob("*.h5"):
        with h5py.File(h5) as f:
            assert KEY not in str(dict(f.attrs)) and not any(KEY in str(f[name][:]) for name in f)
    for part in (KEY, KEY[:12], escaped[:12], *[form[10:22] for form in disguises]):
        assert part.encode() not in seen + traces(tmp_path)


def test_a_whole_run_asks_its_server_and_keeps_the_key_to_itself(tpo, tiny_model, tmp_path):
    tiny.write_prompts(tmp_path / "train.jsonl", "t", 4)
    tiny.write_prompts(tmp_path / "validation.jsonl", "v", 2)
    with FakeServer(lambda request: reply(f"{KEY} [[{len(request.user) % 10}]]")) as server:
        (tmp_path / "run.yaml").write_text(f"""
model: {{path: {tiny_model}, dtype: fp32}}
thought: {{name: generic, thought_tokens: 6, response_tokens: 10, on_budget: force}}
data: {{train: {tmp_path}/train.jsonl, validation: {tmp_path}/validation.jsonl, prompts_per_iteration: 4, validation_prompts: 2}}
judge: {{kind: "{server.url}", model: judge-1, key_env: MY_KEY, max_failed: 1}}
sampling: {{k: 3, temperature: 1, top_p: 1, max_tokens: 32, slots: 8}}
train: {{batch: 4, epochs: 1, warmup: 0}}
run: {{dir: {tmp_path}/run, iterations: 1, validation_temperature: 1, deadline: 60}}
""")
        result = tpo("run", tmp_path / "run.yaml", ranks=2, env={**PLAIN, "MY_KEY": KEY})
    assert result.returncode == 0, result.stderr.decode()
    assert server.requests and list((tmp_path / "run" / "judge-cache").glob("*.journal"))
    assert KEY.encode() not in traces(tmp_path) + result.stdout + result.stderr
    assert all("score" in row["detail"] for row in usable(tmp_path / "run" / "iter-001" / "scored.h5"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that nobody but itself vouches for, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl, which makes the certificate, is not there")
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    return paths


@pytest.mark.parametrize("ranks", [0, 2])
def test_an_unknown_certificate_is_refused(tpo, samples, certificate, tmp_path, ranks):
    with FakeServer(rate, certificate) as server:
        text = tpo.fails(*arguments(samples, server.url, tmp_path / "s.h5", "judge.max_failed=1"), env=PLAIN, code=1, ranks=ranks)
    assert "certificate" in text and server.url in text and not server.requests


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "CURL_CA_BUNDLE"])
def test_a_certificate_that_the_environment_names_is_accepted(tpo, samples, certificate, tmp_path, variable):
    with FakeServer(rate, certificate) as server:
        tpo.ok("judge", "--samples", samples, "--judge", server.url, "--out", tmp_path / "s.h5", "--set", "judge.model=m", "--set",
               f"judge.prompt={PROMPT}", env={**PLAIN, variable: str(certificate[0])})
        assert all(row["score"] == len(row["response"]) + 0.5 for row in usable(tmp_path / "s.h5"))
        text = tpo.fails(*arguments(samples, server.url.replace("127.0.0.1", "localhost"), tmp_path / "t.h5"), code=1,
                         env={**PLAIN, variable: str(certificate[0])})
        assert "certificate" in text, "the name in it must be the server's"


def test_certificates_that_are_not_there_are_told(tpo, samples, certificate, tmp_path):
    with FakeServer(rate, certificate) as server:
        text = tpo.fails(*arguments(samples, server.url, tmp_path / "s.h5"), env={**PLAIN, "SSL_CERT_FILE": "/no/such/file"}, code=1)
    assert "/no/such/file" in text and not server.requests


def compare(request):
    a, b = re.search(r"A:(.*)\nB:(.*)$", request.user, re.S).groups()
    return reply(f"[[{'C' if len(a) == len(b) else 'A' if len(a) > len(b) else 'B'}]]")


@pytest.mark.parametrize("ranks", [0, 2])
def test_pairwise_comparisons_order_the_responses(tpo, samples, tmp_path, ranks):
    settings = ["judge.mode=pairwise", "judge.prompt={instruction}\nA:{response_a}\nB:{response_b}"]
    with FakeServer(compare) as server:
        tpo.ok(*arguments(samples, server.url, tmp_path / "s.h5", *settings), env=PLAIN, ranks=ranks)
    rows, by_prompt = usable(tmp_path / "s.h5"), {}
    for row in rows:
        by_prompt.setdefault(row["id"], []).append(row)
    compared = 0
    for group in by_prompt.values():
        for one in group:
            for other in group:
                shorter, lower = len(one["response"]) < len(other["response"]), one["score"] < other["score"]
                assert shorter == lower
                compared += shorter
        assert abs(sum(row["score"] for row in group)) < 1e-5
    assert compared >= 7
    assert SECRET.encode() not in b"".join(r.body for r in server.requests)


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_comparison_without_an_answer_is_no_score(tpo, samples, tmp_path, ranks):
    """Not for either of the two, and so no pair for their prompt."""
    settings = ["judge.mode=pairwise", "judge.prompt={instruction}\nA:{response_a}\nB:{response_b}"]
    with FakeServer(compare) as server:
        tpo.ok(*arguments(samples, server.url, tmp_path / "all.h5", *settings), env=PLAIN)
        by_prompt = {}
        for row in usable(tmp_path / "all.h5"):
            by_prompt.setdefault(row["id"], []).append(row)
        prompt, group = next((p, g) for p, g in by_prompt.items() if len({row["response"] for row in g}) == 3)
        hurt = f"A:{group[0]['response']}\nB:{group[1]['response']}"
        server.behave = lambda request: error(400, "not today") if request.user.endswith(hurt) else compare(request)
        out = tmp_path / "scored.h5"
        settings.append(f"judge.cache={tmp_path / 'another'}")
        text = tpo.fails(*arguments(samples, server.url, out, *settings, "judge.max_failed=0"), env=PLAIN, ranks=ranks, code=1)
        told = f"1 of {len(by_prompt)} prompts (2 of {sum(map(len, by_prompt.values()))} responses)"
        assert told in text and "HTTP 400: not today" in text
        result = tpo(*arguments(samples, server.url, out, *settings, "judge.max_failed=1"), env=PLAIN, ranks=ranks)
    assert result.returncode == 0 and b"2 failures of the judge" in result.stderr
    for row, before in zip(usable(out), usable(tmp_path / "all.h5")):
        if row["id"] == prompt and row["k"] != group[2]["k"]:
            assert row["detail"] == {"error": "1 of this response's 4 comparisons had no answer; the prompt's first of them: "
                                              "HTTP 400: not today"}
        elif row["id"] != prompt:
            assert row["score"] == before["score"]
    for name, skipped in ("all.h5", 0), ("scored.h5", 1):
        tpo.ok("pairs", "--samples", tmp_path / name, "--out", tmp_path / "pairs.h5")
        with h5py.File(tmp_path / "pairs.h5") as f:
            assert (prompt.encode() in f["prompt_id"][:]) == (not skipped)


@pytest.mark.parametrize("settings, words", [
    (["judge.model="], ["judge.model"]),
    (["judge.prompt={instruction}"], ["judge.prompt", "{response}"]),
    (["judge.prompt={instruction} {response} {instruction}"], ["judge.prompt", "{instruction}"]),
    (["judge.mode=pairwise", "judge.prompt={instruction} {response}"], ["judge.prompt", "{response_a}"]),
    (["judge.pattern=("], ["judge.pattern"]),
    (["judge.pattern=[0-9]"], ["judge.pattern", "no group"]),
    (["judge.key_env=sk-1234"], ["judge.key_env", "name of an environment variable"]),
    (["judge.key_env="], ["judge.key_env"]),
])
@pytest.mark.parametrize("ranks", [0, 2])
def test_bad_settings_are_usage_errors(tpo, samples, tmp_path, settings, words, ranks):
    text = tpo.fails(*arguments(samples, "http://127.0.0.1:9/v1", tmp_path / "s.h5", *settings), env=PLAIN, code=2, ranks=ranks)
    assert all(word in text for word in words) and "sk-1234" not in text


@pytest.mark.parametrize("kind, words", [
    ("http:", "http:URL"), ("http", "http"), ("https:", "https"), ("http://", "http"), ("http:ftp://host/v1", "http://"),
    ("http:file:///etc/passwd", "http://"), ("http:localhost:80/v1", "http"), ("http:http://host:99999/v1", "http"),
    ("http:http://a b/v1", "http"), ("https:http://host/v1", "https"), ("http:http://host/v1#part", "#"),
    ("http:http://user:hidden-word@host/v1", "judge.key_env"), ("http://user:hidden-word@host/v1", "judge.key_env"),
    ("http:http://user:hidden-word@host:99999/", "http"),
])
def test_a_bad_address_is_a_usage_error_without_its_password(tpo, samples, tmp_path, kind, words):
    text = tpo.fails("judge", "--samples", samples, "--judge", kind, "--out", tmp_path / "s.h5", "--set", "judge.model=m", env=PLAIN,
                     code=2)
    assert words in text and "hidden-word" not in text


def test_a_key_that_no_header_can_carry_is_refused_unseen(tpo, samples, tmp_path):
    for key in ["two words", "line\nEvil: yes", "ümlaut"]:
        text = tpo.fails(*arguments(samples, "http://127.0.0.1:9/v1", tmp_path / "s.h5"), env={**PLAIN, "TPO_JUDGE_KEY": key}, code=2)
        assert "TPO_JUDGE_KEY" in text and key not in text


def test_a_key_in_the_open_is_warned_of(tpo, samples, tmp_path):
    result = tpo(*arguments(samples, "http://host.invalid/v1", tmp_path / "s.h5", "judge.retries=0", "judge.timeout=5"),
                 env={**PLAIN, "TPO_JUDGE_KEY": KEY})
    assert result.returncode == 1 and b"without encryption" in result.stderr and KEY.encode() not in result.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost.", "0.0.0.0", "[::ffff:127.0.0.1]"])
def test_what_goes_to_this_machine_goes_through_no_proxy(tpo, samples, tmp_path, host):
    """Nor is a key warned of that stays on it."""
    with FakeServer(lambda _: reply("[[3]]")) as server, FakeServer(lambda _: reply("[[4]]")) as proxy:
        through = proxy.url.removesuffix("/v1")
        env = {**PLAIN, "no_proxy": "", "NO_PROXY": "", "http_proxy": through, "all_proxy": through, "ALL_PROXY": through,
               "TPO_JUDGE_KEY": KEY}
        url = server.url.replace("127.0.0.1", host)
        result = tpo(*arguments(samples, url, tmp_path / "s.h5", "judge.cache="), env=env)
        assert result.returncode == 0, result.stderr.decode()
        assert server.requests and not proxy.requests and b"without encryption" not in result.stderr
