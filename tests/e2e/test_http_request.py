"""The judge that is a server: judge.request, which fits what is asked to what a server takes."""
import json
import re

import pytest

from fake_server import FakeServer, error, raw, reply
from http_judging import PLAIN, PROMPT, arguments, judge, rate, samples, usable

__all__ = ["samples"]  # a fixture


def fields(request):
    return {name: value for name, value in request.json.items() if name not in ("model", "messages")}


@pytest.mark.parametrize("ranks", [0, 2])
def test_fields_are_sent_left_out_and_replaced(tpo, samples, tmp_path, ranks):
    settings = ["judge.request={max_tokens: null, max_completion_tokens: 2048, chat_template_kwargs: {enable_thinking: false, of: [1, x]}}",
                "judge.request.reasoning_effort=low", "judge.request.seed=null", "judge.request.temperature=1"]
    with FakeServer(rate) as server:
        out = judge(tpo, tmp_path, samples, server.url, *settings, ranks=ranks)
    assert all(row["score"] == len(row["response"]) + 0.5 for row in usable(out))
    for request in server.requests:
        assert fields(request) == {"n": 1, "max_completion_tokens": 2048, "reasoning_effort": "low", "temperature": 1,
                                   "chat_template_kwargs": {"enable_thinking": False, "of": [1, "x"]}}


def test_a_file_gives_them_too_and_config_prints_them(tpo, samples, tmp_path):
    (tmp_path / "c.yaml").write_text("judge:\n  model: judge-1\n  request:\n    n: null\n    top_k: 5\n    extra: {a: [true, 'true']}\n")
    printed = tpo.ok("config", tmp_path / "c.yaml", "--set", "judge.request.seed=3")
    line = next(line for line in printed.splitlines() if line.startswith("  request: "))
    assert line.split("  #")[0] == '  request: {n: null, top_k: 5, extra: {a: [true, "true"]}, seed: 3}'
    (tmp_path / "again.yaml").write_text(printed)
    with FakeServer(lambda _: reply("[[1]]")) as server:
        for name in ("c", "again"):
            tpo.ok("judge", "--config", tmp_path / f"{name}.yaml", "--samples", samples, "--judge", server.url, "--out", tmp_path / "s.h5",
                   "--set", "judge.request.seed=3", env=PLAIN)
            assert len(server.requests) == len({r.user for r in server.requests}), "the printed one is the same"
    for request in server.requests:
        assert fields(request) == {"temperature": 0, "max_tokens": 1024, "top_k": 5, "extra": {"a": [True, "true"]}, "seed": 3}


def test_several_answers_or_none_asked_for_give_each_question_one(tpo, samples, tmp_path):
    def three(request):
        choices = [{"message": {"content": text}} for text in (json.loads(rate(request)["body"])["choices"][0]["message"]["content"], "[[0]]", "[[0]]")]
        return raw(json.dumps({"choices": choices[:request.json.get("n", 1)]}))
    with FakeServer(three) as server:
        for n in ("3", "null"):
            out = judge(tpo, tmp_path, samples, server.url, f"judge.request.n={n}")
            assert all(row["score"] == len(row["response"]) + 0.5 for row in usable(out))
    assert len(server.requests) == 2 * len({r.user for r in server.requests})


def test_other_fields_are_another_question_and_another_judging(tpo, samples, tmp_path):
    """Neither the cache nor a journal takes the one for the other."""
    with FakeServer(rate) as server:
        judge(tpo, tmp_path, samples, server.url, "judge.request.top_p=0.5")
        n = len(server.requests)
        judge(tpo, tmp_path, samples, server.url, "judge.request.top_p=0.5")
        assert len(server.requests) == n
        judge(tpo, tmp_path, samples, server.url, "judge.request.top_p=0.25")
        assert len(server.requests) == 2 * n
        server.behave = lambda request: error(400, "odd") if request.number % 2 else rate(request)
        args = arguments(samples, server.url, tmp_path / "scored.h5", f"judge.prompt={PROMPT}")
        tpo.fails(*args, env=PLAIN, code=1)
        text = tpo.fails(*args, "--resume", "--set", "judge.request.top_p=0.25", env=PLAIN, code=2)
    assert "`judge.request: null` there, `judge.request: {top_p: 0.25}` now" in text


