"""Ranks that die or hang, signals, a full disk, two runs in one folder: the job ends, says why, and goes on with --resume."""
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import time

import pytest

import tiny
from conftest import BUILD, command, environment

CONFIG = """
seed: 5
model: {{path: {model}, dtype: fp32}}
thought: {{name: generic, thought_tokens: 8, response_tokens: 12, on_budget: force}}
data: {{train: {data}/train.jsonl, validation: {data}/validation.jsonl, prompts_per_iteration: 8, validation_prompts: 4}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 40, slots: 8}}
train: {{learning_rate: 1e-4, batch: 4, epochs: {epochs}, micro_batch_tokens: 4096, warmup: 0}}
run: {{dir: {run_dir}, iterations: 1, validation_temperature: 1, deadline: {deadline}}}
"""

STOPPED = 12  # epochs


@pytest.fixture
def config(tiny_model, tmp_path):
    """Writes the configuration of a small run: config(deadline) -> its path and the run folder. One that is stopped at a
    moment has more epochs, so that it isn't over by then on a machine that lets the test wait."""
    def write(deadline=60, run_dir=tmp_path / "run", epochs=4):
        tiny.write_prompts(tmp_path / "train.jsonl", "train", 8)
        tiny.write_prompts(tmp_path / "validation.jsonl", "validation", 4)
        path = tmp_path / "run.yaml"
        path.write_text(CONFIG.format(model=tiny_model, data=tmp_path, run_dir=run_dir, deadline=deadline,
                                      epochs=epochs))
        return path, run_dir
    return write


@pytest.fixture
def many_prompts(tmp_path):
    path = tmp_path / "many.jsonl"
    tiny.write_prompts(path, "many", 400)
    return path


