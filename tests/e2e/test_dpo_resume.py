"""`tpo dpo` that is stopped or killed goes on as if it never had been: the same checkpoint, the same metrics."""
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import time

import pytest

import tiny
from conftest import command, environment

EPOCHS, STEPS = 3, 20  # steps of an epoch
DATED = {"SOURCE_DATE_EPOCH": "1700000000"}


def write_pairs(path, seed=3):
    rng = random.Random(seed)

    def ids(n):
        return [rng.randrange(3, 250) for _ in range(n)]

    with open(path, "w") as f:
        for i in range(4 * STEPS):
            f.write(json.dumps({"prompt_ids": ids(6), "chosen_ids": ids(8 + i % 5), "rejected_ids": ids(7 + i % 3)}) + "\n")
    return path


@pytest.fixture(scope="module")
def work(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dpo")
    return tiny_model, write_pairs(folder / "pairs.jsonl")


def arguments(work, folder, *more):
    return ["dpo", "--model", work[0], "--pairs", work[1], "--out", folder / "out.h5", "--metrics", folder / "m.jsonl",
            "--dtype", "fp32", "--batch", 4, "--epochs", EPOCHS, "--lr", "1e-3", *more]


@pytest.fixture(scope="module")
def whole(tpo, work, tmp_path_factory):
    """whole(ranks): the folder of a training that nothing interrupted."""
    done = {}

    def get(ranks):
        if ranks not in done:
            done[ranks] = tmp_path_factory.mktemp("whole")
            tpo.ok(*arguments(work, done[ranks]), ranks=ranks, env=DATED)
        return done[ranks]
    return get


def ranks_of(process):
    """Process ids of the ranks that mpirun, under timeout, started."""
    found, queue = [], [process.pid]
    while queue:
        pid = queue.pop()
        try:
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            queue += map(int, children)
            if pathlib.Path(f"/proc/{pid}/comm").read_text() == "tpo\n":
                found.append(pid)
        except OSError:
            pass
    return sorted(found)


def lines(folder):
    path = folder / "m.jsonl"
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"}
            for line in path.read_text().splitlines()] if path.exists() else []


