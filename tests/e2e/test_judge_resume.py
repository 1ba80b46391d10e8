"""Judging that was stopped is taken up again: on any number of ranks, to the same file byte for byte, and what was judged
is not judged again."""
import json
import re
import resource
import signal
import stat
import subprocess
import time

import pytest

import tiny
from conftest import command, environment
from fake_server import FakeServer, error, reply

h5py = pytest.importorskip("h5py")

N, K = 40, 2  # prompts, and responses of each
PLAIN = {"no_proxy": "127.0.0.1,localhost", "NO_PROXY": "127.0.0.1,localhost", "TPO_JUDGE_KEY": "", "SOURCE_DATE_EPOCH": "1700000000"}
# Once so many prompts were asked about as the file `limit` says, it sends its signal to the process that asked.
PROGRAM = """#!/usr/bin/env python3
import json, os, sys, time
os.chdir(os.path.dirname(os.path.abspath(__file__)))
for line in sys.stdin:
    r = json.loads(line)
    with open("asked", "a") as f:
        f.write(r["id"] + "\\n")
    if os.path.exists("limit"):
        limit, number = map(int, open("limit").read().split())
        if len(open("asked").readlines()) > limit:
            os.kill(os.getppid(), number)
            time.sleep(20)
    texts = [x["text"] for x in r["responses"]]
    failed = os.path.exists("fails") and r["id"].endswith("7")
    print(json.dumps({"id": r["id"], "scores": [None if failed else len(t) for t in texts],
                      "details": [{"error": "a seven"} if failed else {"length": len(t)} for t in texts]}), flush=True)
"""


