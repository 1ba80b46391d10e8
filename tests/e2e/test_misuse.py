"""Commands used in clumsy ways: outputs that can't be written or would replace an input, standard streams that are closed
or full, bytes that are no text, text that steers a terminal."""
import json
import os
import re
import shutil
import subprocess

import pytest

import tiny
from conftest import BUILD, ROOT, command, environment

COMMANDS = ["run", "generate", "judge", "pairs", "dpo", "synth", "report", "chat", "export", "inspect", "config", "tokenize",
            "detokenize", "template", "logprobs"]
GENERATE = ["--k", 2, "--max-tokens", 4, "--thought", "none"]


def one_line(text, *words):
    lines = text.splitlines()
    assert len(lines) == 1 and lines[0].startswith("tpo"), text
    for word in words:
        assert word in lines[0], f"{word!r} is not in: {lines[0]}"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_every_option_that_the_source_has(tpo, name):
    text = tpo.ok(name, "--help")
    assert text.startswith(f"usage: tpo {name}")
    for option in ("--config", "--set", "--quiet", "--verbose", "--log-json", "--help"):
        assert option in text
    for option in re.findall(r"^ +(?:-\w, )?(--[\w-]+)", text, re.M):
        assert "unknown option" not in tpo(name, option, "x").stderr.decode()
    assert name in tpo.ok("--help")


def test_the_list_of_commands_is_complete(tpo):
    listed = re.findall(r"^  (\w+)  +\S", tpo.ok("--help").split("commands:")[1], re.M)
    assert set(COMMANDS) <= set(listed)
    known = (ROOT / "src" / "cli" / "cli.h").read_text()
    assert set(re.findall(r"\bcmd_(\w+)", known)) | {"eval"} == set(listed)


@pytest.mark.parametrize("name", [c for c in COMMANDS if c != "config"])
def test_without_arguments_a_command_says_what_it_needs(tpo, name):
    one_line(tpo.fails(name, code=2), f"tpo {name}")


@pytest.mark.parametrize("wrong, right", [("--modle", "--model"), ("--tempreature", "--temperature"), ("--max-token", "--max-tokens")])
def test_a_misspelt_option_is_answered_with_the_right_one(tpo, wrong, right):
    one_line(tpo.fails("generate", wrong, "x", code=2), wrong, f"did you mean {right}?")


def test_a_section_is_no_key(tpo):
    one_line(tpo.fails("config", "--set", "train=5", code=2), "train is a section")


OUTPUTS = [("missing/o.h5", ["missing/o.h5", "there is no folder"]), ("prompts.jsonl", ["prompts.jsonl", "that is read"]), (".", ["folder"]),
           ("/dev/full", ["device"]), ("/proc/o.h5", ["/proc/o.h5"]), ("a" * 300, ["name"]), ("hanging", ["link to nothing"]),
           ("-", ["--jsonl"])]


@pytest.mark.parametrize("out, words, ranks", [(*o, 0) for o in OUTPUTS] + [(*o, 2) for o in OUTPUTS[:2]])
def test_an_output_that_cannot_be_written_is_told_before_the_work(tpo, tiny_model, tmp_path, out, words, ranks):
    tiny.write_prompts(tmp_path / "prompts.jsonl", "p", 2)
    before = (tmp_path / "prompts.jsonl").read_bytes()
    os.symlink("nowhere", tmp_path / "hanging")
    out = out if out in ("-", "/dev/full", "/proc/o.h5") else tmp_path / out
    text = tpo.fails("generate", "--model", tiny_model, "--prompts", tmp_path / "prompts.jsonl", "--out", out, *GENERATE,
                     ranks=ranks, code=2)
    one_line("".join(line for line in text.splitlines() if line.startswith("tpo")), *words)
    assert "samples of" not in text
    assert (tmp_path / "prompts.jsonl").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hanging", "prompts.jsonl"]


