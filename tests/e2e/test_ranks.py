"""Ranks that were started differently: what differs is named with its rank and host, before any work."""
import json
import os
import shutil
import socket
import subprocess

import pytest

import tiny
from conftest import BUILD, environment

HOST = socket.gethostname()
CONFIG = """
seed: {seed}
model: {{path: {model}, dtype: fp32}}
thought: {{name: generic, thought_tokens: 8, response_tokens: 12, on_budget: force}}
data: {{train: train.jsonl, validation: validation.jsonl, prompts_per_iteration: 8, validation_prompts: 4}}
sampling: {{k: {k}, temperature: 1, top_p: 1, max_tokens: 40, slots: 8}}
train: {{learning_rate: 1e-4, batch: 4, micro_batch_tokens: 4096, warmup: 0}}
run: {{dir: {run_dir}, iterations: 1, validation_temperature: 1, deadline: 60}}
"""


def ranks(*each, timeout=60):
    """Each rank's own command line: (arguments, and what is its own: folder, environment, program, count)."""
    line = ["timeout", "-k", "2", str(timeout), "mpirun"]
    for i, (args, own) in enumerate(each):
        line += [":"] if i else []
        line += ["-n", str(own.get("count", 1)), "--wdir", str(own.get("folder", os.getcwd()))]
        for name, value in own.get("env", {}).items():
            line += ["-x", f"{name}={value}"]
        line += [str(own.get("program", BUILD / "tpo")), *[str(a) for a in args]]
    return subprocess.run(line, capture_output=True, env=environment(), stdin=subprocess.DEVNULL, check=False)


def refused(result, code=2):
    """The one message of a job that was refused."""
    text = result.stderr.decode(errors="replace")
    assert result.returncode == code, f"exit {result.returncode}\n{text}"
    told = [line for line in text.splitlines() if line.startswith("tpo")]
    assert len(told) == 1, text
    return told[0]


@pytest.fixture
def folder(tiny_model, tmp_path):
    """config(name, seed, k, model) writes a configuration beside the instructions."""
    tiny.write_prompts(tmp_path / "train.jsonl", "train", 8)
    tiny.write_prompts(tmp_path / "validation.jsonl", "validation", 4)
    return tmp_path


def config(folder, name, model, seed=5, k=4):
    (folder / name).write_text(CONFIG.format(seed=seed, k=k, model=model, run_dir=folder / "run"))
    return folder / name