def stop(work, folder, number, after, *more, ranks=2, limit=""):
    """Sends a signal to one rank once so many steps are written; its messages."""
    args = [str(a) for a in command(arguments(work, folder, *more), ranks)]
    process = subprocess.Popen(["bash", "-c", limit + 'exec "$@"', "-", *args], env=environment(DATED),
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    begin = time.monotonic()
    while (not (folder / "m.jsonl").exists() or (folder / "m.jsonl").read_bytes().count(b"\n") < after):
        assert process.poll() is None and time.monotonic() - begin < 60, process.stderr.read().decode()
        time.sleep(0.002)
    os.kill(ranks_of(process)[-1], number)
    text = process.communicate(timeout=60)[1].decode(errors="replace")
    assert process.returncode not in (0, 124), text
    assert not (folder / "out.h5").exists() and (folder / "out.h5.journal").is_dir(), text
    return text


def is_whole(folder, reference):
    assert (folder / "out.h5").read_bytes() == (reference / "out.h5").read_bytes()
    assert lines(folder) == lines(reference) and len(lines(folder)) == EPOCHS * STEPS
    assert sorted(p.name for p in folder.iterdir()) == ["m.jsonl", "out.h5"]


def test_stopped_by_a_signal_only_the_rest_is_trained(tpo, work, whole, tmp_path):
    text = stop(work, tmp_path, signal.SIGTERM, STEPS + 7)
    kept = len(lines(tmp_path))
    assert f"stopped by SIGTERM; {kept} of {EPOCHS * STEPS} steps are kept in {tmp_path}/out.h5.journal: " in text
    assert "the same command with --resume goes on" in text and text.count("stopped by") == 1
    text = tpo.fails(*arguments(work, tmp_path), ranks=2, code=2)
    assert f"did not end, {kept} steps of it: --resume goes on" in text and "without that folder it begins anew" in text
    for place in ("", "/state-*", "/state-*/*"):
        path, *_ = tmp_path.glob("out.h5.journal" + place)
        assert "a journal of unfinished work: the command" in tpo.fails("inspect", path, code=2)
    result = tpo(*arguments(work, tmp_path, "--resume"), ranks=2, env=DATED)
    assert result.returncode == 0 and f"{kept} of them were made before" in result.stderr.decode()
    is_whole(tmp_path, whole(2))


def test_killed_it_goes_on_from_the_last_epoch(tpo, work, whole, tmp_path):
    stop(work, tmp_path, signal.SIGKILL, 2 * STEPS + 5)
    (tmp_path / "out.h5.journal" / "best-007.h5.tmp.0123456789abcdef").touch()  # as a kill while it is written leaves
    result = tpo(*arguments(work, tmp_path, "--resume"), ranks=2, env=DATED)
    assert result.returncode == 0, result.stderr.decode()
    assert any(f"{n} of them were made before" in result.stderr.decode() for n in (2 * STEPS, STEPS))
    is_whole(tmp_path, whole(2))


def test_killed_inside_an_epoch_it_goes_on_from_the_latest_minutes(tpo, work, whole, tmp_path):
    often = ("--state-minutes", "0.0001")
    stop(work, tmp_path, signal.SIGKILL, STEPS + 7, *often)
    result = tpo(*arguments(work, tmp_path, "--resume"), ranks=2, env=DATED)
    assert result.returncode == 0, result.stderr.decode()
    assert int(re.search(r"(\d+) of them were made before", result.stderr.decode()).group(1)) > STEPS
    assert lines(tmp_path) == lines(whole(2))


@pytest.mark.parametrize("ranks", [0, 3])
def test_another_number_of_ranks_goes_on(tpo, work, whole, tmp_path, ranks):
    stop(work, tmp_path, signal.SIGTERM, STEPS + 5)
    kept = len(lines(tmp_path))
    tpo.ok(*arguments(work, tmp_path, "--resume"), ranks=ranks, env=DATED)
    assert lines(tmp_path)[:kept] == lines(whole(2))[:kept]
    assert [m["step"] for m in lines(tmp_path)] == list(range(EPOCHS * STEPS))
    for ours, theirs in zip(lines(tmp_path), lines(whole(2))):  # gradients are added up in another order
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3, abs=1e-4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.jsonl", "out.h5"]


def test_where_nothing_is_kept_training_begins(tpo, work, whole, tmp_path):
    (tmp_path / "m.jsonl").write_text("something else\n")
    result = tpo(*arguments(work, tmp_path, "--resume"), env=DATED)
    assert result.returncode == 0 and "nothing is kept there, so this begins at the beginning" in result.stderr.decode()
    is_whole(tmp_path, whole(0))


def test_other_work_is_refused_and_a_damaged_state_begins_anew(tpo, work, whole, tmp_path):
    stop(work, tmp_path, signal.SIGTERM, 5, ranks=0)
    other_pairs = write_pairs(tmp_path / "pairs.jsonl", seed=4)
    other_model = tiny.make(tmp_path / "model", seed=2)
    for change, words in [(["--lr", "2e-3"], "train.learning_rate = 0.001, now it is 0.002"),
                          (["--seed", 9], "with the seed 0, now it is 9"),
                          (["--pairs", other_pairs], "`pairs: "), (["--model", other_model], "`reference model: "),
                          (["--reference", other_model], "`reference model: ")]:
        text = tpo.fails(*arguments(work, tmp_path, "--resume", *change), code=2)
        assert words in text and "out.h5.journal" in text, text
    other_pairs.unlink()
    subprocess.run(["rm", "-r", other_model], check=True)
    state, = (tmp_path / "out.h5.journal").glob("state-*/*.journal")
    with open(state, "r+b") as f:
        f.truncate(state.stat().st_size // 2)
    result = tpo(*arguments(work, tmp_path, "--resume"), env=DATED)
    assert result.returncode == 0 and "training begins anew" in result.stderr.decode(), result.stderr.decode()
    is_whole(tmp_path, whole(0))


def test_metrics_that_are_not_this_trainings_are_refused(tpo, work, tmp_path):
    stop(work, tmp_path, signal.SIGTERM, 5, ranks=0)
    (tmp_path / "m.jsonl").write_text("short\n")
    assert "not the file that this training wrote" in tpo.fails(*arguments(work, tmp_path, "--resume"), code=2)
    assert (tmp_path / "m.jsonl").read_text() == "short\n"


def resume_with(work, folder, limit, *more):
    args = [str(a) for a in command(arguments(work, folder, "--resume", *more))]
    return subprocess.run(["bash", "-c", limit + 'exec "$@"', "-", *args], env=environment(DATED), capture_output=True,
                          check=False)


def test_a_full_disk_leaves_the_state_that_was_there(work, tmp_path_factory, tmp_path):
    """Files of at most 3 MB: a checkpoint without its optimizer fits, a state doesn't."""
    larger = (tiny.make(tmp_path_factory.mktemp("larger") / "model", hidden=128, ffn=256), work[1])
    small, limit = ("--set", "train.save_optimizer=false"), "ulimit -f 3000; "
    stop(larger, tmp_path, signal.SIGTERM, 5, *small, ranks=0)
    kept = len(lines(tmp_path))
    text = stop(larger, tmp_path, signal.SIGTERM, STEPS + 5, *small, "--resume", ranks=0, limit=limit)
    made = len(lines(tmp_path))
    assert f"the state of training after {STEPS} steps is not kept: " in text
    assert f"the state after {made} steps can't be kept: " in text and "File too large" in text
    assert f"{kept} of {EPOCHS * STEPS} steps are kept in" in text
    assert len(list((tmp_path / "out.h5.journal").glob("state-*"))) == 1
    result = resume_with(larger, tmp_path, limit, *small)
    assert result.returncode == 0, result.stderr.decode()
    assert [m["step"] for m in lines(tmp_path)] == list(range(EPOCHS * STEPS))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.jsonl", "out.h5"]


def test_where_the_checkpoint_finds_no_room_the_state_is_kept(tpo, work, whole, tmp_path):
    """It takes a little more than the state does."""
    result = resume_with(work, tmp_path, "ulimit -f 1000; ")
    assert result.returncode == 1
    assert f"best-001.h5: can't be written" in result.stderr.decode()
    assert f"{STEPS} of {EPOCHS * STEPS} steps are kept in" in result.stderr.decode()
    tpo.ok(*arguments(work, tmp_path, "--resume"), env=DATED)
    is_whole(tmp_path, whole(0))


@pytest.mark.parametrize("ranks", [0, 3])
def test_reference_log_probabilities_are_not_computed_again(tpo, work, tmp_path, ranks):
    """A model's reference takes many passes of a pair each; the job is killed among them."""
    journal = tmp_path / "out.h5.journal"
    args = arguments(work, tmp_path, "--micro-batch-tokens", 1)
    process = subprocess.Popen(command(args, 2), env=environment(DATED), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while sum(p.stat().st_size for p in journal.glob("0*.journal")) < 52 * 2 * STEPS:  # about half
        assert process.poll() is None
        time.sleep(0.001)
    for pid in ranks_of(process):
        os.kill(pid, signal.SIGSTOP)  # so that neither gets to the end
    for pid in ranks_of(process):
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    if any(journal.glob("state-*")):
        pytest.skip("training had begun already")
    before = {p: p.read_bytes() for p in journal.glob("0*.journal")}
    resume = ["--resume"] if ranks else []  # they are the same work without it, too
    changed = tpo.fails(*args, *resume, "--dtype", "bf16", code=2)
    assert "`model.dtype: fp32` there, `model.dtype: bf16` now" in changed
    stop(work, tmp_path, signal.SIGTERM, 5, "--micro-batch-tokens", 1, *resume, ranks=ranks)
    after = {p: p.read_bytes() for p in journal.glob("0*.journal")}
    assert all(after[p] == text for p, text in before.items())
    pairs = sum(text.count(b"FRME") for text in after.values())
    assert pairs == 4 * STEPS, "each pair once"
    if ranks == 0:
        tpo.ok(*args, "--resume", env=DATED)
        assert lines(tmp_path)[0]["margin"] == 0, "policy and reference are the same model"


@pytest.mark.parametrize("ranks", [0, 2])
def test_training_that_failed_before_its_first_step_is_no_hindrance(tpo, work, whole, tmp_path, ranks):
    args = arguments(work, tmp_path)
    text = tpo.fails(*["/dev/full" if a == tmp_path / "m.jsonl" else a for a in args], ranks=ranks, code=1)
    assert "No space left" in text and "--resume" not in text
    result = tpo(*args, ranks=ranks, env=DATED)
    text = result.stderr.decode()
    assert result.returncode == 0 and f"{4 * STEPS} of {4 * STEPS} reference log-probabilities are kept there" in text, text
    is_whole(tmp_path, whole(ranks))


def test_an_epochs_checkpoint_is_not_lost_unasked(tpo, work, whole, tmp_path):
    (tmp_path / "out.h5.journal").mkdir()
    best = tmp_path / "out.h5.journal" / "best-001.h5"
    best.touch()
    assert "the checkpoint of an epoch" in tpo.fails(*arguments(work, tmp_path), code=2) and best.exists()
    tpo.ok(*arguments(work, tmp_path, "--resume"), env=DATED)
    is_whole(tmp_path, whole(0))


@pytest.mark.parametrize("ranks", [0, 2])
def test_two_at_once_are_told_apart(tpo, work, whole, tmp_path, ranks):
    first = subprocess.Popen([str(a) for a in command(arguments(work, tmp_path, "--resume"), ranks)], env=environment(DATED),
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while len(lines(tmp_path)) < 3:
        assert first.poll() is None, first.stderr.read().decode()
        time.sleep(0.002)
    for pid in ranks_of(first):
        os.kill(pid, signal.SIGSTOP)
    text = tpo.fails(*arguments(work, tmp_path, "--resume"), ranks=ranks, code=2)
    assert f"{tmp_path}/out.h5.journal: another process is at work with it" in text, text
    for pid in ranks_of(first):
        os.kill(pid, signal.SIGCONT)
    _, text = first.communicate(timeout=60)
    assert first.returncode == 0, text.decode()
    is_whole(tmp_path, whole(ranks))


def test_a_journal_that_is_a_link_is_not_followed(tpo, work, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    names = ("best-001.h5", "state-000001.5.part/a.journal", "a.journal")
    (elsewhere / "state-000001.5.part").mkdir(parents=True)
    for name in names:
        (elsewhere / name).write_text("mine")
    (tmp_path / "out.h5.journal").symlink_to(elsewhere)
    for ranks in (0, 2):
        text = tpo.fails(*arguments(work, tmp_path, "--resume"), ranks=ranks, code=2)
        assert f"{tmp_path}/out.h5.journal: a link, which is not followed" in text, text
        assert all((elsewhere / name).read_text() == "mine" for name in names)
