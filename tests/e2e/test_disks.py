"""Disks that fail: whatever can't be written or read is told once, by its name and reason, and nothing crashes or is left."""
import errno
import os
import shutil
import subprocess

import pytest

import tiny
from conftest import ROOT

SHORT = ["--k", 4, "--temperature", 1, "--top-p", 1, "--max-tokens", 60, "--set", "thought.thought_tokens=10", "--set",
         "thought.response_tokens=16"]
RUN = """
seed: 5
model: {{path: {model}, dtype: fp32}}
thought: {{name: generic, thought_tokens: 8, response_tokens: 12, on_budget: force}}
data: {{train: {data}/train.jsonl, prompts_per_iteration: 8, validation_prompts: 0}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 40, slots: 8}}
train: {{learning_rate: 1e-4, batch: 4, epochs: 2, micro_batch_tokens: 4096, warmup: 0}}
run: {{dir: {run_dir}, iterations: 1, validate_each_epoch: false, deadline: 60}}
"""


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    """The environment in which a disk fails: failing(what, path, after, error)."""
    library = tmp_path_factory.mktemp("shim") / "failing_disk.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, ROOT / "tests/e2e/failing_disk.c", "-ldl"], check=True)
    return lambda what, path, after=0, error=errno.EIO: {
        "LD_PRELOAD": str(library), "FAIL": what, "FAIL_PATH": str(path), "FAIL_AFTER": str(after), "FAIL_ERROR": str(error)}


@pytest.fixture(scope="module")
def files(tpo, tiny_model, tmp_path_factory):
    """One file of each kind, and by its name how it is made."""
    folder = tmp_path_factory.mktemp("files")
    tiny.write_prompts(folder / "p.jsonl", "p", 8)
    made = {"samples.h5": ["generate", "--model", tiny_model, "--prompts", folder / "p.jsonl", *SHORT],
            "scored.h5": ["judge", "--judge", "rule", "--samples", folder / "samples.h5"],
            "pairs.h5": ["pairs", "--samples", folder / "scored.h5"],
            "checkpoint.h5": ["dpo", "--model", tiny_model, "--pairs", folder / "pairs.h5", "--batch", 2]}
    for name, args in made.items():
        tpo.ok(*args, "--out", folder / name)
    return folder, made


def told(text):
    lines = [line for line in text.splitlines() if line.startswith("tpo")]
    assert len(lines) == 1, text
    return lines[0]


