"""`tpo eval arena`: what a judge's games come to."""
import json
import os
import pathlib

import pytest

import scripted

DATA = pathlib.Path(os.environ.get("TPO_TEST_DATA", "")) / "arena_hard"
needs_data = pytest.mark.skipif("TPO_TEST_DATA" not in os.environ, reason="TPO_TEST_DATA is not set")


def arena(tpo, *args, **kwargs):
    result = json.loads(tpo.ok("eval", "arena", *args, **kwargs))
    assert result["evaluation"] == "arena"
    return result


@needs_data
def test_published_scores(tpo):
    lines = (DATA / "scores.tsv").read_text().splitlines()
    names = lines[0].split("\t")
    rows = [dict(zip(names, line.split("\t"))) for line in lines[1:]]
    assert len(rows) == 12
    for row in rows:
        option = "--games" if row["file"].startswith("games/") else "--battles"
        result = arena(tpo, option, DATA / row["file"], "--bootstrap", 1, "--anchor", row["baseline"])
        assert abs(result["score"] - float(row["score_published"])) <= 0.01, row["file"]
        assert [result[name] for name in ("wins", "losses", "ties")] == [int(row[f"n_{name}"]) for name in
                                                                         ("model_wins", "baseline_wins", "ties")]
        assert result["baseline"] == row["baseline"]


@needs_data
def test_published_intervals(tpo):
    for seed in (1, 2, 3):
        result = arena(tpo, "--battles", DATA / "battles/official__gpt-3.5-turbo-0125.tsv.gz", "--bootstrap", 1000, "--seed", seed)
        assert abs(result["lower"] - 21.67) < 0.6 and abs(result["upper"] - 25.27) < 0.6
        assert (result["rounds"], result["provenance"]["seed"]) == (1000, seed)


def games(path, rows):
    path.write_text("question_id\tgame1\tgame2\n" + "".join("\t".join(row) + "\n" for row in rows))
    return path


def test_the_result_is_kept_and_does_not_depend_on_ranks(tpo, tmp_path):
    file = games(tmp_path / "m.tsv", [("a", "A>>B", "A>B"), ("b", "B>A", ""), ("c", "A=B", "A<B")])
    env = {"SOURCE_DATE_EPOCH": "1"}
    run = tpo("eval", "arena", "--games", file, "--save", tmp_path / "out", env=env)
    assert run.stderr.decode().splitlines() == ["warning: m: of 6 games 1 have no verdict and 1 an unknown label: they don't count"]
    alone = json.loads(run.stdout)
    assert json.loads((tmp_path / "out" / "arena.json").read_text()) == alone
    assert (alone["model"], alone["wins"], alone["losses"], alone["ties"]) == ("m", 2, 3, 1)
    assert (alone["games"], alone["null_games"], alone["unknown_labels"]) == (6, 1, 1)
    assert alone["score"] == pytest.approx(100 * 2.5 / 6) and alone["lower"] <= alone["score"] <= alone["upper"]
    together = arena(tpo, "--games", file, ranks=2, env=env)
    assert together.pop("provenance").pop("ranks") == 2
    alone.pop("provenance")
    assert together == alone


def test_a_folder_draws_all_models_together(tpo, tmp_path):
    games(tmp_path / "low.tsv", [("a", "A>>B", "A>B"), ("b", "B>A", "")])
    games(tmp_path / "high.tsv", [("a", "B>>A", "A>B"), ("b", "", "B>A")])
    result = arena(tpo, "--games", tmp_path, "--anchor", "gpt")
    assert [m["model"] for m in result["models"]] == ["high", "low"] and result["baseline"] == "gpt"
    assert [m["score"] for m in result["models"]] == [pytest.approx(80), pytest.approx(40)]
    assert [pathlib.Path(f["path"]).name for f in result["provenance"]["files"]] == ["high.tsv", "low.tsv"]


