"""`tpo status`: of a run that works, one that ended in each way, and folders that nobody vouches for."""
import json
import os
import signal
import time

import pytest

from test_owner import begin, held, kill, no_locks  # noqa: F401 (fixtures)


def status(tpo, folder, **kwargs):
    return json.loads(tpo.ok("status", folder, "--json", **kwargs))


def test_a_run_that_works_tells_its_phase_and_one_that_ended_its_checkpoint(tpo, held, no_locks):
    _, run_dir, hold = held
    job = begin(held, no_locks("b07"), 2)
    job.wait_for(lambda: status(tpo, run_dir).get("phase") == "judging")
    found = status(tpo, run_dir, ranks=2)
    assert found["state"] == "working" and found["owner"] == f"pid {job.ranks()[0]} on host b07" and found["heartbeat"] < 20
    assert (found["phase"], found["iteration"], found["iterations"], found["ranks"], found["complete"]) == ("judging", 1, 1, 2, False)
    assert found["done"] < found["total"] and found["unit"] and found["updated"] < 60
    assert found["finished"] == {"iteration": 1, "step": "sample"} and found["last_event"]["event"] in ("sample", "thoughts")
    text = tpo.ok("status", run_dir)
    assert f"state        working: pid {job.ranks()[0]} on host b07, whose heartbeat is " in text
    assert "phase        judging: " in text and "iteration    1 of 1, on 2 rank(s)" in text
    hold.unlink()
    assert job.end(90)[0] == 0
    found = status(tpo, run_dir)
    assert found["state"] == "finished" and found["complete"] and "owner" not in found
    assert found["checkpoint"] == str(run_dir / "iter-001/checkpoint.h5") and 0 <= found["checkpoint_age"] < 90
    assert found["finished"] == {"iteration": 1, "step": "validate"} and (found["iteration"], found["iterations"]) == (1, 1)
    text = tpo.ok("status", run_dir)
    assert "state        finished\n" in text and "phase" not in text and "iter-001/checkpoint.h5, " in text


def test_after_a_crash_it_says_what_happened_last(tpo, held, no_locks):
    path, run_dir, hold = held
    job = begin(held, no_locks("b07"))
    job.wait_for(lambda: status(tpo, run_dir).get("phase") == "judging")
    pid = job.ranks()[0]
    kill(job)
    there = no_locks("b07")
    found = status(tpo, run_dir, env=there)
    assert found["state"] == "gone" and found["owner"] == f"pid {pid} on host b07" and found["phase"] == "judging"
    assert f"gone: pid {pid} on host b07 worked here and is no more" in tpo.ok("status", run_dir, env=there)
    # Seen from elsewhere, where that process can't be looked at.
    os.utime(run_dir / "owner.json", (time.time() - 3600,) * 2)
    assert status(tpo, run_dir)["state"] == "silent"
    assert "gave its last sign of life 1 h 00 min ago by this host's clock" in tpo.ok("status", run_dir)
    (run_dir / "owner.json").unlink()
    hold.unlink()
    tpo.ok("run", path, "--resume")
    assert status(tpo, run_dir)["state"] == "finished"


def test_a_run_that_was_stopped_and_one_that_failed_say_so(tpo, held, no_locks):
    path, run_dir, hold = held
    job = begin(held, no_locks("b07"))
    job.wait_for(lambda: (run_dir / "status.json").exists())
    job.process.send_signal(signal.SIGTERM)
    hold.unlink()
    assert job.end(60)[0] == 128 + signal.SIGTERM
    found = status(tpo, run_dir)
    assert found["state"] == "stopped" and found["message"]
    judge = path.parent / "judge.py"
    judge.write_text("#!/bin/sh\nexit 3\n")
    text = tpo.fails("run", path, "--resume", code=1)
    found = status(tpo, run_dir)
    assert found["state"] == "failed" and found["message"] in text
    assert f"state        failed: {found['message'][:40]}" in tpo.ok("status", run_dir)