REFUSALS = {
    "temperature": (error(400, "Only the default is supported."), "temperature", "temperature: null"),
    "max_tokens": (error(400, "Use 'max_completion_tokens' instead."), "max_tokens", "max_tokens: null, max_completion_tokens: 1024"),
    "seed": (raw(json.dumps({"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}), 422),
             "seed", "seed: null"),
}


@pytest.mark.parametrize("case, ranks", [(case, 0) for case in REFUSALS] + [("temperature", 2)])
def test_a_field_that_a_server_refuses_ends_it_at_once_with_what_to_do(tpo, samples, tmp_path, case, ranks):
    answer, field, request = REFUSALS[case]
    if answer["status"] == 400:
        body = json.loads(answer["body"])
        body["error"]["param"] = field
        answer = {**answer, "body": json.dumps(body).encode()}
    with FakeServer(lambda r: answer if field in r.json else rate(r)) as server:
        args = arguments(samples, server.url, tmp_path / "s.h5", f"judge.prompt={PROMPT}", "judge.max_failed=1")
        text = tpo.fails(*args, env=PLAIN, code=1, ranks=ranks)
        advice = re.search(rf"HTTP 4\d\d: .*; the server refuses {field}; leave it out with judge.request: (\{{{request}\}})\n", text)
        assert advice and len(server.requests) <= 16 + max(ranks, 1)
        tpo.ok(*args, "--set", f"judge.request={advice[1]}", env=PLAIN, ranks=ranks)
    assert all(row["score"] == len(row["response"]) + 0.5 for row in usable(tmp_path / "s.h5"))


DEEP = {
    "param": (raw(json.dumps({"error": {"message": "Invalid value", "param": "reasoning.effort"}}), 400), "reasoning", "judge.request={reasoning: {effort: low}}"),
    "loc": (raw(json.dumps({"detail": [{"loc": ["body", "chat_template_kwargs", "enable_thinking"], "msg": "no such"}]}), 422),
            "chat_template_kwargs", "judge.request={chat_template_kwargs: {enable_thinking: false}}"),
}


@pytest.mark.parametrize("case", DEEP)
def test_what_a_server_refuses_within_a_field_ends_it_too(tpo, samples, tmp_path, case):
    answer, field, setting = DEEP[case]
    with FakeServer(lambda _: answer) as server:
        text = tpo.fails(*arguments(samples, server.url, tmp_path / "s.h5", "judge.max_failed=1", setting), env=PLAIN, code=1)
    assert f"the server refuses what judge.request gives in {field}" in text and len(server.requests) <= 17


@pytest.mark.parametrize("ranks", [0, 2])
def test_one_question_that_a_server_can_not_take_ends_nothing(tpo, samples, tmp_path, ranks):
    body = json.dumps({"error": {"message": "max_tokens is too large for this prompt", "param": "max_tokens"}})
    with FakeServer(lambda r: raw(body, 400) if r.number == 0 else rate(r)) as server:
        out = judge(tpo, tmp_path, samples, server.url, "judge.max_failed=1", "judge.concurrency=1", ranks=ranks)
    errors = {row["response"]: row["detail"]["error"] for row in usable(out) if "error" in row["detail"]}
    assert len(errors) >= 1 and len(server.requests) == len({r.user for r in server.requests}) > 1
    assert all("max_tokens is too large" in e for e in errors.values())


def test_a_message_that_names_a_field_gives_advice_with_each_failure(tpo, samples, tmp_path):
    """It may be about that question alone."""
    with FakeServer(lambda _: error(400, "Unknown argument 'seed' here")) as server:
        out = judge(tpo, tmp_path, samples, server.url, "judge.max_failed=1")
    for row in usable(out):
        assert row["detail"] == {"error": "HTTP 400: Unknown argument 'seed' here; the server refuses seed; leave it out with "
                                          "judge.request: {seed: null}"}


def test_a_field_of_our_own_is_no_reason_to_end_once_something_was_answered(tpo, samples, tmp_path):
    body = json.dumps({"error": {"message": "too hot", "param": "temperature"}})
    with FakeServer(lambda r: raw(body, 400) if r.number == 3 else rate(r)) as server:
        out = judge(tpo, tmp_path, samples, server.url, "judge.max_failed=1", "judge.concurrency=1")
    assert sum("error" in row["detail"] for row in usable(out)) >= 1 and len(server.requests) == len({r.user for r in server.requests})


def test_what_may_be_read_follows_the_tokens_that_are_asked_for(tpo, samples, tmp_path):
    long = reply("x" * 200000 + "[[3]]")
    with FakeServer(lambda _: long) as server:
        out = judge(tpo, tmp_path, samples, server.url, "judge.request={max_tokens: null, max_completion_tokens: 4096}")
        assert all(row["score"] == 3 for row in usable(out))
        out = judge(tpo, tmp_path, samples, server.url, "judge.request={max_tokens: null}", "judge.max_failed=1")
        assert all("which an answer of 1024 tokens (judge.max_tokens) can't need" in row["detail"]["error"] for row in usable(out))


@pytest.mark.parametrize("setting, words", [
    ("judge.request.messages=[]", "judge.request: messages are the questions themselves"),
    ("judge.request.stream=true", "judge.request: stream can't be given"),
    ("judge.request.model=gpt", "judge.request: model can't be given here; judge.model names it"),
    ("judge.request=low", "judge.request: expected a mapping, not a value"),
    ("judge.request.seed=off", "judge.request: expected true, false, null or a text in quotes, not off"),
    ("judge.request.=1", "expected a name after each dot"),
])
@pytest.mark.parametrize("ranks", [0, 2])
def test_what_is_not_for_it_to_give_is_a_usage_error(tpo, samples, tmp_path, setting, words, ranks):
    text = tpo.fails(*arguments(samples, "http://127.0.0.1:9/v1", tmp_path / "s.h5", setting), env=PLAIN, code=2, ranks=ranks)
    assert words in text
