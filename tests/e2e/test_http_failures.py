"""The judge that is a server: what it waits for, and when it is asked no more."""
import re
import subprocess
import time
from email.utils import formatdate

import pytest

from conftest import command, environment, watched
from fake_server import FakeServer, error, raw, reply
from http_judging import PLAIN, PROMPT, arguments, first_time, judge, many_samples, rate, samples, usable

__all__ = ["many_samples", "samples"]  # fixtures


AFTER = {"seconds": lambda: {"Retry-After": "2"}, "fraction": lambda: {"Retry-After": "1.9"},
         "date": lambda: {"Retry-After": formatdate(time.time() + 3, usegmt=True)},  # dates have whole seconds
         "milliseconds": lambda: {"retry-after-ms": "1950"},
         "both": lambda: {"Retry-After": "50", "Retry-After-Ms": "1950"}}


@pytest.mark.parametrize("form", AFTER)
def test_retry_after_is_obeyed(tpo, samples, tmp_path, form):
    with FakeServer(first_time(lambda _: error(429, "slow down", AFTER[form]()))) as server:
        out = judge(tpo, tmp_path, samples, server.url, "judge.concurrency=30")
    assert all(row["score"] == len(row["response"]) + 0.5 for row in usable(out))
    times = {}
    for request in server.requests:
        times.setdefault(request.user, []).append(request.time)
    for first, second in times.values():
        assert 1.85 < second - first < 10


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_long_wait_is_told_as_soon_as_it_begins(samples, tpo, tmp_path, ranks):
    with FakeServer(first_time(error(503, "closed at noon", {"Retry-After": "60"}))) as server:
        job = subprocess.Popen(command(arguments(samples, server.url, tmp_path / "s.h5"), ranks=ranks), env=environment(PLAIN),
                               stderr=subprocess.PIPE, text=True)
        start, text = time.time(), ""
        while "asks to wait 60 s" not in text:
            text = job.stderr.readline()
            assert text and time.time() - start < 20
        job.terminate()
        rest = job.communicate(timeout=30)[1]
    assert "HTTP 503: closed at noon" in text and server.url in text
    assert rest.count("asks to wait") <= max(ranks - 1, 0), "once a rank, not for each question"


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_server_that_asks_to_wait_for_long_ends_it_and_what_was_answered_is_kept(tpo, samples, tmp_path, ranks):
    settings = [f"judge.prompt={PROMPT}", "judge.concurrency=1", "judge.retries=9", "judge.max_failed=1"]

    def behave(request):
        return rate(request) if request.number < 3 else error(429, "come back later", {"Retry-After": "601"})
    with FakeServer(behave) as server:
        text = tpo.fails(*arguments(samples, server.url, tmp_path / "s.h5", *settings), env=PLAIN, code=1, ranks=ranks)
        assert "asks to wait for 601 s" in text and "come back later" in text and "--resume" in text
        assert f"the answers so far are kept in {tmp_path}/judge-cache: " in text
        assert len(server.requests) <= 3 + max(ranks, 1) and not (tmp_path / "s.h5").exists()
        answered, n, server.behave = {r.user for r in server.requests[:3]}, len(server.requests), rate
        tpo.ok(*arguments(samples, server.url, tmp_path / "s.h5", *settings), env=PLAIN, ranks=ranks)
        assert answered.isdisjoint({r.user for r in server.requests[n:]})
    assert all(row["score"] == len(row["response"]) + 0.5 for row in usable(tmp_path / "s.h5"))


ALL_FAIL = {"500": (error(500, "dead"), "HTTP 500: dead"), "400": (error(400, "no such thing"), "HTTP 400: no such thing"),
            "422": (raw('{"detail":"no such field"}', 422), "HTTP 422: no such field"),
            "error-in-200": (raw('{"error":{"message":"fell over"}}'), "in place of an answer: fell over"),
            "null": (raw('{"choices":[{"message":{"content":null}}]}'), "no text at choices[0]"),
            "flood": (reply("x" * 200000), "more than 128 KiB"),
            "no-match": (reply("I like it."), "no number that judge.pattern finds in the answer: I like it.")}


