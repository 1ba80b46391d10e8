"""The help tells what there is, with the defaults that scripts count on."""
import re

import pytest

COMMANDS = {
    "run": ["--run-dir", "--resume"], "generate": ["--model", "--prompts", "--out", "--thought", "--jsonl"],
    "judge": ["--samples", "--judge", "--out"], "pairs": ["--samples", "--out", "--length-penalty"],
    "dpo": ["--model", "--pairs", "--out", "--metrics", "--no-shuffle", "--dtype"], "synth": ["--constraints", "--n", "--out"],
    "report": ["--out"], "compare": ["--iteration", "--shown", "--json", "--html", "--force"],
    "status": ["--json"], "chat": ["--model", "--show-thoughts"], "export": ["--to", "--type", "--thought"], "inspect": [], "config": [],
    "tokenize": ["--model", "--no-special", "--plain", "--explain"], "detokenize": ["--model"],
    "template": ["--model", "--no-generation-prompt", "--continue-final-message", "--thought", "--explain"], "logprobs": ["--model", "--dtype"],
    "score": ["--judge", "--dtype"],
    "eval alpaca": ["--annotations", "--difficulty", "--gamed", "--c", "--leaderboard", "--save", "--model", "--prompts", "--out", "--outputs",
                    "--baseline", "--judge", "--both-positions", "--annotations-out"],
    "eval arena": ["--battles", "--games", "--anchor", "--bootstrap", "--answers", "--baseline", "--judge", "--games-out", "--model", "--prompts", "--out", "--name", "--thought", "--resume",
                   "--save"],
    "eval table": ["--format", "--out"],
    "eval gsm8k": ["--prompts", "--model", "--prompting", "--solutions", "--responses", "--samples", "--limit", "--out", "--details",
                   "--save", "--resume"],
    "eval ifeval": ["--prompts", "--model", "--responses", "--samples", "--out", "--details", "--save", "--resume"],
    "eval categories": ["--a", "--b", "--judge", "--categories", "--labels", "--assign", "--assign-out", "--resume", "--save"],
}
DEFAULTS = {
    "generate": {"--k": "8", "--temperature": "0.8", "--top-p": "0.95"},
    "dpo": {"--beta": "0.1", "--lr": "5e-7", "--schedule": "cosine", "--warmup": "0.1", "--batch": "128", "--epochs": "1",
            "--weight-decay": "0", "--adam-beta1": "0.9", "--adam-beta2": "0.999", "--adam-eps": "1e-8", "--grad-clip": "1",
            "--nll": "0"},
}


def test_all_commands_are_listed(tpo):
    listed = re.findall(r"^  ([a-z]+)  ", tpo.ok("--help"), re.M)
    assert sorted(listed) == sorted([*(name for name in COMMANDS if " " not in name), "eval"])
    listed = re.findall(r"^  ([a-z0-9]+)  ", tpo.ok("eval", "--help"), re.M)
    assert sorted(listed) == sorted(name.split()[1] for name in COMMANDS if " " in name)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_tells_its_options(tpo, name):
    text = tpo.ok(*name.split(), "--help")
    assert text == tpo.ok(*name.split(), "-h")
    common = ["--backend", "--threads", "--seed", "--set", "--quiet", "--verbose", "--log-json"]
    lines = {option: line for line in text.splitlines() for option in re.findall(r"^ +(?:-., )?(--[a-z0-9-]+)", line)}
    assert set(COMMANDS[name] + common) <= lines.keys()
    for option, value in DEFAULTS.get(name, {}).items():
        assert lines[option].endswith(f"(default {value})"), lines[option]


@pytest.mark.parametrize("name", ["eval alpaca", "eval arena", "eval categories"])
def test_a_default_that_is_none_is_not_told(tpo, name):
    """judge.kind is rule, by which these don't judge; what is said of drawing is told to go with a model."""
    lines = tpo.ok(*name.split(), "--help").splitlines()
    (judge,) = [line for line in lines if "-j, --judge" in line]
    assert "(default" not in judge
    assert all("with --model" in line for line in lines if line.split()[:1] in (["--temperature"], ["--slots"], ["--thought"], ["-k,"]))


def test_a_run_tells_of_its_steps_and_what_they_keep(tpo):
    text = tpo.ok("run", "--help")
    assert "iterations (or steps)" in text and "but for what a run in steps keeps" in text
    notes = " ".join(text.split("With run.sync_steps above 0")[1].split())
    for key in ("run.sync_steps", "run.steps", "run.checkpoint_steps", "run.reference", "seed", "model.dtype", "train.batch"):
        assert key in notes.split("Such a run goes on with the same")[1], key
