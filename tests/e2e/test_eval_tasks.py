"""`tpo eval ifeval` and `tpo eval gsm8k`: on files of responses as they are published, on samples and on a model."""
import gzip
import json
import os
import pathlib
import signal

import pytest

import tiny
from test_resume import size_of, start, stop_at

DATA = os.environ.get("TPO_TEST_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TPO_TEST_DATA does not name the evaluation data")
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
DRAW = ["--k", 3, "--temperature", 1, "--top-p", 1, "--max-tokens", 40, "--dtype", "fp32"]
FIGURES = ["prompt_strict", "instruction_strict", "prompt_loose", "instruction_loose"]


def lines(path):
    with (gzip.open if str(path).endswith(".gz") else open)(path, "rt") as file:
        return [json.loads(line) for line in file]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def without(result, *names):
    return {key: value for key, value in result.items() if key not in ("provenance", *names)}


IFEVAL = [{"key": 1, "prompt": "No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
          {"key": 2, "prompt": "Quote, with a title.", "instruction_id_list": ["startend:quotation", "detectable_format:title"],
           "kwargs": [{}, {}]}]
GSM8K = [{"question": f"How many are {i} and {i}?", "answer": f"{i}+{i}=<<{i}+{i}={2 * i}>>{2 * i}\n#### {2 * i:,}"}
         for i in (1, 3, 600, 4)]


def test_ifeval_matches_what_it_says(tpo, tmp_path):
    prompts = write(tmp_path / "p.jsonl", IFEVAL)
    responses = write(tmp_path / "r.jsonl", [{"prompt": "Quote, with a title.", "response": "Here:\n\"<<T>> x\""},
                                             {"prompt": "No commas.", "response": "Fine."}, {"prompt": "else", "response": "x"}])
    result = tpo("eval", "ifeval", "--prompts", prompts, "--responses", responses, "--details", tmp_path / "d.jsonl", "--save",
                 tmp_path / "save", env=EPOCH)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert [told[name] for name in FIGURES] == [0.5, 2 / 3, 1, 1]
    assert (told["n_prompts"], told["n_instructions"], told["missing"], told["unknown"]) == (2, 3, 0, 1)
    assert {"type": "startend:quotation", "n": 1, "strict": 0, "loose": 1} in told["types"]
    assert [f["name"] for f in told["provenance"]["files"]] == ["prompts", "responses"]
    assert b"r.jsonl:3" in result.stderr
    details = lines(tmp_path / "d.jsonl")
    assert [d["key"] for d in details] == [1, 2]
    assert details[1]["follow_instruction_list"] == [False, True] and details[1]["follow_all_instructions"] is False
    assert details[1]["follow_all_instructions_loose"] is True
    assert json.loads((tmp_path / "save" / "ifeval.json").read_text()) == told
    limited = tpo("eval", "ifeval", "--prompts", prompts, "--responses", responses, "--limit", 1)
    some = json.loads(limited.stdout)
    assert b"2 responses are to none of the first 1 prompts of" in limited.stderr
    assert (some["n_prompts"], some["unknown"], some["prompt_strict"]) == (1, 2, 1)
    # The same by ranks.
    assert tpo.ok("eval", "ifeval", "--prompts", prompts, "--responses", responses, ranks=2, env=EPOCH) == \
        result.stdout.decode().replace('"ranks": 1', '"ranks": 2')


@needs_data
@pytest.mark.parametrize("name", ["Llama-3.1-8B-Instruct", "gpt4_20231107"])
def test_ifeval_agrees_with_the_published_labels(tpo, tmp_path, name):
    folder = pathlib.Path(DATA) / "ifeval"
    labelled = lines(folder / f"labelled_{name}.jsonl.gz")
    prompts = {row["key"]: row["prompt"] for row in lines(folder / "input_data.jsonl")}
    responses = write(tmp_path / "r.jsonl", [{"prompt": prompts[row["key"]], "response": row["response"]} for row in labelled])
    told = json.loads(tpo.ok("eval", "ifeval", "--prompts", folder / "input_data.jsonl", "--responses", responses, "--details",
                             tmp_path / "d.jsonl"))
    assert (told["n_prompts"], told["n_instructions"], told["missing"]) == (271, 427, 270)
    details = {row["key"]: row for row in lines(tmp_path / "d.jsonl")}
    libraries, n, differ = ("language:", "change_case:", "length_constraints:number_sentences"), {}, {}
    for row in labelled:
        for label, field in (("strict", "follow_instruction_list"), ("loose", "follow_instruction_list_loose")):
            for kind, theirs, ours in zip(row["instruction_id_list"], row[label], details[row["key"]][field]):
                group = kind.startswith(libraries)
                n[group] = n.get(group, 0) + 1
                if theirs != ours:
                    differ[group] = differ.get(group, 0) + 1
                    print(f"differs: {name} key {row['key']} {kind} {label}, label {theirs}")
    assert differ.get(False, 0) == 0 and n[False] > 500
    assert differ.get(True, 0) <= 0.02 * n[True], (differ, n)


@needs_data
def test_gsm8k_reproduces_the_published_labels(tpo, tmp_path):
    folder = pathlib.Path(DATA) / "gsm8k"
    told = json.loads(tpo.ok("eval", "gsm8k", "--prompts", folder / "test.jsonl.gz", "--solutions",
                             folder / "labelled_solutions.jsonl.gz", "--details", tmp_path / "d.jsonl"))
    labels = lines(folder / "labelled_solutions.jsonl.gz")
    assert told["labels"] == {"n": 2640, "agree": 2640}
    assert told["n"] == 2640 and told["accuracy"] == pytest.approx(sum(row["is_correct"] for row in labels) / 2640, abs=1e-12)
    assert [m["model"] for m in told["models"]] == ["6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"]
    verdicts = {(row["model"], row["index"]): row["correct"] for row in lines(tmp_path / "d.jsonl")}
    assert verdicts == {(row["model"], row["index"]): row["is_correct"] for row in labels}
    one = write(tmp_path / "one.jsonl", [{"index": r["index"], "solution": r["solution"]} for r in labels if r["model"] == "175b_verification"])
    told = json.loads(tpo.ok("eval", "gsm8k", "--prompts", folder / "test.jsonl.gz", "--solutions", one))
    assert told["n"] == 660 and told["accuracy"] == pytest.approx(373 / 660) and "labels" not in told


def test_responses_to_other_questions_are_told_or_refused(tpo, tmp_path):
    prompts = write(tmp_path / "p.jsonl", GSM8K)
    rows = [{"index": i, "question": row["question"] + " ", "response": "2"} for i, row in enumerate(GSM8K)]
    rows[3]["question"] = "How many is 4 and 4?"
    result = tpo("eval", "gsm8k", "--prompts", prompts, "--responses", write(tmp_path / "r.jsonl", rows))
    told = json.loads(result.stdout)
    assert (told["n"], told["text_differs"], told["unknown"]) == (4, 1, 0)
    assert b"1 responses are to another text" in result.stderr and b"r.jsonl:4" in result.stderr
    for row in rows:
        row["question"] = "Another: " + str(row["index"])
    text = tpo.fails("eval", "gsm8k", "--prompts", prompts, "--responses", write(tmp_path / "r.jsonl", rows), code=1)
    assert "4 of its 4 responses are to another text" in text


def test_prompts_beyond_the_limit_need_no_room(tpo, ender, tmp_path):
    prompts = write(tmp_path / "p.jsonl", [IFEVAL[0], dict(IFEVAL[1], prompt="Quote. " * 20000)])
    ask = ["eval", "ifeval", "--model", ender, "--prompts", prompts, "--thought", "none", "--max-tokens", 4]
    assert "p.jsonl:2" in tpo.fails(*ask, code=1)
    assert json.loads(tpo.ok(*ask, "--limit", 1))["n_prompts"] == 1


def test_gsm8k_reads_numbers_as_it_says(tpo, tmp_path):
    prompts = write(tmp_path / "p.jsonl", GSM8K)
    responses = write(tmp_path / "r.jsonl", [
        {"index": 0, "response": "I take 7. The answer is **2**, not 9."}, {"index": 1, "response": "\\boxed{6} or 5"},
        {"question": GSM8K[2]["question"], "response": "That makes $1,200.00"}, {"index": 3, "response": "no idea"}])
    result = tpo("eval", "gsm8k", "--prompts", prompts, "--responses", responses, "--details", tmp_path / "d.jsonl")
    told = json.loads(result.stdout)
    assert (told["accuracy"], told["n"], told["correct"], told["no_answer"]) == (0.75, 4, 3, 1)
    assert told["standard_error"] == pytest.approx(0.25)
    details = lines(tmp_path / "d.jsonl")
    assert [d["extracted"] for d in details] == [2, 6, 1200, None]
    assert [d["found_as"] for d in details] == ["the answer is", "boxed", "last number", "none"]


@pytest.fixture(scope="module")
def ender(tmp_path_factory):
    return tiny.end_often(tiny.make(tmp_path_factory.mktemp("ender") / "model"))


@pytest.mark.parametrize("name, rows, more, thought", [
    ("ifeval", IFEVAL, ["--thought", "none"], "none"), ("gsm8k", GSM8K, [], "none"),
    ("gsm8k", GSM8K, ["--prompting", "shots:2"], "none"), ("gsm8k", GSM8K, ["--prompting", "thought"], "generic"),
    ("gsm8k", GSM8K, ["--prompting", "answer-only", "--thought", "generic"], "generic")])
def test_a_model_is_asked_and_its_responses_are_kept(tpo, ender, tmp_path, name, rows, more, thought):
    prompts, told = write(tmp_path / "p.jsonl", rows), []
    for ranks in (0, 2):
        out = tmp_path / f"r{ranks}.jsonl"
        text = tpo.ok("eval", name, "--model", ender, "--prompts", prompts, "--out", out, *more, *DRAW, ranks=ranks)
        told.append(json.loads(text))
        assert not pathlib.Path(f"{out}.journal").exists()
    assert without(told[0]) == without(told[1])
    assert (tmp_path / "r0.jsonl").read_bytes() == (tmp_path / "r2.jsonl").read_bytes()
    assert told[0]["provenance"]["model"]["hash"] and told[0]["n_responses"] == 3 * len(rows)
    assert told[0]["provenance"]["thought"] == thought
    again = json.loads(tpo.ok("eval", name, "--responses", tmp_path / "r0.jsonl", "--prompts", prompts))
    model = ("resampled", "prompting", "cut_off")
    assert without(again, *model) == without(told[0], *model) and told[0]["cut_off"] < told[0]["n_responses"]


def test_outputs_that_are_cut_off_are_counted(tpo, tiny_model, tmp_path):
    prompts = write(tmp_path / "p.jsonl", IFEVAL)
    told = json.loads(tpo.ok("eval", "ifeval", "--model", tiny_model, "--prompts", prompts, "--thought", "none", "--max-tokens", 2))
    assert told["cut_off"] == told["n_responses"] == 2


def test_samples_are_read_as_responses(tpo, ender, tmp_path):
    prompts = write(tmp_path / "p.jsonl", IFEVAL)
    tpo.ok("generate", "--model", ender, "--prompts", prompts, "--out", tmp_path / "s.h5", "--thought", "none", "--jsonl", *DRAW)
    responses = lines(tmp_path / "s.h5")
    tpo.ok("generate", "--model", ender, "--prompts", prompts, "--out", tmp_path / "t.h5", "--thought", "none", *DRAW)
    told = [json.loads(tpo.ok("eval", "ifeval", "--prompts", prompts, option, tmp_path / name))
            for option, name in (("--responses", "s.h5"), ("--samples", "t.h5"))]
    assert without(told[0]) == without(told[1]) and told[0]["n_responses"] == len(responses) == 6


def test_an_interrupted_evaluation_goes_on(tpo, ender, tmp_path):
    prompts = write(tmp_path / "p.jsonl", [dict(GSM8K[0], question=f"How many are 1 and 1, {i}?") for i in range(60)])
    ask = ["eval", "gsm8k", "--model", ender, "--prompts", prompts, *DRAW, "--max-tokens", 200, "--slots", 4]
    whole = json.loads(tpo.ok(*ask, "--out", tmp_path / "whole.jsonl"))
    journal = tmp_path / "part.jsonl.journal"
    text = stop_at(start([*ask, "--out", tmp_path / "part.jsonl"], 2), journal, 4096, signal.SIGKILL)
    assert not (tmp_path / "part.jsonl").exists() and size_of(journal) >= 4096, text
    assert "--resume goes on" in tpo.fails(*ask, "--out", tmp_path / "part.jsonl", code=2)
    again = json.loads(tpo.ok(*ask, "--out", tmp_path / "part.jsonl", "--resume"))
    assert without(again) == without(whole) and not journal.exists()
    assert (tmp_path / "part.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


BAD = [
    ("gsm8k", ["--prompting", "shots:9", "--model", "m", "--prompts", "p"], 2, ["shots:9", "shots:N with N from 1 to 8"]),
    ("gsm8k", ["--prompting", "shots:x", "--model", "m", "--prompts", "p"], 2, ["shots:x"]),
    ("gsm8k", ["--prompting", "direct", "--thought", "generic", "--model", "m", "--prompts", "p"], 2, ["--prompting direct"]),
    ("gsm8k", ["--prompting", "thought", "--thought", "none", "--model", "m", "--prompts", "p"], 2, ["needs a layout"]),
    ("gsm8k", ["--prompts", "p"], 2, ["--responses FILE", "--model M"]),
    ("gsm8k", ["--solutions", "s", "--responses", "r", "--prompts", "p"], 2, ["--responses and --solutions"]),
    ("gsm8k", ["--solutions", "s", "--prompts", "p", "--k", "2"], 2, ["--k goes with a model"]),
    ("gsm8k", ["--solutions", "s", "--prompts", "p", "--slots", "2"], 2, ["--slots goes with a model"]),
    ("ifeval", ["--responses", "r", "--prompts", "p", "--dtype", "fp32"], 2, ["--dtype goes with a model"]),
    ("ifeval", ["--responses", "r", "--prompts", "p", "--details", "d.gz"], 2, ["--details d.gz", "without .gz"]),
    ("gsm8k", ["--model", "m", "--prompts", "p", "--k", "2"], 2, ["--k 2 at --temperature 0"]),
    ("gsm8k", ["--model", "m", "--prompts", "p", "--resume"], 2, ["--resume goes with --out"]),
    ("gsm8k", ["--solutions", "SOLUTIONS", "--prompts", "PROMPTS", "--details", "PROMPTS"], 2, ["--details", "that is read"]),
    ("gsm8k", ["--solutions", "nowhere", "--prompts", "PROMPTS"], 2, ["nowhere"]),
    ("gsm8k", ["--solutions", "EMPTY", "--prompts", "PROMPTS"], 1, ["holds no row"]),
    ("gsm8k", ["--solutions", "SOLUTIONS", "--prompts", "BAD"], 1, [":2: \"answer\" doesn't end with"]),
    ("gsm8k", ["--solutions", "TWICE", "--prompts", "PROMPTS"], 1, [":1 and ", ":3: two responses to prompt 0"]),
    ("gsm8k", ["--solutions", "STRANGE", "--prompts", "PROMPTS"], 1, ["none of its 1 rows"]),
    ("ifeval", ["--responses", "SOLUTIONS", "--prompts", "PROMPTS"], 1, [":1: expected one of \"instruction\""]),
    ("ifeval", ["--responses", "SOLUTIONS", "--prompts", "PLAIN"], 1, ["prompt 1 has no check"]),
    ("ifeval", ["--responses", "TWO", "--prompts", "CHECKED"], 1, ["2 models"]),
]


@pytest.mark.parametrize("name, args, code, words", BAD)
def test_bad_input_is_refused_in_a_sentence(tpo, tmp_path, name, args, code, words):
    files = {"PROMPTS": GSM8K, "SOLUTIONS": [{"index": 0, "solution": "A: 2"}], "EMPTY": [],
             "BAD": [GSM8K[0], {"question": "q", "answer": "so 5"}], "PLAIN": [{"prompt": "p"}], "CHECKED": IFEVAL,
             "TWICE": [{"index": i % 2, "solution": "A: 2"} for i in range(3)], "STRANGE": [{"index": 99, "solution": "A: 2"}],
             "TWO": [{"key": 1, "response": "r", "model": name} for name in "ab"]}
    for file, rows in files.items():
        write(tmp_path / file, rows)
    text = tpo.fails("eval", name, *[tmp_path / a if a in files else a for a in args], code=code)
    told = [line for line in text.splitlines() if line.startswith("tpo")]
    assert len(told) == 1, text
    for word in words:
        assert word in told[0], told[0]