@pytest.mark.parametrize("args, kept", [
    (["judge", "--samples", "samples.h5", "--judge", "rule", "--out", "samples.h5"], "samples.h5"),
    (["pairs", "--samples", "scored.h5", "--out", "link.h5"], "scored.h5"),
    (["dpo", "--model", "checkpoint.h5", "--pairs", "pairs.h5", "--out", "checkpoint.h5"], "checkpoint.h5"),
    (["dpo", "--model", "MODEL", "--pairs", "pairs.h5", "--out", "pairs.h5"], "pairs.h5"),
    (["dpo", "--model", "MODEL", "--pairs", "pairs.h5", "--out", "c.h5", "--metrics", "pairs.h5"], "pairs.h5"),
    (["dpo", "--model", "MODEL", "--pairs", "pairs.h5", "--out", "c.h5", "--metrics", "./c.h5"], "pairs.h5"),
    (["dpo", "--model", "MODEL", "--pairs", "pairs.h5", "--out", "MODEL/model.safetensors"], "MODEL/model.safetensors"),
    (["generate", "--model", "MODEL", "--prompts", "prompts.jsonl", "--out", "MODEL/config.json", "--jsonl"], "MODEL/config.json")])
def test_an_input_is_never_replaced(tiny_model, files, tmp_path, args, kept):
    folder = shutil.copytree(files, tmp_path / "files")
    shutil.copytree(tiny_model, folder / "MODEL")
    (folder / "link.h5").symlink_to("scored.h5")
    before = (folder / kept).read_bytes()
    result = subprocess.run(command(args), cwd=folder, capture_output=True, env=environment(), check=False)
    assert result.returncode == 2, result.stderr.decode()
    one_line(result.stderr.decode())
    assert (folder / kept).read_bytes() == before and not (folder / "c.h5").exists()


@pytest.mark.parametrize("metrics", ["missing/m.jsonl", "."])
def test_metrics_that_cannot_be_written(tpo, tiny_model, files, tmp_path, metrics):
    text = tpo.fails("dpo", "--model", tiny_model, "--pairs", files / "pairs.h5", "--out", tmp_path / "c.h5", "--metrics",
                     tmp_path / metrics, code=2)
    one_line(text, "--metrics")


def test_metrics_on_a_full_device(tpo, tiny_model, files, tmp_path):
    text = tpo.fails("dpo", "--model", tiny_model, "--pairs", files / "pairs.h5", "--out", tmp_path / "c.h5", "--metrics",
                     "/dev/full", code=1)
    one_line(text, "No space left")


def test_metrics_on_standard_output(tpo, tiny_model, files, tmp_path):
    text = tpo.ok("dpo", "--model", tiny_model, "--pairs", files / "pairs.h5", "--out", tmp_path / "c.h5", "--batch", 2,
                  "--metrics", "-")
    assert [json.loads(line)["step"] for line in text.splitlines()] == list(range(text.count("\n")))


PRINTING = [["--help"], ["--version"], ["run", "--help"], ["config"], ["config", "--reference"], ["inspect", "samples.h5"],
            ["synth", "--constraints", "--n", "300", "--out", "-"], ["tokenize", "--model", "MODEL"], ["detokenize", "--model", "MODEL"],
            ["logprobs", "--model", "MODEL"], ["chat", "--model", "MODEL"],
            ["generate", "--model", "MODEL", "--prompts", "prompts.jsonl", "--out", "-", "--jsonl", "--k", "1", "--max-tokens", "3",
             "--thought", "none"]]


@pytest.mark.parametrize("where", ["full", "closed", "gone"])
@pytest.mark.parametrize("args", PRINTING, ids=lambda args: " ".join(args[:2]))
def test_output_that_gets_lost_is_an_error(tiny_model, files, args, where):
    stdin = {"detokenize": b"5 6\n", "logprobs": b'{"ids":[1,2]}\n'}.get(args[0], b"hello\n")
    if where == "gone":  # the reader has left before anything is written
        line = '{ sleep 0.3; "$0" "$@"; echo $? >&2; } | true'
    else:
        line = '"$0" "$@" %s; echo $? >&2' % {"full": ">/dev/full", "closed": ">&-"}[where]
    args = [str(tiny_model) if a == "MODEL" else a for a in args]
    result = subprocess.run(["sh", "-c", line, BUILD / "tpo", *args], input=stdin, cwd=files, capture_output=True,
                            env=environment(), check=False, timeout=60)
    *messages, code = result.stderr.decode().split("\n")[:-1]
    assert code == "1", result.stderr.decode()
    assert sum(m.startswith("tpo") for m in messages) == 1, messages


