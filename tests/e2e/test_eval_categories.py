"""`tpo eval categories`: who wins, by category of the prompt."""
import json
import math
import re
import shutil
import signal
import subprocess

import pytest

import scripted
from conftest import command, environment
from fake_server import FakeServer, error, reply
from http_judging import PLAIN

h5py = pytest.importorskip("h5py")

N = 8
COMPARED = 5 * 2 + 1  # questions that the pair below takes
WAY = ["--set", "judge.model=judge-1", "--set", "judge.mode=pairwise"]


@pytest.fixture(scope="module")
def source(tpo, tiny_model, tmp_path_factory):
    """A file of N prompts with one sample each, whose texts the tests replace."""
    folder = tmp_path_factory.mktemp("source")
    prompts = [{"id": f"p{i}", "instruction": f"Request {i}", "category": "longer than what comes in its place"} for i in range(N)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(p) + "\n" for p in prompts))
    tpo.ok("generate", "--model", tiny_model, "--prompts", folder / "prompts.jsonl", "--out", folder / "samples.h5", "--k", 1,
           "--thought", "none", "--max-tokens", 4, "--temperature", 1)
    return folder / "samples.h5"


def samples(source, path, responses, metas=None, ids=None):
    """responses: a text for each prompt, None where the output didn't parse."""
    shutil.copy(source, path)
    with h5py.File(path, "r+") as f:
        for i, response in enumerate(responses):
            f["response"][i] = response or ""
            f["format_ok"][i] = response is not None
            f["meta"][i] = json.dumps((metas or [{}] * N)[i])
            f["prompt_id"][i] = (ids or [f"p{i}" for i in range(N)])[i]
    return path


A = ["good 3", "good 2", "good 1", "good 5", "good 9", "good 0", None, "good 4"]
B = ["good 1", "good 2", "good 3", "good 1", "good 1", "good 7", "good 2", "good 4"]
METAS = [{"category": "maths", "dataset": "x"}, {"category": "maths", "dataset": "x"}, {"category": "maths"}, {"category": "law"},
         {}, {"dataset": "y"}, {"category": "law"}, {"category": "law"}]


@pytest.fixture
def pair(source, tmp_path):
    """p7 is another prompt in B; p4 and p5 have no category."""
    return ["--a", samples(source, tmp_path / "a.h5", A, METAS),
            "--b", samples(source, tmp_path / "b.h5", B, ids=[f"p{i}" for i in range(7)] + ["other"])]


def judge(request):
    """The higher number wins; request 4 is general knowledge, and of request 5 the category can't be said."""
    if "one of these categories" in request.user:
        number = re.search(r"Request (\d)", request.user)[1]
        return reply("1. General knowledge" if number == "4" else "It could be education or mathematics.")
    a, b = (int(re.search(rf"=== Answer {side} ===\ngood (\d)", request.user)[1]) for side in "AB")
    return reply("[[A]]" if a > b else "[[B]]" if b > a else "[[C]]")


def categories(tpo, *args, **kwargs):
    kwargs.setdefault("env", PLAIN)
    result = json.loads(tpo.ok("eval", "categories", *args, **kwargs))
    assert result["evaluation"] == "categories"
    return result


def wilson(won, n, z=1.959964):
    p = won / n
    middle, half = (p + z * z / 2 / n) / (1 + z * z / n), z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    return middle - half, middle + half


def counts(group):
    lower, upper = wilson(group["wins"] + group["ties"] / 2, group["n"])
    assert group["win_rate"] == (group["wins"] + group["ties"] / 2) / group["n"]
    assert group["lower"] == pytest.approx(lower, abs=1e-12) and group["upper"] == pytest.approx(upper, abs=1e-12)
    return group["n"], group["wins"], group["losses"], group["ties"]


def check(result):
    assert {g["category"]: counts(g) for g in result["categories"]} == {
        "General knowledge": (1, 1, 0, 0), "law": (2, 1, 1, 0), "maths": (3, 1, 1, 1), "unassigned": (1, 0, 1, 0)}
    assert [g["category"] for g in result["categories"]] == ["General knowledge", "law", "maths", "unassigned"]
    assert {g["dataset"]: counts(g) for g in result["datasets"]} == {"x": (2, 1, 0, 1), "y": (1, 0, 1, 0)}
    assert counts(result["overall"]) == (7, 3, 3, 1)
    assert (result["unmatched"], result["unmatched_b"], result["unjudged"], result["unassigned"]) == (1, 1, 0, 1)
    assert result["assigned_by"] == "samples, judge" and result["assigned"] == {"samples": 5, "judge": 1}


