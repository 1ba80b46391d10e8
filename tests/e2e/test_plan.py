"""`tpo run --plan-only`: what it tells is compared with what a run then takes."""
import json
import math
import re
import struct
import subprocess
import sys

import pytest

import families
import tiny
from conftest import ROOT

CONFIG = """
seed: 5
model: {{path: {model}, dtype: {dtype}}}
thought: {{name: generic, thought_tokens: 10, response_tokens: 16, on_budget: force}}
data: {{{data}prompts_per_iteration: 8, validation_prompts: 4}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 48, slots: 8}}
train: {{learning_rate: 1e-4, batch: 3, epochs: 2, micro_batch_tokens: 4096, warmup: 0}}
run: {{dir: {run_dir}, iterations: 2, validation_temperature: 1, deadline: 60}}
"""
UNITS = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


def write_config(tmp_path, model, dtype="fp32", composed=True):
    data = ""
    if not composed:
        tiny.write_prompts(tmp_path / "train.jsonl", "train", 16)
        tiny.write_prompts(tmp_path / "validation.jsonl", "validation", 4)
        data = f"train: {tmp_path / 'train.jsonl'}, validation: {tmp_path / 'validation.jsonl'}, "
    path = tmp_path / "plan.yaml"
    path.write_text(CONFIG.format(model=model, dtype=dtype, data=data, run_dir=tmp_path / "run"))
    return path, tmp_path / "run"


def plan(tpo, config, *args, **kwargs):
    return tpo.ok("run", config, "--plan-only", *args, **kwargs)


def table(text, title):
    """{row: {column: number}} of the table under a title."""
    lines = text[text.index(title):].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(("  iteration", "  to step")))
    columns = re.split(r" {2,}", lines[start].strip())
    rows = {}
    for line in lines[start + 1:]:
        if not line.startswith("  "):
            break
        cells = line.split()
        assert len(cells) == len(columns), line
        rows[cells[0]] = dict(zip(columns[1:], (int(c.replace(",", "")) for c in cells[1:])))
    return rows


def sampling(text):
    return table(text, "\nSampling and training")


def validation(text):
    return table(text, "\nValidation:")


def files(text):
    """{name: (about, at most)} in bytes."""
    found = re.findall(r"^  iter-001/(\S+) +([\d.]+) (\w+) +([\d.]+) (\w+)", text, re.M)
    return {name: (float(a) * UNITS[u], float(m) * UNITS[v]) for name, a, u, m, v in found}


def calls(text, kind):
    """In all, on samples, in validation."""
    line = next(x for x in text.splitlines() if x.startswith(f"  {kind}: "))
    return tuple(int(n.replace(",", "")) for n in re.findall(r"(?<![\w:/.])[\d,]*\d(?= )", line.split(": ", 1)[1]))


@pytest.fixture(scope="module", params=[True, False], ids=["composed", "file"])
def finished(request, tpo, tiny_model, tmp_path_factory):
    """A plan and the run that it is of."""
    tmp_path = tmp_path_factory.mktemp("planned")
    config, run_dir = write_config(tmp_path, tiny_model, "bf16" if request.param else "fp32", request.param)
    before = plan(tpo, config)
    assert not run_dir.exists()
    tpo.ok("run", config, ranks=2)
    return config, run_dir, before


def tokens_of(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path) as f:
        prompts = dict(zip(f["prompt_id"][:], f["prompt_token_offset"][1:] - f["prompt_token_offset"][:-1]))
        return (int(sum(prompts.values())), len(f["k"]), len(f["token_ids"]) - int(f["inserted"][:].sum()),
                len(f["token_ids"]))


def test_prompts_and_samples_are_exact(finished):
    _, run_dir, text = finished
    rows = sampling(text)
    for i in (1, 2):
        prompt_tokens, samples, drawn, _ = tokens_of(run_dir / f"iter-00{i}" / "samples.h5")
        row = rows[str(i)]
        assert row["prompts"] == 8 and row["prompt tokens"] == prompt_tokens and row["samples"] == samples == 32
        assert drawn <= row["at most"] == 32 * 26
        assert row["tokens, about"] == 32 * 13
        assert row["judge calls"] == 0
    assert rows["total"] == {c: rows["1"][c] + rows["2"][c] for c in rows["1"]}
    validated = int(re.search(r"4 instructions of ([\d,]+) prompt tokens", text).group(1).replace(",", ""))
    assert validated == tokens_of(run_dir / "iter-000" / "validation.h5")[0]


