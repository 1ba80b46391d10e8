"""How far a command is: a bar on a terminal that no other line runs into, lines in the log elsewhere."""
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios

import pytest

import tiny
from conftest import command, environment

COLUMNS = 100
THOUGHT = tiny.layout_with("x").replace("thought_tokens: 10", "thought_tokens: 60").replace("response_tokens: 16",
                                                                                       "response_tokens: 60")
JUDGE = """import json, sys, time
for line in sys.stdin:
    request = json.loads(line)
    time.sleep({seconds})
    print("one of them is judged", file=sys.stderr, flush=True)
    scores = [len(r["text"]) for r in request["responses"]]
    print(json.dumps({{"id": request["id"], "scores": scores}}), flush=True)
"""


class Screen:
    """What a person sees: finished lines, and the one that the cursor is in."""

    def __init__(self):
        self.lines, self.current, self.at, self.bars = [], "", 0, []

    def feed(self, text):
        for part in re.findall(r"\x1b\[K|\r|\n|[^\x1b\r\n]+", text):
            if part == "\x1b[K":
                self.current = self.current[:self.at]
            elif part == "\r":
                self.at = 0
            elif part == "\n":
                self.lines.append(self.current)
                self.current, self.at = "", 0
            else:
                self.current = self.current[:self.at] + part + self.current[self.at + len(part):]
                self.at += len(part)
                assert len(self.current) < COLUMNS or "[" not in self.current, "a bar is wider than the terminal"
                if "[#" in part or "[." in part:
                    self.bars.append(part)


def on_terminal(args, stdout_too=False, env=None):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    job = subprocess.Popen(command(args), stdin=subprocess.DEVNULL, stdout=theirs if stdout_too else subprocess.PIPE,
                           stderr=theirs, env=environment({"TERM": "xterm", **(env or {})}))
    os.close(theirs)
    text = b""
    while True:
        try:
            some = os.read(ours, 65536)
        except OSError:  # that is how a terminal says that the other end is closed
            break
        if not some:
            break
        text += some
    os.close(ours)
    screen = Screen()
    screen.feed(text.decode())
    return job.wait(), screen


def left_clean(screen):
    assert screen.current == ""
    for line in screen.lines:
        assert not re.search(r"\[[#.]{8,}\]", line), line
    return [line for line in screen.lines if line]