@pytest.fixture(scope="module")
def pairs(tpo, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    tiny.write_prompts(folder / "p.jsonl", "p", 8)
    tpo.ok("generate", "--model", tiny_model, "--prompts", folder / "p.jsonl", "--out", folder / "s.h5", "--k", 4,
           "--temperature", 1, "--top-p", 1, "--max-tokens", 60, "--set", "thought.thought_tokens=10", "--set",
           "thought.response_tokens=16")
    tpo.ok("judge", "--samples", folder / "s.h5", "--judge", "rule", "--out", folder / "sc.h5")
    tpo.ok("pairs", "--samples", folder / "sc.h5", "--out", folder / "pairs.h5")
    return folder


class Job:
    """A command in the background whose ranks can be signalled one by one."""

    def __init__(self, args, ranks=0, env=None, limit=None):
        launch = (["mpirun", "-n", str(ranks)] if ranks else []) + [str(BUILD / "tpo")] + [str(a) for a in args]
        self.size = ranks or 1
        self.process = subprocess.Popen(launch, env=environment(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, preexec_fn=limit)

    def ranks(self):
        """Process ids by rank, once all of them are there."""
        if self.process.args[0] != "mpirun":
            return [self.process.pid]
        end = time.monotonic() + 30
        while time.monotonic() < end:
            found = {}
            for child in pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
                try:
                    variables = pathlib.Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
                    if os.readlink(f"/proc/{child}/exe") != os.path.realpath(BUILD / "tpo"):
                        continue
                except OSError:
                    continue
                found.update({int(v.split(b"=")[1]): int(child) for v in variables
                              if v.startswith(b"OMPI_COMM_WORLD_RANK=")})
            if len(found) == self.size:
                return [found[r] for r in range(self.size)]
            time.sleep(0.02)
        raise AssertionError("the ranks did not start")

    def wait_for(self, what, seconds=60):
        end = time.monotonic() + seconds
        while not what():
            assert self.process.poll() is None, "ended too early\n" + self.process.stderr.read().decode()
            assert time.monotonic() < end, "nothing happened"
            time.sleep(0.01)

    def end(self, seconds):
        """Waits for the end; exit status, standard error and the seconds that it took."""
        begin = time.monotonic()
        ranks = [] if self.process.poll() is not None or self.size == 1 else self.ranks_now()
        try:
            _, stderr = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            for pid in [self.process.pid, *ranks]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.communicate()
            raise AssertionError(f"still running after {seconds} s") from None
        return self.process.returncode, stderr.decode(errors="replace"), time.monotonic() - begin

    def ranks_now(self):
        try:
            text = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        except OSError:
            return []
        return [int(child) for child in text.split()]


def finished_steps(run_dir):
    manifest = json.loads((run_dir / "manifest.json").read_text())
    return [(s["iteration"], s["step"]) for s in manifest["steps"]]


def files_are_whole(tpo, run_dir):
    """Every file under its final name can be read; what the manifest names is there."""
    for path in run_dir.rglob("*.h5"):
        tpo.ok("inspect", path)
    if (run_dir / "manifest.json").exists():
        for step in json.loads((run_dir / "manifest.json").read_text())["steps"]:
            for file in step["files"]:
                assert (run_dir / file["path"]).stat().st_size == file["size"]


def resume(tpo, path, run_dir, ranks=0):
    before = finished_steps(run_dir)
    tpo.ok("run", path, "--resume", ranks=ranks)
    after = finished_steps(run_dir)
    assert after[:len(before)] == before and len(after) == 7
    assert json.loads((run_dir / "manifest.json").read_text())["done"] is True
    assert not list(run_dir.rglob("*.tmp.*")), "files of the interrupted attempt were left"


def state(pid):
    """A letter as in ps; None where the process is no more, or only waits to be reaped."""
    try:
        letter = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return None
    return None if letter == "Z" else letter


def state_at_last(pid, seconds=20):
    """mpirun ends when it has sent SIGKILL, not when the kernel has taken the process apart."""
    end = time.monotonic() + seconds
    while state(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return state(pid)


def has(run_dir, name):
    return (run_dir / name).exists


@pytest.mark.parametrize("ranks, victim, moment", [(2, 1, "prompts/validation.jsonl"), (3, 0, "iter-001/samples.h5"),
                                                   (2, 0, "iter-001/pairs.h5")])
def test_a_rank_killed_in_a_run(tpo, config, ranks, victim, moment):
    path, run_dir = config(epochs=STOPPED)
    job = Job(["run", path], ranks)
    pids = job.ranks()
    job.wait_for(has(run_dir, moment))
    os.kill(pids[victim], signal.SIGKILL)
    code, _, seconds = job.end(30)
    assert code == 128 + signal.SIGKILL and seconds < 20
    files_are_whole(tpo, run_dir)
    resume(tpo, path, run_dir, ranks)


def test_a_rank_killed_while_sampling(tiny_model, many_prompts, tmp_path):
    job = Job(["generate", "--model", tiny_model, "--prompts", many_prompts, "--out", tmp_path / "o.h5", "--k", 8,
               "--max-tokens", 500], 3)
    pids = job.ranks()
    job.wait_for(lambda: any(p.stat().st_size for p in (tmp_path / "o.h5.journal").glob("*")))
    os.kill(pids[2], signal.SIGKILL)
    code, _, seconds = job.end(30)
    assert code == 128 + signal.SIGKILL and seconds < 20
    assert not (tmp_path / "o.h5").exists()


@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_killed_in_training(tpo, tiny_model, pairs, tmp_path, victim):
    metrics = tmp_path / "m.jsonl"
    job = Job(["dpo", "--model", tiny_model, "--pairs", pairs / "pairs.h5", "--out", tmp_path / "c.h5", "--batch", 2,
               "--epochs", 10000, "--metrics", metrics], 2)
    pids = job.ranks()
    job.wait_for(lambda: metrics.exists() and metrics.stat().st_size > 0)
    os.kill(pids[victim], signal.SIGKILL)
    code, _, seconds = job.end(30)
    assert code == 128 + signal.SIGKILL and seconds < 20
    if (tmp_path / "c.h5").exists():
        tpo.ok("inspect", tmp_path / "c.h5")


@pytest.mark.parametrize("ranks, victim", [(2, 1), (3, 0)])
def test_a_rank_that_hangs_is_named_when_the_deadline_passes(tpo, config, ranks, victim):
    path, run_dir = config(deadline=4, epochs=STOPPED)
    job = Job(["run", path], ranks)
    pids = job.ranks()
    job.wait_for(has(run_dir, "iter-001/prompts.jsonl"))
    os.kill(pids[victim], signal.SIGSTOP)
    code, text, seconds = job.end(60)
    assert code != 0 and seconds < 40
    # Stopped between two collectives it is named; inside one that it had announced, nobody can tell which rank it is.
    assert f"rank {victim} did not come" in text or "although all have come to it" in text, text
    assert state_at_last(pids[victim]) is None, "the stopped rank was left behind"
    files_are_whole(tpo, run_dir)
    path, run_dir = config(deadline=60, epochs=STOPPED)
    resume(tpo, path, run_dir, ranks)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_stops_a_lone_run(tpo, config, number):
    path, run_dir = config(epochs=STOPPED)
    job = Job(["run", path])
    job.wait_for(has(run_dir, "iter-001/prompts.jsonl"))
    job.process.send_signal(number)
    code, text, seconds = job.end(30)
    assert code == 128 + number and seconds < 15
    assert "--resume" in text and f"stopped by {number.name}" in text
    files_are_whole(tpo, run_dir)
    resume(tpo, path, run_dir)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_to_the_launcher_stops_all_ranks(tpo, config, number):
    path, run_dir = config(epochs=STOPPED)
    job = Job(["run", path], 2)
    job.ranks()
    job.wait_for(has(run_dir, "iter-001/prompts.jsonl"))
    job.process.send_signal(number)
    code, text, seconds = job.end(30)
    assert code != 0 and seconds < 20
    if number == signal.SIGUSR1:  # the launcher passes it on and waits; after the others it kills within seconds
        assert code == 128 + number and text.count("--resume") == 1, text
    files_are_whole(tpo, run_dir)
    resume(tpo, path, run_dir, 2)


@pytest.mark.parametrize("args", [["tokenize"], ["logprobs"], ["chat"], ["generate", "--prompts", "-"],
                                  ["generate", "--prompts", "FIFO"], ["dpo", "--pairs", "FIFO"]])
def test_a_signal_ends_what_waits_for_input(tiny_model, tmp_path, args):
    os.mkfifo(tmp_path / "fifo")
    args = [tmp_path / "fifo" if a == "FIFO" else a for a in args]
    more = ["--out", tmp_path / "o.h5"] if len(args) > 1 else []
    process = subprocess.Popen([BUILD / "tpo", *args, *more, "--model", tiny_model], stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, env=environment())
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM


@pytest.mark.parametrize("step", ["generate", "dpo"])
def test_a_signal_stops_a_command(tiny_model, many_prompts, pairs, tmp_path, step):
    args = {"generate": ["--prompts", many_prompts, "--k", 8, "--max-tokens", 500],
            "dpo": ["--pairs", pairs / "pairs.h5", "--epochs", 10000, "--batch", 2]}[step]
    job = Job([step, "--model", tiny_model, "--out", tmp_path / "o.h5", *args])
    job.wait_for(has(tmp_path, "o.h5.journal"))
    job.process.send_signal(signal.SIGTERM)
    code, text, _ = job.end(15)
    assert code == 128 + signal.SIGTERM and "stopped by SIGTERM" in text


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 600 KB; skipped where mounting is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "none", folder], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder, leave):
    """Takes the free space but for `leave` bytes."""
    space = os.statvfs(folder)
    (folder / "ballast").write_bytes(b"\1" * max(0, space.f_bavail * space.f_frsize - leave))


@pytest.mark.parametrize("ranks, leave", [(0, 0), (0, 150_000), (2, 250_000), (2, 400_000)])
def test_a_full_disk_ends_a_run_that_goes_on_later(tpo, config, small_disk, ranks, leave):
    path, run_dir = config(run_dir=small_disk / "run")
    fill(small_disk, leave)
    text = tpo.fails("run", path, ranks=ranks)
    told = [line for line in text.splitlines() if line.startswith("tpo: ")]
    assert len(told) == 1 and str(run_dir) in told[0], text
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    if not (run_dir / "manifest.json").exists():
        tpo.ok("run", path, ranks=ranks)
        return
    files_are_whole(tpo, run_dir)
    resume(tpo, path, run_dir, ranks)


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_checkpoint_that_cannot_be_written(tpo, tiny_model, pairs, tmp_path, ranks):
    """A limit on file sizes, set while it trains, stands for a disk that fills up in the middle of a write."""
    out, metrics = tmp_path / "c.h5", tmp_path / "m.jsonl"
    job = Job(["dpo", "--model", tiny_model, "--pairs", pairs / "pairs.h5", "--out", out, "--batch", 2, "--epochs", 10000,
               "--metrics", metrics], ranks)
    pids, journal = job.ranks(), tmp_path / "c.h5.journal"
    job.wait_for(lambda: list(journal.glob("best-*.h5")))
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (30_000, 30_000) if metrics.stat().st_size < 20_000 else (0, 0))
    code, text, seconds = job.end(60)
    assert code == 1 and seconds < 40, text
    assert sum(line.startswith("tpo: ") for line in text.splitlines()) == 1, text
    assert str(journal) in text or str(metrics) in text, text
    assert not out.exists() and not list(journal.glob("*.tmp.*"))
    tpo.ok("inspect", next(journal.glob("best-*.h5")))


