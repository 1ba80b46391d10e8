"""`tpo compare`: its numbers against those that the runs' files give, and what it refuses."""
import html.parser
import json
import math
import os
import re
import shutil

import h5py
import numpy
import pytest

import tiny
from test_groups import THOUGHT, by_prompt, rows_of, score, write_data

PROMPTS = 14
CONFIG = """
seed: 5
model: {{path: {model}, dtype: fp32}}
thought: {thought}
data: {{train: {data}/train.jsonl, validation: {data}/validation.jsonl, prompts_per_iteration: 8, validation_prompts: {prompts}}}
sampling: {{k: 3, temperature: 1, top_p: 1, max_tokens: 48, slots: 16}}
judge: {{kind: rule, strict: {strict}}}
train: {{learning_rate: 3e-4, batch: 4, epochs: 1, micro_batch_tokens: 600, warmup: 0}}
run: {{dir: {run_dir}, iterations: {iterations}, validation_temperature: 1, validation_k: 2, deadline: 60}}
"""


@pytest.fixture(scope="module")
def runs(tpo, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    write_data(folder)

    def run(name, thought="none", iterations=1, ranks=0, prompts=PROMPTS, strict="true"):
        path = folder / f"{name}.yaml"
        path.write_text(CONFIG.format(model=tiny_model, thought=thought, data=folder, run_dir=folder / name, iterations=iterations,
                                      prompts=prompts, strict=strict))
        tpo.ok("run", path, ranks=ranks)
        return folder / name

    return {"direct": run("direct"), "thinking": run("thinking", THOUGHT, 2, 2), "fewer": run("fewer", prompts=10),
            "loose": run("loose", strict="false")}


def compare(tpo, *args, **kwargs):
    return json.loads(tpo.ok("compare", *args, "--json", **kwargs))


def checks(row):
    if not row["scored"]:
        return None if row["format_ok"] else 0
    detail = json.loads(row["score_detail"])
    return 0 if detail.get("empty") else numpy.mean([c["passed"] for c in detail["checks"]])


def error(values):
    return numpy.std(values, ddof=1) / math.sqrt(len(values))


def is_near(found, values):
    assert found["n"] == len(values)
    assert found["mean"] == pytest.approx(numpy.mean(values), abs=1e-9)
    assert found["standard_error"] == pytest.approx(error(values), abs=1e-9)
    # Percentiles of means of resamples: near those of a normal distribution, a few of which are instructions'.
    for end, sign in (("low", -1), ("high", 1)):
        assert found[end] == pytest.approx(found["mean"] + sign * 1.96 * found["standard_error"], abs=0.45 * found["standard_error"] + 1e-12)


@pytest.mark.parametrize("ranks", [0, 2])
def test_figures_are_those_of_the_runs_files(tpo, runs, ranks):
    found = compare(tpo, runs["direct"], runs["thinking"], ranks=ranks)
    paths = [runs["direct"] / "iter-001/validation.h5", runs["thinking"] / "iter-002/validation.h5"]
    a, b = (rows_of(p) for p in paths)
    assert found["instructions"] == PROMPTS and not found["shares"]
    assert [r["iteration"] for r in found["runs"]] == [1, 2] and [r["unmatched"] for r in found["runs"]] == [0, 0]
    assert all(r["done"] for r in found["runs"])
    (against,) = found["against_first"]
    assert against["against"] == str(runs["direct"])
    for figure, value in (("score", score), ("checks_held", checks), ("format_rate", lambda r: float(r["format_ok"])),
                          ("response_chars", lambda r: len(r["response"]) if r["format_ok"] else None)):
        before, after = by_prompt(a, value), by_prompt(b, value)
        is_near(found["runs"][0]["figures"][figure], list(before.values()))
        is_near(found["runs"][1]["figures"][figure], list(after.values()))
        is_near(against["differences"][figure], [after[i] - before[i] for i in before if i in after])
    tokens = []
    for path in paths:
        with h5py.File(path) as f:
            thought, every = f["n_thought_tokens"][:], numpy.diff(f["token_offset"][:])
            tokens.append((thought.mean(), (every - thought).mean()))
    for run, (thought, response) in zip(found["runs"], tokens):
        assert run["figures"]["thought_tokens"]["mean"] == pytest.approx(thought)
        assert run["figures"]["response_tokens"]["mean"] == pytest.approx(response)
    events = [json.loads(line) for line in (runs["thinking"] / "metrics.jsonl").read_text().splitlines()]
    (validated,) = [e for e in events if e["event"] == "validate" and e["iteration"] == 2]
    (kl,) = [e["per_token"] for e in events if e["event"] == "kl" and e["iteration"] == 2]
    # `repetition` in metrics is over outputs, here over instructions: the same where each has as many that parse.
    assert found["runs"][1]["kl_per_token"] == pytest.approx(kl)
    assert found["runs"][1]["figures"]["score"]["mean"] == pytest.approx(validated["mean_score"])
    assert found["runs"][1]["figures"]["score"]["standard_error"] == pytest.approx(validated["mean_score_se"])


def test_who_won_and_the_groups(tpo, runs):
    found = compare(tpo, runs["direct"], runs["thinking"])["against_first"][0]
    a, b = (by_prompt(rows_of(runs[n] / f"iter-00{i}/validation.h5"), score) for n, i in (("direct", 1), ("thinking", 2)))
    wins, losses = sum(b[i] > a[i] for i in a), sum(b[i] < a[i] for i in a)
    won = found["won"]
    assert (won["n"], won["wins"], won["losses"], won["ties"]) == (PROMPTS, wins, losses, PROMPTS - wins - losses)
    assert won["win_rate"] == pytest.approx((wins + (PROMPTS - wins - losses) / 2) / PROMPTS)
    assert won["low"] <= won["win_rate"] <= won["high"]
    of = {g["name"]: g for g in found["groups"]["category"]["groups"]}
    unnamed = [r for r in rows_of(runs["thinking"] / "iter-002/validation.h5") if "category" not in json.loads(r["meta"])]
    assert found["groups"]["category"]["none"]["n"] == len({r["prompt_id"] for r in unnamed})
    metrics = [json.loads(line) for line in (runs["thinking"] / "metrics.jsonl").read_text().splitlines()]
    (told,) = [e for e in metrics if e["event"] == "groups" and e["iteration"] == 2 and e["of"] == "validate" and e["by"] == "category"]
    assert of.keys() == {g["name"] for g in told["groups"]}
    rows = [r for r in rows_of(runs["thinking"] / "iter-002/validation.h5") if json.loads(r["meta"]).get("category") == "maths"]
    maths = by_prompt(rows, score)
    assert of["maths"]["n"] == len(maths) and of["maths"]["value"] == pytest.approx(numpy.mean(list(maths.values())))
    assert of["maths"]["difference"] == pytest.approx(numpy.mean([maths[i] - a[i] for i in maths]))
    assert {g["name"] for g in found["groups"]["dataset"]["groups"]} == {"one", "two"} and found["groups"]["check"]["groups"]


def test_the_same_seed_gives_the_same_intervals(tpo, runs):
    args = [runs["direct"], runs["thinking"]]
    one, other = compare(tpo, *args), compare(tpo, *args, "--seed", 9)
    assert one == compare(tpo, *args)
    assert one["against_first"][0]["differences"]["score"]["mean"] == other["against_first"][0]["differences"]["score"]["mean"]
    assert one["against_first"][0]["differences"]["score"]["low"] != other["against_first"][0]["differences"]["score"]["low"]


def test_text_names_runs_counts_those_left_out_and_shows_responses(tpo, runs):
    out = tpo.ok("compare", runs["direct"], runs["fewer"], runs["thinking"], "--shown", 2)
    assert f"A  {runs['direct']}, iteration 1\n" in out and f"C  {runs['thinking']}, iteration 2\n" in out
    assert "10 validation instructions that all have; 4 more of A's are left out; 4 more of C's are left out." in out
    for words in ["mean judge score", "constraints that hold, %", "KL a token", "B against A, paired", "C against A, paired", "won, ties half",
                  "By category: instructions, mean score of C", "By kind of check", "Settings that differ\n", "thought.name"]:
        assert words in out, words
    most = out[out.index("Where scores differ most"):]
    assert len(re.findall(r"^validation-\d+: Write something", most, re.M)) == 2
    assert "\x1b" not in out and "\u202e" not in out  # of a category's name


class Tags(html.parser.HTMLParser):
    """That every element is closed by its own end tag."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "hr", "i"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in ("i",):
            assert self.open.pop() == tag


def test_the_page_holds_what_the_text_does_and_no_markup_of_others(tpo, runs, tmp_path):
    path = tmp_path / "page.html"
    assert tpo.ok("compare", runs["direct"], runs["thinking"], runs["fewer"], "--html", path, "--shown", 3) == ""
    page = path.read_text()
    tags = Tags(page)
    assert page == tpo.ok("compare", runs["direct"], runs["thinking"], runs["fewer"], "--html", "-", "--shown", 3)
    named = tpo.ok("compare", runs["direct"], runs["thinking"], "--html", "-")
    assert "<script>alert(1)" not in named and "&lt;script&gt;alert(1)" in named  # a category's name
    assert "default-src 'none'" in page and str(runs["direct"]) in page[page.index("<title>"):page.index("</title>")]
    sections = [attrs.get("id") for tag, attrs in tags.seen if tag == "section"]
    assert sections == ["result", "figures", "charts", "samples", "settings"]
    assert sum(attrs.get("class") == "prompt" for _, attrs in tags.seen) == 3
    assert sum(tag == "svg" for tag, _ in tags.seen) >= 5
    score = compare(tpo, runs["direct"], runs["thinking"], runs["fewer"])["runs"][1]["figures"]["score"]["mean"]
    assert f"{score:.3f}".replace("-", "\u2212") in page
    assert "expected one of them" in tpo.fails("compare", runs["direct"], runs["thinking"], "--html", path, "--json", code=2)


def test_a_report_of_several_runs_is_their_comparison(tpo, runs, tmp_path):
    tpo.ok("report", runs["direct"], runs["thinking"], "--out", tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == tpo.ok("compare", runs["direct"], runs["thinking"], "--html", "-", "--shown", 20)
    assert "--out" in tpo.fails("report", runs["direct"], runs["thinking"], code=2)


def test_a_run_beside_a_copy_of_itself_shows_no_difference(tpo, runs, tmp_path):
    shutil.copytree(runs["thinking"], tmp_path / "copy")
    found = compare(tpo, runs["thinking"], tmp_path / "copy", "--shown", 0)
    against = found["against_first"][0]
    assert all(d["mean"] in (0, None) and d["standard_error"] in (0, None) for d in against["differences"].values())
    assert against["won"]["ties"] == PROMPTS and found["most_different"] == []
    start = compare(tpo, runs["thinking"], tmp_path / "copy", "--iteration", 0)
    assert [r["iteration"] for r in start["runs"]] == [0, 0]


def test_runs_judged_otherwise_are_refused_by_name(tpo, runs):
    text = tpo.fails("compare", runs["direct"], runs["loose"], code=2)
    assert "judge.strict: true | false" in text and "--force" in text and "run.validation_k" not in text
    forced = [tpo("compare", runs["direct"], runs["loose"], "--force", *more) for more in ([], ["--json"], ["--html", "-"])]
    for done in forced:  # what is sent to others says so too
        assert done.returncode == 0 and b"not judged and validated alike" in done.stderr
        assert b"judge.strict: true | false" in done.stdout
    assert b"B against A" in forced[0].stdout and json.loads(forced[1].stdout)["unlike"] == ["judge.strict: true | false"]


def test_what_can_not_be_compared_is_told_in_one_line(tpo, runs, tmp_path):
    direct = runs["direct"]
    assert "the same run" in tpo.fails("compare", direct, f"{direct}/.", code=2)
    assert "there is none of this name" in tpo.fails("compare", direct, tmp_path / "none", code=2)
    (tmp_path / "empty").mkdir()
    assert "not the folder of a run" in tpo.fails("compare", direct, tmp_path / "empty", code=2)
    assert "iteration 7 was not validated" in tpo.fails("compare", direct, runs["thinking"], "--iteration", 7, code=2)
    tpo.fails("compare", direct, code=2)

    other = tmp_path / "other"
    shutil.copytree(direct, other)
    for path in other.glob("iter-*/validation.h5"):
        with h5py.File(path, "r+") as f:
            f["instruction"][:] = [b"something else"] * len(f["instruction"])
            del f.attrs["content_hash"]
    assert "no validation instruction in common (14 and 14" in tpo.fails("compare", direct, other, code=2)

    for path in other.glob("iter-*/validation.h5"):
        os.truncate(path, path.stat().st_size // 2)
    assert "no validation that can be read" in tpo.fails("compare", direct, other, code=1)
    for text in ("judge: [", "", "seed: 5\njudge:\n  kind: rule\n"):  # a run's own holds every key, so the last is cut
        shutil.rmtree(other)
        shutil.copytree(direct, other)
        (other / "config.yaml").write_text(text)
        assert "config.yaml is missing or can't be read to its end" in tpo.fails("compare", direct, other, code=1)
        assert "judge.kind: rule | not known" in tpo.ok("compare", direct, other, "--force")


def test_instructions_that_a_judge_failed_on_and_watches_are_told(tpo, runs, tmp_path):
    one, other = tmp_path / "one", tmp_path / "b\udce9"  # a name that is no UTF-8
    shutil.copytree(runs["direct"], one)
    shutil.copytree(runs["thinking"], other)
    with h5py.File(other / "iter-002/validation.h5", "r+") as f:
        f["scored"][:6] = 0  # of three instructions
        f["score"][:6] = numpy.nan
        del f.attrs["content_hash"]
    with open(other / "metrics.jsonl", "a") as f:
        for value in (0.1, 0.25):
            f.write(json.dumps({"event": "watch", "iteration": 2, "name": "odd\x1b[31m\n", "kind": "rule", "value": value, "value_se": 0.5}) + "\n")
    found = compare(tpo, one, other)
    assert found["runs"][1]["figures"]["score"]["n"] == PROMPTS - 3 and found["against_first"][0]["won"]["unjudged"] == 3
    assert found["runs"][0]["watch"] == {} and found["runs"][1]["watch"] == {"odd\x1b[31m\n": {"value": 0.25, "value_se": 0.5}}
    text, page = tpo.ok("compare", one, other), tpo.ok("compare", one, other, "--html", "-")
    assert "\x1b" not in text and re.search(r"odd\\x1b\[31m\\n +none +0.250 ± 0.500", text)
    assert re.search(rf"instructions judged +{PROMPTS} +{PROMPTS - 3}\n", text) and "3 not judged in both" in text
    assert "3 not judged in both" in page and "instructions judged" in page


def test_runs_in_steps_stand_beside_runs_in_iterations(tpo, runs, tmp_path):
    config = runs["direct"].with_suffix(".yaml").read_text().replace(f"dir: {runs['direct']}, iterations: 1", f"dir: {tmp_path / 'steps'}, sync_steps: 1, steps: 2")
    (tmp_path / "steps.yaml").write_text(config)
    tpo.ok("run", tmp_path / "steps.yaml")
    found = compare(tpo, runs["direct"], tmp_path / "steps")
    assert found["runs"][1]["step"] == 2 and "step" not in found["runs"][0]
    assert f"B  {tmp_path / 'steps'}, step 2\n" in tpo.ok("compare", runs["direct"], tmp_path / "steps")
    assert "iteration or step" in tpo.ok("compare", runs["direct"], tmp_path / "steps", "--html", "-")


def test_a_run_that_still_goes_on_says_so_and_odd_metrics_do_no_harm(tpo, runs, tmp_path):
    going = tmp_path / "going"
    shutil.copytree(runs["thinking"], going)
    shutil.rmtree(going / "iter-002")
    manifest = json.loads((going / "manifest.json").read_text())
    manifest["done"] = False
    (going / "manifest.json").write_text(json.dumps(manifest))
    with open(going / "metrics.jsonl", "a") as f:
        f.write('{"event":"kl","iteration":1,"per_token":NaN}\n{"event":"new","iteration":1}\nhalf a li')
    out = tpo.ok("compare", runs["direct"], going)
    assert f"B  {going}, iteration 1 of a run that is not finished" in out