def test_win_rates_by_category_do_not_depend_on_ranks(tpo, pair, tmp_path):
    results = []
    for ranks in (0, 2):
        with FakeServer(judge) as server:
            out = tmp_path / f"out-{ranks}"
            results.append(categories(tpo, *pair, "--judge", server.url, *WAY, "--save", out, ranks=ranks))
            # Of p1, whose responses are alike, the one question; of p6, which has no response in A, none.
            assert len(server.requests) == COMPARED + 2
            asked = [r for r in server.requests if "one of these categories" in r.user]
            assert len(asked) == 2 and all("\n20. " in r.user and "logprobs" not in r.json for r in asked)
        check(results[-1])
        assert json.loads((out / "categories.json").read_text()) == results[-1]
        labels = [json.loads(line) for line in (out / "labels.jsonl").read_text().splitlines()]
        assert {row["id"]: row["category"] for row in labels} == {
            "p0": "maths", "p1": "maths", "p2": "maths", "p3": "law", "p4": "General knowledge", "p6": "law", "p7": "law"}
        assert not list(out.glob("*.journal"))
        provenance = results[-1]["provenance"]
        assert provenance["judge"]["model"] == "judge-1" and provenance["ranks"] == max(ranks, 1)
        assert [f["name"] for f in provenance["files"]] == ["a", "b"]
        assert results[-1]["assigning"]["requests"] == 2


def test_labels_of_a_file_count_first_and_the_model_is_not_asked(tpo, pair, tmp_path):
    (tmp_path / "labels.tsv").write_text("id\tcategory\np0\tart\np4\tart\np5\tart\nzz\tart\n")
    with FakeServer(judge) as server:
        result = categories(tpo, *pair, "--judge", server.url, *WAY, "--labels", tmp_path / "labels.tsv", "--assign-out",
                            tmp_path / "all.jsonl")
        assert len(server.requests) == COMPARED
        assert {g["category"]: counts(g) for g in result["categories"]} == {
            "art": (3, 2, 1, 0), "law": (2, 1, 1, 0), "maths": (2, 0, 1, 1)}
        assert result["assigned"] == {"samples": 4, "labels": 3} and result["unassigned"] == 0
        again = categories(tpo, *pair, "--judge", server.url, *WAY, "--labels", tmp_path / "all.jsonl", "--set",
                           f"judge.cache={tmp_path / 'cache'}")
        assert again["categories"] == result["categories"]


def test_prompts_that_the_judge_fails_on_are_left_out_up_to_a_share(tpo, pair):
    with FakeServer(lambda request: error(400, "not that one") if "Request 3" in request.user else judge(request)) as server:
        args = [*pair, "--judge", server.url, *WAY]
        assert "judge.max_failed" in tpo.fails("eval", "categories", *args, code=1, env=PLAIN)
        result = categories(tpo, *args, "--set", "judge.max_failed=0.5")
    assert (result["unjudged"], result["overall"]["n"]) == (1, 6)
    assert {g["category"]: g["n"] for g in result["categories"]} == {"General knowledge": 1, "law": 1, "maths": 3, "unassigned": 1}


def test_categories_of_a_file_are_assigned_to_all(tpo, pair, tmp_path):
    (tmp_path / "list.tsv").write_text("even\tnumbers that two divides\nodd\n")

    def odd_or_even(request):
        if "one of these categories" not in request.user:
            return judge(request)
        assert "1. even: numbers that two divides\n2. odd\n" in request.user
        number = int(re.search(r"Request (\d)", request.user)[1])
        return reply(f"<think>odd or even?</think>\n{1 + number % 2}")

    with FakeServer(odd_or_even) as server:
        result = categories(tpo, *pair, "--judge", server.url, *WAY, "--categories", tmp_path / "list.tsv", "--assign")
    assert {g["category"]: counts(g) for g in result["categories"]} == {"even": (4, 2, 2, 0), "odd": (3, 1, 1, 1)}
    assert result["assigned_by"] == "judge"


def test_what_a_failing_server_answered_is_not_asked_again(tpo, pair, tmp_path):
    trouble = {"after": 9}

    def failing(request):
        return error(401, "no more") if request.number >= trouble["after"] else judge(request)

    with FakeServer(failing) as server:
        args = [*pair, "--judge", server.url, *WAY, "--save", tmp_path / "out", "--set", "judge.concurrency=2"]
        assert "no more" in tpo.fails("eval", "categories", *args, code=1, ranks=2, env=PLAIN)
        failed = len(server.requests) - 9
        trouble["after"] = 1000
        assert "--resume goes on" in tpo.fails("eval", "categories", *args, code=2, env=PLAIN)
        check(categories(tpo, *args, "--resume"))
        assert len(server.requests) == COMPARED + 2 + failed