@pytest.mark.parametrize("case, ranks", [(case, 0) for case in ALL_FAIL] + [("400", 2), ("no-match", 2)])
def test_a_server_that_fails_on_everything_ends_it(tpo, many_samples, tmp_path, case, ranks):
    """Soon, whatever is allowed to fail, and no rank waits for another."""
    answer, words = ALL_FAIL[case]
    with FakeServer(lambda _: answer) as server:
        text = tpo.fails(*arguments(many_samples, server.url, tmp_path / "s.h5", "judge.retries=0", "judge.max_failed=1", "run.deadline=60"),
                         env=PLAIN, code=1, ranks=ranks)
        n = len(server.requests)
    in_a_row = re.search(r"left 100 questions in a row without an answer|gave no score to (1\d\d) responses in a row", text)
    assert in_a_row and words in text and not (tmp_path / "s.h5").exists()
    assert n < 140 * max(ranks, 1)


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_server_that_works_again_is_asked_for_what_it_failed_on(tpo, many_samples, tmp_path, ranks):
    args = arguments(many_samples, "URL", tmp_path / "s.h5", f"judge.prompt={PROMPT}", "judge.max_failed=1")
    with FakeServer(lambda request: rate(request) if request.number < 200 else error(400, "odd")) as server:
        args[args.index("http:URL")] = f"http:{server.url}"
        text = tpo.fails(*args, env=PLAIN, code=1, ranks=ranks)
        assert "left 100 questions in a row without an answer" in text and len(server.requests) < 200 + 140 * max(ranks, 1)
        server.behave = rate
        tpo.ok(*args, env=PLAIN, ranks=ranks)
    assert all(row["score"] == len(row["response"]) + 0.5 for row in usable(tmp_path / "s.h5"))


HUGE = {"values": (raw('{"choices":[' + "{}," * 1398000 + "{}]}"), "more than 100000 values"),
        "values-of-an-error": (raw('{"error":[' + "{}," * 1398000 + "{}]}", 400), 'HTTP 400: {"error":[{},{}'),
        "text": (reply("x" * (15 << 20) + "[[4]]"), "more than 4096 KiB"), "less-text": (reply("x" * (4000 << 10) + "[[4]]"), None)}


@pytest.mark.parametrize("case", HUGE)
def test_a_huge_reply_takes_no_memory_to_speak_of(samples, tmp_path, case):
    """JSON of small values would take 80 times its bytes."""
    answer, words = HUGE[case]
    with FakeServer(lambda _: answer) as server:
        args = arguments(samples, server.url, tmp_path / "s.h5", "judge.max_tokens=1000000", "judge.max_failed=1", "judge.concurrency=1")
        job, used = watched(command(args), PLAIN)
    assert job.returncode == 0 and used < 250 << 20, job.stderr
    for row in usable(tmp_path / "s.h5"):
        assert words in row["detail"]["error"] if words else row["score"] == 4


@pytest.mark.parametrize("ranks, deadline", [(0, 3), (2, 24)])
def test_a_wait_that_the_other_ranks_would_not_see_the_end_of_ends_it_with_the_servers_words(tpo, samples, tmp_path, ranks, deadline):
    """A rank alone waits for the server as long as it says."""
    wait = 4 if ranks == 0 else 20
    with FakeServer(first_time(error(429, "slow down", {"Retry-After": str(wait)}))) as server:
        args = arguments(samples, server.url, tmp_path / "s.h5", f"judge.prompt={PROMPT}", f"run.deadline={deadline}")
        if ranks == 0:
            tpo.ok(*args, env=PLAIN)
            return
        begun = time.time()
        text = tpo.fails(*args, env=PLAIN, ranks=ranks, code=1)
    assert re.search(r"asks to wait for 20 s, longer than the 1\d s that are left of the time for which the other ranks wait, "
                     r"run\.deadline \(24 s\): HTTP 429: slow down", text)
    assert "did not come" not in text and time.time() - begun < 20
