"""`tpo eval table`: results of several models side by side, and what it is told that it can't use."""
import csv
import io
import json

import pytest

IFEVAL = {"evaluation": "ifeval", "prompt_strict": 0.5, "instruction_strict": 0.625, "prompt_loose": 0.5, "instruction_loose": 0.75}


def put(folder, name, result):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(result))
    return folder


@pytest.fixture
def folders(tmp_path):
    a = put(tmp_path / "start", "ifeval.json", {**IFEVAL, "provenance": {"files": [{"name": "prompts", "hash": "1"}]}})
    b = put(tmp_path / "run_2|x", "ifeval.json", {**IFEVAL, "provenance": {"files": [{"name": "prompts", "hash": "2"}]}})
    put(b, "gsm8k.json", {"evaluation": "gsm8k", "accuracy": 0.25, "standard_error": 0.0119, "prompting": "shots:5"})
    return a, b


def test_results_saved_by_an_evaluation_become_a_row(tpo, tmp_path):
    rows = "question_id\twinner\n" + "".join(f"{i}\t{w}\n" for i, w in enumerate(["model", "baseline", "tie", "model"]))
    (tmp_path / "battles.tsv").write_text(rows)
    result = json.loads(tpo.ok("eval", "arena", "--battles", tmp_path / "battles.tsv", "--save", tmp_path / "mine", "--quiet"))
    table = list(csv.DictReader(io.StringIO(tpo.ok("eval", "table", tmp_path / "mine", "--format", "csv"))))
    assert [row["model"] for row in table] == ["mine"]
    assert float(table[0]["Arena-Hard (%)"]) == result["score"]
    assert float(table[0]["Arena-Hard (%) lower"]) == result["lower"]
    assert f"| mine | {result['score']:.1f} ({result['lower']:.1f}, {result['upper']:.1f}) |" in tpo.ok("eval", "table", tmp_path / "mine")