def test_closed_standard_streams_stay_out_of_files(tpo, tiny_model, files, tmp_path):
    """Without care the first file that is opened would get the number of standard output or error."""
    out = tmp_path / "o.h5"
    line = '"$0" "$@" <&- >&- 2>&-'
    subprocess.run(["sh", "-c", line, BUILD / "tpo", "generate", "--model", tiny_model, "--prompts", files / "prompts.jsonl",
                    "--out", out, "--k", "2", "--max-tokens", "4", "--thought", "none"], check=True, env=environment())
    assert "16 samples of 8 prompts" in tpo.ok("inspect", out)


@pytest.mark.parametrize("name", ["fifo", "loop", "folder"])
def test_things_that_are_no_files(tpo, tiny_model, files, tmp_path, name):
    path = tmp_path / name
    {"fifo": os.mkfifo, "loop": lambda p: os.symlink(p, p), "folder": os.mkdir}[name](path)
    for args in (["inspect", path], ["generate", "--model", path, "--prompts", files / "prompts.jsonl", "--out", tmp_path / "o"],
                 ["judge", "--samples", path, "--judge", "rule", "--out", tmp_path / "o"], ["pairs", "--samples", path, "--out", tmp_path / "o"],
                 ["dpo", "--model", path, "--pairs", files / "pairs.h5", "--out", tmp_path / "o"], ["report", path],
                 ["export", path, tmp_path / "e", "--to", "hf"], ["tokenize", "--model", path], ["logprobs", "--model", path]):
        one_line(tpo.fails(*args, code=2), name)


def test_pairs_from_a_pipe(tpo, tiny_model, tmp_path):
    row = b'{"prompt_ids":[1,2],"chosen_ids":[3],"rejected_ids":[4,5]}\n'
    result = tpo("dpo", "--model", tiny_model, "--pairs", "/dev/stdin", "--out", tmp_path / "c.h5", "--batch", 1, stdin=row)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("args", [["judge", "--samples", "pairs.h5", "--judge", "rule"], ["pairs", "--samples", "samples.h5"],
                                  ["pairs", "--samples", "checkpoint.h5"], ["dpo", "--model", "MODEL", "--pairs", "samples.h5"],
                                  ["dpo", "--model", "pairs.h5", "--pairs", "pairs.h5"],
                                  ["generate", "--model", "samples.h5", "--prompts", "prompts.jsonl"],
                                  ["generate", "--model", "MODEL", "--prompts", "samples.h5"]])
def test_a_file_of_another_kind(tpo, tiny_model, files, tmp_path, args):
    args = [tiny_model if a == "MODEL" else files / a if "." in a else a for a in args]
    one_line(tpo.fails(*args, "--out", tmp_path / "o.h5", code=1))
    assert not (tmp_path / "o.h5").exists()


def test_any_bytes_survive_tokenize_and_detokenize(tpo, tiny_model):
    for data in (bytes(range(256)) * 4, b"", b"\0", b"\xff\xfe\0\0", b"caf\xe9 \xe2\x82", os.urandom(5000)):
        ids = tpo("tokenize", "--model", tiny_model, "--no-special", "--plain", stdin=data)
        assert ids.returncode == 0
        assert tpo("detokenize", "--model", tiny_model, stdin=ids.stdout).stdout == data


@pytest.mark.parametrize("stdin", [b"999999\n", b"-1", b"1 2 x", b"1\x002", b"99999999999999999999", b"0x5", b"1.5", b"\xff"])
def test_what_is_no_list_of_ids(tpo, tiny_model, stdin):
    one_line(tpo.fails("detokenize", "--model", tiny_model, stdin=stdin, code=1), "standard input")


@pytest.mark.parametrize("stdin", [b"hi \xff\n", b"a\0b\n"])
def test_a_chat_line_that_is_no_text(tpo, tiny_model, stdin):
    one_line(tpo.fails("chat", "--model", tiny_model, stdin=stdin, code=1), "standard input", "UTF-8")


@pytest.mark.parametrize("stdin", [b"", b"[]", b"{}", b"[5]", b'[{"role":"user"}]', b'[{"role":"user","content":"a\\u0000b"}]',
                                   b'[{"role":5,"content":"x"}]', b"[" * 100_000, b'[{"role":"user","content":5}]'])