def test_pairs_and_steps_are_bounds(finished):
    _, run_dir, text = finished
    events = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    for i in (1, 2):
        pairs = next(e["pairs"] for e in events if e["event"] == "pairs" and e["iteration"] == i)
        steps = [e for e in events if e["event"] == "step" and e["iteration"] == i]
        row = sampling(text)[str(i)]
        assert pairs <= row["pairs <="] == 8
        assert len(steps) == 2 * -(-pairs // 3) <= row["steps <="] == 2 * 3
    most = int(re.search(r"at most ([\d,]+) tokens in all", text).group(1).replace(",", ""))
    assert sum(e["tokens"] for e in events if e["event"] == "step") <= most


def test_validations_are_counted(finished):
    _, run_dir, text = finished
    events = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    rows = validation(text)
    for i in range(3):
        row = rows["start" if i == 0 else str(i)]
        done = sum(e["event"] in ("validate", "epoch") and e["iteration"] == i for e in events)
        assert row["validations"] == done and row["samples"] == 4 * done and row["with redraws"] == 16 * done
    assert rows["total"]["validations"] == 7


def test_file_sizes_are_right(tpo, finished):
    """Files of tokens and texts within half as much again, once told how many tokens an output has."""
    config, run_dir, _ = finished
    _, samples, _, tokens = tokens_of(run_dir / "iter-001" / "samples.h5")
    told = files(plan(tpo, config, "--expect-tokens", max(1, round(tokens / samples) - 8)))
    assert set(told) == {"prompts.jsonl", "samples.h5", "scored.h5", "pairs.h5", "checkpoint.h5",
                         "checkpoint.h5.journal", "validation.h5"}
    for name in sorted(set(told) - {"checkpoint.h5.journal"}):
        real = (run_dir / "iter-001" / name).stat().st_size
        limit = 1.01 if name == "checkpoint.h5" else 1.5
        if name == "pairs.h5":
            assert real < limit * told[name][1]  # there may be fewer pairs than instructions
        else:
            assert real / limit < told[name][0] < real * limit, name
        assert real < limit * told[name][1], name


def test_disk_is_the_sum(tpo, finished):
    config, run_dir, _ = finished
    text = plan(tpo, config, "--expect-tokens", 26)
    number, unit = re.search(r"Disk: about ([\d.]+) (\w+) when done", text).groups()
    real = sum(p.stat().st_size for p in run_dir.rglob("*.h5"))
    assert float(number) * UNITS[unit] == pytest.approx(real, rel=0.1)
    assert "holds a run already" in text and re.search(r"[\d.]+ [GT]B are free at ", text)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("keep", ["true", "false"])
@pytest.mark.parametrize("layers", [1, 12])
def test_checkpoint_size_is_exact(tpo, tmp_path, dtype, keep, layers):
    model = tiny.make(tmp_path / "m", layers=layers)
    config, _ = write_config(tmp_path, model, dtype)
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"prompt_ids":[5,6],"chosen_ids":[7,8,2],"rejected_ids":[9,2]}\n')
    tpo.ok("dpo", "--config", config, "--pairs", pairs, "--out", tmp_path / "c.h5", "--set",
           f"train.save_optimizer={keep}")
    told = files(plan(tpo, config, "--set", f"train.save_optimizer={keep}"))["checkpoint.h5"]
    assert told[0] == told[1] == pytest.approx((tmp_path / "c.h5").stat().st_size, rel=0.01)


def test_checkpoint_size_of_a_real_model(tpo, smollm2, tmp_path):
    config, _ = write_config(tmp_path, smollm2, "bf16")
    told = files(plan(tpo, config, "--set", "data.prompts_per_iteration=2", "--set", "data.validation_prompts=2"))
    assert told["checkpoint.h5"][0] == pytest.approx(134515008 * (2 + 4 + 8), rel=0.01)


