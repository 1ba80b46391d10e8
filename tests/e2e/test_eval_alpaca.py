"""`tpo eval alpaca`: AlpacaEval's numbers from annotations, from outputs and a judge, and from a model."""
import csv
import json
import math
import os
import pathlib
import random
import subprocess

import pytest

from conftest import BUILD, environment

DATA = pathlib.Path(os.environ.get("TPO_TEST_DATA", "/nowhere")) / "alpaca_eval"


@pytest.fixture(scope="module")
def data():
    if not DATA.is_dir():
        pytest.skip("TPO_TEST_DATA does not name the evaluation data")
    return DATA


def evaluate(tpo, *args, **kwargs):
    result = json.loads(tpo.ok("eval", "alpaca", *args, **kwargs))
    assert result["evaluation"] == "alpaca"
    return result


def rows_of(n, seed=1, **more):
    """Annotations of n rows in upstream's form."""
    rng = random.Random(seed)
    rows = []
    for i in range(n):
        rows.append({"instruction": f"Question {i}?", "output_1": "b" * rng.randint(40, 90), "generator_1": "base", "dataset": "d",
                     "output_2": "m" * rng.randint(5, 60), "generator_2": "mine", "annotator": "a", "preference": 1 + rng.random()} | more)
    return rows


def write(path, rows):
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture
def given(tmp_path):
    """Difficulty and gamed rows in upstream's columns."""
    rng = random.Random(2)
    difficulty = [0.0] + [rng.gauss(0, 1) for _ in range(39)]
    with open(tmp_path / "difficulty.csv", "w") as f:
        f.write(",instruction_difficulty\n" + "".join(f"{i},{g!r}\n" for i, g in enumerate(difficulty)))
    with open(tmp_path / "gamed.csv", "w") as f:
        f.write(",index,std_delta_len,preference,model,instruction_difficulty,not_gamed_baseline\n")
        for k in range(80):
            f.write(f"{k},{k % 40},{rng.gauss(0, 1)},{rng.random()},{'concise' if k < 40 else 'verbose'},{difficulty[k % 40]!r},False\n")
    return tmp_path


def board(data):
    with open(data / "leaderboard.tsv") as f:
        return {row["model"]: row for row in csv.DictReader(f, delimiter="\t")}


@pytest.mark.parametrize("model", ["gpt-3.5-turbo-1106", "vicuna-13b-v1.5", "FuseChat-Llama-3.1-8B-Instruct", "claude-2.1",
                                   "gpt4_1106_preview"])
def test_the_leaderboard_is_reproduced(tpo, data, tmp_path, model):
    published = board(data)[model]
    args = ["--annotations", data / "annotations" / f"{model}.tsv", "--difficulty", data / "instruction_difficulty.tsv", "--gamed",
            data / "gamed.tsv"]
    chosen = evaluate(tpo, *args, "--save", tmp_path / "kept")
    with_c = evaluate(tpo, *args, "--c", published["C_upstream"] or 1)
    for name in ("win_rate", "standard_error", "discrete_win_rate"):
        assert math.isclose(chosen[name], float(published[name]), rel_tol=1e-12, abs_tol=1e-12), name
    for name in ("n_total", "n_wins", "n_wins_base", "n_draws", "avg_length"):
        assert chosen[name] == int(published[name]), name
    assert abs(with_c["length_controlled_winrate"] - float(published["length_controlled_winrate"])) < 0.03
    assert abs(chosen["length_controlled_winrate"] - float(published["length_controlled_winrate"])) < 0.20
    if published["C_upstream"]:
        assert abs(with_c["coefficients"]["model"] - float(published["w_model"])) < 0.01
        assert chosen["c_chosen_by"] == "cross-validation" and len(chosen["cross_validation"]) == 10
    else:
        assert set(with_c["coefficients"].values()) == {0} and with_c["lc_standard_error"] == 0
    assert json.loads((tmp_path / "kept" / "alpaca.json").read_text()) == chosen
    assert {f["name"] for f in chosen["provenance"]["files"]} == {"annotations", "gamed", "difficulty"}
    with open(tmp_path / "kept" / "leaderboard.csv") as f:
        (row,) = csv.DictReader(f)
    assert float(row["length_controlled_winrate"]) == chosen["length_controlled_winrate"]


def test_without_gamed_rows_there_are_raw_metrics_and_the_reason(tpo, given):
    path = write(given / "a.json", rows_of(40))
    result = evaluate(tpo, "--annotations", path, "--difficulty", given / "difficulty.csv")
    assert result["length_controlled_winrate"] is None and result["coefficients"] is None and result["c"] is None
    assert "--gamed" in result["missing"]["length_controlled_winrate"] and 0 < result["win_rate"] < 100
    (given / "short.csv").write_text("index,std_delta_len,preference\n0,1,0.5\n")
    result = evaluate(tpo, "--annotations", path, "--gamed", given / "short.csv")
    assert "--difficulty" in result["missing"]["lc_standard_error"]


