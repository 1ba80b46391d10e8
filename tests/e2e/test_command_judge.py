"""The judge that is a program: scores on one rank and two, and programs that misbehave."""
import json
import os
import re
import stat
import subprocess
import time

import pytest

import tiny
from conftest import command, environment

h5py = pytest.importorskip("h5py")

SECRET = "PLANTED-SECRET-7731"
THOUGHT = tiny.layout_with(SECRET)
ECHO = """
for line in sys.stdin:
    r = json.loads(line)
"""
SCORE = """
def score(text):
    return len(text) - 0.25 * text.count("e")
"""
ANSWER = """
    print(json.dumps({"id": r["id"], "scores": [score(x["text"]) for x in r["responses"]]}), flush=True)
"""


def score(text):
    return len(text) - 0.25 * text.count("e")


@pytest.fixture(scope="module")
def samples(tpo, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    tiny.write_prompts(folder / "prompts.jsonl", "p", 7)
    (folder / "thought.yaml").write_text(THOUGHT)
    tpo.ok("generate", "--model", tiny_model, "--prompts", folder / "prompts.jsonl", "--out", folder / "samples.h5", "--k", 3,
           "--temperature", 1, "--top-p", 1, "--max-tokens", 48, "--thought", folder / "thought.yaml")
    return folder / "samples.h5"


@pytest.fixture
def program(tmp_path):
    """Writes a judge in Python; gives its name for --judge."""
    def write(body, name="judge.py"):
        path = tmp_path / name
        path.write_text("#!/usr/bin/env python3\nimport json, os, signal, sys, time\n" + SCORE + body)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return f"command:{path}"
    return write


def read(path):
    with h5py.File(path) as f:
        rows = [(f["prompt_id"][i].decode(), int(f["k"][i]), f["response"][i].decode(), bool(f["format_ok"][i]),
                 float(f["score"][i]), json.loads(f["score_detail"][i])) for i in range(len(f["k"]))]
        return rows, {k: v.decode() if isinstance(v, bytes) else v for k, v in f.attrs.items()}


@pytest.mark.parametrize("ranks", [0, 1, 2])
def test_scores_are_the_programs(tpo, samples, program, tmp_path, ranks):
    out = tmp_path / "scored.h5"
    tpo.ok("judge", "--samples", samples, "--judge", program(ECHO + ANSWER), "--out", out, ranks=ranks)
    rows, _ = read(out)
    assert len(rows) == 21 and any(ok for _, _, _, ok, _, _ in rows)
    for _, _, response, ok, value, _ in rows:
        if ok:
            assert value == score(response)


def test_a_program_never_sees_a_thought(tpo, samples, program, tmp_path):
    log = tmp_path / "log"
    body = f"log = open({str(log)!r} + str(os.getpid()), 'w')\n" + ECHO + "    log.write(line); log.flush()\n" + ANSWER
    tpo.ok("judge", "--samples", samples, "--judge", program(body), "--out", tmp_path / "scored.h5", ranks=2)
    with h5py.File(samples) as f:
        assert any(SECRET in t.decode() for t in f["thought"])
    logs = list(tmp_path.glob("log*"))
    assert len(logs) == 2
    text = "".join(p.read_text() for p in logs)
    assert text.count('"responses"') == 7 and '"checks"' in text
    assert SECRET not in text and "Notes to myself" not in text


def test_details_and_nulls_are_kept(tpo, samples, program, tmp_path):
    body = ECHO + """
    n = len(r["responses"])
    print(json.dumps({"id": r["id"], "scores": [None] + [2] * (n - 1),
                      "details": [{"error": "too odd"}] + [{"note": "ünïcode"}] * (n - 1)}), flush=True)
"""
    out = tmp_path / "scored.h5"
    tpo.ok("judge", "--samples", samples, "--judge", program(body), "--out", out, "--set", "judge.max_failed=1")
    rows, _ = read(out)
    details = [detail for *_, detail in rows]
    assert {"error": "the program gave no score: too odd"} in details
    assert {"program": {"note": "ünïcode"}} in details
    message = tpo.fails("judge", "--samples", samples, "--judge", program(body), "--out", out, code=1)
    assert "too odd" in message and "judge.max_failed" in message


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_program_that_scores_nothing_is_stopped_soon(tpo, tiny_model, program, tmp_path, ranks):
    """Whatever is allowed to fail; and asked again once it works."""
    tiny.write_prompts(tmp_path / "prompts.jsonl", "p", 300)
    tpo.ok("generate", "--model", tiny_model, "--prompts", tmp_path / "prompts.jsonl", "--out", tmp_path / "many.h5", "--k", 2,
           "--thought", "none", "--max-tokens", 2)
    body = f"""
for line in sys.stdin:
    r = json.loads(line)
    with open({str(tmp_path / 'asked')!r}, "a") as f:
        f.write(r["id"] + "\\n")
    works = os.path.exists({str(tmp_path / 'works')!r})
    print(json.dumps({{"id": r["id"], "scores": [len(x["text"]) if works else None for x in r["responses"]],
                      "details": [None if works else {{"error": "no judge today"}} for x in r["responses"]]}}), flush=True)
"""
    args = ["judge", "--samples", tmp_path / "many.h5", "--judge", program(body), "--out", tmp_path / "s.h5", "--set", "judge.max_failed=1"]
    text = tpo.fails(*args, code=1, ranks=ranks)
    assert re.search(r"gave no score to 1\d\d responses in a row; the last: the program gave no score: no judge today", text)
    assert len((tmp_path / "asked").read_text().split()) <= 70 * max(ranks, 1)
    (tmp_path / "works").touch()
    tpo.ok(*args, ranks=ranks)
    rows, _ = read(tmp_path / "s.h5")
    assert all(value == len(response) for _, _, response, ok, value, _ in rows if ok)


BAD_LINES = {
    "not-json": ('print("hello", flush=True)', "not valid JSON"),
    "nan": ('print(json.dumps({"id": r["id"], "scores": [float("nan")] * n}), flush=True)', "not valid JSON"),
    "infinite": ('print(json.dumps({"id": r["id"], "scores": [float("inf")] * n}), flush=True)', "not valid JSON"),
    "text": ('print(json.dumps({"id": r["id"], "scores": ["high"] * n}), flush=True)', "neither a number nor null"),
    "count": ('print(json.dumps({"id": r["id"], "scores": [1] * (n + 1)}), flush=True)', "scores for"),
    "id": ('print(json.dumps({"id": "x" + r["id"], "scores": [1] * n}), flush=True)', '"id" is another'),
    "list": ('print(json.dumps([1] * n), flush=True)', "no object"),
    "long": ('print("x" * 100000, flush=True)', "xxx..."),
    "bytes": ('sys.stdout.buffer.write(b"\\xff\\x00\\x1b[31m\\n"); sys.stdout.flush()', "not valid JSON"),
    "twice": ('print(json.dumps({"id": r["id"], "scores": [1] * n}) * 2, flush=True)', "not valid JSON"),
    "chatty": ('print("starting", flush=True); ' + ANSWER.strip(), "it wrote: starting"),
}


@pytest.mark.parametrize("case, ranks", [(case, 0) for case in BAD_LINES] + [("not-json", 2), ("count", 2)])
def test_a_wrong_line_is_shown_with_what_was_expected(tpo, samples, program, tmp_path, case, ranks):
    line, words = BAD_LINES[case]
    body = "print('I am about to err', file=sys.stderr, flush=True)\n" + ECHO + "    n = len(r['responses'])\n    " + line
    out = tmp_path / "scored.h5"
    message = tpo.fails("judge", "--samples", samples, "--judge", program(body), "--out", out, code=1, ranks=ranks)
    assert words in message and "judge.py" in message and "answer 1 is wrong" in message and "I am about to err" in message
    assert '{"id":"p-' in message and not re.search(r"[\x00-\x09\x0b-\x1f]", message)
    assert len(message.splitlines()[0]) < 1100
    if not ranks:
        assert len(message.splitlines()) == 1
    assert not out.exists()


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_crash_is_told_with_the_programs_last_words(tpo, samples, program, tmp_path, ranks):
    judge = program(ECHO + "    raise ValueError('the scale is broken')")
    message = tpo.fails("judge", "--samples", samples, "--judge", judge, "--out", tmp_path / "s.h5", code=1, ranks=ranks)
    assert "exit status 1 after 0 of" in message and "ValueError: the scale is broken" in message
    judge = program("os.kill(os.getpid(), signal.SIGSEGV)")
    message = tpo.fails("judge", "--samples", samples, "--judge", judge, "--out", tmp_path / "s.h5", code=1, ranks=ranks)
    assert "signal 11 (Segmentation fault)" in message


def test_a_flood_of_standard_error_is_no_hindrance(tpo, samples, program, tmp_path):
    body = ECHO + "    sys.stderr.write('noise ' * 100000 + '\\n'); sys.stderr.flush()\n" + ANSWER
    result = tpo("judge", "--samples", samples, "--judge", program(body), "--out", tmp_path / "s.h5")
    assert result.returncode == 0 and b"noise" not in result.stderr
    result = tpo("judge", "--samples", samples, "--judge", program(body), "--out", tmp_path / "s.h5", "--verbose")
    assert result.returncode == 0 and b"judge program: noise" in result.stderr


@pytest.mark.parametrize("body, words", [
    ("time.sleep(1000)", "request"),
    (ECHO + "    time.sleep(1000)", "though it read the request"),
    (ECHO + "    sys.stdout.write('half'); sys.stdout.flush(); time.sleep(1000)", "a piece of a line"),
    (ECHO + "    print(json.dumps({'id': r['id'], 'scores': [1] * len(r['responses'])}))", "flushed"),
    ("os.close(0); time.sleep(1000)", "request"),
])
def test_silence_is_told_and_the_program_ended(tpo, samples, program, tmp_path, body, words):
    body = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\nprint('loading', file=sys.stderr, flush=True)\n" + body
    start = time.time()
    message = tpo.fails("judge", "--samples", samples, "--judge", program(body), "--out", tmp_path / "s.h5", "--set",
                        "judge.timeout=3", code=1, env={"PYTHONUNBUFFERED": ""})
    assert "within 3 s (judge.timeout)" in message and words in message and "loading" in message
    assert time.time() - start < 20
    assert not os.path.exists(f"/proc/{(tmp_path / 'pid').read_text()}")


def test_endless_output_without_a_newline_is_cut_off(tpo, samples, program, tmp_path):
    judge = program("while True: sys.stdout.write('x' * 65536)")
    assert "16 MiB without a newline" in tpo.fails("judge", "--samples", samples, "--judge", judge, "--out", tmp_path / "s.h5",
                                                   code=1)


def test_a_program_that_will_not_leave_is_ended_without_harm(tpo, samples, program, tmp_path):
    body = (f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
            + ECHO + ANSWER + "\nwhile True: time.sleep(1)\n")
    tpo.ok("judge", "--samples", samples, "--judge", program(body), "--out", tmp_path / "s.h5")
    assert not os.path.exists(f"/proc/{(tmp_path / 'pid').read_text()}")


def test_interruption_ends_the_program_too(samples, program, tmp_path):
    pid = tmp_path / "pid"
    judge = program(f"open({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(1000)")
    args = command(["judge", "--samples", samples, "--judge", judge, "--out", tmp_path / "s.h5"])
    job = subprocess.Popen(args, env=environment(), stderr=subprocess.PIPE)
    while not pid.exists() or not pid.read_text():
        time.sleep(0.05)
    job.terminate()  # `timeout`, which hands it on
    _, text = job.communicate(timeout=20)
    assert job.returncode in (124, 143) and b"stopped by SIGTERM" in text
    assert not os.path.exists(f"/proc/{pid.read_text()}")


def test_a_thousand_prompts_with_large_responses(tpo, tiny_model, program, tmp_path):
    """About 60 MB of requests; the program answers with details as large, and reads in bursts."""
    n, k = 1000, 3
    small, big = tmp_path / "small.h5", tmp_path / "big.h5"
    tiny.write_prompts(tmp_path / "prompts.jsonl", "p", n)
    tpo.ok("generate", "--model", tiny_model, "--prompts", tmp_path / "prompts.jsonl", "--out", small, "--k", k, "--thought",
           "none", "--max-tokens", 2)
    with h5py.File(small) as f, h5py.File(big, "w") as g:
        for key in f.attrs:
            g.attrs.create(key, f.attrs[key], dtype=f.attrs.get_id(key).dtype)
        for key, data in f.items():
            values = [f"{i} " * (4000 + i % 7) for i in range(n * k)] if key == "response" else data[:]
            g.create_dataset(key, data=[1] * (n * k) if key == "format_ok" else values, dtype=data.dtype)
    body = """
for i, line in enumerate(sys.stdin):
    r = json.loads(line)
    if i % 100 == 0: time.sleep(0.02)
    print(json.dumps({"id": r["id"], "scores": [score(x["text"]) for x in r["responses"]],
                      "details": [{"copy": x["text"]} for x in r["responses"]]}), flush=True)
"""
    out = tmp_path / "scored.h5"
    tpo.ok("judge", "--samples", big, "--judge", program(body), "--out", out, ranks=2)
    with h5py.File(out) as f:
        assert len(f["k"]) == n * k
        for i in range(0, n * k, 97):
            assert f["score"][i] == score(f["response"][i].decode())


@pytest.mark.parametrize("judge, words", [
    ("command:", "command"),
    ("command:no-such-program-here", "no-such-program-here"),
    ("command:./nothing", "does not exist"),
    ("command:'open", "quote is not closed"),
    ("command:/etc", "may be executed"),
])
def test_a_program_that_is_not_there_is_a_usage_error(tpo, samples, tmp_path, judge, words):
    assert words in tpo.fails("judge", "--samples", samples, "--judge", judge, "--out", tmp_path / "s.h5", code=2)


def test_arguments_are_quoted_as_in_a_shell_but_nothing_else_is(tpo, samples, program, tmp_path):
    judge = program(f"json.dump(sys.argv[1:], open({str(tmp_path / 'argv')!r}, 'w'))\n" + ECHO + ANSWER)
    tpo.ok("judge", "--samples", samples, "--judge", judge + " 'a b' \"c\" $HOME * ; d\\ e", "--out", tmp_path / "s.h5")
    assert json.loads((tmp_path / "argv").read_text()) == ["a b", "c", "$HOME", "*", ";", "d e"]


def test_the_servers_key_stays_out_of_the_programs_environment(tpo, samples, program, tmp_path):
    judge = program(f"json.dump(dict(os.environ), open({str(tmp_path / 'env')!r}, 'w'))\n" + ECHO + ANSWER)
    tpo.ok("judge", "--samples", samples, "--judge", judge, "--out", tmp_path / "s.h5", "--set", "judge.key_env=MY_KEY",
           env={"MY_KEY": "abc", "MY_KEYS": "def"})
    env = json.loads((tmp_path / "env").read_text())
    assert "MY_KEY" not in env and env["MY_KEYS"] == "def"


RANKS = ("OMPI_", "PMIX_", "PMI_", "PMI2_", "PRTE_", "SLURM_STEP", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS")


def test_a_program_is_not_told_that_it_is_a_rank(tpo, samples, program, tmp_path):
    names = f"json.dump(sorted(os.environ), open({str(tmp_path / 'env')!r} + str(os.getpid()), 'w'))\n"
    slurm = {"SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_NTASKS": "2", "SLURM_JOB_NAME": "x"}
    tpo.ok("judge", "--samples", samples, "--judge", program(names + ECHO + ANSWER), "--out", tmp_path / "s.h5", ranks=2, env=slurm)
    files = list(tmp_path.glob("env*"))
    assert len(files) == 2
    for file in files:
        names = json.loads(file.read_text())
        assert "PATH" in names and "SLURM_JOB_NAME" in names
        assert not [name for name in names if name.startswith(RANKS)]


@pytest.mark.parametrize("launch", ["", "mpirun -n 1 "])
def test_a_program_that_starts_mpi_itself_judges_and_the_job_ends(tpo, tiny_model, samples, program, tmp_path, launch):
    """A judge which for each prompt runs this program, which starts MPI, and takes what it says for the score."""
    (tmp_path / "prompts.jsonl").write_text('{"instruction":"x"}\n')
    allowed = "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1"
    run = f"env {allowed} {launch}{command([])[-1]} generate --model {tiny_model} --k 1 --max-tokens 1 --thought none"
    body = f"""
import subprocess
for line in sys.stdin:
    r = json.loads(line)
    out = {str(tmp_path)!r} + "/of-" + str(os.getpid()) + ".h5"
    subprocess.run({run!r}.split() + ["--prompts", {str(tmp_path / 'prompts.jsonl')!r}, "--out", out], check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    size = os.path.getsize(out)
    print(json.dumps({{"id": r["id"], "scores": [size for x in r["responses"]]}}), flush=True)
"""
    tpo.ok("judge", "--samples", samples, "--judge", program(body), "--out", tmp_path / "s.h5", ranks=2)
    assert all(value > 0 for _, _, _, ok, value, _ in read(tmp_path / "s.h5")[0] if ok)
