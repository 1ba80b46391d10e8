"""What counts as a judge model's verdict: never what a thought weighs, nor what was cut off; and what its words mean."""
import json
import math
import re

import pytest

import scripted
import tiny
from fake_server import FakeServer, raw, reply

h5py = pytest.importorskip("h5py")

PLAIN = {"no_proxy": "127.0.0.1,localhost", "NO_PROXY": "127.0.0.1,localhost", "TPO_JUDGE_KEY": ""}
PROMPT = "Request: {instruction}\nAnswer: {response}\nRate it."
PAIR = "Request: {instruction}\nFirst: {response_a}\nSecond: {response_b}\nWhich?"
OF_PAIRS = [f"judge.prompt={PAIR}", "judge.mode=pairwise"]


@pytest.fixture(scope="module")
def samples(tpo, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    tiny.write_prompts(folder / "prompts.jsonl", "p", 5)
    tpo.ok("generate", "--model", tiny_model, "--prompts", folder / "prompts.jsonl", "--out", folder / "samples.h5", "--k", 3,
           "--thought", "none", "--temperature", 1, "--top-p", 1, "--max-tokens", 12)
    return folder / "samples.h5"


def arguments(samples, url, out, *settings):
    args = ["judge", "--samples", samples, "--judge", url if url.startswith("pairwise:") else f"http:{url}", "--out", out]
    for setting in ["judge.model=m", *settings]:
        args += ["--set", setting]
    return args


def judge(tpo, samples, url, out, *settings, ranks=0):
    """The details, what was counted, and what was said on standard error."""
    result = tpo(*arguments(samples, url, out, *settings), ranks=ranks, env=PLAIN)
    text = result.stderr.decode()
    assert result.returncode == 0, text
    with h5py.File(out) as f:
        details = [json.loads(d) for d in f["score_detail"][:]]
        counts = f.attrs["judge_counts"]
    return details, json.loads(counts.decode() if isinstance(counts, bytes) else counts), text


def ended(content, reason="stop", **message):
    """A reply whose message holds more than its content, and that ended for that reason."""
    return raw(json.dumps({"choices": [{"message": {"role": "assistant", "content": content, **message}, "finish_reason": reason}]}))


def length(request):
    return len(re.search(r"Answer: (.*)\nRate it\.$", request.user, re.S)[1])


def better(request):
    """A or B, by length; C where they are equal."""
    first, second = re.search(r"\nFirst: (.*)\nSecond: (.*)\nWhich\?$", request.user, re.S).groups()
    return "C" if len(first) == len(second) else "A" if len(first) > len(second) else "B"


OTHER = {"A": "B", "B": "A", "C": "A"}
THOUGHTS = {
    "tags": lambda right, wrong: reply(f"<think>at first [[{wrong}]]</think>\n\nMy verdict: [[{right}]]"),
    "after": lambda right, wrong: reply(f"My verdict: [[{right}]]\n<thinking>or is it [[{wrong}]]?</thinking>"),
    "several": lambda right, wrong: reply(f"<think>[[{wrong}]]</think>[[{right}]]<thinking>[[{wrong}]]</thinking>"),
    "in each other": lambda right, wrong: reply(f"<think>so <think>[[{wrong}]]</think>, [[{wrong}]]</think>[[{right}]]<think></think>"),
    "opened by the template": lambda right, wrong: reply(f"it is [[{wrong}]]\n</think>\n[[{right}]]"),
    "reasoning": lambda right, wrong: ended(f"[[{right}]]", reasoning=f"[[{wrong}]]"),
    "reasoning_content": lambda right, wrong: ended(f"[[{right}]]", reasoning_content=f"[[{right}]] no, [[{wrong}]]"),
    "a pattern": lambda right, wrong: reply(f"[[{right}]]\n(to myself: [[{wrong}]])"),
}
OWN = r"judge.thought_pattern=(?s)\(to myself:.*?\)"


@pytest.mark.parametrize("how, ranks", [(how, 0) for how in THOUGHTS] + [("tags", 2)])
def test_a_rating_in_a_thought_never_counts(tpo, samples, tmp_path, how, ranks):
    with FakeServer(lambda r: THOUGHTS[how](length(r), 1000 + length(r))) as server:
        details, counts, _ = judge(tpo, samples, server.url, tmp_path / "s.h5", f"judge.prompt={PROMPT}", OWN, ranks=ranks)
        scores = {length(r) for r in server.requests}
    assert {d["score"] for d in details} == scores and max(scores) < 1000 and counts["unparsable"] == 0
    if how == "tags":
        assert all(d["answer"] == f"My verdict: [[{int(d['score'])}]]" for d in details)


@pytest.mark.parametrize("how, ranks", [(how, 0) for how in THOUGHTS] + [("tags", 2)])
def test_a_verdict_in_a_thought_never_turns_a_comparison(tpo, samples, tmp_path, how, ranks):
    with FakeServer(lambda r: reply(f"[[{better(r)}]]")) as server:
        plain, expected, _ = judge(tpo, samples, server.url, tmp_path / "p.h5", *OF_PAIRS, f"judge.cache={tmp_path}/one")
        server.behave = lambda r: THOUGHTS[how](better(r), OTHER[better(r)])
        thought, counts, _ = judge(tpo, samples, server.url, tmp_path / "t.h5", *OF_PAIRS, OWN, f"judge.cache={tmp_path}/two",
                                   ranks=ranks)
    assert thought == plain and any(d["elo"] > 0 for d in plain)
    names = ["a_wins", "b_wins", "ties", "unparsable", "pairs_consistent", "pairs_flipped"]
    assert [counts[n] for n in names] == [expected[n] for n in names]
    assert expected["a_wins"] == expected["b_wins"] > 0, "both positions win"


NONE = {
    "in a thought": (reply("<think>perhaps [[2]]</think>\nQuite good."), "no number that judge.pattern finds in the answer: Quite good."),
    "not closed": (reply("<think>perhaps [[2]]"), "the answer ends in a thought that is not closed"),
    "thought cut off": (ended("<think>perhaps [[2]]", "length"), "judge.max_tokens or the model's context cut the answer off"),
    "cut off": (ended("First I thought [[2]], but", "length"), "judge.max_tokens or the model's context cut the answer off"),
    "too large": (reply("[[2000000000000000]]"), "a number that is too large"),
    "no number": (reply("[[two]]"), "judge.pattern matched [[two]], which is no number"),
    "null": (ended(None, "length", reasoning_content="[[2]]"), "(finish_reason length): judge.max_tokens was used up"),
    "empty": (ended("", "length", reasoning="[[2]]"), "judge.max_tokens was used up"),
}


@pytest.mark.parametrize("case", NONE)
@pytest.mark.parametrize("ranks", [0, 2])
def test_each_reason_for_no_rating_is_told_as_its_own(tpo, samples, tmp_path, case, ranks):
    answer, words = NONE[case]
    with FakeServer(lambda _: answer) as server:
        details, _, _ = judge(tpo, samples, server.url, tmp_path / "s.h5", "judge.max_failed=1", ranks=ranks)
        text = tpo.fails(*arguments(samples, server.url, tmp_path / "t.h5"), env=PLAIN, ranks=ranks, code=1)
    assert all(words in d["error"] for d in details) and words in text


OTHER_KEY = "judge.request={max_tokens: null, max_completion_tokens: 50}"
SENT = {
    "cut off": (ended("so [[5]]", "LENGTH"), "judge.request's max_completion_tokens or the model's context cut the answer off"),
    "by reasoning": (ended(None, "length", reasoning="q"), ": judge.request's max_completion_tokens was used up, by reasoning, before"),
    "no reasoning": (ended(None, "length"), ": judge.request's max_completion_tokens was used up before there was an answer"),
    "too long": (reply("x" * 200000), "an answer of 50 tokens (judge.request's max_completion_tokens) can't need"),
}


@pytest.mark.parametrize("case", SENT)
def test_the_limit_that_was_sent_is_the_one_that_is_named(tpo, samples, tmp_path, case):
    answer, words = SENT[case]
    with FakeServer(lambda _: answer) as server:
        details, _, _ = judge(tpo, samples, server.url, tmp_path / "s.h5", "judge.max_failed=1", OTHER_KEY)
        again, _, _ = judge(tpo, samples, server.url, tmp_path / "t.h5", "judge.max_failed=1", OTHER_KEY)
    assert all(words in d["error"] for d in details + again)


@pytest.mark.parametrize("reason, words", [("content_filter", "broken off by the server's filter (finish_reason content_filter)"),
                                           ("tool_calls", "ended with finish_reason tool_calls, which no whole answer has")])
@pytest.mark.parametrize("ranks", [0, 2])
def test_an_answer_that_was_broken_off_is_no_verdict(tpo, samples, tmp_path, reason, words, ranks):
    with FakeServer(lambda _: ended("First [[A]] but", reason)) as server:
        details, counts, _ = judge(tpo, samples, server.url, tmp_path / "s.h5", *OF_PAIRS, "judge.max_failed=1", ranks=ranks)
    assert all(words in d["error"] for d in details) and counts["a_wins"] == counts["truncated"] == 0


def test_a_search_without_end_is_told_as_such(tpo, samples, tmp_path):
    with FakeServer(lambda _: reply("a" * 5000)) as server:
        details, counts, _ = judge(tpo, samples, server.url, tmp_path / "s.h5", r"judge.pattern=(?:(?:a+)+)+(\d)", "judge.max_failed=1")
    assert all("was given up" in d["error"] for d in details) and counts["given_up"] == counts["unparsable"] == 15


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_kept_answer_that_was_cut_off_stays_cut_off(tpo, samples, tmp_path, ranks):
    with FakeServer(lambda _: ended("So far [[A]]", "length")) as server:
        first = judge(tpo, samples, server.url, tmp_path / "a.h5", *OF_PAIRS, f"judge.cache={tmp_path}/kept", ranks=ranks)
        n = len(server.requests)
        again = judge(tpo, samples, server.url, tmp_path / "b.h5", *OF_PAIRS, f"judge.cache={tmp_path}/kept", ranks=ranks)
        assert len(server.requests) == n
    for details, counts, text in (first, again):
        assert all(d["elo"] == 0 and d["unparsable"] == 4 for d in details) and counts["cut_off"] == 30
        assert "30 of the judge's answers had no verdict: 30 were cut off by judge.max_tokens" in text


ARENA = {"A": "A>>B", "B": "B>>A", "C": "A=B"}


@pytest.mark.parametrize("ranks", [0, 2])
def test_arena_hards_verdicts_weigh_what_they_do_there(tpo, samples, tmp_path, ranks):
    settings = [*OF_PAIRS, "judge.verdicts=arena-hard", f"judge.cache={tmp_path}/kept"]
    with FakeServer(lambda r: reply(f"<think>[[B>>A]]</think>My final verdict is: [[{ARENA[better(r)]}]]")) as server:
        strong, counts, text = judge(tpo, samples, server.url, tmp_path / "a.h5", *settings, ranks=ranks)
        n = len(server.requests)
        weak, _, _ = judge(tpo, samples, server.url, tmp_path / "b.h5", *settings, r"judge.pattern=\[\[([AB=]>?)>?[AB]\]\]",
                           'judge.verdicts={"A>": A, "B>": B, "A=": tie, "B=": tie, "A": A, "B": B}', ranks=ranks)
        assert len(server.requests) == n, "what answers mean is read anew from those that are kept"
    assert counts["a_wins"] == counts["b_wins"] > 0 and counts["unparsable"] == 0 and "no verdict" not in text
    wins = [(d["wins"], d["losses"]) for d in strong]
    assert wins == [(d["wins"], d["losses"]) for d in weak]
    for d, e in zip(strong, weak):  # the same winners, further apart
        assert math.copysign(1, d["elo"]) == math.copysign(1, e["elo"]) and (abs(d["elo"]) > abs(e["elo"]) or d["elo"] == e["elo"] == 0)


@pytest.mark.parametrize("ranks", [0, 2])
def test_the_built_in_prompt_asks_for_the_verdicts_that_are_read(tpo, samples, tmp_path, ranks):
    def behave(request):
        asked_for = re.findall(r"\[\[([^]]*)\]\]", request.user.rpartition("=== End of the answers ===")[2])
        return reply(f"[[{asked_for[0]}]]")
    with FakeServer(behave) as server:
        _, counts, _ = judge(tpo, samples, server.url, tmp_path / "s.h5", "judge.mode=pairwise", "judge.verdicts=arena-hard", ranks=ranks)
        assert counts["a_wins"] == 30 and counts["unparsable"] == 0
        assert all(f"[[{label}]]" in r.user for r in server.requests for label in ("A>>B", "A>B", "A=B", "B>A", "B>>A"))
        assert not any("[[C]]" in r.user for r in server.requests)
        _, counts, _ = judge(tpo, samples, server.url, tmp_path / "t.h5", "judge.mode=pairwise", ranks=ranks)
        assert counts["a_wins"] == 30 and "[[C]]" in server.requests[-1].user


def test_a_model_of_our_own_is_asked_for_the_verdicts_that_are_read(tpo, samples, tmp_path):
    model = scripted.make(tmp_path / "judge", ["So it is ", "[[B>>A]]"])
    _, plain, _ = judge(tpo, samples, f"pairwise:{model}", tmp_path / "s.h5", "judge.max_failed=1")
    _, arena, _ = judge(tpo, samples, f"pairwise:{model}", tmp_path / "t.h5", "judge.verdicts=arena-hard")
    assert arena["b_wins"] == 30 and plain["b_wins"] == 0 and arena["question_tokens"] > plain["question_tokens"] > 0


@pytest.mark.parametrize("ranks", [0, 2])
def test_what_matched_and_means_nothing_is_shown(tpo, samples, tmp_path, ranks):
    def behave(request):
        return reply(f"[[{'Assistant ' if request.number % 3 else ''}{better(request)}]]")
    with FakeServer(behave) as server:
        _, counts, text = judge(tpo, samples, server.url, tmp_path / "s.h5", *OF_PAIRS, ranks=ranks)
        assert counts["not_named"] == counts["unparsable"] > 0
        match = re.search(r"(\d+) of the judge's answers had no verdict: \1 matched .*? \(((?:\[\[Assistant [ABC]\]\](?:, )?){1,3})\)", text)
        assert match and int(match[1]) == counts["not_named"], text
        named = 'judge.verdicts={"Assistant A": A, "Assistant B": B, "Assistant C": tie, A: A, B: B, C: tie}'
        _, counts, text = judge(tpo, samples, server.url, tmp_path / "t.h5", *OF_PAIRS, named, ranks=ranks)
    assert counts["unparsable"] == 0 and "no verdict" not in text and counts["requests"] == 0


def test_with_only_answers_that_contradict_themselves_decide_nothing(tpo, samples, tmp_path):
    with FakeServer(lambda r: reply(f"[[{OTHER[better(r)]}]] I would say, but no: [[{better(r)}]]")) as server:
        _, last, _ = judge(tpo, samples, server.url, tmp_path / "a.h5", *OF_PAIRS)
        details, only, text = judge(tpo, samples, server.url, tmp_path / "b.h5", *OF_PAIRS, "judge.verdict_rule=only")
        server.behave = lambda r: reply(f"[[{better(r)}]], as I said: [[{better(r).lower()}]]")
        _, equal, _ = judge(tpo, samples, server.url, tmp_path / "c.h5", *OF_PAIRS, "judge.verdict_rule=only", "seed=7")
    assert last["unparsable"] == equal["unparsable"] == 0 and only["contradicted"] == only["unparsable"] == 30
    assert all(d["elo"] == 0 for d in details) and "30 have matches that differ (judge.verdict_rule: only)" in text


@pytest.mark.parametrize("setting, words", [
    ("judge.verdict_rule=only", "`judge.verdict_rule: last` there, `judge.verdict_rule: only` now"),
    ("judge.thought_pattern=x", "`judge.thought_pattern: null` there, `judge.thought_pattern: x` now"),
    ("judge.verdicts={A: B, B: A}", "`judge.verdicts: null` there, `judge.verdicts: {A: B, B: A}` now"),
])
@pytest.mark.parametrize("ranks", [0, 2])
def test_how_answers_are_read_is_part_of_a_judging(tpo, samples, tmp_path, setting, words, ranks):
    """What was judged by other rules is not gone on with, but nothing is asked for again."""
    def behave(request):
        return reply(f"[[{better(request)}]]") if request.number < 9 else raw("no", 401)
    out = tmp_path / "s.h5"
    with FakeServer(behave) as server:
        given = arguments(samples, server.url, out, *OF_PAIRS, "judge.concurrency=1", "judge.comparisons=6")
        tpo.fails(*given, env=PLAIN, ranks=ranks, code=1)
        answered, n, server.behave = {r.user for r in server.requests[:9]}, len(server.requests), lambda r: reply(f"[[{better(r)}]]")
        assert words in tpo.fails(*given, "--set", setting, "--resume", env=PLAIN, ranks=ranks, code=2)
        details, _, text = judge(tpo, samples, server.url, out, *OF_PAIRS, "judge.comparisons=6", setting, ranks=ranks)
        assert "nothing of it is lost" in text and answered.isdisjoint({r.user for r in server.requests[n:]})
        first, _, _ = judge(tpo, samples, server.url, tmp_path / "t.h5", *OF_PAIRS, "judge.comparisons=6", ranks=ranks)
    sign = -1 if "verdicts" in setting else 1
    assert [sign * d["elo"] for d in details] == [d["elo"] for d in first] and any(d["elo"] for d in first)


@pytest.mark.parametrize("settings, words", [
    (["judge.thought_pattern=(x"], "judge.thought_pattern is wrong at byte"),
    (["judge.verdicts=arena", *OF_PAIRS], 'judge.verdicts: expected arena-hard, or a mapping of texts to A, B or tie, not "arena"'),
    (["judge.verdicts={A: A}", *OF_PAIRS], "judge.verdicts: no text means B"),
    (["judge.verdicts={A: A, b: B, ' B ': B}", *OF_PAIRS], 'judge.verdicts: " B " is named twice'),
    (["judge.verdicts={A: A, B: C}", *OF_PAIRS], 'judge.verdicts: expected A, B or tie, or {is: A, weight: 3}, for "B", not "C"'),
    (["judge.verdicts={A: A, B: {is: B, weight: 0}}", *OF_PAIRS], 'judge.verdicts: "B" has the weight 0'),
    (["judge.verdicts={A: A, B: {weight: 3}}", *OF_PAIRS], 'for "B"'),
    (["judge.verdicts=arena-hard"], "judge.mode is absolute"),
    (["judge.verdict_rule=first"], "judge.verdict_rule"),
])
@pytest.mark.parametrize("ranks", [0, 2])
def test_bad_settings_are_usage_errors(tpo, samples, tmp_path, settings, words, ranks):
    text = tpo.fails(*arguments(samples, "http://127.0.0.1:1/v1", tmp_path / "s.h5", *settings), env=PLAIN, ranks=ranks, code=2)
    assert words in text and not (tmp_path / "s.h5").exists()


SCRIPTS = {
    "closed": (["<think>", "so far [[B]] seems better", "</think>", "No: [[A]]"], (), {"a_wins": 30, "b_wins": 0}),
    "special": (["<think>", "so far [[B]] seems better", "</think>", "No: [[A]]"], ("<think>", "</think>"), {"a_wins": 30, "b_wins": 0}),
    "opened by the template": (["so far [[B]] seems better", "</think>", "No: [[A]]"], ("</think>",), {"a_wins": 30, "b_wins": 0}),
    "no more": (["<think>", "so far [[B]] seems better", "</think>", "Who knows."], (), {"b_wins": 0, "no_match": 30}),
    "not closed": (["<think>", "so far [[B]] seems better"], (), {"b_wins": 0, "open_thought": 30}),
    "plain": (["It is [[B]]", ", I say"], (), {"a_wins": 0, "b_wins": 30}),
}


@pytest.mark.parametrize("case, ranks", [(case, 0) for case in SCRIPTS] + [("closed", 2)])
def test_a_model_of_our_own_is_read_alike(tpo, samples, tmp_path, case, ranks):
    script, special, expected = SCRIPTS[case]
    model = scripted.make(tmp_path / "judge", script, special)
    details, counts, _ = judge(tpo, samples, f"pairwise:{model}", tmp_path / "s.h5", ranks=ranks)
    assert {name: counts.get(name, 0) for name in expected} == expected and counts["truncated"] == 0
    assert counts["unparsable"] == 30 - counts["a_wins"] - counts["b_wins"]
    assert all(d["elo"] == 0 for d in details), "the first and the second win alike"


def test_a_model_of_our_own_that_is_cut_off_decides_nothing(tpo, samples, tmp_path):
    model = scripted.make(tmp_path / "judge", ["It is [[B]]", ", I say"])
    _, counts, text = judge(tpo, samples, f"pairwise:{model}", tmp_path / "s.h5", "judge.max_tokens=1")
    assert counts["cut_off"] == counts["truncated"] == counts["unparsable"] == 30
    assert "30 were cut off by judge.max_tokens" in text
    _, counts, _ = judge(tpo, samples, f"pairwise:{model}", tmp_path / "t.h5", "judge.max_tokens=3")
    assert counts["b_wins"] == 30


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_judge_that_never_gives_a_verdict_is_asked_no_more(tpo, tiny_model, tmp_path, ranks):
    tiny.write_prompts(tmp_path / "prompts.jsonl", "p", 120)
    tpo.ok("generate", "--model", tiny_model, "--prompts", tmp_path / "prompts.jsonl", "--out", tmp_path / "samples.h5", "--k", 3,
           "--thought", "none", "--temperature", 1, "--top-p", 1, "--max-tokens", 4)
    with FakeServer(lambda _: reply("<think>[[A]]</think>Both have their merits.")) as server:
        text = tpo.fails(*arguments(tmp_path / "samples.h5", server.url, tmp_path / "s.h5", *OF_PAIRS, "judge.max_failed=1"),
                         env=PLAIN, ranks=ranks, code=1)
    assert "100 of the judge's answers in a row have no verdict; the last: no verdict that judge.pattern finds in the answer: " \
           "Both have their merits." in text and not (tmp_path / "s.h5").exists()