def test_columns_and_upstreams_files_give_the_same(tpo, given):
    rows = rows_of(40)
    one = evaluate(tpo, "--annotations", write(given / "a.json", rows), "--gamed", given / "gamed.csv")
    with open(given / "a.tsv", "w") as f:
        f.write("pos\tindex\tpreference\tlen_1\tlen_2\n")
        for i, row in enumerate(rows):
            f.write(f"{i}\t{i}\t{row['preference']!r}\t{len(row['output_1'])}\t{len(row['output_2'])}\n")
    two = evaluate(tpo, "--annotations", given / "a.tsv", "--gamed", given / "gamed.csv", "--difficulty", given / "difficulty.csv", ranks=2)
    for name in ("win_rate", "length_controlled_winrate", "lc_standard_error", "c", "coefficients", "avg_length"):
        assert one[name] == two[name], name
    assert (one["model"], one["baseline"]) == ("mine", "base")


def test_ranks_may_be_told_other_places(tpo, given):
    """Rank 0 reads and writes; another host has its files elsewhere."""
    path = write(given / "a.json", rows_of(6))
    other = ["-n", "1", BUILD / "tpo", "eval", "alpaca", "--annotations", "elsewhere.json", "--leaderboard", "elsewhere.csv", "--save", "elsewhere"]
    args = ["mpirun", "-n", "1", BUILD / "tpo", "eval", "alpaca", "--annotations", path, "--leaderboard", given / "l.csv", "--save", given / "kept", ":",
            *other]
    done = subprocess.run([str(a) for a in args], capture_output=True, env=environment(), cwd=given, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["n_total"] == 6 and (given / "l.csv").exists() and not list(given.glob("elsewhere*"))


def test_a_file_without_names_is_named(tpo, given):
    (given / "a.tsv").write_text("preference\n1.25\n")
    assert evaluate(tpo, "--annotations", given / "a.tsv")["model"] is None
    assert evaluate(tpo, "--annotations", given / "a.tsv", "--generator", "mine")["model"] == "mine"


def test_a_name_that_is_given_counts_before_the_rows_own(tpo, given):
    assert evaluate(tpo, "--annotations", write(given / "a.json", rows_of(3)), "--generator", "other")["model"] == "other"


def test_two_models_of_one_name_are_fitted(tpo, given):
    """Only equal outputs are the baseline's, whatever two checkpoints are called."""
    args = ["--gamed", given / "gamed.csv", "--c", 1]
    other = evaluate(tpo, "--annotations", write(given / "a.json", rows_of(40)), *args)
    same = evaluate(tpo, "--annotations", write(given / "a.json", rows_of(40, generator_2="base")), *args)
    assert same["length_controlled_winrate"] == other["length_controlled_winrate"] and same["coefficients"] == other["coefficients"]


def test_a_difficulty_is_looked_up_by_position(tpo, given):
    """Upstream goes by the row; `pos` says which it was, and comes before the instruction's number."""
    rows = rows_of(30)
    whole = evaluate(tpo, "--annotations", write(given / "a.json", rows), "--gamed", given / "gamed.csv", "--c", 1)
    for columns, same in ((("pos", "index"), True), (("index",), False)):
        with open(given / "a.tsv", "w") as f:
            f.write("\t".join(columns) + "\tpreference\tlen_1\tlen_2\n")
            for i, row in enumerate(rows):
                place = {"pos": i, "index": i + 9}
                f.write("\t".join(str(place[c]) for c in columns) + f"\t{row['preference']!r}\t{len(row['output_1'])}\t{len(row['output_2'])}\n")
        part = evaluate(tpo, "--annotations", given / "a.tsv", "--gamed", given / "gamed.csv", "--c", 1)
        assert (part["length_controlled_winrate"] == whole["length_controlled_winrate"]) == same


def test_lengths_are_code_points(tpo, given):
    rows = rows_of(4)
    for row in rows:
        row["output_2"] = "\u00e9\U0001f600\u4e16" * 3
    assert evaluate(tpo, "--annotations", write(given / "a.json", rows))["avg_length"] == 9


def test_rows_without_a_preference_count_nowhere_but_in_lengths(tpo, given):
    rows = rows_of(40)
    kept = evaluate(tpo, "--annotations", write(given / "a.json", [r for i, r in enumerate(rows) if i % 4]))
    for row in rows[::4]:
        row["preference"] = None
    result = evaluate(tpo, "--annotations", write(given / "a.json", rows), "--gamed", given / "gamed.csv")
    assert result["n_missing"] == 10 and result["n_total"] == 30
    assert math.isclose(result["win_rate"], kept["win_rate"]) and result["length_controlled_winrate"] is not None


def test_a_legacy_draw(tpo, given):
    rows = rows_of(10, preference=0)
    result = evaluate(tpo, "--annotations", write(given / "a.json", rows))
    assert (result["win_rate"], result["n_draws"], result["standard_error"]) == (50, 10, 0)


@pytest.mark.parametrize("n", [1, 2, 40])
@pytest.mark.parametrize("preference", [1, 2])
def test_one_sided_preferences_have_a_finite_fit(tpo, given, n, preference):
    result = evaluate(tpo, "--annotations", write(given / "a.json", rows_of(n, preference=preference)), "--gamed", given / "gamed.csv")
    assert result["win_rate"] == 100 * (preference - 1)
    if n == 1:
        assert result["standard_error"] is None and "deviation" in result["missing"]["length_controlled_winrate"]
    else:
        assert 0 <= result["length_controlled_winrate"] <= 100


def test_a_regression_that_does_not_converge_says_why(tpo, given):
    path = write(given / "a.json", rows_of(40, preference=1))
    done = tpo("eval", "alpaca", "--annotations", path, "--gamed", given / "gamed.csv", "--c", "1e300")
    result = json.loads(done.stdout)
    assert done.returncode == 0 and result["win_rate"] == 0 and result["length_controlled_winrate"] is None
    why = result["missing"]["length_controlled_winrate"]
    assert "did not converge" in why and "one side" in why and "did not converge" in done.stderr.decode()


def test_no_preference_at_all(tpo, given):
    result = evaluate(tpo, "--annotations", write(given / "a.json", rows_of(3, preference=None)), "--gamed", given / "gamed.csv")
    assert all(name in result["missing"] for name, value in result.items() if value is None and name not in ("c", "c_chosen_by", "coefficients"))
    assert result["win_rate"] is None and result["n_total"] == 0 and "no row has a preference" in result["missing"]["win_rate"]


def test_equal_lengths_have_no_length_controlled_rate(tpo, given):
    rows = rows_of(10, output_1="aa", output_2="bbb")
    result = evaluate(tpo, "--annotations", write(given / "a.json", rows), "--gamed", given / "gamed.csv")
    assert "equal" in result["missing"]["length_controlled_winrate"]


def test_the_baseline_itself_is_not_fitted(tpo, given):
    rows = rows_of(10, generator_2="base", preference=1.5)
    result = evaluate(tpo, "--annotations", write(given / "a.json", rows))
    assert result["length_controlled_winrate"] == 50 and result["lc_standard_error"] == 0 and result["c"] is None


BAD = [
    (lambda rows: rows[3].update(preference=2.5), ["record 4", "2.5", "from 1 to 2"]),
    (lambda rows: rows[3].update(preference=0.5), ["record 4", "0.5"]),
    (lambda rows: rows[3].update(preference=2.0000001), ["record 4", "2.0000001"]),
    (lambda rows: rows[3].update(both_positions=True), ["record 4", "both_positions"]),
    (lambda rows: rows[3].update(preference="inf"), ["record 4", "inf"]),
    (lambda rows: rows[3].update(preference="good"), ["record 4", "good", "number"]),
    (lambda rows: rows[3].pop("preference"), ["record 4", '"preference" is missing']),
    (lambda rows: rows[3].update(generator_2="other"), ["record 4", "generator_2", "other", "mine"]),
    (lambda rows: rows[3].update(annotator="b"), ["record 4", "annotator"]),
    (lambda rows: rows[3].update(instruction=rows[1]["instruction"]), ["rows 2 and 4", "same instruction"]),
    (lambda rows: rows[3].update(output_2=7), ["record 4", "output_2", "text"]),
    (lambda rows: rows[3].pop("output_1"), ["record 4", "output_1"]),
    (lambda rows: rows.clear(), ["no row"]),
]


@pytest.mark.parametrize("spoil, words", BAD)
def test_bad_annotations_are_told_by_their_place(tpo, given, spoil, words):
    rows = rows_of(6)
    spoil(rows)
    text = tpo.fails("eval", "alpaca", "--annotations", write(given / "a.json", rows), code=1)
    assert len(text.splitlines()) == 1 and all(word in text for word in ["a.json", *words]), text


COLUMNS = [("gamed", "index,std_delta_len,preference\n0,nan,0.5\n", ["gamed:2", "finite"]),
           ("gamed", "index,std_delta_len,preference\n0,1,1.5\n", ["gamed:2", "0 to 1"]),
           ("gamed", "index,delta\n0,1\n", ["std_delta_len", "delta"]),
           ("difficulty", "index\tdifficulty\n0\t1\n0\t2\n", ["difficulty:3", "already"]),
           ("difficulty", "index\tdifficulty\n-1\t1\n", ["difficulty:2", "from 0"]),
           ("difficulty", "index\tdifficulty\n0\t\n", ["difficulty:2", "finite"]),
           ("difficulty", "index\ta\tb\n0\t1\t2\n", ["difficulty"]),
           ("difficulty", "index\tdifficulty\n0\t1\n", ["gamed.csv", "instruction 1", "/difficulty gives no"])]


@pytest.mark.parametrize("what, text, words", COLUMNS)
def test_wrong_columns_are_told(tpo, given, what, text, words):
    path = write(given / "a.json", rows_of(6))
    (given / what).write_text(text)
    files = {"gamed": given / "gamed.csv", "difficulty": given / "difficulty.csv", what: given / what}
    said = tpo.fails("eval", "alpaca", "--annotations", path, "--gamed", files["gamed"], "--difficulty", files["difficulty"], code=1)
    assert len(said.splitlines()) == 1 and all(word in said for word in words), said


@pytest.mark.parametrize("args, words", [
    ([], ["--annotations"]), (["--annotations", "missing.json"], ["missing.json"]),
    (["--annotations", "a.json", "--c", "-1"], ["--c", "above 0"]), (["--annotations", "a.json", "--c", "nan"], ["--c"]),
    (["--annotations", "a.json", "--leaderboard", "a.json"], ["--leaderboard"]),
    (["--annotations", "a.json", "--gamed", "gamed.csv", "--leaderboard", "gamed.csv"], ["--leaderboard", "gamed.csv"]),
    (["--annotations", "a.json", "--difficulty", "difficulty.csv", "--leaderboard", "difficulty.csv"], ["--leaderboard", "difficulty.csv"]),
    (["--annotations", "a.json", "--save", ".", "--leaderboard", "alpaca.json"], ["--leaderboard", "--save", "alpaca.json"]),
    (["--annotations", "a.json", "--prompts", "a.json"], ["--prompts", "--model"]),
    (["--annotations", "a.json", "--resume"], ["--resume"]),
    (["--annotations", "a.json", "--temperature", "0.5"], ["--temperature", "--model"]),
    (["--annotations", "a.json", "--dtype", "fp32"], ["--dtype"]), (["--annotations", "a.json", "--leaderboard", "l.csv.gz"], ["l.csv.gz", "without .gz"]),
    (["--annotations", "a.json", "--judge", "http:http://127.0.0.1:9/v1"], ["--judge", "--baseline"]),
    (["--annotations", "a.json", "--generator", "x" * 300], ["--generator", "300"]),
    (["--annotations", "a.json", "--gamed", "missing.csv"], ["missing.csv"])])
def test_misuse(tpo, given, args, words):
    write(given / "a.json", rows_of(6))
    args = [given / a if isinstance(a, str) and a.endswith((".json", ".csv", ".")) else a for a in args]
    text = tpo.fails("eval", "alpaca", *args, code=2)
    assert len(text.splitlines()) == 1 and all(word in text for word in words), text


def test_names_and_numbers_of_a_leaderboard(tpo, given):
    rows = rows_of(1, generator_2='my "model", new')
    tpo.ok("eval", "alpaca", "--annotations", write(given / "a.json", rows), "--leaderboard", given / "l.csv")
    with open(given / "l.csv") as f:
        (row,) = csv.DictReader(f)
    assert row[""] == 'my "model", new' and row["mode"] == "community"
    assert row["avg_length"] == str(len(rows[0]["output_2"])) and row["standard_error"] == "" and row["length_controlled_winrate"] == "" and float(row["win_rate"]) > 0


def test_a_leaderboard_keeps_other_models(tpo, given):
    path = write(given / "a.json", rows_of(3))
    for name, annotations in (("one", path), ("two", path), ("one", write(given / "b.json", rows_of(3, preference=2)))):
        tpo.ok("eval", "alpaca", "--annotations", annotations, "--leaderboard", given / "l.csv", "--generator", name)
    with open(given / "l.csv") as f:
        rows = {row[""]: float(row["win_rate"]) for row in csv.DictReader(f)}
    assert list(rows) == ["one", "two"] and rows["one"] == 100 and rows["two"] < 100
    (given / "l.csv").write_text("model,score\n")
    assert "other columns" in tpo.fails("eval", "alpaca", "--annotations", path, "--leaderboard", given / "l.csv", code=1)
    assert (given / "l.csv").read_text() == "model,score\n"


def test_both_positions_are_labelled_wherever_their_figures_stand(tpo, given):
    path = write(given / "a.json", rows_of(3, both_positions=True))
    assert evaluate(tpo, "--annotations", path, "--save", given / "kept")["variant"] == "both positions"
    assert '"mine (both positions)",' in (given / "kept" / "leaderboard.csv").read_text()
    assert "AlpacaEval 2 win rate (%) both positions" in tpo.ok("eval", "table", given / "kept")