def test_messages_that_are_none(tpo, tiny_model, stdin):
    one_line(tpo.fails("template", "--model", tiny_model, stdin=stdin, code=1))


def test_a_control_token_in_a_message_stays_text(tpo, tiny_model):
    text = tpo.ok("template", "--model", tiny_model, stdin='[{"role":"user","content":"<|im_end|>"}]')
    assert "user\n<|im_end|><|im_end|>" in text


def steering(data):
    """Bytes that a terminal would obey, and what is not UTF-8."""
    text = data.decode()
    return [c for c in text if c not in "\n\t" and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E)]


def test_model_text_does_not_steer_the_terminal(tpo, files, tmp_path):
    """A model whose tokens are raw bytes draws all of them sooner or later."""
    model = tiny.make(tmp_path / "noisy", scale=0.0001)
    chat = tpo("chat", "--model", model, "--temperature", 5, "--top-p", 1, "--max-tokens", 600, stdin=b"hello\n")
    assert chat.returncode == 0 and len(chat.stdout) > 100 and not steering(chat.stdout)
    out = tmp_path / "s.h5"
    tpo.ok("generate", "--model", model, "--prompts", files / "prompts.jsonl", "--out", out, "--k", 2, "--max-tokens", 300,
           "--temperature", 5, "--top-p", 1, "--thought", "none")
    shown = tpo("inspect", out)
    assert shown.returncode == 0 and len(shown.stdout) > 1000 and not steering(shown.stdout)


def test_what_cannot_be_seen_is_labelled(tpo, tiny_model, tmp_path):
    (tmp_path / "p.jsonl").write_text(json.dumps({"instruction": "Say hi\u200b and\u00ad \u2066go\U000e0041, h\u00e9.\nNow"}) + "\n")
    tpo.ok("generate", "--model", tiny_model, "--prompts", tmp_path / "p.jsonl", "--out", tmp_path / "s.h5", "--k", 1,
           "--thought", "none", "--max-tokens", 1)
    assert "Say hi‹U+200B› and‹U+00AD› ‹U+2066›go‹U+E0041›, h\u00e9.\\nNow" in tpo.ok("inspect", tmp_path / "s.h5")


def test_messages_do_not_steer_the_terminal(tpo):
    for name in ("\x1b[31mred", "a\u009bb", "\u202egnp", "a\r\ntpo: all is well"):
        for args in (["inspect", name], ["config", name], ["generate", name], ["config", "--set", name + "=1"], [name]):
            result = tpo(*args)
            assert result.returncode == 2 and not steering(result.stderr), result.stderr
            assert result.stderr.count(b"\n") == 1


@pytest.mark.parametrize("prompt_first", [True, False])
def test_a_name_beside_a_prompt_is_a_label_in_any_order(tpo, tmp_path, prompt_first):
    settings = ["thought.prompt=Q: {instruction}", "thought.name=mine"]
    config = tmp_path / "c.yaml"
    config.write_text("seed: 1\n")
    args = [part for setting in (settings if prompt_first else settings[::-1]) for part in ("--set", setting)]
    text = tpo.ok("config", config, *args)
    assert re.search(r"name: mine +# --set", text) and re.search(r"prompt: .*Q: \{instruction\}.* # --set", text)
    assert "mine" in tpo.fails("config", config, "--set", "thought.name=mine", code=2)


def test_a_chat_warns_once_where_the_layout_is_not_kept(tpo, tiny_model):
    """With on_budget: stop the tiny model never comes to the response."""
    args = ["chat", "--model", tiny_model, "--max-tokens", 8]
    stop = ["--set", "thought.on_budget=stop"]
    for more, words in ((stop, "hidden (--show-thoughts shows it)"), (stop + ["--show-thoughts"], "taken for a thought and left")):
        log = tpo(*args, *more, stdin=b"Hello\nAgain\nMore\n").stderr.decode()
        assert log.count("did not keep to the thought layout") == 1 and words in log and "--thought none switches" in log, log
    assert "layout" not in tpo(*args, "--thought", "none", stdin=b"Hello\nAgain\n").stderr.decode()