@pytest.mark.parametrize("mode", ["absolute", "pairwise"])
def test_a_first_try_without_any_answer_is_in_nobodys_way(tpo, pair, tmp_path, mode):
    def both(request):
        return judge(request) if mode == "pairwise" or "categories" in request.user else reply("[[7]]")

    (tmp_path / "labels.tsv").write_text("id\tcategory\n" + "".join(f"p{i}\tx\n" for i in range(N)))
    args = [*pair, "--labels", tmp_path / "labels.tsv", "--save", tmp_path / "out", "--set", "judge.model=j", "--set", f"judge.mode={mode}"]
    with FakeServer(both) as server:
        said = tpo.fails("eval", "categories", *args, "--judge", "http:http://127.0.0.1:9/v1?key=SECRET1", "--set", "judge.retries=0", code=1,
                         env=PLAIN, ranks=2)
        assert "are kept in" not in said and "SECRET1" not in said
        assert not list((tmp_path / "out").glob("*.journal"))
        url = f"http:{server.url}?key=SECRET2"
        result = categories(tpo, *args, "--judge", url)
    assert result["judge"] == f"http:{server.url}"
    assert not [p for p in (tmp_path / "out").iterdir() if p.is_file() and b"SECRET" in p.read_bytes()]


def test_no_journal_holds_the_key_of_an_address(tpo, pair, tmp_path):
    trouble = {"after": 5}

    def failing(request):
        return error(401, "no more") if request.number >= trouble["after"] else judge(request)

    with FakeServer(failing) as server:
        args = [*pair, *WAY, "--save", tmp_path / "out", "--set", "judge.concurrency=1"]
        url = f"http:{server.url}?key=SECRET"
        tpo.fails("eval", "categories", *args, "--judge", url, code=1, env=PLAIN)
        kept = [p.read_bytes() for p in (tmp_path / "out").glob("*.journal/*")]
        assert kept and all(b"judge.kind" in text and b"SECRET" not in text for text in kept)
        trouble["after"] = 1000
        said = tpo.fails("eval", "categories", *args, "--judge", url + "2", "--resume", code=2, env=PLAIN)
        assert "judge.kind" in said and "SECRET" not in said
        check(categories(tpo, *args, "--judge", url, "--resume"))


def test_questions_about_categories_are_resumed(tpo, source, tmp_path):
    """The comparisons are done when the server fails; on the way again only the categories that are missing are asked for."""
    files = ["--a", samples(source, tmp_path / "a.h5", A), "--b", samples(source, tmp_path / "b.h5", B)]
    asked = []

    def one_by_one(request):
        if "one of these categories" not in request.user:
            return judge(request)
        asked.append(request.user)
        return error(401, "no more") if len(asked) == 4 else reply("2")

    with FakeServer(one_by_one) as server:
        args = [*files, "--judge", server.url, *WAY, "--save", tmp_path / "out", "--set", "judge.concurrency=1"]
        tpo.fails("eval", "categories", *args, code=1, env=PLAIN)
        before = len(server.requests)
        shutil.rmtree(tmp_path / "out" / "judge-cache")  # the journal alone is enough
        result = categories(tpo, *args, "--resume", ranks=2)
        assert len(server.requests) == before + 5
    assert [counts(g) for g in result["categories"]] == [(8, 3, 3, 2)] and result["assigned"] == {"judge": 8}
    assert result["assigning"]["requests"] >= 8