def write_questions(path, n):
    lines = [{"question_id": f"q{i}", "category": "arena-hard-v0.1", "turns": [{"content": f"Question {i}?"}]} for i in range(n)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_models_answers_are_written_as_published(tpo, tmp_path):
    """Thoughts stay out of them; two ranks write what one does."""
    model = scripted.make(tmp_path / "model-1B", ["<T>", "secret", "<R>", "An answer."])
    (tmp_path / "t.yaml").write_text("prompt: 'Think. {instruction}'\nthought_marker: '<T>'\nresponse_marker: '<R>'\n")
    questions = write_questions(tmp_path / "question.jsonl", 5)
    draw = ["--model", model, "--prompts", questions, "--thought", tmp_path / "t.yaml", "--max-tokens", 12]
    env = {"SOURCE_DATE_EPOCH": "7"}
    result = arena(tpo, *draw, "--out", tmp_path / "a.jsonl", env=env)
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [row["question_id"] for row in rows] == [f"q{i}" for i in range(5)]
    for row in rows:
        assert sorted(row) == ["answer_id", "choices", "model_id", "question_id", "tstamp"]
        assert (row["model_id"], row["tstamp"]) == ("model-1B", 7)
        assert row["choices"] == [{"index": 0, "turns": [{"content": "An answer.", "token_len": 1}]}]
    assert len({row["answer_id"] for row in rows}) == 5
    assert (result["n"], result["avg_tokens"], result["unparsed"], result["cut_off"]) == (5, 1, 0, 0)
    assert arena(tpo, *draw[:-1], 4, "--resample", 0, "--out", tmp_path / "cut.jsonl")["cut_off"] == 5
    assert not (tmp_path / "a.jsonl.journal").exists()
    saved = tmp_path / "saved"
    arena(tpo, "--games", games(tmp_path / "m.tsv", [("a", "A>>B", "A>B")]), "--save", saved)
    scored = (saved / "arena.json").read_bytes()
    both = arena(tpo, *draw, "--save", saved, "--out", tmp_path / "b.jsonl", "--name", "model-1B", ranks=2, env=env)
    for file in (saved / "answers.jsonl", tmp_path / "b.jsonl"):
        assert file.read_bytes() == (tmp_path / "a.jsonl").read_bytes()
    assert (saved / "arena.json").read_bytes() == scored  # what has a figure stays
    assert json.loads((saved / "arena-answers.json").read_text()) == both
    assert tpo.ok("eval", "table", saved).count("| saved |") == 1


def test_battles_without_end(tpo, tmp_path):
    result = arena(tpo, "--games", games(tmp_path / "m.tsv", [("a", "A>>B", "")]))
    assert (result["score"], result["lower"], result["upper"], result["elo"]) == (0, 0, 0, None)
    assert "no maximum" in result["note"]
    result = arena(tpo, "--games", games(tmp_path / "m.tsv", [("a", "", "")]))
    assert (result["score"], result["lower"], result["n_battles"]) == (None, None, 0) and "no battle" in result["note"]


@pytest.mark.parametrize("args, code, words, ranks", [(*bad, 0) for bad in [
    ([], 2, ["--battles", "--games"]), (["--games", "m.tsv", "--battles", "m.tsv"], 2, ["one of"]),
    (["--games", "m.tsv", "--bootstrap", "0"], 2, ["--bootstrap", "from 1"]), (["--games", "m.tsv", "--bootstrap", "-1"], 2, ["--bootstrap"]),
    (["--games", "m.tsv", "--model", "x"], 2, ["--model says nothing to battles"]), (["--model", "x", "--out", "o"], 2, ["--prompts"]),
    (["--model", "x", "--prompts", "m.tsv"], 2, ["--out FILE or --save DIR"]),
    (["--model", "x", "--prompts", "m.tsv", "--out", "m.tsv"], 2, ["that is read"]),
    (["--games", "missing.tsv"], 2, ["missing.tsv"]), (["--battles", "m.tsv"], 1, ["m.tsv:2", '"winner" is missing', '"game1"']),
    (["--games", "m.tsv", "--anchor", "m"], 1, ["m.tsv:2", "is the baseline"]),
    (["--games", "m.tsv", "--k", "3"], 2, ["--k goes with", "--model"]), (["--games", "m.tsv", "--dtype", "fp32"], 2, ["--dtype"]),
    (["--model", "x", "--prompts", "m.tsv", "--out", "o.jsonl.gz"], 2, ["--out", "without .gz"]),
    (["--battles", "b.jsonl", "--anchor", "z"], 2, ["baseline z", "x, y"]), (["--games", "empty"], 1, ["holds no file"])]] +
                         [(["--games", "m.tsv", "--bootstrap", "0"], 2, ["--bootstrap"], 2), (["--games", "empty"], 1, ["holds no file"], 2)])
def test_bad_input_is_one_sentence(tpo, tmp_path, monkeypatch, args, code, words, ranks):
    monkeypatch.chdir(tmp_path)
    games(tmp_path / "m.tsv", [("a", "A>B", "A>B")])
    (tmp_path / "empty").mkdir()
    (tmp_path / "b.jsonl").write_text('{"model_a": "x", "model_b": "y", "winner": "tie"}\n')
    text = tpo.fails("eval", "arena", *args, code=code, ranks=ranks)
    lines = [line for line in text.splitlines() if line.startswith("tpo")]
    assert len(lines) == 1 and all(word in lines[0] for word in words), text