def test_one_folder_holds_every_evaluation_of_a_model(tpo, tiny_model, tmp_path):
    """The fields that evaluations write are those that the table reads, GSM8K's by way of asking."""
    def write(name, rows):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tmp_path / name

    def evaluate(name, *args):
        return json.loads(tpo.ok("eval", name, *args, "--save", tmp_path / "all", "--quiet"))
    maths = write("maths.jsonl", [{"question": f"How many are {i} and {i}?", "answer": f"#### {2 * i}"} for i in range(3)])
    prompts = write("prompts.jsonl", [{"key": 1, "prompt": "No commas.", "category": "form",
                                      "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}])
    answers = write("answers.jsonl", [{"key": 1, "response": "Fine."}])
    rated = write("rated.json", [{"instruction": f"{i}?", "output_1": "a", "output_2": "b" * i, "generator_1": "base", "generator_2": "mine",
                                  "annotator": "a", "preference": 1 + i / 4} for i in range(5)])
    for file, seed in (("a.h5", 1), ("b.h5", 2)):
        tpo.ok("generate", "--model", tiny_model, "--prompts", prompts, "--out", tmp_path / file, "--thought", "none", "--k", 1, "--seed", seed,
               "--max-tokens", 4, "--temperature", 1)
    draw = ["--model", tiny_model, "--prompts", maths, "--max-tokens", 4]
    found = {"IFEval prompt strict": evaluate("ifeval", "--prompts", prompts, "--responses", answers)["prompt_strict"],
             "GSM8K direct": evaluate("gsm8k", *draw)["accuracy"],
             "GSM8K shots:2": evaluate("gsm8k", *draw, "--prompting", "shots:2")["accuracy"],
             "AlpacaEval 2 win rate (%)": evaluate("alpaca", "--annotations", rated)["win_rate"],
             "win rate over categories": evaluate("categories", "--a", tmp_path / "a.h5", "--b", tmp_path / "b.h5", "--judge", "rule")["overall"]["win_rate"]}
    assert {"gsm8k-direct.json", "gsm8k-shots-2.json", "gsm8k-shots-2-details.jsonl"} <= {path.name for path in (tmp_path / "all").iterdir()}
    (row,) = csv.DictReader(io.StringIO(tpo.ok("eval", "table", tmp_path / "all", "--format", "csv")))
    assert {name: float(row[name]) for name in found} == found
    for name in ("GSM8K direct standard error", "win rate over categories lower", "AlpacaEval 2 win rate (%) standard error"):
        assert float(row[name]) >= 0, name
    assert row["AlpacaEval 2 LC win rate (%)"] == ""


def test_what_does_not_compare_is_marked_and_told(tpo, folders):
    done = tpo("eval", "table", *folders)
    assert done.returncode == 0
    text, said = done.stdout.decode(), done.stderr.decode()
    assert "| IFEval prompt strict † |" in text and "| GSM8K shots:5 |" in text
    assert "\n| start | 0.5000 |" in text and "\n| run\\_2\\|x | 0.5000 |" in text and "| 0.2500 ± 0.0119 |" in text
    assert 'ifeval doesn\'t compare: "run_2|x" was made with other instructions' in said
    assert "gsm8k doesn't compare" not in said


def test_large_lists_beside_the_results_are_left_alone(tpo, folders):
    (folders[0] / "annotations.json").write_text("[" + " " * (17 << 20))
    (folders[0] / "large.json").write_text("{" + " " * (17 << 20))
    done = tpo("eval", "table", folders[0])
    assert done.returncode == 0 and b"annotations.json" not in done.stderr
    assert b"passed over" in done.stderr and b"large.json: holds more than" in done.stderr


def test_the_table_goes_to_a_file_and_two_ranks_write_one(tpo, folders, tmp_path):
    assert tpo.ok("eval", "table", *folders, "--format", "latex", "--out", tmp_path / "t.tex") == ""
    text = (tmp_path / "t.tex").read_text()
    assert text.startswith("\\begin{tabular}{lrrrrr}\n") and "run\\_2\\textbar{}x & 0.5000" in text
    assert tpo.ok("eval", "table", *folders, "--format", "latex", ranks=2) == text


def test_nothing_that_is_read_is_written_over(tpo, folders):
    (folders[0] / "metrics.jsonl").write_text('{"event": "watch", "name": "w", "kind": "gsm8k", "iteration": 1, "value": 0.5}\n')
    (folders[0] / "annotations.json").write_text("[]")
    before = {path: path.read_bytes() for path in folders[0].iterdir()}
    for path in before:
        assert "is a file that is read" in tpo.fails("eval", "table", *folders, "--out", path, code=2)
    assert "is a file that is read" in tpo.fails("eval", "table", folders[1] / "gsm8k.json", "--out", folders[1] / ".." / folders[1].name / "gsm8k.json", code=2)
    assert {path: path.read_bytes() for path in folders[0].iterdir()} == before
    tpo.ok("eval", "table", *folders, "--out", folders[0] / "table.md")


@pytest.mark.parametrize("args, code, words", [
    ([], 2, "DIR... is missing"), (["nowhere"], 1, "nowhere: there is no such folder"), (["."], 1, "holds no result"),
    (["lacks"], 1, '"prompt_strict" is missing'), (["two"], 1, "a second result of ifeval"),
    (["run_2|x", "run_2|x"], 2, "is given twice"), (["start", "--format", "html"], 2, "expected markdown, csv or latex"),
    (["start", "--out", "missing/t.md"], 2, "there is no folder"),
])
def test_what_it_cannot_use_is_refused_in_a_line(tpo, folders, tmp_path, args, code, words):
    put(tmp_path / "lacks", "ifeval.json", {"evaluation": "ifeval"})
    put(put(tmp_path / "two", "a.json", IFEVAL), "b.json", IFEVAL)
    places = [tmp_path / a if not a.startswith("-") and a not in ("html",) else a for a in args]
    said = tpo.fails("eval", "table", *places, code=code)
    assert words in said and len(said.splitlines()) == 1, said
