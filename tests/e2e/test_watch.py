"""run.watch: what is measured beside validation, and that nothing else of a run depends on it."""
import csv
import io
import json
import re
import shutil
import subprocess
import time

import h5py
import numpy
import pytest

import tiny
from conftest import command, environment

CONFIG = """
seed: 5
model: {{path: {model}, dtype: fp32}}
thought: {{name: letter, prompt: "{{instruction}}", response_marker: "Q", on_budget: force, thought_tokens: 20, response_tokens: 16}}
data: {{train: {data}/train.jsonl, validation: {data}/validation.jsonl, prompts_per_iteration: 8, validation_prompts: 4}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 48, slots: 8}}
train: {{learning_rate: 1e-2, batch: 4, epochs: 1, micro_batch_tokens: 4096, warmup: 0}}
run:
  dir: {run_dir}
  iterations: {iterations}
  deadline: 60
"""
WATCH = """
  watch:
    - {{name: maths, prompts: {data}/maths.jsonl, kind: gsm8k, thought: layout.yaml}}
    - {{name: follow, prompts: {data}/follow.jsonl, kind: ifeval, thought: layout.yaml, temperature: 1, k: 2}}
    - {{name: rules, prompts: {data}/rules.jsonl, kind: rule, thought: none, temperature: 0.7, k: 2}}
    - {{name: thinking, prompts: {data}/rules.jsonl, kind: rule, limit: 5}}
"""
LAYOUT = 'prompt: "{instruction}"\nprefill: "The answer is 12 apples. "\n'
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """All answers in the layout say 12 and apples, whatever the model draws behind them."""
    folder = tmp_path_factory.mktemp("data")
    for name, n in [("train", 16), ("validation", 4), ("rules", 20)]:
        tiny.write_prompts(folder / f"{name}.jsonl", name, n)
    write_lines(folder / "maths.jsonl", [{"question": f"How many, {i}?", "answer": f"Count.\n#### {12 if i % 4 else 1000 + i}"}
                                         for i in range(8)])
    both = ["keywords:existence", "keywords:forbidden_words"]
    write_lines(folder / "follow.jsonl", [{"key": i, "prompt": f"Say it {i}.", "instruction_id_list": both[:1 + i % 2],
                                           "kwargs": [{"keywords": ["apples"]}, {"forbidden_words": ["apples"]}][:1 + i % 2]}
                                          for i in range(6)])
    return folder


@pytest.fixture(scope="module")
def write(tiny_model, data):
    def write(folder, name, watch=WATCH, iterations=1):
        (folder / "layout.yaml").write_text(LAYOUT)
        path = folder / f"{name}.yaml"
        path.write_text(CONFIG.format(model=tiny_model, data=data, run_dir=folder / name, iterations=iterations) +
                        watch.format(data=data))
        return path, folder / name
    return write


def events(run_dir, name=None):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [e for e in lines if name in (None, e["event"])]


def without_times(found):
    return [{k: v for k, v in e.items() if k not in ("time", "seconds")} for e in found]