def test_no_weights_are_read_and_nothing_is_written(tpo, tmp_path):
    model = tiny.make(tmp_path / "m")
    config, run_dir = write_config(tmp_path, model)
    expected = plan(tpo, config)
    (model / "model.safetensors").unlink()
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    assert plan(tpo, config) == expected
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before and not run_dir.exists()


def test_two_ranks_tell_the_same_once(tpo, tiny_model, tmp_path):
    config, _ = write_config(tmp_path, tiny_model)
    one, two = plan(tpo, config), plan(tpo, config, ranks=2)
    one_disk, two_disk = [re.sub(r"[\d.]+ [GT]B are free", "", text.split("\nMemory")[0]) for text in (one, two)]
    assert one_disk == two_disk
    assert "each of 1 rank " in one and "each of 2 ranks " in two


def test_judge_calls(tpo, tiny_model, tmp_path):
    """On 2 iterations of 8 instructions, 4 samples each; 7 validations of 4 instructions, of which the start model's is
    not compared with anything."""
    config, _ = write_config(tmp_path, tiny_model)

    def told(kind, *args):
        text = plan(tpo, config, "--set", f"judge.kind={kind}", *[x for a in args for x in ("--set", a)])
        assert calls(text, kind)[1] == sampling(text)["total"]["judge calls"]
        assert calls(text, kind)[2] == validation(text)["total"]["judge calls"]
        assert calls(text, kind)[0] == sum(calls(text, kind)[1:])
        return calls(text, kind)[1:]

    assert told("command:cat") == (16, 28)
    assert told("command:cat", "run.validate_each_epoch=false") == (16, 12)
    # Each pair in both orders; in validation against the start model 6 times, and once against iteration 1.
    assert told(f"pairwise:{tiny_model}") == (16 * 12, (6 + 1) * 4 * 2)
    assert told(f"pairwise:{tiny_model}", "judge.comparisons=5") == (16 * 5, 7 * 4 * 2)
    # Two responses that are compared with each other alone are judged in both positions, whatever is asked of samples.
    assert told(f"pairwise:{tiny_model}", "judge.comparisons=2") == (16 * 2, 7 * 4 * 2)
    assert told(f"pairwise:{tiny_model}", "run.validation_k=3", "train.epochs=1") == (16 * 12, 3 * 4 * 3 * 2)
    assert told(f"pairwise:{tiny_model}", f"run.baseline={tmp_path}") == (16 * 12, (7 + 3) * 4 * 2)


@pytest.mark.parametrize("kind", ["http://example.org/v1", "https://example.org/v1", "http:https://example.org/v1"])
@pytest.mark.parametrize("routed", [False, True])
def test_judge_calls_of_servers(tpo, tiny_model, tmp_path, kind, routed):
    config, _ = write_config(tmp_path, tiny_model)
    judge = ["judge.kind=route", f"judge.routes=['* -> {kind}']"] if routed else [f"judge.kind={kind}"]

    def told(*args):
        text = plan(tpo, config, *[x for a in (*judge, *args) for x in ("--set", a)])
        return next(line for line in text.splitlines() if line.startswith(f"  {kind}: ")), calls(text, kind)[1:]

    line, numbers = told("judge.mode=absolute")
    assert numbers == (16 * 4, 28) and " requests, " in line
    line, numbers = told("judge.mode=pairwise")
    assert numbers == (16 * 12, 7 * 4 * 2) and " comparisons asked of the server, " in line
    assert told("judge.mode=pairwise", "judge.comparisons=2")[1] == (16 * 2, 7 * 4 * 2)


def test_judge_calls_of_judges_that_are_not_here(tpo, tiny_model, tmp_path):
    config, _ = write_config(tmp_path, tiny_model)
    text = plan(tpo, config, "--set", "judge.kind=reward:/nowhere/rm")
    assert calls(text, "reward:/nowhere/rm") == (16 * 4 + 28, 16 * 4, 28)
    assert "warning: " in text and "/nowhere/rm" in text.split("warning: ")[1]
    assert "no calls" in plan(tpo, config)


def write_hollow(path, shapes):
    """Tensors of these shapes whose zeroes take no room on the disk, of which a plan reads none; returns the number of their
    elements."""
    header, n = {}, 0
    for name, shape in shapes.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [4 * n, 4 * (n + math.prod(shape))]}
        n += math.prod(shape)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.truncate(8 + len(text) + 4 * n)
    return n