@pytest.fixture(scope="module")
def samples(tpo, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    tiny.write_prompts(folder / "prompts.jsonl", "p", N)
    tpo.ok("generate", "--model", tiny_model, "--prompts", folder / "prompts.jsonl", "--out", folder / "samples.h5", "--k", K,
           "--thought", "none", "--temperature", 1, "--top-p", 1, "--max-tokens", 8)
    return folder / "samples.h5"


@pytest.fixture
def program(tmp_path):
    folder = tmp_path / "judge"
    folder.mkdir()
    (folder / "judge.py").write_text(PROGRAM)
    (folder / "judge.py").chmod(stat.S_IRWXU)
    return folder


@pytest.fixture
def judge(tpo, samples, program, tmp_path):
    """A judging to tmp_path/NAME; what the program was asked about before is forgotten."""
    def run(name, *more, ranks=0, **kwargs):
        (program / "asked").unlink(missing_ok=True)
        return tpo("judge", "--samples", samples, "--judge", f"command:{program}/judge.py", "--out", tmp_path / name, *more,
                   ranks=ranks, env=PLAIN, **kwargs)
    return run


def asked(program):
    return (program / "asked").read_text().split()


def journal(tmp_path):
    return tmp_path / "out.h5.journal"


def stop(judge, program, how, ranks, limit=24):
    (program / "limit").write_text(f"{limit} {int(how)}")
    result = judge("out.h5", ranks=ranks)
    (program / "limit").unlink()
    assert result.returncode in (-how, 128 + how) or how == signal.SIGTERM and ranks and result.returncode == 1  # another rank's
    return result.stderr.decode()


@pytest.mark.parametrize("how, ranks, then", [(signal.SIGKILL, 0, 2), (signal.SIGKILL, 2, 0), (signal.SIGTERM, 2, 3)])
def test_a_stopped_judging_goes_on(judge, program, tmp_path, how, ranks, then):
    assert judge("whole.h5").returncode == 0
    text = stop(judge, program, how, ranks)
    assert not (tmp_path / "out.h5").exists() and list(journal(tmp_path).iterdir())
    if how == signal.SIGTERM:
        assert re.search(r"stopped by SIGTERM.*; \d+ of 40 prompts' judgements are kept in .*out.h5.journal: the same command goes on", text)
    result = judge("out.h5", *["--resume"][:then], ranks=then)
    assert result.returncode == 0, result.stderr.decode()
    done = int(re.search(rb"out.h5.journal: (\d+) of 40 prompts are judged already; going on with the others", result.stderr)[1])
    assert done >= 8 and len(asked(program)) == len(set(asked(program))) == N - done
    assert (tmp_path / "out.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes() and not journal(tmp_path).exists()


def test_other_work_is_set_aside_or_refused(judge, program, tmp_path):
    stop(judge, program, signal.SIGKILL, 0)
    before = {path.name: path.read_bytes() for path in journal(tmp_path).iterdir()}
    result = judge("out.h5", "--resume", "--set", "judge.strict=false")
    text = result.stderr.decode()
    assert result.returncode == 2 and "`judge.strict: true` there, `judge.strict: false` now" in text
    result = judge("out.h5", "--set", "judge.strict=false")
    aside = tmp_path / "out.h5.journal.1"
    assert result.returncode == 0 and f"what it keeps is now in {aside}, nothing of it is lost".encode() in result.stderr
    assert len(asked(program)) == N and {path.name: path.read_bytes() for path in aside.iterdir()} == before
    assert not journal(tmp_path).exists()
    aside.rename(journal(tmp_path))
    assert judge("out.h5", "--resume").returncode == 0 and 0 < len(asked(program)) < N, "it is gone on from"
    result = judge("out.h5", "--resume")
    assert result.returncode == 0 and b"nothing is kept there" in result.stderr and len(asked(program)) == N


def test_a_program_that_was_changed_is_another_judge(judge, program, tmp_path):
    stop(judge, program, signal.SIGKILL, 0)
    (program / "judge.py").write_text(PROGRAM.replace("len(t) for t in texts]", "-len(t) for t in texts]", 1))
    result = judge("out.h5", "--resume")
    assert result.returncode == 2 and b"`judge program " in result.stderr and b"judge.py: " in result.stderr
    (tmp_path / "out.h5.journal.1").mkdir()  # of an earlier time
    result = judge("out.h5", ranks=2)
    assert result.returncode == 0 and b"what it keeps is now in " in result.stderr and len(asked(program)) == N
    assert list((tmp_path / "out.h5.journal.2").iterdir()) and not list((tmp_path / "out.h5.journal.1").iterdir())
    with h5py.File(tmp_path / "out.h5") as f:
        assert (f["score"][:] <= 0).all()


def test_unfinished_work_of_another_command_is_not_removed(tpo, tiny_model, judge, samples, tmp_path):
    """Samples that `tpo generate` keeps for the same name."""
    args = ["generate", "--model", tiny_model, "--prompts", samples.parent / "prompts.jsonl", "--out", tmp_path / "out.h5", "--k", 8,
            "--max-tokens", 200, "--set", "sampling.slots=4"]
    job = subprocess.Popen(command(args), env=environment(PLAIN), stderr=subprocess.PIPE)
    end = time.time() + 40
    while not (journal(tmp_path).exists() and list(journal(tmp_path).iterdir())):
        assert time.time() < end and job.poll() is None
        time.sleep(0.02)
    job.send_signal(signal.SIGTERM)
    job.communicate(timeout=20)
    before = {path: path.read_bytes() for path in journal(tmp_path).iterdir()}
    result = judge("out.h5")
    assert result.returncode == 2 and b"`what: samples` there, `what: judgements` now" in result.stderr
    assert before and {path: path.read_bytes() for path in journal(tmp_path).iterdir()} == before


def test_damage_costs_the_damaged_batch_alone(judge, program, tmp_path):
    assert judge("whole.h5").returncode == 0
    stop(judge, program, signal.SIGKILL, 2, limit=30)
    file = next(path for path in journal(tmp_path).iterdir() if b'"length"' in path.read_bytes())
    file.write_bytes(file.read_bytes().replace(b'"length"', b'"LENGTH"', 1))
    result = judge("out.h5")
    assert result.returncode == 0 and b"damaged" in result.stderr and len(asked(program)) < N
    assert (tmp_path / "out.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_what_the_judge_failed_on_is_judged_again_once_it_was_too_much(judge, program, tmp_path):
    """Those prompts, with those of their batches, and nothing where as many failures are allowed now."""
    (program / "fails").touch()
    result = judge("out.h5", "--set", "judge.max_failed=0.05", ranks=2)
    assert result.returncode == 1 and b"40 of 40 prompts' judgements are kept" in result.stderr
    result = judge("more.h5", "--set", "judge.max_failed=0.05")
    journal(tmp_path).rename(tmp_path / "kept")
    (tmp_path / "more.h5.journal").rename(journal(tmp_path))
    result = judge("out.h5", "--set", "judge.max_failed=0.5")
    assert result.returncode == 0 and not (program / "asked").exists(), "as many failures are allowed now"
    (tmp_path / "kept").rename(journal(tmp_path))
    (program / "fails").unlink()
    result = judge("out.h5", "--set", "judge.max_failed=0.05")
    assert result.returncode == 0 and b"4 prompts that the judge failed on are judged again" in result.stderr
    assert {"p-7", "p-17", "p-27", "p-37"} <= set(asked(program)) and len(asked(program)) < N
    assert judge("whole.h5").returncode == 0
    assert (tmp_path / "out.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_a_full_disk_keeps_what_was_there(judge, program, tmp_path, tpo, samples):
    args = ["judge", "--samples", samples, "--judge", f"command:{program}/judge.py", "--out", tmp_path / "out.h5"]
    result = subprocess.run(command(args), env=environment(PLAIN), capture_output=True, check=False,
                            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500)))
    assert result.returncode == 1 and b"File too large" in result.stderr and not (tmp_path / "out.h5").exists()
    assert judge("out.h5").returncode == 0 and len(asked(program)) < N and judge("whole.h5").returncode == 0
    assert (tmp_path / "out.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


@pytest.mark.parametrize("ranks, then", [(0, 2), (2, 0)])
def test_what_a_server_counted_is_as_if_nothing_had_stopped(tpo, samples, tmp_path, ranks, then):
    """Requests that a lost batch had paid for are counted with it, though their answers come from the cache. Why answers held
    no number is counted in the same order, whichever batch came first to it."""
    def rate(request):
        number = sum(map(ord, request.user)) % 10
        return reply(["no idea", "[[four]]", "[[4]]"][number] if number < 3 else f"[[{number}]]")

    def broken(request):
        if request.number < 30:
            return rate(request)
        time.sleep(0.5)  # what is answered has arrived
        return error(401, "used up")
    with FakeServer(rate) as server:
        def args(name):
            return ["judge", "--samples", samples, "--judge", server.url, "--out", tmp_path / name / "s.h5", "--set", "judge.model=m",
                    "--set", "judge.concurrency=4", "--set", "judge.max_failed=1", "--set", r"judge.pattern=\[\[(.*?)\]\]"]
        for name in ("whole", "stopped"):
            (tmp_path / name).mkdir()
        tpo.ok(*args("whole"), env=PLAIN)
        n = len(server.requests)
        server.requests.clear()
        server.behave = broken
        tpo.fails(*args("stopped"), env=PLAIN, ranks=ranks, code=1)
        answered = {r.user for r in server.requests[:30]}
        server.requests.clear()
        server.behave = rate
        tpo.ok(*args("stopped"), env=PLAIN, ranks=then)
        assert answered.isdisjoint({r.user for r in server.requests}) and len(server.requests) <= n - len(answered)
    assert (tmp_path / "whole/s.h5").read_bytes() == (tmp_path / "stopped/s.h5").read_bytes()


CONFIG = """
seed: 5
model: {{path: {model}, dtype: fp32}}
thought: none
judge: {judge}
data: {{train: {folder}/train.jsonl, validation: {folder}/validation.jsonl, prompts_per_iteration: {prompts}, validation_prompts: 4}}
sampling: {{k: 3, temperature: 1, top_p: 1, max_tokens: 8}}
train: {{learning_rate: 1e-4, batch: 8, epochs: 1}}
run: {{dir: {folder}/run, iterations: {iterations}, validation_temperature: 1, deadline: 60, kl_outputs: 0, tensorboard: false}}
"""


@pytest.fixture
def config(tiny_model, tmp_path):
    def write(judge, prompts, iterations):
        tiny.write_prompts(tmp_path / "train.jsonl", "train", 48)
        tiny.write_prompts(tmp_path / "validation.jsonl", "validation", 4)
        (tmp_path / "run.yaml").write_text(CONFIG.format(model=tiny_model, folder=tmp_path, judge=judge, prompts=prompts, iterations=iterations))
        return tmp_path / "run.yaml"
    return write


def results(folder):
    """Of a run: its events without times, and what its scores are."""
    events = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for event in events:
        for name in [name for name in event if "time" in name or "second" in name]:
            del event[name]
    assert not list(folder.glob("iter-*/*.journal"))
    scored = []
    for path in sorted(folder.glob("iter-*/*.h5")):
        with h5py.File(path) as f:
            if "judge_counts" in f.attrs:
                scored.append((path.name, f.attrs["content_hash"], f.attrs["judge_counts"]))
    return events, scored


def test_a_run_goes_on_inside_its_judge_step(tpo, config, program, tmp_path):
    path, run = config(f'"command:{program}/judge.py"', 24, 1), tmp_path / "run"
    ranks = 2
    tpo.ok("run", path, ranks=ranks)
    whole = results(run)
    run.rename(tmp_path / "whole")
    (program / "asked").unlink()
    (program / "limit").write_text(f"20 {int(signal.SIGKILL)}")  # 4 for validation, then at least a batch
    assert tpo("run", path, ranks=ranks).returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert list((run / "iter-001/scored.h5.journal").iterdir()) and not (run / "iter-001/scored.h5").exists()
    (program / "limit").unlink()
    result = tpo("run", path, "--resume", ranks=ranks)
    told = re.search(rb"(\d+) of 24 prompts are judged already", result.stderr)
    assert result.returncode == 0 and told and int(told[1]) >= 6
    assert len([name for name in set(asked(program)) if asked(program).count(name) > 1 and name.startswith("train")]) <= 24 - int(told[1])
    assert results(run) == whole


def test_a_run_goes_on_inside_its_comparisons(tpo, config, tmp_path):
    def compare(request):
        a, b = re.search(r"A:(.*)B:(.*)$", request.user, re.S).groups()
        return reply("[[C]]" if len(a) == len(b) else "[[A]]" if len(a) > len(b) else "[[B]]")

    with FakeServer(compare) as server:
        settings = 'mode: pairwise, model: m, concurrency: 2, prompt: "{instruction} A:{response_a} B:{response_b}"'
        path, run = config(f'{{kind: "{server.url}", {settings}}}', 8, 2), tmp_path / "run"
        tpo.ok("run", path, env=PLAIN)
        whole, n = results(run), len(server.requests)
        run.rename(tmp_path / "whole")
        server.requests.clear()
        for ends_after in (9, n - 4):  # among the first iteration's comparisons, and among the last validation's
            def until(request, last=ends_after):
                if request.number < last:
                    return compare(request)
                time.sleep(0.5)
                return error(401, "used up")
            server.behave = until
            tpo.fails("run", path, *["--resume"][:run.exists()], env=PLAIN, code=1)
            del server.requests[ends_after:]
        server.behave = compare
        tpo.ok("run", path, "--resume", env=PLAIN)
    assert results(run) == whole