def contents(path):
    with h5py.File(path) as f:
        out = {}
        f.visititems(lambda name, item: out.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
        return out


def same_contents(a, b):
    left, right = contents(a), contents(b)
    assert left.keys() == right.keys() and left
    for name, value in left.items():
        value, other = numpy.asarray(value), numpy.asarray(right[name])
        same = value.tolist() == other.tolist() if value.dtype == object else value.tobytes() == other.tobytes()
        assert same and value.shape == other.shape, f"{a} and {b}: {name}"


@pytest.fixture(scope="module")
def finished(tpo, write, tmp_path_factory):
    config, run_dir = write(tmp_path_factory.mktemp("finished"), "run", iterations=2)
    result = tpo("run", config, ranks=2, env=EPOCH)
    assert result.returncode == 0, result.stderr.decode()
    return config, run_dir, result.stdout.decode(), result.stderr.decode()


@pytest.fixture(scope="module")
def alone(tpo, write, tmp_path_factory):
    """The same without anything watched."""
    config, run_dir = write(tmp_path_factory.mktemp("alone"), "run", watch="", iterations=2)
    return config, run_dir, tpo.ok("run", config, ranks=2, env=EPOCH)


def test_each_kind_is_measured_on_the_start_model_and_after_each_iteration(finished):
    _, run_dir, _, _ = finished
    found = {(e["iteration"], e["name"]): e for e in events(run_dir, "watch")}
    assert list(found) == [(i, name) for i in (0, 1, 2) for name in ("maths", "follow", "rules", "thinking")]
    for i in (0, 1, 2):
        maths, follow, rules = (found[i, name] for name in ("maths", "follow", "rules"))
        assert (maths["kind"], maths["n"], maths["samples"], maths["value"], maths["no_answer"]) == ("gsm8k", 8, 8, 0.75, 0)
        assert (follow["kind"], follow["n"], follow["samples"], follow["value"]) == ("ifeval", 6, 12, 0.5)
        assert [follow[name] for name in ("prompt_strict", "instruction_strict")] == pytest.approx([0.5, 2 / 3])
        assert (maths["compared"], follow["compared"]) == (8, 6)
        assert 0.5 <= follow["prompt_loose"] <= follow["instruction_loose"] <= 1
        assert (rules["kind"], rules["n"], rules["samples"]) == ("rule", 20, 40) and 0 < rules["value"] < 1
        assert found[i, "thinking"]["n"] == 5


def by_prompt(path, unparsed):
    with h5py.File(path) as f:
        ids, scored, score = ([v.decode() if isinstance(v, bytes) else v for v in f[name][:]] for name in ("prompt_id", "scored", "score"))
    return {i: numpy.mean([s if ok else unparsed for p, ok, s in zip(ids, scored, score) if p == i]) for i in ids}


@pytest.mark.parametrize("name", ["maths", "follow", "rules", "thinking"])
def test_values_differences_and_errors_are_those_of_the_kept_samples(finished, name):
    _, run_dir, _, _ = finished
    start = by_prompt(run_dir / f"iter-000/watch-{name}.h5", -1)
    for e in events(run_dir, "watch"):
        if e["name"] != name:
            continue
        now = by_prompt(run_dir / f"iter-{e['iteration']:03d}/watch-{name}.h5", -1)
        values, differences = numpy.array(list(now.values())), numpy.array([now[i] - start[i] for i in start])
        assert e["value"] == pytest.approx(values.mean()) and e["value_se"] == pytest.approx(values.std(ddof=1) / len(values) ** 0.5)
        assert e["difference"] == pytest.approx(differences.mean(), abs=1e-12)
        assert e["difference_se"] == pytest.approx(differences.std(ddof=1) / len(values) ** 0.5, abs=1e-12)


def test_nothing_else_depends_on_what_is_watched(finished, alone):
    """The same samples, scores, pairs, weights and validation."""
    (_, with_it, _, _), (_, without, out) = finished, alone
    files = sorted(p.relative_to(without) for p in without.rglob("*.h5"))
    assert files == sorted(p.relative_to(with_it) for p in with_it.rglob("*.h5") if not p.name.startswith("watch-"))
    assert len(files) == 11
    for path in files:
        same_contents(with_it / path, without / path)
    rest = [e for e in events(with_it) if e["event"] != "watch"]
    assert without_times(rest) == without_times(events(without))
    assert "Watched" not in out and 'id="watch"' not in (without / "report.html").read_text()
    manifest = json.loads((without / "manifest.json").read_text())
    assert "watch" not in manifest and not [s for s in manifest["steps"] if s["step"].startswith("watch")]


def test_it_is_told_at_the_end_in_the_report_and_to_tensorboard(finished):
    _, run_dir, out, log = finished
    lines = {line.split()[0]: line for line in out.split("Watched besides:")[1].splitlines()[1:5]}
    assert "75.0 %     75.0 %   +0.0 ± 0.0" in lines["maths"] and list(lines) == ["maths", "follow", "rules", "thinking"]
    assert "iteration 1: watch maths: accuracy 75.0 % (+0.0 ± 0.0 against the start)" in log
    page = (run_dir / "report.html").read_text()
    part = page[page.index('<section id="watch">'):page.index('<section id="charts">')]
    assert all(part.count(f"{name}</th>") == 1 for name in lines) and ">maths</th><td>gsm8k</td><td>8</td><td>75.0" in part and "<svg" in part
    assert "follow, by check, loose</th>" in part and 'href="#watch"' in page
    written = next((run_dir / "tensorboard").iterdir()).read_bytes()
    for tag in ("watch/maths/value", "watch/rules/difference", "watch/follow/instruction_loose"):
        assert tag.encode() in written
    manifest = json.loads((run_dir / "manifest.json").read_text())
    assert set(manifest["watch"]) == {"maths", "follow", "rules", "thinking"}
    assert [f["path"] for s in manifest["steps"] if s["step"] == "watch-maths" for f in s["files"]] == [
        f"iter-{i:03d}/watch-maths.h5" for i in (0, 1, 2)]


def test_the_table_of_evaluations_has_what_was_measured_last(tpo, finished):
    _, run_dir, _, _ = finished
    (row,) = csv.DictReader(io.StringIO(tpo.ok("eval", "table", run_dir, "--format", "csv")))
    last = {e["name"]: e for e in events(run_dir, "watch")}
    assert row["model"] == run_dir.name and len(last) > 1
    for name, event in last.items():
        assert float(row[f"watch {name} ({event['kind']})"]) == event["value"] and event["iteration"] == 2


@pytest.fixture(scope="module")
def broken(tpo, write, data, tmp_path_factory):
    """A learning rate that breaks the model: all answers become one letter."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "lost.yaml").write_text('prompt: "{instruction}"\nresponse_marker: "no such marker"\n')
    write_lines(folder / "refer.jsonl", [{"instruction": "Say it.", "reference": "it"}, {"instruction": "Count.", "reference": "12"}])
    checks = [{"type": "keywords:existence", "keywords": [word]} for word in "abcdefgh" for _ in range(5)]
    write_lines(folder / "checks.jsonl", [{"instruction": f"Do {i}.", "checks": checks} for i in range(30)])
    config, run_dir = write(folder, "run", f"""
  watch:
    - {{{{name: greedy, prompts: {{data}}/rules.jsonl, kind: rule, thought: none}}}}
    - {{{{name: few, prompts: {{data}}/rules.jsonl, kind: rule, thought: none, limit: 7}}}}
    - {{{{name: lost, prompts: {{data}}/maths.jsonl, kind: gsm8k, thought: lost.yaml}}}}
    - {{{{name: refer, prompts: {folder}/refer.jsonl, kind: ifeval, thought: layout.yaml}}}}
    - {{{{name: checks, prompts: {folder}/checks.jsonl, kind: ifeval, thought: none}}}}
""")
    result = tpo("run", config, "--set", "train.learning_rate=0.05")
    assert result.returncode == 0, result.stderr.decode()
    return run_dir, result.stdout.decode(), result.stderr.decode()


def test_a_loss_is_warned_of_where_enough_is_compared(broken):
    run_dir, out, log = broken
    last = {e["name"]: e for e in events(run_dir, "watch")}
    for name in ("greedy", "few"):
        assert last[name]["difference"] < -2 * last[name]["difference_se"], "the model is to be broken here"
    assert (last["greedy"]["compared"], last["few"]["compared"]) == (20, 7)
    assert "warning: iteration 1: watch greedy is worse than at the start by more than two standard errors" in log
    assert log.count("is worse than at the start") == 1 and out.count("WORSE than at the start") == 1
    part = (run_dir / "report.html").read_text().split('<section id="watch">')[1].split("</section>")[0]
    assert part.count(">worse</strong>") == 1 and "over 8 instructions or more" in part


def test_outputs_that_do_not_parse_or_are_cut_are_told(broken):
    run_dir, out, log = broken
    assert "start model: watch lost: accuracy 0.0 %; 8 of 8 outputs don't parse\n" in log
    assert [line.endswith("   8 of 8 outputs don't parse") for line in out.splitlines() if line.startswith("  lost")] == [True]
    assert log.count("don't parse\n") == 2 and out.count("don't parse\n") == 1
    for e in events(run_dir, "watch"):
        with h5py.File(run_dir / f"iter-{e['iteration']:03d}/watch-{e['name']}.h5") as f:
            assert e["cut"] == sum(v in (b"length", b"context") for v in f["finish_reason"][:])
    assert max(e["cut"] for e in events(run_dir, "watch")) > 0
    assert "outputs cut at a budget or the context</th>" in (run_dir / "report.html").read_text()


def test_a_check_of_the_reference_is_named_as_the_rule_judge_names_it(broken):
    with h5py.File(broken[0] / "iter-000/watch-refer.h5") as f:
        checks = [json.loads(v)["checks"] for v in f["score_detail"][:]]
    assert [[c["type"] for c in row] for row in checks] == [["reference:exact"], ["reference:numeric"]]


@pytest.fixture
def many(data):
    """An entry that takes a while."""
    path = data / "many.jsonl"
    tiny.write_prompts(path, "many", 50)
    return f"\n  watch:\n    - {{{{name: many, prompts: {path}, kind: rule, thought: none, temperature: 1, k: 4}}}}\n"


def killed_while_it_watches(config, journal):
    process = subprocess.Popen(command(["run", config, "--set", "sampling.slots=2"])[4:], env=environment(EPOCH),
                               stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None and not (
            journal.is_dir() and sum(p.stat().st_size for p in journal.iterdir()) > 20_000):
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert journal.is_dir() and not journal.with_suffix("").exists()


def test_killed_while_it_watches_only_the_rest_is_drawn(tpo, write, many, tmp_path):
    config, run_dir = write(tmp_path, "run", many)
    killed_while_it_watches(config, run_dir / "iter-001/watch-many.h5.journal")
    result = tpo("run", config, "--resume", ranks=2, env=EPOCH)
    assert result.returncode == 0 and b"of 200 samples are kept there; the rest is drawn" in result.stderr, result.stderr.decode()
    other, whole = write(tmp_path, "whole", many)
    tpo.ok("run", other, env=EPOCH)
    for i in (0, 1):
        same_contents(run_dir / f"iter-00{i}/watch-many.h5", whole / f"iter-00{i}/watch-many.h5")
    assert without_times(events(run_dir)) == without_times(events(whole)) and not list(run_dir.rglob("*.journal"))


def test_what_was_not_measured_yet_may_change_or_go(tpo, write, many, tmp_path):
    """Killed within the start model's measurement: neither its settings nor its journal bind what comes."""
    config, run_dir = write(tmp_path, "run", many)
    killed_while_it_watches(config, run_dir / "iter-000/watch-many.h5.journal")
    gone = tmp_path / "gone"
    shutil.copytree(run_dir, gone)
    assert json.loads((run_dir / "manifest.json").read_text())["watch"].keys() == {"many"}
    write(tmp_path, "run", many.replace("k: 4", "k: 4, limit: 5"))
    tpo.ok("run", config, "--resume", env=EPOCH)
    assert [(e["iteration"], e["n"]) for e in events(run_dir, "watch")] == [(0, 5), (1, 5)]
    text = tpo.fails("run", config, "--resume", "--set", "run.watch=[" + many.split("- ")[1].format() + "]", code=1)
    assert "measured other instructions or with other settings" in text
    tpo.ok("run", config, "--run-dir", gone, "--resume", "--set", "run.watch=[]", env=EPOCH)
    assert not list(gone.rglob("watch-*"))


def test_with_fewer_iterations_than_are_finished_the_models_so_far_are_measured(tpo, write, tmp_path):
    few = "\n  watch: {{name: late, prompts: {data}/rules.jsonl, kind: rule, limit: 5}}\n"
    config, run_dir = write(tmp_path, "run", watch="", iterations=2)
    tpo.ok("run", config, env=EPOCH)
    write(tmp_path, "run", few, iterations=1)
    out = tpo.ok("run", config, "--resume", env=EPOCH)
    assert [(e["iteration"], e["name"]) for e in events(run_dir, "watch")] == [(0, "late"), (1, "late")]
    assert out.split("Watched besides:")[1].splitlines()[1].split()[0] == "late"
    tpo.ok("run", config, "--resume", "--set", "run.iterations=2", env=EPOCH)
    assert [(e["iteration"], e["name"]) for e in events(run_dir, "watch")] == [(0, "late"), (1, "late"), (2, "late")]


@pytest.fixture(scope="module")
def measured(tpo, write, data, tmp_path_factory):
    """A copy of a finished run that watched this kind."""
    entries = {kind: f"{{name: watch{i}, prompts: {data}/{'rules' if kind == 'rule' else 'maths'}.jsonl, limit: 3, kind: {kind}}}"
               for i, kind in enumerate(("gsm8k", "rule", "gsm8k, temperature: 1"))}
    listed = ", ".join(entries.values()).replace("{", "{{").replace("}", "}}")
    config, run_dir = write(tmp_path_factory.mktemp("measured"), "run", f"\n  watch: [{listed}]\n")
    tpo.ok("run", config)

    def measured(kind, folder):
        shutil.copytree(run_dir, folder / "run")
        return config, entries[kind]
    return measured


@pytest.mark.parametrize("kind, setting, alike", [
    ("gsm8k", "judge.empty_score=-2", True), ("rule", "judge.empty_score=-2", False),
    ("gsm8k", "sampling.temperature=0.5", False), ("gsm8k, temperature: 1", "sampling.temperature=0.5", True),
    ("gsm8k", "sampling.top_p=0.5", False),
])
def test_only_settings_that_bear_on_what_is_watched_bind_it(tpo, measured, tmp_path, kind, setting, alike):
    """What doesn't parse is drawn again at the run's temperature where the entry has none."""
    config, entry = measured(kind, tmp_path)
    args = ["run", config, "--run-dir", tmp_path / "run", "--resume", "--allow-changes", "--set", setting, "--set", f"run.watch=[{entry}]"]
    if alike:
        tpo.ok(*args)
    else:
        assert "measured other instructions or with other settings under this name" in tpo.fails(*args, code=1)


def test_a_watch_that_comes_later_is_measured_on_the_models_before(tpo, write, alone, finished, tmp_path):
    """On one rank, where those that it is compared with were two."""
    folder, run_dir = alone[1].parent, alone[1]
    metrics = (run_dir / "metrics.jsonl").read_bytes()
    config, _ = write(folder, "run", iterations=2)
    tpo.ok("run", config, "--resume")
    assert (run_dir / "metrics.jsonl").read_bytes().startswith(metrics)
    assert without_times(events(run_dir, "watch")) == without_times(events(finished[1], "watch"))
    for i, name in [(0, "maths"), (1, "follow"), (2, "rules"), (2, "thinking")]:
        same_contents(run_dir / f"iter-{i:03d}/watch-{name}.h5", finished[1] / f"iter-{i:03d}/watch-{name}.h5")
    size = (run_dir / "metrics.jsonl").stat().st_size
    tpo.ok("run", config, "--resume")  # nothing is left to be measured
    (tmp_path / "maths.jsonl").write_text(json.dumps({"question": "Two?", "answer": "#### 2"}) + "\n")
    other = f"run.watch=[{{name: maths, prompts: {tmp_path}/maths.jsonl, kind: gsm8k, thought: none}}]"
    text = tpo.fails("run", config, "--resume", "--set", other, code=1)
    assert "run.watch, maths:" in text and "measured other instructions or with other settings under this name" in text
    assert (run_dir / "metrics.jsonl").stat().st_size == size


def test_one_that_comes_within_an_iteration_waits_for_its_end(tpo, write, tmp_path):
    """Stopped in the second iteration's training, whose events it must not touch."""
    few = "\n  watch:\n    - {{name: thinking, prompts: {data}/rules.jsonl, kind: rule, limit: 5}}\n"
    config, run_dir = write(tmp_path, "run", watch="", iterations=2)
    more = ["--set", "train.epochs=3", "--set", "run.validate_each_epoch=false"]
    process = subprocess.Popen(command(["run", config, *more])[4:], env=environment(EPOCH), stderr=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None and not list(run_dir.glob("iter-002/checkpoint.h5.journal/state-*")):
        time.sleep(0.002)
    process.terminate()
    process.wait()
    assert list(run_dir.glob("iter-002/checkpoint.h5.journal/state-*")) and not (run_dir / "iter-002/checkpoint.h5").exists()
    metrics = (run_dir / "metrics.jsonl").read_bytes()
    config, _ = write(tmp_path, "run", few, iterations=2)
    out = tpo.ok("run", config, *more, "--set", "run.iterations=1", "--resume", env=EPOCH)  # ends before it
    assert "thinking                 not measured: iteration 2, which is half done, comes first" in out
    assert (run_dir / "metrics.jsonl").read_bytes() == metrics
    tpo.ok("run", config, *more, "--resume", env=EPOCH)
    assert (run_dir / "metrics.jsonl").read_bytes().startswith(metrics)
    other, whole = write(tmp_path, "whole", few, iterations=2)
    tpo.ok("run", other, *more, env=EPOCH)
    for name in (None, "watch"):
        keep = [[e for e in without_times(events(folder)) if (e["event"] == "watch") == (name == "watch")] for folder in (run_dir, whole)]
        assert keep[0] == keep[1] and keep[0]
    same_contents(run_dir / "iter-002/checkpoint.h5", whole / "iter-002/checkpoint.h5")


def test_it_works_without_validation_and_tells_a_limit_beyond_the_file_and_what_is_trained_on(tpo, write, tmp_path):
    taught = tmp_path / "taught.jsonl"  # some of its questions are trained on
    write_lines(taught, [{"question": f"Write something, train number {i}.", "answer": "#### 1"} for i in (*range(10), 99)])
    watch = "\n  watch:\n    - {{name: rules, prompts: {data}/rules.jsonl, kind: rule, limit: 500}}\n" \
        f"    - {{{{name: taught, prompts: {taught}, kind: gsm8k}}}}\n"
    config, run_dir = write(tmp_path, "run", watch)
    result = tpo("run", config, "--set", "data.validation_prompts=0", "--set", "run.validate_each_epoch=false", ranks=2)
    assert result.returncode == 0 and "Watched besides:" in result.stdout.decode()
    assert b"run.watch, rules: " in result.stderr and b"has 20 instructions, fewer than its limit of 500" in result.stderr
    assert [(e["iteration"], e["n"]) for e in events(run_dir, "watch")] == [(0, 20), (0, 11), (1, 20), (1, 11)]
    trained = {json.loads(line)["instruction"] for line in (run_dir / "iter-001/prompts.jsonl").read_text().splitlines()}
    n = len(trained & {f"Write something, train number {i}." for i in range(10)})
    assert n > 0 and f"run.watch, taught: the run trains on {n} of its 11 instructions, which stand in".encode() in result.stderr
    assert b"run.watch, rules: the run trains" not in result.stderr


def test_the_plan_counts_what_is_watched(tpo, write, tmp_path):
    config, _ = write(tmp_path, "run", iterations=2)
    text = tpo.ok("run", config, "--plan-only")
    rows = {line.split()[0]: line.split()[1:4] for line in text.split("Watch (run.watch)")[1].splitlines()[3:7]}
    assert rows == {"maths": ["8", "24", "96"], "follow": ["6", "36", "144"], "rules": ["20", "120", "480"], "thinking": ["5", "15", "60"]}
    assert "iter-001/watch-*.h5" in text and not (tmp_path / "run").exists()


def bytes_of(text):
    number, unit = text.split()
    return float(number) * {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]


def test_the_plan_has_room_for_files_and_journals_of_what_is_watched(tpo, broken, many, write, tmp_path):
    run_dir = broken[0]
    real = sum(p.stat().st_size for p in run_dir.glob("iter-001/watch-*.h5"))
    text = tpo.ok("run", run_dir.with_suffix(".yaml"), "--plan-only")
    most = bytes_of(re.search(r"watch-\*\.h5\s+[\d.]+ \w+\s+([\d.]+ \w+)", text).group(1))
    assert real / 1.2 < most < real * 1.5, (real, most)  # of which a third is how each check came out
    config, _ = write(tmp_path, "run", many.replace("k: 4", "k: 1000"))  # by far the most, and drawn four times at worst
    text = tpo.ok("run", config, "--plan-only", "--set", "run.validation_resample=3").split("Disk: ")[1]
    end, peak, most_end, most_peak = (bytes_of(re.search(pattern, text).group(1)) for pattern in (
        r"about ([\d.]+ \w+)", r"up to ([\d.]+ \w+)", r"\(at most ([\d.]+ \w+)\)", r"\(([\d.]+ \w+)\) on the way"))
    assert peak / end == pytest.approx(1.5, rel=0.1) and most_peak / most_end == pytest.approx(3, rel=0.1)


ROW = json.dumps({"instruction": "Say it.", "checks": [{"type": "punctuation:no_comma"}]}) + "\n"
BAD = [  # kind, the file (None: there is none), what is told
    ("rule", None, "No such file"),
    ("rule", "", "p.jsonl"),
    ("rule", ROW + "{\n", "p.jsonl:2: "),
    ("rule", ROW + '{"instruction": "Say it."}\n', "p.jsonl:2: instruction 2: no check to follow"),
    ("ifeval", ROW + '{"instruction": "Say.", "checks": [{"type": "no:such"}]}\n', "p.jsonl:2: "),
    ("rule", ROW + json.dumps({"instruction": "long " * 3000, "checks": [{"type": "punctuation:no_comma"}]}) + "\n", "p.jsonl:2: "),
    ("gsm8k", '{"question": "Two?", "answer": "#### 2"}\n{"question": "Three?", "answer": "three"}\n', "p.jsonl:2: "),
    ("gsm8k", json.dumps({"question": "long " * 3000, "answer": "#### 2"}) + "\n", "p.jsonl, question 0: "),
]


@pytest.mark.parametrize("kind, content, told", BAD)
def test_a_bad_file_is_refused_before_anything_is_computed(tpo, write, tmp_path, kind, content, told):
    if content is not None:
        (tmp_path / "p.jsonl").write_text(content)
    config, run_dir = write(tmp_path, "run", f"\n  watch: {{{{name: bad, prompts: {tmp_path}/p.jsonl, kind: {kind}}}}}\n")
    text = tpo.fails("run", config)
    assert "run.watch, bad: " in text and told in text and len(text.splitlines()) == 1 and not run_dir.exists()


@pytest.mark.parametrize("entries, told", [
    ("[{{name: a, prompts: p, kind: rule}}, {{name: a, prompts: q, kind: rule}}]", "run.watch, entry 2: the name a is entry 1's already"),
    ("[{{name: a, prompt: p, kind: rule}}]", "did you mean prompts?"),
    ("[{{name: a, prompts: p, kind: gms8k}}]", "did you mean gsm8k?"),
    ("[{{name: a, prompts: p, kind: rule, thought: nowhere.yaml}}]", "nowhere.yaml"),
    ("rule", "expected a list of {name: NAME"),
])
def test_a_bad_entry_is_refused_by_its_line(tpo, write, tmp_path, entries, told):
    config, run_dir = write(tmp_path, "run", f"\n  watch: {entries}\n")
    text = tpo.fails("run", config, code=2)
    assert "run.yaml:13: run.watch" in text and told in text and not run_dir.exists()