def test_two_runs_in_one_folder(tpo, config):
    path, run_dir = config(epochs=STOPPED)
    first = Job(["run", path])
    first.wait_for(has(run_dir, "manifest.json"))
    first.process.send_signal(signal.SIGSTOP)  # so that it is not over before the others have come
    for more in ([], ["--resume"]):
        text = tpo.fails("run", path, *more, code=2)
        assert "another process" in text and str(run_dir) in text
    first.process.send_signal(signal.SIGCONT)
    code, text, _ = first.end(60)
    assert code == 0, text
    assert len(finished_steps(run_dir)) == 7


def test_two_runs_started_at_the_same_moment(config):
    path, run_dir = config()
    jobs = [Job(["run", path]) for _ in range(3)]
    codes = sorted(job.end(90)[0] for job in jobs)
    assert codes == [0, 2, 2]
    assert len(finished_steps(run_dir)) == 7


def test_resume_refuses_another_model(tpo, config, tiny_model, tmp_path):
    path, run_dir = config()
    tpo.ok("run", path)
    other = shutil.copytree(tiny_model, tmp_path / "model")
    data = bytearray((other / "model.safetensors").read_bytes())
    data[-100] ^= 1
    (other / "model.safetensors").write_bytes(data)
    assert "another configuration" in tpo.fails("run", path, "--resume", "--model", other, code=1)
    text = tpo.fails("run", path, "--resume", "--allow-changes", "--model", other, code=1)
    assert "another model" in text and str(run_dir) in text