def test_how_far_a_rank_is_behind_is_told_by_what_it_kept(tpo, tmp_path):
    run_dir = tmp_path / "run"
    journal = run_dir / "iter-002/samples.h5.journal"
    journal.mkdir(parents=True)
    now = time.time()
    (run_dir / "owner.json").write_text(json.dumps({"beat": 7, "pid": 12, "started": 3, "token": "0" * 32, "place": "elsewhere", "host": "b09"}))
    (run_dir / "status.json").write_text(json.dumps({
        "time": now - 4, "iteration": 2, "iterations": 3, "ranks": 3, "phase": "sampling", "unit": "tokens", "done": 600, "total": 1000,
        "began": now - 24, "first": 200, "note": "3 of 8 prompts"}))
    for name, age in (("000000-aa.journal", 10), ("000001-bb.journal", 2), ("000002-cc.journal", 302), ("000002-dd.journal", 62),
                      ("odd", 0), ("999999999-ee.journal", 0)):
        (journal / name).write_bytes(b"")
        os.utime(journal / name, (now - age,) * 2)
    found = status(tpo, run_dir)
    assert [(r["rank"], round(r["behind"])) for r in found["last_written"]] == [(0, 8), (1, 0), (2, 60)]
    assert found["rate"] == pytest.approx(20) and found["seconds_left"] == pytest.approx(20) and found["state"] == "working"
    text = tpo.ok("status", run_dir)
    assert "phase        sampling: 600 of 1000 tokens (60 %), 20 a second, 20.0 s left of the phase; 3 of 8 prompts\n" in text
    assert "behind the newest of all: 0: 8.0 s, 1: 0.0 s, 2: 1 min 00 s" in text
    os.utime(run_dir / "owner.json", (now + 7200,) * 2)  # the file server's clock
    found = status(tpo, run_dir)
    assert found["state"] == "silent" and "rate" not in found and "seconds_left" not in found


@pytest.mark.parametrize("name, content", [
    ("status.json", '{"time": "now", "phase": 3, "done": NaN, "iteration": 1e400}'), ("status.json", "[1, 2"), ("status.json", "[]"),
    ("status.json", '{"time": 0, "phase": "\\u001b[2Jx\\n", "unit": "u", "done": 1e300, "total": -5, "iteration": 99999999999999}'),
    ("status.json", '{"message": "' + "m" * 70000 + '"}'),
    ("status.json", '{"phase": "p", "iteration": 2}'), ("status.json", '{"phase": "p", "unit": "u", "done": 500, "total": 100, "time": 1}'),
    ("manifest.json", '{"steps": [{"step": "dpo"}]}'), ("manifest.json", '{"steps": [{"files": [{"path": "/etc/x/checkpoint.h5"}]}]}'),
    ("metrics.jsonl", '{"event": "x"}\n'), ("manifest.json", '{"steps": [{"files": [{"path": "../../checkpoint.h5"}]}, 3, null]}'),
    ("manifest.json", '{"steps": {"a": 1}, "done": 1}'), ("manifest.json", ""), ("metrics.jsonl", '{"event": "a", "time": "x"}\nhalf'),
    ("metrics.jsonl", "\n\n\0\0\n"), ("owner.json", '{"pid": 1}'), ("owner.json", "x" * 5000)])
def test_files_of_others_do_no_harm(tpo, tmp_path, name, content):
    (tmp_path / "manifest.json").write_text('{"steps": [], "done": false}')
    (tmp_path / name).write_text(content)
    text = tpo.ok("status", tmp_path)
    assert "\x1b" not in text and "state        " in text and "m" * 3000 not in text and "nan" not in text and "500 %" not in text
    assert max(map(len, text.splitlines())) < 3000
    found = status(tpo, tmp_path)
    assert "checkpoint" not in found and found["state"] == "not running"


def test_what_is_no_run_is_refused(tpo, tmp_path):
    assert "there is none of this name" in tpo.fails("status", tmp_path / "none", code=2)
    assert "not the folder of a run" in tpo.fails("status", tmp_path, code=2)
    (tmp_path / "file").write_text("x")
    assert "expected the folder of a run" in tpo.fails("status", tmp_path / "file", code=2)
    tpo.fails("status", code=2)


def test_a_run_goes_on_where_its_status_can_not_be_written(tpo, held, no_locks):
    _, run_dir, hold = held
    job = begin(held, no_locks("b07"))
    job.wait_for(lambda: status(tpo, run_dir).get("phase") == "judging")
    (run_dir / "status.json").unlink()
    (run_dir / "status.json").mkdir()
    hold.unlink()
    code, text, _ = job.end(90)
    assert code == 0, text
    assert text.count("`tpo status` does not learn where this run stands") == 1
    assert status(tpo, run_dir)["state"] == "finished"
