"""Scores, win rates and passed checks by what the instructions are, and kinds of thought: metrics.jsonl against what stands in
the run's files, the report and TensorBoard's own reader."""
import json
import math
import re
import shutil

import h5py
import numpy
import pytest

import tiny
from test_metrics import accumulator, events, needs_reader, scalars

MARKUP, LONG, CONTROL = "<script>alert(1)</script>", "very " * 400 + "long", "poems\x1b[2J\n\u202e"
CATEGORIES = [MARKUP, "maths", None, LONG, CONTROL, "maths", "maths/easy"]
CONFIG = """
seed: 5
model: {{path: {model}, dtype: fp32}}
thought: {thought}
data: {{train: {data}/train.jsonl, validation: {data}/validation.jsonl, prompts_per_iteration: 14, validation_prompts: 14}}
sampling: {{k: 3, temperature: 1, top_p: 1, max_tokens: 48, slots: 16}}
train: {{learning_rate: 3e-4, batch: 4, epochs: 1, micro_batch_tokens: 600, warmup: 0}}
run: {{dir: {run_dir}, iterations: {iterations}, validation_temperature: 1, validation_k: 2, deadline: 60, baseline: {baseline}}}
"""
THOUGHT = ("{name: letter, prompt: \"{instruction}\", response_marker: \"Q\", on_budget: force, thought_tokens: 20, response_tokens: 16, "
           "prefill: \"My plan. First, a draft; \"}")


def write_data(folder):
    for name, n in (("train", 28), ("validation", 14)):
        path = folder / f"{name}.jsonl"
        tiny.write_prompts(path, name, n, CATEGORIES)
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for i, row in enumerate(rows):
            row["dataset"] = "one" if i % 3 else "two"
            row["checks"] = row["checks"][:2] + ["punctuation:no_comma"]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def runs(tpo, tiny_model, tmp_path_factory):
    """A direct run of one rank, and one with thoughts of two ranks that is compared with it, after one rank's."""
    folder = tmp_path_factory.mktemp("groups")
    write_data(folder)

    def run(name, ranks, thought, iterations, baseline="null"):
        path = folder / f"{name}.yaml"
        path.write_text(CONFIG.format(model=tiny_model, thought=thought, data=folder, run_dir=folder / name, iterations=iterations,
                                      baseline=baseline))
        tpo.ok("run", path, ranks=ranks)
        return folder / name

    direct = run("direct", 0, "none", 1)
    return direct, run("one", 0, THOUGHT, 1, direct), run("two", 2, THOUGHT, 2, direct)


def rows_of(path):
    names = ["prompt_id", "meta", "response", "thought", "format_ok", "scored", "score", "score_detail"]
    with h5py.File(path) as f:
        columns = [[v.decode() if isinstance(v, bytes) else v for v in f[name][:]] for name in names]
    return [dict(zip(names, row)) for row in zip(*columns)]


def by_prompt(rows, value):
    """Means of the rows' values by prompt, in order; None is no value."""
    found = {}
    for row in rows:
        found.setdefault(row["prompt_id"], []).append(value(row))
    return {p: numpy.mean([v for v in values if v is not None]) for p, values in found.items() if any(v is not None for v in values)}


def score(row):
    return row["score"] if row["scored"] else -1


def groups_of(event):
    return {**{g["name"]: g for g in event["groups"]}, **({None: event["without"]} if "without" in event else {})}


def find(run_dir, name, iteration, **fields):
    found = [e for e in events(run_dir, name) if e["iteration"] == iteration and all(e[k] == v for k, v in fields.items())]
    assert len(found) == 1, (name, iteration, fields)
    return found[0]


def told(category):
    """How a category is told; a pattern."""
    return {LONG: r"(very ){16}…~[0-9a-f]{8}", CONTROL: r"poems\\x1b\[2J\\n‹U\+202E›~[0-9a-f]{8}"}.get(category) or re.escape(category)


def assert_group(group, prompts, scores, rows):
    values = numpy.array([scores[p] for p in prompts])
    assert group["n"] == len(prompts) and group["mean_score"] == pytest.approx(values.mean())
    assert group["mean_score_se"] == pytest.approx(values.std(ddof=1) / math.sqrt(len(values)))
    mine = [row for row in rows if row["prompt_id"] in prompts]
    assert group["format_rate"] == pytest.approx(numpy.mean([row["format_ok"] for row in mine]))
    assert group["mean_response_chars"] == pytest.approx(numpy.mean([len(row["response"]) for row in mine]))