def test_a_judges_model_counts_while_it_judges(tpo, tiny_model, tmp_path):
    config, _ = write_config(tmp_path, tiny_model)
    big = families.make_reward(tmp_path / "judge", "qwen3")
    settings = {**json.loads((big / "config.json").read_text()), "hidden_size": 1024, "intermediate_size": 8192}
    (big / "config.json").write_text(json.dumps(settings))
    shapes = {**families.tensors(settings, head=False), "score.weight": [1, 1024]}
    count = write_hollow(big / "model.safetensors", shapes) - 1024

    def told(*settings):
        text = plan(tpo, config, *[x for s in settings for x in ("--set", s)])
        line = re.search(r"  judging: ([\d.]+ \wB) and more: weights ([\d.]+ \wB), the judge's (.*?), and (.*);", text)
        most = re.search(r"at most ([\d.]+ \wB)", text[text.index("\nMemory"):]).group(1)
        return line, size(most)

    def size(text):
        number, unit = text.split()
        return float(number) * UNITS[unit]

    assert told()[0] is None
    most = told()[1]
    line, with_judge = told(f"judge.kind=reward:{big}")
    assert size(line[3]) == pytest.approx(4 * count, rel=0.02)
    assert "between epochs" in line[4] and size(line[1]) > size(line[2]) + size(line[3])
    assert with_judge == pytest.approx(max(most, size(line[1])), rel=0.02) and size(line[3]) > most
    assert told(f"judge.kind=reward:{big}", "run.validate_each_epoch=false")[0][4] == "the master weights"
    assert size(told(f"judge.kind=pairwise:{tiny_model}")[0][3]) < size(line[3]) / 10
    assert "not known" in told("judge.kind=reward:/nowhere/rm")[0][3]