def test_a_gguf_file_that_can_not_be_written_is_not_left(tpo, tiny_model, failing, tmp_path):
    tpo.ok("export", tiny_model, tmp_path / "whole.gguf", "--to", "gguf")
    size = (tmp_path / "whole.gguf").stat().st_size
    for after in (size * part // 10 for part in (0, 1, 5, 9)):
        line = told(tpo.fails("export", tiny_model, tmp_path / "o.gguf", "--to", "gguf", code=1,
                              env=failing("write", ".tmp.", after, errno.ENOSPC)))
        assert "o.gguf" in line and os.strerror(errno.ENOSPC) in line, line
        assert [path.name for path in tmp_path.iterdir()] == ["whole.gguf"]


@pytest.mark.parametrize("name, number", [("samples.h5", errno.ENOSPC), ("scored.h5", errno.EIO), ("pairs.h5", errno.EDQUOT),
                                          ("checkpoint.h5", errno.EDQUOT)])
def test_a_write_that_fails_anywhere_in_a_file_ends_well(tpo, files, failing, tmp_path, name, number):
    folder, made = files
    size = (folder / name).stat().st_size
    for after in (size * part // 10 for part in (0, 1, 4, 7, 9)):
        line = told(tpo.fails(*made[name], "--out", tmp_path / "o.h5", env=failing("write", ".tmp.", after, number), code=1))
        assert str(tmp_path / "o.h5") in line and os.strerror(number) in line
        shutil.rmtree(tmp_path / "o.h5.journal", ignore_errors=True)  # what sampling keeps, to go on from
        assert not list(tmp_path.iterdir())


def entries(folder):
    return sum(path.read_bytes().count(b"FRME") for path in folder.glob("*.journal"))


@pytest.mark.parametrize("ranks", [0, 2])
@pytest.mark.parametrize("after", [100, 8000])
def test_samples_whose_writing_failed_are_not_told_as_kept(tpo, files, failing, tmp_path, after, ranks):
    journal = tmp_path / "o.h5.journal"
    args = [*files[1]["samples.h5"], "--slots", 4, "--out", tmp_path / "o.h5"]
    line = told(tpo.fails(*args, env=failing("write", ".journal", after, errno.EDQUOT), ranks=ranks, code=1))
    assert os.strerror(errno.EDQUOT) in line
    kept = entries(journal)
    assert (kept > 0) == (after > 100) == journal.exists()
    assert (f"; {kept} of 32 samples are kept in {journal}" in line) == ("are kept in" in line) == (kept > 0), line


def test_reference_log_probabilities_whose_writing_failed_are_not_told_as_kept(tpo, tiny_model, files, failing, tmp_path):
    journal, pairs = tmp_path / "o.h5.journal", tmp_path / "pairs.jsonl"
    pairs.write_text("".join(f'{{"prompt_ids":[1,2],"chosen_ids":[3,{i + 4}],"rejected_ids":[4,5]}}\n' for i in range(8)))
    args = ["dpo", "--model", tiny_model, "--pairs", pairs, "--out", tmp_path / "o.h5", "--batch", 2]
    for after in (100, 500):
        line = told(tpo.fails(*args, env=failing("write", ".journal", after, errno.EDQUOT), code=1))
        kept = entries(journal)
        assert os.strerror(errno.EDQUOT) in line and (kept > 0) == (after > 100) == journal.exists()
        assert (f"; {kept} of 8 reference log-probabilities are kept in {journal}" in line) == (kept > 0), line


@pytest.mark.parametrize("name, ranks", [("samples.h5", 2), ("pairs.h5", 0), ("best-001.h5", 2)])
def test_a_run_whose_disk_fails_goes_on_later(tpo, tiny_model, failing, tmp_path, name, ranks):
    tiny.write_prompts(tmp_path / "train.jsonl", "train", 8)
    config, run_dir = tmp_path / "run.yaml", tmp_path / "run"
    config.write_text(RUN.format(model=tiny_model, data=tmp_path, run_dir=run_dir))
    env = failing("write", f"{name}.tmp.", 6000, errno.EDQUOT)
    line = told(tpo.fails("run", config, ranks=ranks, env=env, code=1))
    assert name in line and os.strerror(errno.EDQUOT) in line
    assert not list(run_dir.rglob("*.tmp.*"))
    tpo.ok("run", config, "--resume", ranks=ranks)


@pytest.mark.parametrize("after", [0, 20000])
@pytest.mark.parametrize("args", [["inspect", "checkpoint.h5"], ["inspect", "--limit", 100, "samples.h5"],
                                  ["judge", "--judge", "rule", "--samples", "samples.h5"], ["pairs", "--samples", "scored.h5"],
                                  ["dpo", "--model", "MODEL", "--pairs", "pairs.h5"],
                                  ["generate", "--model", "checkpoint.h5", "--prompts", "p.jsonl", *SHORT]])
def test_a_read_that_fails_is_no_damage(tpo, tiny_model, files, failing, tmp_path, args, after):
    folder, _ = files
    given = [tiny_model if a == "MODEL" else folder / a if (folder / str(a)).is_file() else a for a in args]
    out = [] if args[0] == "inspect" else ["--out", tmp_path / "o.h5"]
    read = next(a for a in args if str(a).endswith(".h5"))
    line = told(tpo.fails(*given, *out, env=failing("read", folder / read, after), code=1))
    assert f"{read}: reading failed: {os.strerror(errno.EIO)}" in line and "damaged" not in line
    assert not list(tmp_path.iterdir())


def test_a_model_whose_first_bytes_cannot_be_read(tpo, files, failing, tmp_path):
    folder, _ = files
    line = told(tpo.fails("logprobs", "--model", folder / "checkpoint.h5", env=failing("read", "checkpoint.h5"), code=1))
    assert f"checkpoint.h5: reading failed: {os.strerror(errno.EIO)}" in line


def test_a_tokenizer_that_cannot_be_read_is_not_left_out_of_a_checkpoint(tpo, tiny_model, files, failing, tmp_path):
    folder, _ = files
    line = told(tpo.fails("dpo", "--model", tiny_model, "--pairs", folder / "pairs.h5", "--out", tmp_path / "o.h5",
                          env=failing("read", "model/tokenizer.json"), code=1))
    assert f"{tiny_model}/tokenizer.json: reading failed" in line and not list(tmp_path.iterdir())


def test_weights_that_are_cut_while_they_are_read(tpo, tiny_model, files, failing, tmp_path):
    folder, _ = files
    model = shutil.copytree(tiny_model, tmp_path / "model")
    line = told(tpo.fails("generate", "--model", model, "--prompts", folder / "p.jsonl", "--out", tmp_path / "o.h5", *SHORT,
                          env=failing("map", "model/model.safetensors"), code=1))
    assert f"{model}/model.safetensors: reading failed" in line


@pytest.fixture
def read_only(tmp_path):
    """A file system that nothing can be written to; skipped where mounting is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", folder], capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a file system is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_read_only_disk_is_told_as_one(tpo, tiny_model, files, read_only, tmp_path):
    folder, made = files
    config = tmp_path / "run.yaml"
    shutil.copy(folder / "p.jsonl", tmp_path / "train.jsonl")
    for place in (read_only / "new", read_only):
        config.write_text(RUN.format(model=tiny_model, data=tmp_path, run_dir=place))
        assert os.strerror(errno.EROFS) in told(tpo.fails("run", config, code=2))
    for args in (made["pairs.h5"], ["synth", "--constraints", "--n", 2]):
        assert os.strerror(errno.EROFS) in told(tpo.fails(*args, "--out", read_only / "o", code=2))


def test_a_file_that_cannot_be_looked_for_is_not_told_as_absent(tpo, tiny_model, files, tmp_path):
    folder, _ = files
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        model = shutil.copytree(tiny_model, tmp_path / "model")
        (model / name).unlink()
        (model / name).symlink_to(name)
        line = told(tpo.fails("generate", "--model", model, "--prompts", folder / "p.jsonl", "--out", tmp_path / "o.h5"))
        assert f"{model}/{name}" in line and os.strerror(errno.ELOOP) in line
        shutil.rmtree(model)
    (tmp_path / "run").symlink_to("run")
    assert os.strerror(errno.ELOOP) in told(tpo.fails("report", tmp_path / "run", code=2))


EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


@pytest.fixture(scope="module")
def in_steps(tpo, tiny_model, tmp_path_factory):
    """A run of six steps with a checkpoint after each two, over two ranks: its configuration and its whole folder."""
    folder = tmp_path_factory.mktemp("steps")
    tiny.write_prompts(folder / "train.jsonl", "train", 24)
    config = folder / "run.yaml"
    text = RUN.format(model=tiny_model, data=folder, run_dir=folder / "whole")
    for old, new in ((", prompts_per_iteration: 8", ""), (", epochs: 2", ""),
                     ("iterations: 1", "sync_steps: 1, steps: 6, checkpoint_steps: 2")):
        assert old in text
        text = text.replace(old, new)
    config.write_text(text)
    tpo.ok("run", config, ranks=2, env=EPOCH)
    return config, folder / "whole"


def check_same(run_dir, whole):
    steps = pytest.importorskip("test_steps")
    assert steps.told(run_dir) == steps.told(whole) and len(steps.events(whole, "step")) == 6
    assert steps.results(run_dir) == steps.results(whole)
    assert (run_dir / "iter-003/checkpoint.h5").exists() and not (run_dir / "training.state").exists()


def test_a_run_in_steps_ends_where_its_state_can_not_be_kept(tpo, in_steps, failing, tmp_path):
    """With room it goes on to the same bytes: nothing of the steps between two checkpoints is written without it."""
    config, whole = in_steps
    run = ["run", config, "--run-dir", tmp_path / "run"]
    line = told(tpo.fails(*run, ranks=2, code=1, env={**EPOCH, **failing("write", "training.state", 0, errno.ENOSPC)}))
    assert "training.state" in line and line.endswith("; the state of training after 2 steps can't be kept") and os.strerror(errno.ENOSPC) in line, line
    assert [path.name for path in (tmp_path / "run/iter-001").iterdir()] == ["steps.journal"]
    tpo.ok(*run, "--resume", ranks=2, env=EPOCH)
    check_same(tmp_path / "run", whole)


def test_the_last_steps_need_no_state(tpo, in_steps, failing, tmp_path):
    config, whole = in_steps
    one = ["--set", "run.steps=2", "--set", "run.checkpoint_steps=0"]
    tpo.ok("run", config, "--run-dir", tmp_path / "run", *one, ranks=2, env={**EPOCH, **failing("write", "training.state/state-", 0, errno.ENOSPC)})
    assert (tmp_path / "run/iter-001/checkpoint.h5").exists()


def test_what_a_run_in_steps_goes_on_from_is_not_made_anew_where_it_is_damaged(tpo, in_steps, failing, tmp_path):
    """Samples that were trained on can't be drawn again; a state can be had from the checkpoint before it."""
    config, whole = in_steps
    run_dir = tmp_path / "run"
    run = ["run", config, "--run-dir", run_dir]
    tpo.fails(*run, ranks=2, code=1, env={**EPOCH, **failing("write", "iter-002/samples.h5.tmp.")})
    (state,) = (run_dir / "training.state").glob("state-*")
    (journal,) = (run_dir / "iter-002/steps.journal").iterdir()
    entries = journal.read_bytes()
    journal.write_bytes(bytes(byte ^ (i == len(entries) // 4) for i, byte in enumerate(entries)))
    line = told(tpo.fails(*run, "--resume", ranks=2, code=1))
    assert f"{run_dir}/iter-002/steps.journal has no samples of step 3 (or they are damaged)" in line, line
    journal.write_bytes(entries)
    for shard in state.iterdir():
        os.truncate(shard, shard.stat().st_size // 2)
    result = tpo(*run, "--resume", ranks=2, env=EPOCH)
    text = result.stderr.decode()
    assert result.returncode == 0 and f"{state}: the state is not whole" in text, text
    assert f"training goes on from {run_dir}/iter-001/checkpoint.h5, after 2 steps" in text, text
    check_same(run_dir, whole)