def test_after_a_signal_the_same_command_goes_on(tpo, source, tmp_path):
    files = ["--a", samples(source, tmp_path / "a.h5", A), "--b", samples(source, tmp_path / "b.h5", B)]
    asked, job = [], []

    def stop_at_the_fourth(request):
        if "one of these categories" not in request.user:
            return judge(request)
        asked.append(request.user)
        if len(asked) == 4:
            job[0].send_signal(signal.SIGTERM)
        return reply("2")

    with FakeServer(stop_at_the_fourth) as server:
        args = [*files, "--judge", server.url, *WAY, "--save", tmp_path / "out", "--set", "judge.concurrency=1"]
        run = command(["eval", "categories", *args])[4:]  # the program itself, which the signal is for
        job.append(subprocess.Popen(run, env=environment(PLAIN), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
        text = job[0].communicate(timeout=60)[1].decode()
        assert job[0].returncode == 128 + signal.SIGTERM, text
        assert re.search(r"stopped by SIGTERM.*3 of 8 answers are kept in .*: the same command with --resume goes on", text), text
        result = categories(tpo, *args, "--resume", ranks=2)
        assert len(asked) == 8  # each once
    assert [counts(g) for g in result["categories"]] == [(8, 3, 3, 2)]


def test_mean_scores_decide_where_the_judge_gives_scores(tpo, pair, tmp_path):
    def rate(request):
        return reply(f"[[{re.search(r'=== Answer ===.good (.)', request.user, re.S)[1]}]]")

    with FakeServer(rate) as server:
        args = ["--judge", f"http:{server.url}", "--set", "judge.model=judge-1"]
        (tmp_path / "labels.csv").write_text("id,category\np4,law\np5,law\n")
        result = categories(tpo, *pair, *args, "--labels", tmp_path / "labels.csv", ranks=2)
        assert counts(result["overall"]) == (7, 3, 3, 1)
        scored = []
        for option, name in zip(pair[::2], ("a", "b")):
            scored += [option, tmp_path / f"{name}-scored.h5"]
            tpo.ok("judge", "--samples", tmp_path / f"{name}.h5", *args, "--out", scored[-1], env=PLAIN)
    given = categories(tpo, *scored, "--labels", tmp_path / "labels.csv")
    assert given["judge"] == "scores" and given["categories"] == result["categories"]
    assert given["assigned"] == {"samples": 5, "labels": 2}


def test_a_local_model_compares_and_assigns(tpo, source, tmp_path):
    model = scripted.make(tmp_path / "model", ["[[A]] ", "law"], context=8192)
    files = ["--a", samples(source, tmp_path / "a.h5", A), "--b", samples(source, tmp_path / "b.h5", B)]
    (tmp_path / "list.tsv").write_text("law\nart\n")
    result = categories(tpo, *files, "--judge", f"pairwise:{model}", "--categories", tmp_path / "list.tsv", ranks=2)
    assert [(g["category"], *counts(g)) for g in result["categories"]] == [("law", 8, 0, 1, 7)]  # who comes first wins
    assert result["assigning"]["questions"] == 8
    assert result["provenance"]["judge"]["identity"][0].startswith("judge model ")


def test_bad_input_is_told_in_one_sentence(tpo, source, pair, tmp_path):
    def fails(code, *args):
        text = tpo.fails("eval", "categories", *args, code=code, env=PLAIN)
        assert len(text.strip().splitlines()) == 1, text
        return text

    bare = ["--a", samples(source, tmp_path / "bare.h5", A), "--b", pair[3]]
    rule = ["--judge", "rule"]
    http = ["--judge", "http://127.0.0.1:9/v1", *WAY]
    assert "--a" in fails(2, "--b", pair[3])
    assert "give --judge KIND" in fails(2, *pair)
    assert "no prompt of" in fails(2, *bare, *rule) and "--labels FILE" in fails(2, *bare, *rule)
    assert "--save DIR" in fails(2, *pair, *rule, "--resume")
    assert "--dtype goes with" in fails(2, *pair, *rule, "--dtype", "fp32")
    assert "without .gz" in fails(2, *pair, *rule, "--assign-out", tmp_path / "l.jsonl.gz")
    assert "--assign goes with --judge" in fails(2, *pair, "--assign")
    assert "is the file that is read" in fails(2, *pair, *rule, "--assign-out", pair[1])
    other = samples(source, tmp_path / "other.h5", A, ids=[f"q{i}" for i in range(N)])
    assert "no prompt in common" in fails(1, "--a", other, "--b", pair[3], *rule)
    for name, text, words in (("list", "x\nX\n", ":2: the category \"X\" is there twice"), ("list", "x\n", "at least 2"),
                              ("labels", "id\tcategory\np0\tx\np0\ty\n", ":3: p0 is \"y\" here"), ("labels", "p0\n", "holds no row")):
        (tmp_path / name).write_text(text)
        assert words in fails(1, *pair, *http, "--categories" if name == "list" else "--labels", tmp_path / name)


def test_scores_that_cannot_be_compared_are_refused(tpo, pair, tmp_path):
    with FakeServer(lambda request: reply("[[A]]" if "Answer A" in request.user else "[[7]]")) as server:
        for name, mode in (("rated", "absolute"), ("compared", "pairwise")):
            tpo.ok("judge", "--samples", pair[1], "--judge", server.url, "--set", "judge.model=m", "--set", f"judge.mode={mode}",
                   "--out", tmp_path / f"{name}.h5", env=PLAIN)
    text = tpo.fails("eval", "categories", "--a", tmp_path / "rated.h5", "--b", tmp_path / "compared.h5", code=1)
    assert "comparing each prompt's responses" in text and "compared.h5" in text
    shutil.copy(tmp_path / "rated.h5", tmp_path / "ruled.h5")
    with h5py.File(tmp_path / "ruled.h5", "r+") as f:
        for i in range(N):
            f["score_detail"][i] = json.dumps({"checks": []})
    text = tpo.fails("eval", "categories", "--a", tmp_path / "rated.h5", "--b", tmp_path / "ruled.h5", code=1)
    assert "scored by different judges: give --judge KIND" in text