def test_a_damaged_manifest_is_named(tpo, config):
    path, run_dir = config()
    run_dir.mkdir()
    for content in ("", "{", "[]", '{"version": 1}', '{"version": 7, "steps": []}', "[" * 100000):
        (run_dir / "manifest.json").write_text(content)
        assert "manifest.json" in tpo.fails("run", path, "--resume", code=1)


def tree(folder):
    return {str(p.relative_to(folder)): os.readlink(p) if p.is_symlink() else p.read_bytes() if p.is_file() else None
            for p in folder.rglob("*")}


@pytest.mark.parametrize("name", ["config.yaml", "report.html", "notice.json", "status.json", "metrics.jsonl", "iter-000/samples.h5",
                                  "iter-012",
                                  "iter-001/", "prompts/validation.jsonl", "metrics.jsonl -> o", "metrics.jsonl -> nowhere", "iter-000 -> d",
                                  "config.yaml -> nowhere"])
def test_a_run_does_not_begin_over_files_of_others(tpo, config, tmp_path, name):
    path, run_dir = config()
    name, _, target = name.partition(" -> ")
    (tmp_path / "o").write_text("mine")
    (tmp_path / "d").mkdir()
    thing = run_dir / name
    thing.parent.mkdir(parents=True)
    if target:
        thing.symlink_to(tmp_path / target)
    elif name.endswith("/"):
        (thing / "inner").mkdir(parents=True)
    else:
        thing.write_text("mine")
    before, ranks = tree(tmp_path), 2 if target == "o" else 0
    text = tpo.fails("run", path, ranks=ranks, code=2)
    told = name.split("/")[0] if name.startswith("iter") else name
    assert f"{run_dir} holds files that are not of a run of this program: {told}; name another run folder" in text, text
    assert tree(tmp_path) == before