@pytest.fixture(scope="module")
def folder(tpo, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("progress")
    tiny.write_prompts(folder / "prompts.jsonl", "p", 8)
    (folder / "thought.yaml").write_text(THOUGHT)
    tpo.ok(*generate(folder, tiny_model, folder / "samples.h5", "--quiet"))
    (folder / "slow.py").write_text(JUDGE.format(seconds=0.32))
    (folder / "slower.py").write_text(JUDGE.format(seconds=0.7))
    (folder / "fast.py").write_text(JUDGE.format(seconds=0.05))
    tpo.ok(*judge(folder, "fast", folder / "scored.h5"))
    tpo.ok("pairs", "--samples", folder / "scored.h5", "--out", folder / "pairs.h5")
    return folder


def generate(folder, model, out, *more):
    return ["generate", "--model", model, "--prompts", folder / "prompts.jsonl", "--out", out, "--k", 4, "--temperature", 1,
            "--top-p", 1, "--max-tokens", 160, "--thought", folder / "thought.yaml", "--slots", 8, *more]


def judge(folder, speed, out, *more):
    return ["judge", "--samples", folder / "samples.h5", "--judge", f"command:python3 {folder / speed}.py", "--out", out, *more]


def dpo(folder, model, out, *more):
    return ["dpo", "--model", model, "--pairs", folder / "pairs.h5", "--out", out, "--batch", 1, "--epochs", 3, "--dtype", "fp32",
            *more]


def percents(bars):
    return [int(re.search(r"(\d+) %", bar)[1]) for bar in bars]


def rises_to_the_end(bars):
    seen = percents(bars)
    assert seen == sorted(seen) and seen[0] < 20 and seen[-1] == 100, bars


def test_sampling_shows_tokens_and_leaves_nothing(folder, tiny_model, tmp_path):
    code, screen = on_terminal(generate(folder, tiny_model, tmp_path / "s.h5", "-v"))
    assert code == 0
    rises_to_the_end(screen.bars)
    assert re.match(r"sampling   \[#{30}\] 100 %  \d+ tokens/s  8 of 8 prompts$", screen.bars[-1]), screen.bars[-1]
    lines = left_clean(screen)
    assert re.match(r"32 samples of 8 prompts, \d+ tokens in [0-9.]+ s", lines[-1])


def test_lines_of_the_log_begin_where_the_bar_was(folder, tmp_path):
    code, screen = on_terminal(judge(folder, "fast", tmp_path / "s.h5", "-v"))
    assert code == 0
    rises_to_the_end(screen.bars)
    lines = left_clean(screen)
    assert lines.count("debug: judge program: one of them is judged") == 8
    assert any("responses/s" in bar for bar in screen.bars)
    assert any(line.startswith("32 responses scored") for line in lines)


def test_metrics_on_the_same_terminal_are_whole_lines(folder, tiny_model, tmp_path):
    code, screen = on_terminal(dpo(folder, tiny_model, tmp_path / "c.h5", "--metrics", "-"), stdout_too=True)
    assert code == 0
    lines = left_clean(screen)
    steps = [json.loads(line) for line in lines if line.startswith("{")]
    assert len(steps) >= 6 and re.match(rf"{len(steps)} steps over", lines[-1])
    training = [bar for bar in screen.bars if bar.startswith("training")]
    rises_to_the_end(training)
    assert "epoch 3 of 3, loss 0." in training[-1]


def test_an_error_leaves_a_clean_line(folder, tmp_path):
    (folder / "dies.py").write_text(JUDGE.format(seconds=0.05).replace("    request =", "    if 'p-3' in line: sys.exit(3)\n    request ="))
    code, screen = on_terminal(judge(folder, "dies", tmp_path / "s.h5"))
    assert code == 1 and len(screen.bars) >= 2
    lines = left_clean(screen)
    assert len(lines) == 1 and lines[0].startswith("tpo: judge program")


def test_reference_pairs_are_told(folder, tiny_model, tmp_path):
    """Of another model than the one that sampled: a reference pass of its own."""
    other = tiny.make(tmp_path / "other", seed=5)
    code, screen = on_terminal(dpo(folder, tiny_model, tmp_path / "c.h5", "--reference", other))
    assert code == 0
    rises_to_the_end([bar for bar in screen.bars if bar.startswith("reference")])


def test_quiet_and_dumb_terminals_get_no_bar(folder, tmp_path):
    code, screen = on_terminal(judge(folder, "fast", tmp_path / "a.h5", "--quiet"))
    assert (code, screen.bars, left_clean(screen)) == (0, [], [])
    code, screen = on_terminal(judge(folder, "fast", tmp_path / "b.h5"), env={"TERM": "dumb"})
    assert code == 0 and screen.bars == [] and "\x1b" not in "".join(left_clean(screen))


def test_elsewhere_lines_tell_of_all_ranks(tpo, folder, tmp_path):
    """Two programs judge, and one rank tells."""
    result = tpo(*judge(folder, "slower", tmp_path / "s.h5", "--set", "run.deadline=60"), ranks=2)
    text = result.stderr.decode()
    assert result.returncode == 0 and "\x1b" not in text and "\r" not in text
    lines = re.findall(r"^judging: (\d+) %, (\d+) of 32 responses, [0-9.]+ responses/s.*$", text, re.M)
    assert 1 <= len(lines) <= 3 and lines[-1] == ("100", "32")
    assert [int(p) for p, _ in lines] == sorted({int(p) for p, _ in lines})


def test_json_lines_hold_numbers_and_quiet_has_none(tpo, folder, tmp_path):
    quiet = subprocess.Popen(command(judge(folder, "slow", tmp_path / "q.h5", "--quiet")), stderr=subprocess.PIPE, env=environment())
    result = tpo(*judge(folder, "slow", tmp_path / "s.h5", "--log-json"))
    objects = [json.loads(line) for line in result.stderr.decode().splitlines()]
    told = [o for o in objects if "phase" in o]
    assert result.returncode == 0 and told
    for o in told:
        assert (o["phase"], o["unit"], o["total"], o["level"]) == ("judging", "responses", 32, "info")
        assert 0 < o["done"] <= 32 and o["rate"] > 0 and (o["done"] == 32) == (o["seconds_left"] == 0)
    assert told[-1]["done"] == 32
    assert quiet.communicate()[1] == b"" and quiet.returncode == 0


def test_comparisons_are_counted_as_such(folder, tiny_model, tmp_path):
    code, screen = on_terminal(["judge", "--samples", folder / "samples.h5", "--judge", f"pairwise:{tiny_model}", "--out",
                                tmp_path / "s.h5", "--set", "judge.max_tokens=4"])
    assert code == 0
    rises_to_the_end(screen.bars)
    assert "comparisons/s" in screen.bars[-1]
    left_clean(screen)


def test_a_run_shows_all_its_phases(folder, tiny_model, tmp_path):
    config, held_back = tmp_path / "run.yaml", tmp_path / "held-back.jsonl"
    tiny.write_prompts(held_back, "v", 4)
    config.write_text(f"""
model: {{path: {tiny_model}, dtype: fp32}}
thought: {{name: generic, thought_tokens: 10, response_tokens: 16, on_budget: force}}
data: {{train: {folder / 'prompts.jsonl'}, validation: {held_back}, prompts_per_iteration: 8, validation_prompts: 4}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 48, slots: 8}}
train: {{batch: 2, epochs: 2}}
run: {{dir: {tmp_path / 'run'}, iterations: 1}}
""")
    code, screen = on_terminal(["run", config], stdout_too=True)
    lines = left_clean(screen)
    assert code == 0, lines
    phases = [bar.split()[0] for bar in screen.bars]
    order = [phase for i, phase in enumerate(phases) if phase not in phases[:i]]
    assert order == ["validating", "judging", "sampling", "reference", "distances", "training"]
    assert any(line.startswith("iteration 1: mean score") for line in lines) and lines[-1].startswith("try next")
