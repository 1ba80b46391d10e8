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


def test_what_does_not_compare_is_marked_and_told(tpo, folders):
    done = tpo("eval", "table", *folders)
    assert done.returncode == 0
    text, said = done.stdout.decode(), done.stderr.decode()
    assert "| IFEval prompt strict † |" in text and "| GSM8K shots:5 |" in text
    assert "\n| start | 0.5000 |" in text and "\n| run\\_2\\|x | 0.5000 |" in text and "| 0.2500 ± 0.0119 |" in text
    assert 'ifeval doesn\'t compare: "run_2|x" was made with other instructions' in said
    assert "gsm8k doesn't compare" not in said


def test_the_table_goes_to_a_file_and_two_ranks_write_one(tpo, folders, tmp_path):
    assert tpo.ok("eval", "table", *folders, "--format", "latex", "--out", tmp_path / "t.tex") == ""
    text = (tmp_path / "t.tex").read_text()
    assert text.startswith("\\begin{tabular}{lrrrrr}\n") and "run\\_2\\textbar{}x & 0.5000" in text
    assert tpo.ok("eval", "table", *folders, "--format", "latex", ranks=2) == text


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