def test_a_configuration_in_the_run_folder_is_not_replaced(tpo, config):
    path, run_dir = config()
    run_dir.mkdir()
    own = shutil.copy(path, run_dir / "config.yaml")
    content = own.read_text()
    assert "are not of a run of this program: config.yaml" in tpo.fails("run", own, code=2)
    assert own.read_text() == content and [p.name for p in run_dir.iterdir()] == ["config.yaml"]


def test_what_a_run_killed_before_its_first_manifest_left_is_no_hindrance(tpo, config):
    path, run_dir = config()
    (run_dir / "iter-000").mkdir(parents=True)
    (run_dir / "metrics.jsonl").touch()
    (run_dir / "slurm-1.log").write_text("of the job")
    tpo.ok("run", path)
    assert (run_dir / "report.html").exists()
    told = (run_dir / "metrics.jsonl").rename(run_dir / "elsewhere")
    (run_dir / "metrics.jsonl").symlink_to("elsewhere")
    content = told.read_bytes()
    text = tpo.fails("run", path, "--resume", "--set", "run.iterations=2", code=2)
    assert "metrics.jsonl: a link, which is not followed" in text and told.read_bytes() == content


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_run_goes_on_with_the_files_that_it_began_with(tpo, config, tmp_path, ranks):
    path, run_dir = config()
    tpo.ok("run", path, ranks=ranks)
    train, chosen = tmp_path / "train.jsonl", run_dir / "prompts/validation.jsonl"
    more = ["run", path, "--resume", "--set", "run.iterations=2", "--set", "data.prompts_per_iteration=4"]
    tiny.write_prompts(train, "train", 9)
    text = tpo.fails("run", path, "--resume", ranks=ranks, code=1)
    assert f"{train} is not the file that" in text and "--allow-changes" in text
    warning = b"is not the file that this run was started with"
    assert warning in tpo(*more, "--allow-changes", ranks=ranks).stderr
    assert warning not in tpo(*more, "--allow-changes", ranks=ranks).stderr  # the file that it went on with
    kept = chosen.read_text()
    chosen.write_text(kept.replace("validation-1", "validation-x"))
    assert f"{chosen} is not the file that this run wrote" in tpo.fails("run", path, "--resume", ranks=ranks, code=1)
    chosen.write_text(kept)
    (run_dir / "metrics.jsonl").write_text("")
    assert "metrics.jsonl is not the file that this run wrote: it has 0 bytes" in tpo.fails(
        *more, "--allow-changes", ranks=ranks, code=1)


@pytest.mark.parametrize("ranks", [0, 2])
def test_files_of_instructions_are_looked_through_before_anything_is_made(tpo, config, tmp_path, ranks):
    path, run_dir = config()
    held_back, train = tmp_path / "validation.jsonl", tmp_path / "train.jsonl"
    bad = tmp_path / "bad.jsonl"
    bad.write_text(train.read_text() + '{"instruction": "Write.", "checks": [{"type": "no:such"}]}\n')
    (tmp_path / "link.jsonl").symlink_to(train)
    for settings, words in [
            (["run.iterations=3"], [str(train), "has 8 instructions; fresh ones for 3 iterations of 8 need 24"]),
            (["data.validation_prompts=5"], [f"{held_back} has 4 instructions; data.validation_prompts wants 5"]),
            ([f"data.train={bad}"], [f"{bad}:9: instruction 9", "no:such"]),
            ([f"data.validation={tmp_path}/link.jsonl"], ["data.validation is the same file as data.train"])]:
        text = tpo.fails("run", path, *[word for s in settings for word in ("--set", s)], ranks=ranks)
        assert all(word in text for word in words), text
        assert not run_dir.exists()
    copied = tmp_path / "copied.jsonl"
    copied.write_text(train.read_text().splitlines()[2] + "\n" + held_back.read_text())
    result = tpo("run", path, "--set", f"data.validation={copied}", ranks=ranks)
    assert result.returncode == 0
    assert f"1 of the 5 instructions of {copied} stand in data.train too" in result.stderr.decode()