@pytest.mark.parametrize("field", ["category", "dataset"])
def test_groups_are_those_of_the_samples(runs, field):
    _, _, run_dir = runs
    for iteration, of, file in ((1, "judge", "scored.h5"), (2, "judge", "scored.h5"), (0, "validate", "validation.h5"),
                                (2, "validate", "validation.h5")):
        rows = rows_of(run_dir / f"iter-{iteration:03d}" / file)
        scores, groups = by_prompt(rows, score), groups_of(find(run_dir, "groups", iteration, of=of, by=field))
        members = {}
        for row in rows:
            members.setdefault(json.loads(row["meta"]).get(field), set()).add(row["prompt_id"])
        assert len(groups) == len(members)
        for name, prompts in members.items():
            match = [g for told_as, g in groups.items() if (name is None) == (told_as is None) and
                     (name is None or re.fullmatch(told(name), told_as))]
            assert len(match) == 1, (name, list(groups))
            if len(prompts) > 1:
                assert_group(match[0], prompts, scores, rows)


def test_changes_and_wins_are_paired_by_instruction(runs):
    direct, _, run_dir = runs
    rows, start = (rows_of(run_dir / f"iter-{i:03d}/validation.h5") for i in (2, 0))
    category = {row["prompt_id"]: json.loads(row["meta"]).get("category") for row in rows}
    now, before, last = (by_prompt(r, score) for r in (rows, start, rows_of(run_dir / "iter-001/validation.h5")))
    base = by_prompt(rows_of(direct / "iter-001/validation.h5"), score)
    prompts = [p for p in now if category[p] == "maths"]
    group = groups_of(find(run_dir, "groups", 2, of="validate", by="category"))["maths"]
    differences = numpy.array([now[p] - before[p] for p in prompts])
    assert group["compared"] == len(prompts) == 4 and group["difference"] == pytest.approx(differences.mean())
    assert group["difference_se"] == pytest.approx(differences.std(ddof=1) / 2)
    for found, other in ((group, before),
                         (groups_of(find(run_dir, "group_wins", 2, against="previous", by="category"))["maths"], last),
                         (groups_of(find(run_dir, "group_wins", 2, against="baseline", by="category"))["maths"], base)):
        wins, losses = sum(now[p] > other[p] for p in prompts), sum(now[p] < other[p] for p in prompts)
        assert [found["wins"], found["losses"], found["ties"]] == [wins, losses, 4 - wins - losses]
        share, z = (wins + (4 - wins - losses) / 2) / 4, 1.959963984540054
        middle, half = share + z * z / 8, z * math.sqrt(share * (1 - share) / 4 + z * z / 64)
        assert found["win_rate"] == pytest.approx(share)
        assert [found["win_rate_low"], found["win_rate_high"]] == pytest.approx([(middle - half) / (1 + z * z / 4),
                                                                                (middle + half) / (1 + z * z / 4)])
    for against in ("previous", "baseline"):  # what the groups won is what all won
        whole = find(run_dir, "win_rate", 2, against=against)
        for by in ("category", "dataset"):
            groups = groups_of(find(run_dir, "group_wins", 2, against=against, by=by)).values()
            assert [sum(g[k] for g in groups) for k in ("wins", "losses", "ties")] == [whole[k] for k in ("wins", "losses", "ties")]


def test_passed_checks_are_those_of_the_details(runs):
    _, _, run_dir = runs
    for iteration, of, file in ((1, "judge", "scored.h5"), (2, "validate", "validation.h5")):
        rows = rows_of(run_dir / f"iter-{iteration:03d}" / file)
        event = find(run_dir, "groups", iteration, of=of, by="check")
        groups = groups_of(event)
        assert event["strict"] is True and set(groups) == {"keywords:letter_frequency", "punctuation:no_comma"}
        for kind, group in groups.items():
            def verdicts(row, kind=kind):
                return [c["passed"] for c in json.loads(row["score_detail"]).get("checks", []) if c["type"] == kind]
            every = [v for row in rows for v in verdicts(row)]
            shares = numpy.array(list(by_prompt(rows, lambda row: numpy.mean(verdicts(row)) if verdicts(row) else None).values()))
            assert [group["n"], group["checks"], group["passed"]] == [len(shares), len(every), sum(every)]
            assert group["pass_rate"] == pytest.approx(shares.mean())
            assert group["pass_rate_se"] == pytest.approx(shares.std(ddof=1) / math.sqrt(len(shares)))