def changed_model(model, target):
    """Half of the weights changed so that bf16 shows it too."""
    shutil.copytree(model, target)
    data = bytearray((target / "model.safetensors").read_bytes())
    begin = 8 + int.from_bytes(data[:8], "little")
    for i in range(begin + (len(data) - begin) // 8 * 4 + 2, len(data), 4):
        data[i] ^= 0x40
    (target / "model.safetensors").write_bytes(data)


def generate(model, out, *more):
    return ["generate", "--model", model, "--prompts", "train.jsonl", "--out", out, "--k", 2, "--max-tokens", 8, "--thought",
            "none", *more]


@pytest.mark.parametrize("count", [1, 2])
def test_another_seed_is_named(folder, tiny_model, count):
    one, other = config(folder, "a.yaml", tiny_model), config(folder, "b.yaml", tiny_model, seed=7)
    text = refused(ranks((["run", one], {"folder": folder, "count": count}), (["run", other], {"folder": folder})))
    assert text == f"tpo: rank {count} on host {HOST} has other settings: seed is 7 there and 5 on rank 0"
    assert not (folder / "run").exists()


def test_another_setting_is_named_wherever_it_was_set(folder, tiny_model):
    path = config(folder, "a.yaml", tiny_model)
    other = config(folder, "b.yaml", tiny_model, k=6)
    own = {"folder": folder}
    text = refused(ranks((["run", path], own), (["run", other], own), (["run", path, "--set", "train.beta=0.5"], own)))
    assert text == (f"tpo: rank 1 on host {HOST} has other settings: sampling.k is 6 there and 4 on rank 0; "
                    "rank 2 differs too")
    layout = folder / "layout.yaml"
    layout.write_text(json.dumps({"prompt": "Think, then write: {instruction}", "thought_marker": "T:", "response_marker": "R:"}))
    text = refused(ranks((["run", path], own), (["run", path, "--set", f"thought.name={layout}"], own)))
    assert "thought.name is " in text and "thought.prompt is " in text and "more)" in text


def test_another_option_or_command_is_named(folder, tiny_model):
    own = {"folder": folder}
    plain = generate(tiny_model, folder / "o.h5")
    text = refused(ranks((plain, own), (plain + ["--iteration", 3], own)))
    assert text == f"tpo: rank 1 on host {HOST} has other settings: --iteration is 3 there and not given on rank 0"
    path = config(folder, "a.yaml", tiny_model)
    assert "--resume is not given there and given on rank 0" in refused(ranks((["run", path, "--resume"], own), (["run", path], own)))
    assert "the command is run there and generate on rank 0" in refused(ranks((plain, own), (["run", path], own)))


def test_options_that_one_rank_cannot_use_are_told_with_the_rank(folder, tiny_model):
    path, own = config(folder, "a.yaml", tiny_model), {"folder": folder}
    (folder / "b.yaml").write_text("seed: none\n")
    text = refused(ranks((["run", path], own), (["run", folder / "b.yaml"], own)))
    assert text.startswith(f"tpo: rank 1: {folder}/b.yaml:1: ")
    text = refused(ranks((["run", folder / "b.yaml"], own), (["run", path], own)))
    assert text.startswith(f"tpo: rank 0: {folder}/b.yaml:1: ")
    text = refused(ranks((["run", folder / "b.yaml"], dict(own, count=2))))  # the same on all: told as of one
    assert text.startswith(f"tpo: {folder}/b.yaml:1: ")


def test_another_program_is_named(folder, tiny_model):
    """The program with another version in it, or linked from other code: the build id is then another."""
    version = subprocess.run([BUILD / "tpo", "--version"], capture_output=True, check=True).stdout.split(b"\n")[0].split()[1]
    program = (BUILD / "tpo").read_bytes()
    notes = subprocess.run(["readelf", "-n", BUILD / "tpo"], capture_output=True, check=True).stdout.decode()
    build_id = bytes.fromhex(notes.split("Build ID:")[1].split()[0])
    assert program.count(version + b"\0") >= 1 and program.count(build_id) == 1
    args, own = generate(tiny_model, folder / "o.h5"), {"folder": folder}
    for name, old, new, word in [
            ("newer", version + b"\0", b"9" + version[1:] + b"\0",
             f"its version is 9{version[1:].decode()} there and {version.decode()} on rank 0"),
            ("rebuilt", build_id, build_id[::-1],
             f"its build id is {build_id[::-1].hex()} there and {build_id.hex()} on rank 0")]:
        (folder / name).write_bytes(program.replace(old, new))
        (folder / name).chmod(0o755)
        text = refused(ranks((args, own), (args, dict(own, program=folder / name))))
        assert text == f"tpo: rank 1 on host {HOST} runs another program: {word}"
    (folder / "copy").write_bytes(program)
    (folder / "copy").chmod(0o755)
    assert ranks((args, own), (args, dict(own, program=folder / "copy"))).returncode == 0


def test_another_file_of_the_same_name_is_named(tpo, folder, tiny_model):
    there = folder / "there"
    there.mkdir()
    for name in ("train", "validation"):
        tiny.write_prompts(there / f"{name}.jsonl", name, 9)
    args = generate(tiny_model, folder / "o.h5")
    text = refused(ranks((args, {"folder": folder, "count": 2}), (args, {"folder": there})))
    assert text.startswith(f"tpo: rank 2 on host {HOST} reads another train.jsonl: its content hash is ")
    path = config(folder, "a.yaml", tiny_model)
    text = refused(ranks((["run", path], {"folder": folder}), (["run", path], {"folder": there})))
    assert "reads another train.jsonl" in text and not (folder / "run").exists()
    shutil.copy(folder / "train.jsonl", there / "train.jsonl")
    text = refused(ranks((["run", path], {"folder": folder}), (["run", path], {"folder": there})))
    assert "reads another validation.jsonl" in text
    assert ranks((args, {"folder": folder}), (args, {"folder": there})).returncode == 0  # a copy is the same file
    (there / "train.jsonl").unlink()
    text = refused(ranks((args, {"folder": folder}), (args, {"folder": there})))
    assert text.startswith("tpo: rank 1: train.jsonl: ")


def test_other_samples_and_pairs_are_named(folder, files):
    there = folder / "there"
    there.mkdir()
    for name in ("samples.h5", "pairs.h5"):
        shutil.copy(files / name, folder / name)
    shutil.copy(files / "scored.h5", there / "samples.h5")
    data = bytearray((files / "pairs.h5").read_bytes())
    data[len(data) // 2] ^= 1
    (there / "pairs.h5").write_bytes(data)
    judge = ["judge", "--samples", "samples.h5", "--judge", "rule", "--out", folder / "s.h5"]
    assert "reads another samples.h5" in refused(ranks((judge, {"folder": folder}), (judge, {"folder": there})))
    dpo = ["dpo", "--model", "none", "--pairs", "pairs.h5", "--out", folder / "c.h5"]
    assert "reads another pairs.h5" in refused(ranks((dpo, {"folder": folder}), (dpo, {"folder": there})))


@pytest.mark.parametrize("count", [1, 2])
def test_another_model_of_the_same_name_is_named(folder, tiny_model, tmp_path, count):
    here, there = folder / "here", folder / "there"
    for place in (here, there):
        place.mkdir()
        for name in ("train.jsonl", "validation.jsonl"):
            shutil.copy(folder / name, place / name)
    shutil.copytree(tiny_model, here / "model")
    changed_model(tiny_model, there / "model")
    args = generate("model", folder / "o.h5")
    text = refused(ranks((args, {"folder": here, "count": count}), (args, {"folder": there})))
    assert text.startswith(f"tpo: rank {count} on host {HOST} loads another model from model: the hash of its weights is ")
    assert "tokenizer" not in text and not (folder / "o.h5").exists()
    path = config(folder, "a.yaml", "model")
    assert "loads another model from model" in refused(ranks((["run", path], {"folder": here, "count": count}), (["run", path], {"folder": there})))

    shutil.rmtree(there / "model")
    shutil.copytree(tiny_model, there / "model")  # the same model elsewhere is the same
    assert ranks((args, {"folder": here, "count": count}), (args, {"folder": there})).returncode == 0
    tokenizer = json.loads((there / "model/tokenizer.json").read_text())
    tokenizer["model"]["merges"].pop()
    (there / "model/tokenizer.json").write_text(json.dumps(tokenizer))
    text = refused(ranks((args, {"folder": here, "count": count}), (args, {"folder": there})))
    assert text.startswith(f"tpo: rank {count} on host {HOST} loads another model from model: the hash of its tokenizer is ")


def test_another_model_in_training_is_named(folder, files, tiny_model):
    here, there = folder / "here", folder / "there"
    for place in (here, there):
        place.mkdir()
        shutil.copytree(tiny_model, place / "model")
    changed_model(tiny_model, there / "reference")
    shutil.copytree(tiny_model, here / "reference")
    args = ["dpo", "--pairs", files / "pairs.h5", "--out", folder / "c.h5", "--batch", 2]
    more = ["--model", "model", "--reference", "reference"]
    text = refused(ranks((args + more, {"folder": here}), (args + more, {"folder": there})))
    assert "loads another model from reference: the hash of its weights" in text
    more = ["--model", "reference"]
    text = refused(ranks((args + more, {"folder": here}), (args + more, {"folder": there})))
    assert "loads another model from reference: the hash of its weights" in text and "tokenizer" not in text
    assert not (folder / "c.h5").exists()


def test_another_program_as_the_judge_is_named(folder, files):
    judges = []
    for name, score in ("here", 1), ("there", 2):
        (folder / name).mkdir()
        judge = folder / name / "judge.py"
        judge.write_text(f"#!/usr/bin/env python3\nimport sys\nfor line in sys.stdin: print({score}, flush=True)\n")
        judge.chmod(0o755)
        judges.append(judge)
    args = ["judge", "--samples", files / "samples.h5", "--judge", "command:./judge.py", "--out", folder / "s.h5"]
    text = refused(ranks((args, {"folder": folder / "here"}), (args, {"folder": folder / "there"})))
    assert text.startswith(f"tpo: rank 1 on host {HOST} has another judge: judge program ./judge.py is ")


# An option, the command of both ranks without it, its value on one of them, and the name that is told.
PLACES = [
    ("--model", ["generate", "--prompts", "train.jsonl", "--out", "o.h5"], "none", "model.path"),
    ("--prompts", ["generate", "--model", "none", "--out", "o.h5"], "train.jsonl", "--prompts"),
    ("--samples", ["judge", "--judge", "rule", "--out", "o.h5"], "samples.h5", "--samples"),
    ("--pairs", ["dpo", "--model", "none", "--out", "o.h5"], "pairs.h5", "--pairs"),
    ("--reference", ["dpo", "--model", "none", "--pairs", "pairs.h5", "--out", "o.h5"], "none", "--reference"),
    ("--seeds", ["synth", "--model", "none", "--n", 2, "--out", "o.jsonl"], "train.jsonl", "--seeds"),
    ("--model", ["synth", "--seeds", "train.jsonl", "--n", 2, "--out", "o.jsonl"], "none", "model.path"),
    *[("--set", ["run", "bare.yaml"], f"{key}={value}", key) for key, value in [
        ("model.path", "none"), ("data.train", "train.jsonl"), ("data.validation", "validation.jsonl"),
        ("run.baseline", "other"), ("judge.cache", "cache")]],
]


@pytest.mark.parametrize("option, args, value, name", PLACES)
def test_a_place_that_one_rank_alone_has_is_named(folder, option, args, value, name):
    """What may differ by host is given on all ranks or on none."""
    (folder / "bare.yaml").write_text("run: {dir: run}\n")
    own, more = {"folder": folder}, [*args, option, value]
    text = refused(ranks((more, own), (args, own)))
    assert text == f"tpo: rank 1 on host {HOST} has other settings: {name} is not given there and given on rank 0"
    text = refused(ranks((args, own), (more, own)))
    assert text == f"tpo: rank 1 on host {HOST} has other settings: {name} is given there and not given on rank 0"


@pytest.mark.parametrize("option, value", [("--prompts", "-"), ("--prompts", "pipe"), ("--prompts", ""), ("--seeds", "-"),
                                           ("--seeds", "pipe"), ("--pairs", "pipe")])
def test_a_place_that_one_rank_cannot_use_is_named(folder, option, value):
    os.mkfifo(folder / "pipe")
    args = next(args for name, args, _, _ in PLACES if name == option)
    own, good, bad = {"folder": folder}, [*args, option, "train.jsonl"], [*args, option, value]
    said = f"tpo {args[0]}: {option} {value}: expected a regular file" if value else f"tpo {args[0]}: {option} FILE is required"
    assert refused(ranks((good, own), (bad, own))).startswith(f"tpo: rank 1: {said}")
    assert refused(ranks((bad, own), (good, own))).startswith(f"tpo: rank 0: {said}")
    assert refused(ranks((bad, dict(own, count=2)))).startswith(said)  # the same on all: told as of one


def test_a_model_that_one_rank_cannot_open_is_named(folder, tiny_model):
    own = {"folder": folder}
    good, bad = generate(tiny_model, folder / "o.h5"), generate("none", folder / "o.h5")
    for rank, each in (1, (good, bad)), (0, (bad, good)):
        text = refused(ranks(*[(args, own) for args in each]))
        assert text.startswith(f"tpo: rank {rank}: none") and not (folder / "o.h5").exists()


def levels(tpo):
    """What this CPU can compute with, lowest first."""
    names = ["scalar", "avx2", "avx512", "avx512_bf16"]
    flags = next(line for line in open("/proc/cpuinfo", encoding="ascii") if line.startswith("flags")).split()
    wanted = [[], ["avx2", "fma"], ["avx512f", "avx512bw", "avx512dq", "avx512vl"], ["avx512_bf16"]]
    n = 0
    while n < 4 and all(flag in flags for flag in wanted[n]):
        n += 1
    return names[:n], names[n:]


def test_unlike_kernels_are_told_and_can_be_made_alike(tpo, folder, tiny_model):
    here, _ = levels(tpo)
    if len(here) < 2:
        pytest.skip("this CPU has no vector instructions that the program uses")
    args, own = generate(tiny_model, folder / "o.h5"), {"folder": folder}
    lower = dict(own, env={"TPO_CPU_ISA": "scalar"})
    text = ranks((args, dict(own, env={"TPO_CPU_ISA": "avx2"}, count=2)), (args, lower)).stderr.decode()
    told = [line for line in text.splitlines() if "kernels" in line]
    assert len(told) == 1 and told[0].endswith(
        f"with the rank that has the work: avx2 on ranks 0, 1 (host {HOST}), scalar on rank 2 (host {HOST}); "
        "--isa scalar makes them alike"), text
    result = ranks((args + ["--isa", "scalar"], own), (args + ["--isa", "scalar"], lower))
    assert result.returncode == 0 and b"kernels" not in result.stderr


def test_a_chosen_instruction_set_is_used_or_refused(tpo, folder, tiny_model):
    here, missing = levels(tpo)
    args = generate(tiny_model, folder / "o.h5")[:3] + ["--prompts", folder / "train.jsonl", "--out", folder / "o.h5", "--k", 1,
                                                       "--max-tokens", 4, "--thought", "none"]
    for name in here:
        text = tpo(*args, "--isa", name, "--verbose", env={"TPO_CPU_ISA": "scalar"}).stderr.decode()
        assert f"cpu: {'scalar' if name == 'scalar' else name.upper()}, " in text, text
    for name in missing:
        for ranks_ in (0, 2):
            text = tpo.fails(*args, "--isa", name, ranks=ranks_, code=2)
            assert f"model.isa is {name}, which this CPU doesn't have; the highest here is {here[-1]}" in text
    text = tpo.fails(*args, "--isa", "sse9", code=2)
    assert "--isa" in text and "auto, scalar, avx2, avx512 or avx512_bf16" in text, text