def test_judge_calls_of_routes(tpo, tiny_model, tmp_path):
    rows = [{"id": f"p{i}", "instruction": f"Name {i} rivers.", "category": "a" if i % 4 == 0 else "b"} for i in range(16)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    config, _ = write_config(tmp_path, tiny_model)
    text = plan(tpo, config, "--set", f"data.train={tmp_path / 'p.jsonl'}", "--set", "judge.kind=route", "--set",
                "judge.routes=[category=a -> command:cat, 'checks -> rule', '* -> command:sort']")
    assert calls(text, "command:cat") == (4, 4, 0)
    assert calls(text, "command:sort") == (12, 12, 0)
    assert "rule: verifiable checks, no calls" in text
    assert sampling(text)["total"]["judge calls"] == 16


def test_a_chat_is_planned_for_the_judge_that_it_goes_to(tpo, tiny_model, tmp_path):
    """And its messages, which a row of samples holds besides, count among the bytes of files."""
    chat = [{"role": "user", "content": "Hello. " + "Well. " * 100}, {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "Name a river."}]
    rows = [{"id": f"p{i}", **({"messages": chat} if i % 4 == 0 else {"instruction": f"Name {i} rivers."})} for i in range(16)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    config, _ = write_config(tmp_path, tiny_model)
    args = ["--set", f"data.train={tmp_path / 'p.jsonl'}", "--set", "judge.kind=route", "--set",
            "judge.routes=['messages -> command:cat', '* -> rule']"]
    text = plan(tpo, config, *args)
    assert calls(text, "command:cat") == (4, 4, 0)
    assert sampling(text)["total"]["judge calls"] == 4
    tpo.ok("generate", "--config", config, "--prompts", tmp_path / "p.jsonl", "--out", tmp_path / "s.h5")
    told = files(plan(tpo, config, *args, "--set", "run.iterations=1", "--set", "data.prompts_per_iteration=16",
                      "--expect-tokens", 26))
    assert told["samples.h5"][0] == pytest.approx((tmp_path / "s.h5").stat().st_size, rel=0.1)


def test_settings_change_what_is_told(tpo, tiny_model, tmp_path):
    config, _ = write_config(tmp_path, tiny_model)

    def row(*args):
        return sampling(plan(tpo, config, *[x for a in args for x in ("--set", a)]))["1"]

    assert row("pairs.mode=all")["pairs <="] == 8 * 6
    assert row("pairs.mode=all", "pairs.max_pairs_per_prompt=2")["pairs <="] == 8 * 2
    assert row("train.batch=100")["steps <="] == 2
    assert row("thought.response_tokens=0")["at most"] == 32 * 48
    assert row("sampling.k=2")["samples"] == 16
    text = plan(tpo, config, "--set", "data.validation_prompts=0", "--set", "run.validate_each_epoch=false")
    assert "No validation" in text and "validation.h5" not in text
    text = plan(tpo, config, "--set", "train.epochs=1")
    assert validation(text)["total"]["validations"] == 3
    assert sampling(plan(tpo, config, "--expect-tokens", 1000))["1"]["tokens, about"] == 32 * 26


def test_a_budget_is_no_more_than_the_context_leaves(tpo, tmp_path):
    model = tiny.make(tmp_path / "m", context=512)
    config, _ = write_config(tmp_path, model, composed=False)
    text = plan(tpo, config, "--set", "thought=none", "--set", "sampling.max_tokens=1000")
    row = sampling(text)["1"]
    assert row["at most"] == 4 * (8 * 512 - row["prompt tokens"])


def test_what_is_too_large_for_disk_and_memory_is_told(tpo, tmp_path):
    """A model of 377 billion parameters, of which only the configuration is there."""
    model = tiny.make(tmp_path / "m")
    (model / "model.safetensors").unlink()
    settings = json.loads((model / "config.json").read_text())
    settings.update(hidden_size=8192, intermediate_size=65536, num_hidden_layers=200, num_attention_heads=64,
                    num_key_value_heads=64)
    (model / "config.json").write_text(json.dumps(settings))
    config, _ = write_config(tmp_path, model)
    text = plan(tpo, config, "--set", "run.iterations=50")
    assert re.search(r"warning: [\d.]+ \w+ are free at .*, which is not enough", text)
    assert re.search(r"warning: training needs [\d.]+ TB of memory .* but [\d.]+ [MG]B are there", text)
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"prompt_ids": [5], "chosen_ids": [6], "rejected_ids": [7]}\n')
    refused = tpo.fails("dpo", "--config", config, "--pairs", pairs, "--out", tmp_path / "c.h5", code=1)
    assert re.search(r"training needs [\d.]+ TB of memory .* activations of 4 tokens .* but [\d.]+ [MG]B are there", refused)
    small = plan(tpo, write_config(tmp_path, tiny.make(tmp_path / "s"))[0])
    assert "warning" not in small and " are free at " in small


@pytest.mark.parametrize("ranks", [0, 2])
@pytest.mark.parametrize("args, code, words", [
    (["--set", "data.prompts_per_iteration=9"], 2, "16 instructions"),
    (["--resume"], 2, "--resume"),
    (["--expect-tokens", "0"], 2, "--expect-tokens"),
    (["--set", "model.path=/nowhere/m"], 2, "/nowhere/m"),
    (["--set", "judge.kind=nothing"], 2, "judge.kind"),
    (["--set", "judge.kind=route"], 2, "judge.routes"),
    (["--set", "data.train=/nowhere/t.jsonl"], 2, "/nowhere/t.jsonl"),
])
def test_what_the_run_would_refuse_is_refused(tpo, tiny_model, tmp_path, ranks, args, code, words):
    config, run_dir = write_config(tmp_path, tiny_model, composed=False)
    text = tpo.fails("run", config, "--plan-only", *args, ranks=ranks, code=code)
    assert words in text and not run_dir.exists()


def test_prompts_that_fill_the_context_are_refused(tpo, tmp_path):
    config, _ = write_config(tmp_path, tiny.make(tmp_path / "m", context=64), composed=False)
    text = tpo.fails("run", config, "--plan-only", code=1)
    assert "validation.jsonl:1: instruction " in text and "context of 64" in text


def test_expect_tokens_alone_is_refused(tpo, tiny_model, tmp_path):
    config, run_dir = write_config(tmp_path, tiny_model)
    assert "--plan-only" in tpo.fails("run", config, "--expect-tokens", 5, code=2)
    assert not run_dir.exists()


def test_rows_that_the_judge_cannot_check_or_that_are_too_long_may_be_skipped(tpo, tiny_model, tmp_path):
    config, run_dir = write_config(tmp_path, tiny_model, composed=False)
    train = tmp_path / "train.jsonl"
    lines = train.read_text().splitlines()
    bad = {3: '{"instruction": "Write.", "checks": [{"type": "no:such"}]}', 6: '{"instruction": 5}',
           9: '{"instruction": "Write.", "checks": [{"type": "length_constraints:number_words", "num_words": "x"}]}',
           12: json.dumps({"instruction": "long " * 10000})}
    for number, line in bad.items():
        lines.insert(number - 1, line)
    train.write_text("\n".join(lines) + "\n")
    for plan_only in ([], ["--plan-only"]):
        text = tpo.fails("run", config, "--skip-bad", 2, *plan_only)
        assert "more bad rows than the 2 that are allowed" in text and "train.jsonl:9: instruction 9: " in text, text
        text = tpo.fails("run", config, "--skip-bad", 3, *plan_only)
        assert "train.jsonl:12: " in text and "leaves no room for an answer" in text, text
        assert plan_only or not run_dir.exists()
        result = tpo("run", config, "--skip-bad", 4, "--set", "train.epochs=1", *plan_only, ranks=0 if plan_only else 2)
        told = result.stderr.decode()
        assert result.returncode == 0, told
        for i, number in enumerate(bad):
            assert told.count(f"train.jsonl:{number}: ") == 1 and f"({i + 1} of 4 allowed)" in told, told
    used = [json.loads(line)["id"] for i in (1, 2) for line in (run_dir / f"iter-00{i}" / "prompts.jsonl").read_text().splitlines()]
    assert sorted(used) == sorted(f"train-{i}" for i in range(16))


PAPER = sorted((ROOT / "configs").glob("*-[0-9]b-*.yaml"))


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_each_number_of_the_papers_configurations_says_where_it_is_from(path):
    numbers = re.compile(r"^ *\w+: +-?[\d.]+(e-?\d+)?( |$)")
    lines = [line for line in path.read_text().splitlines() if numbers.match(line)]
    assert len(lines) > 15
    sources = "paper|ours|theirs" if path.stem == "llama3-8b-semi-online" else "paper|ours"
    assert not [line for line in lines if not re.search(rf"# ({sources})\b", line)]


def test_the_papers_instructions_are_made_as_the_reference_page_tells(tpo, tiny_model, tmp_path):
    """UltraFeedback's six files, of which 21,500 instructions become what the configurations name."""
    recipe = re.search(r"```python\n(.*?)```", (ROOT / "configs/README.md").read_text(), re.S).group(1)
    (tmp_path / "UltraFeedback").mkdir()
    for i, name in enumerate(["evol_instruct", "false_qa", "flan", "sharegpt", "truthful_qa", "ultrachat"]):
        rows = [{"source": name, "instruction": f" Say \u201c{i}\u201d\n{j} times. ", "completions": []} for j in range(3600)]
        rows += [rows[0], {"source": name, "instruction": " "}, {"source": name, "instruction": "long " * 2000}]
        (tmp_path / "UltraFeedback" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    subprocess.run([sys.executable, "-c", recipe], cwd=tmp_path, check=True)
    made = {name: [json.loads(line)["instruction"] for line in (tmp_path / f"data/{name}.jsonl").read_text().splitlines()]
            for name in ("instructions", "validation")}
    assert len(made["instructions"]) == 20000 and len(made["validation"]) == 1500
    assert len({*made["instructions"], *made["validation"]}) == 21500, "nothing twice, nothing in both"
    assert all(re.fullmatch("Say \u201c\\d\u201d\n\\d+ times.", text) for text in made["instructions"])
    few = ["run.iterations=1", "data.prompts_per_iteration=50", "data.validation_prompts=20", "sampling.max_tokens=20",
           f"data.train={tmp_path / 'data/instructions.jsonl'}", f"data.validation={tmp_path / 'data/validation.jsonl'}",
           f"model.path={tiny_model}", "judge.kind=rule"]
    out = plan(tpo, ROOT / "configs/llama3-8b-armorm-specific.yaml", "--backend", "cpu", *[x for key in few for x in ("--set", key)])
    assert sampling(out)["1"]["prompts"] == 50