def test_thoughts_show_what_they_were_begun_with(runs):
    direct, _, run_dir = runs
    assert events(direct, "thoughts") == [], "there are none to tell of"
    for iteration, of, file in ((1, "sample", "scored.h5"), (2, "sample", "scored.h5"), (0, "validate", "validation.h5")):
        thoughts = [row["thought"] for row in rows_of(run_dir / f"iter-{iteration:03d}" / file) if row["format_ok"]]
        event = find(run_dir, "thoughts", iteration, of=of)
        assert event["thoughts"] == len(thoughts) and event["empty"] == 0 and event["rules"] == "English keywords"
        shares = event["shares"]
        assert list(shares) == ["restating", "planning", "drafting", "evaluating", "enumerating", "self-correcting", "other"]
        assert shares["planning"] == shares["drafting"] == 1 and shares["other"] == 0, thoughts
        assert event["examples"]["planning"] == "My plan." and event["examples"]["drafting"].startswith("First, a draft;")
        assert event["drafts"] <= len(thoughts) and event["undrafted_overlap"] is None


def without_times(found):
    return [{k: v for k, v in e.items() if k != "time"} for e in found]


def test_one_rank_and_two_tell_the_same(runs):
    _, one, two = runs
    for name in ("groups", "group_wins", "thoughts"):
        mine, theirs = (without_times(e for e in events(d, name) if e["iteration"] <= 1) for d in (one, two))
        assert mine and mine == theirs


def section(page, name):
    begin = page.index(f'<section id="{name}">')
    return page[begin:page.index("</section>", begin)]


def test_the_report_has_a_section_of_each_and_no_markup_of_a_category(tpo, runs, tmp_path):
    _, _, run_dir = runs
    page = (run_dir / "report.html").read_text()
    assert "Not shown" not in page and MARKUP not in page
    groups = section(page, "groups")
    for words in ("By category", "By data set", "By kind of check", "&lt;script&gt;alert(1)&lt;/script&gt;", "without a category",
                  "start model", "iteration 2", "won against the baseline", "punctuation:no_comma", "maths/easy"):
        assert words in groups, words
    maths = groups_of(find(run_dir, "groups", 2, of="validate", by="category"))["maths"]
    assert f"{maths['mean_score']:.3f}".replace("-", "−") in groups
    thoughts = section(page, "thoughts")
    for words in ("keyword rules", "English", "self-correcting", "First, a draft;", "100.0 %", "the user wants"):
        assert words in thoughts, words
    old = shutil.copytree(run_dir, tmp_path / "old")
    kept = [e for e in events(run_dir) if e["event"] not in ("groups", "group_wins", "thoughts")]
    (old / "metrics.jsonl").write_text("".join(json.dumps(e) + "\n" for e in kept))
    tpo.ok("report", old, "--out", tmp_path / "old.html")
    page = (tmp_path / "old.html").read_text()
    assert 'id="groups"' not in page and 'id="thoughts"' not in page and "Not shown" not in page


@needs_reader
def test_tensorboard_has_a_curve_of_each_group(runs):
    _, _, run_dir = runs
    found = scalars(accumulator(run_dir))
    events_of = [find(run_dir, "groups", i, of="validate", by="category") for i in (0, 1, 2)]
    assert found["category/maths/score"] == [(i, numpy.float32(groups_of(e)["maths"]["mean_score"])) for i, e in enumerate(events_of)]
    wins = [find(run_dir, "group_wins", i, against="baseline", by="category") for i in (0, 1, 2)]
    assert found["category/maths/win_rate_baseline"] == [(i, numpy.float32(groups_of(e)["maths"]["win_rate"])) for i, e in enumerate(wins)]
    assert found["thoughts/drafting"] == [(1, 1), (2, 1)] and found["validation_thoughts/other"] == [(0, 0), (1, 0), (2, 0)]
    assert "check/punctuation:no_comma/sampled_pass_rate" in found
    names = {tag.split("/")[1] for tag in found if tag.startswith("category/")}
    assert len(names) == 5 and any(re.fullmatch(r"maths_easy-[0-9a-f]{8}", n) for n in names)
    assert all(tag.count("/") == 2 and "<" not in tag for tag in found if tag.startswith("category/"))
