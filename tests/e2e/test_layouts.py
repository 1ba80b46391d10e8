"""Thinking by the model's own means, and the layouts that ask for it in words: what the prompt holds, where the output's text begins,
how budgets end it, and what a template or tokenizer refuses."""
import contextlib
import ctypes
import json
import os
import struct

import pytest

import scripted
import tiny

h5py = pytest.importorskip("h5py")

TURNS = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
BEGIN = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
PLAIN = TURNS + BEGIN + "{% endif %}"
OPENS = TURNS + BEGIN + "{{ '<think>\\n' }}{% endif %}"
SWITCH = TURNS + BEGIN + "{% if not enable_thinking %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('nobody speaks before the user') }}{% endif %}" + PLAIN
DRAW = ["--temperature", 1, "--top-p", 1, "--max-tokens", 60, "--set", "thought.thought_tokens=10", "--set", "thought.response_tokens=16"]


def with_template(folder, template):
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": template}))
    return folder


def says(folder, template, *script, special=()):
    """A model that says the script after each prompt, which ends with a line break."""
    return with_template(scripted.make(folder, list(script), special), template)


@pytest.fixture(scope="module")
def opens(tmp_path_factory):
    """Random weights, and a template that opens the thought in the prompt."""
    return with_template(tiny.make(tmp_path_factory.mktemp("opens") / "model"), OPENS)


@pytest.fixture
def prompts(tmp_path):
    tiny.write_prompts(tmp_path / "prompts.jsonl", "p", 4)
    return tmp_path / "prompts.jsonl"


def rows_of(path):
    with h5py.File(path) as f:
        texts = {name: [text.decode() for text in f[name][:]] for name in ("text", "prompt_text", "thought", "response", "finish_reason")}
        ends, inserted = f["token_offset"][:], f["inserted"][:]
        return [{name: texts[name][i] for name in texts} | {"format_ok": bool(f["format_ok"][i]),
                                                            "inserted": inserted[ends[i]:ends[i + 1]].tolist()} for i in range(len(ends) - 1)]


def generate(tpo, model, prompts, *more, ranks=0, k=1, max_tokens=40):
    out = prompts.parent / "generated.h5"
    tpo.ok("generate", "--model", model, "--prompts", prompts, "--out", out, "--k", k, "--max-tokens", max_tokens, *more, ranks=ranks)
    return rows_of(out)


@contextlib.contextmanager
def openings(path):
    """A list that holds, afterwards, an entry for each time that the file was opened."""
    IN_OPEN, IN_CLOSE = 0x20, 0x18
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert watch >= 0 and libc.inotify_add_watch(watch, os.fsencode(path), IN_OPEN | IN_CLOSE) >= 0, os.strerror(ctypes.get_errno())
    seen = []
    try:
        yield seen
        with contextlib.suppress(BlockingIOError):
            while events := os.read(watch, 4096):
                seen += [path for _, mask, _, _ in struct.iter_unpack("iIII", events) if mask & IN_OPEN]
    finally:
        os.close(watch)


@pytest.mark.parametrize("layout, times", [("think-tags", 1), ("auto", 2)])
def test_the_tokenizer_is_read_once_and_once_more_to_choose_a_layout(tpo, opens, prompts, layout, times):
    """A real vocabulary takes a good part of a second each time."""
    with openings(opens / "tokenizer.json") as seen:
        generate(tpo, opens, prompts, "--thought", layout, max_tokens=20)
    assert len(seen) == times


def test_what_the_template_opened_is_trained_and_goes_on_thinking(tpo, opens, prompts, tmp_path):
    """From samples to a model over two ranks: each text begins in the prompt, whose end the output closes."""
    layout = ["--thought", "think-tags", *DRAW]
    tpo.ok("generate", "--model", opens, "--prompts", prompts, "--out", tmp_path / "s.h5", "--k", 4, *layout, ranks=2)
    rows = rows_of(tmp_path / "s.h5")
    assert len(rows) == 16 and sum(row["format_ok"] for row in rows) > 8
    for row in rows:
        assert row["prompt_text"].endswith("<|im_start|>assistant\n<think>\n")
        assert row["prompt_text"].split("\n")[1].startswith("Write something"), "the user's turn is the instruction alone"
        assert row["text"].startswith("<think>\n")
        if row["format_ok"]:
            inside, _, after = row["text"].partition("</think>")
            assert row["thought"] == inside[len("<think>"):].strip() and row["response"] == after.strip()
    tpo.ok("judge", "--samples", tmp_path / "s.h5", "--judge", "rule", "--out", tmp_path / "scored.h5", ranks=2)
    tpo.ok("pairs", "--samples", tmp_path / "scored.h5", "--out", tmp_path / "pairs.h5")
    tpo.ok("dpo", "--model", opens, "--pairs", tmp_path / "pairs.h5", "--out", tmp_path / "c.h5", "--batch", 2, ranks=2)
    again = generate(tpo, tmp_path / "c.h5", prompts, "--thought", "auto", *DRAW[:4])
    assert all(row["text"].startswith("<think>\n") for row in again)


@pytest.mark.parametrize("special", [(), ("<think>", "</think>")], ids=["text", "control tokens"])
def test_a_model_that_writes_both_tags_itself(tpo, prompts, tmp_path, special):
    model = says(tmp_path / "m", SWITCH, "<think>", "Hm, five.", "</think>", "Five!", special=special)
    for row in generate(tpo, model, prompts, "--thought", "think-tags"):
        assert row["prompt_text"].endswith("<|im_start|>assistant\n") and row["finish_reason"] == "stop"
        assert row["text"] == "<think>Hm, five.</think>Five!"
        assert (row["thought"], row["response"], row["format_ok"]) == ("Hm, five.", "Five!", True)
    row = generate(tpo, model, prompts, "--thought", "none")[0]
    assert row["prompt_text"].endswith("<think>\n\n</think>\n\n"), "without a switch it is off"


@pytest.mark.parametrize("special", [(), ("</think>",)], ids=["text", "control token"])
def test_a_budget_closes_the_thought(tpo, prompts, tmp_path, special):
    """After two of three tokens; and where the model ends its turn in its thought."""
    model = says(tmp_path / "m", OPENS, "One, ", "two, ", "three.", "</think>", "Done", special=special)
    forced = generate(tpo, model, prompts, "--thought", "think-tags", "--set", "thought.thought_tokens=2")[0]
    assert forced["text"].startswith("<think>\nOne, two, </think>") and sum(forced["inserted"]) == 1, "one token: the tag itself"
    stopped = generate(tpo, model, prompts, "--thought", "think-tags", "--set", "thought.thought_tokens=2", "--set", "thought.on_budget=stop")[0]
    assert (stopped["text"], stopped["finish_reason"], stopped["format_ok"]) == ("<think>\nOne, two, ", "length", False)
    mute = says(tmp_path / "mute", OPENS, "Hm.")
    row = generate(tpo, mute, prompts, "--thought", "think-tags")[0]
    assert row["text"].startswith("<think>\nHm.</think>") and row["thought"] == "Hm."
    row = generate(tpo, mute, prompts, "--thought", "think-tags", "--set", "thought.on_budget=stop")[0]
    assert (row["text"], row["format_ok"], row["response"]) == ("<think>\nHm.", False, ""), "never closed"


def test_outputs_that_are_no_layout(tpo, prompts, tmp_path):
    empty = says(tmp_path / "empty", SWITCH, "<think>", "\n\n", "</think>", "Five!")
    row = generate(tpo, empty, prompts, "--thought", "think-tags")[0]
    assert (row["format_ok"], row["thought"]) == (False, "")
    again = says(tmp_path / "again", OPENS, "a", "</think>", "b, and not ", "</ think>", "c")
    row = generate(tpo, again, prompts, "--thought", "think-tags")[0]
    assert (row["format_ok"], row["response"]) == (True, "b, and not </ think>c")
    (tmp_path / "p.jsonl").write_text(json.dumps({"instruction": "What does </think> mean after <think>?"}) + "\n")
    row = generate(tpo, again, tmp_path / "p.jsonl", "--thought", "think-tags")[0]
    assert (row["format_ok"], row["thought"]) == (True, "a"), "tags in an instruction are text"


def test_a_response_counts_without_a_thought(tpo, prompts, tmp_path):
    model = says(tmp_path / "m", SWITCH, "<think>", "\n\n", "</think>", "\n\n\n", "#### 5", special=["<think>", "</think>"])
    row = generate(tpo, model, prompts, "--thought", "think-tags")[0]
    assert (row["format_ok"], row["thought"], row["response"]) == (False, "", "#### 5")
    (tmp_path / "q.jsonl").write_text(json.dumps({"question": "What is 2+3?", "answer": "2+3=5\n#### 5"}) + "\n")
    tpo.ok("eval", "gsm8k", "--model", model, "--prompts", tmp_path / "q.jsonl", "--prompting", "thought", "--thought", "think-tags", "--max-tokens", 40,
           "--save", tmp_path / "kept")
    result = json.loads((tmp_path / "kept" / "gsm8k-thought.json").read_text())
    assert (result["accuracy"], result["unparsed"]) == (1, 1), result
    said = tpo("chat", "--model", model, "--thought", "think-tags", "--max-tokens", 40, stdin=b"Hi?\nAgain?\n")
    assert said.stdout.decode() == "#### 5\n#### 5\n" and "did not keep to" not in said.stderr.decode(), said


def test_tags_around_the_response(tpo, prompts, tmp_path):
    model = says(tmp_path / "m", OPENS, "Hm.", "</think>", "\n\n", "<response>", "Five!", "</response>")
    layout = tmp_path / "layout.yaml"
    layout.write_text("prompt: '{instruction}'\nthought_marker: <think>\nresponse_marker: <response>\n")
    row = generate(tpo, model, prompts, "--thought", layout, "--set", "sampling.stop=</response>")[0]
    assert (row["format_ok"], row["thought"], row["response"]) == (True, "Hm.</think>", "Five!"), row


def test_the_response_ends_where_the_tag_comes_again(tpo, prompts, tmp_path):
    layout = tmp_path / "layout.yaml"
    model = says(tmp_path / "m", OPENS, "a", "</think>", "b", "</", "think>c")
    layout.write_text("prompt: '{instruction}'\nthought_marker: <think>\nresponse_marker: </think>\n")
    for name in ("think-tags", layout):
        row = generate(tpo, model, prompts, "--thought", name)[0]
        assert (row["text"], row["response"], row["format_ok"], row["finish_reason"]) == ("<think>\na</think>b", "b", True, "stop_string")


def test_a_switch_in_the_users_turn(tpo, prompts, tmp_path):
    layout = tmp_path / "layout.yaml"
    layout.write_text("prompt: '{instruction} /think'\nthought_marker: <think>\nresponse_marker: </think>\ntemplate_args: {enable_thinking: true}\n")
    model = says(tmp_path / "m", SWITCH, "<think>", "Hm.", "</think>", "Yes.")
    row = generate(tpo, model, prompts, "--thought", layout)[0]
    assert row["prompt_text"].endswith(" /think<|im_end|>\n<|im_start|>assistant\n") and row["response"] == "Yes."
    row = generate(tpo, model, prompts, "--thought", layout, "--set", "thought.template_args.enable_thinking=false")[0]
    assert row["prompt_text"].endswith("</think>\n\n")


def test_auto_takes_the_models_own_and_says_so(tpo, opens, tiny_model, prompts, tmp_path):
    other = with_template(tiny.make(tmp_path / "other"), PLAIN.replace("assistant\\n", "assistant\\n[THINK]"))
    for model, layout, why in [(opens, "think-tags", "knows thoughts of its own, in <think>"), (tiny_model, "generic", "knows no <think>"),
                               (other, "generic", "knows thoughts, but not in <think>")]:
        said = tpo("generate", "--model", model, "--prompts", prompts, "--out", tmp_path / "s.h5", "--thought", "auto", *DRAW, ranks=2)
        told = said.stderr.decode()
        assert said.returncode == 0 and told.count(f"thought: auto: the layout is {layout}") == 1 and why in told, told
        with h5py.File(tmp_path / "s.h5") as f:
            config = f.attrs["config"]
        assert f"\n  name: {layout}\n" in (config.decode() if isinstance(config, bytes) else config)
        printed = tpo.ok("config", "--model", model, "--set", "thought=auto", "--set", "thought.thought_tokens=9")
        assert f"  name: {layout}  #" in printed and "  thought_tokens: 9  # --set" in printed, printed
    gone = tpo.ok("config", "--model", tmp_path / "gone", "--set", "thought=auto")
    assert "  name: auto  #" in gone and "response_marker" not in gone, gone
    text = tpo.fails("generate", "--model", opens, "--prompts", prompts, "--out", tmp_path / "t.h5", "--set", "thought=auto", "--set",
                     "thought.prompt=Q {instruction}")
    assert "thought.prompt is given beside thought: auto" in text


def test_a_run_with_auto_goes_on_with_the_layout_that_it_settled_on(tpo, opens, prompts, tmp_path):
    tiny.write_prompts(tmp_path / "v.jsonl", "v", 2)
    (tmp_path / "c.yaml").write_text(f"""
model: {{path: {opens}, dtype: fp32}}
thought: {{name: auto, thought_tokens: 10, response_tokens: 16}}
data: {{train: {prompts}, validation: {tmp_path / 'v.jsonl'}, prompts_per_iteration: 4, validation_prompts: 2}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 48, slots: 8}}
train: {{learning_rate: 1e-4, batch: 4, epochs: 1, micro_batch_tokens: 4096, warmup: 0}}
run: {{dir: {tmp_path / 'run'}, iterations: 1, watch: [{{name: own, prompts: {tmp_path / 'v.jsonl'}, kind: rule, thought: auto}}]}}
""")
    assert "  thought  think-tags\n" in tpo.ok("run", tmp_path / "c.yaml", "--plan-only")
    tpo.ok("run", tmp_path / "c.yaml", ranks=2)
    kept = (tmp_path / "run/config.yaml").read_text()
    assert "  name: think-tags\n" in kept and "auto" not in kept.split("\nthought:")[1].split("\nsampling:")[0]
    tpo.ok("run", tmp_path / "c.yaml", "--resume", ranks=2)
    assert "another configuration" in tpo.fails("run", tmp_path / "c.yaml", "--resume", "--set", "thought=generic")


def test_a_layout_beside_a_template_that_thinks_is_warned_of(tpo, opens, prompts, tmp_path):
    said = tpo("generate", "--model", opens, "--prompts", prompts, "--out", tmp_path / "s.h5", *DRAW, ranks=2).stderr.decode()
    assert said.count("begins a thought of its own with <think>") == 1 and "thought: think-tags takes the model's" in said, said
    switched = says(tmp_path / "m", SWITCH, "a")
    said = tpo("generate", "--model", switched, "--prompts", prompts, "--out", tmp_path / "t.h5", "--thought", "think-tags", "--set",
               "thought.template_args.enable_thinking=false").stderr.decode()
    assert said.count("ends the thought in the prompt") == 1, said
    said = tpo("generate", "--model", opens, "--prompts", prompts, "--out", tmp_path / "u.h5", "--thought", "none", *DRAW[:6]).stderr.decode()
    assert "takes all of an output for the response" in said and "asks for another" not in said, said


def test_what_an_exported_model_asks_for(tpo, prompts, tmp_path):
    model = says(tmp_path / "m", SWITCH, "Notes.", "\nReply for the user:", "Hello")
    trained = tmp_path / "exported.gguf"
    tpo.ok("export", model, trained, "--to", "gguf", "--thought", "generic")
    for layout in ("auto", "think-tags", "generic"):
        text = tpo.fails("generate", "--model", trained, "--prompts", prompts, "--out", tmp_path / "s.h5", "--thought", layout)
        advised = '{prompt: "{instruction}", response_marker: "\\nReply for the user:"}'
        assert f"expected thought: none, a layout's file that holds {advised}, or the checkpoint" in text, text
    (tmp_path / "layout.yaml").write_text(advised)
    row = generate(tpo, trained, prompts, "--thought", tmp_path / "layout.yaml")[0]
    assert (row["format_ok"], row["thought"], row["response"]) == (True, "Notes.", "Hello"), row


def test_a_thought_asked_for_in_the_system_message(tpo, prompts, tmp_path):
    model = says(tmp_path / "m", PLAIN, "Hm.", "\nReply for the user:", " Yes.")
    row = generate(tpo, model, prompts, "--thought", "system")[0]
    head, _, rest = row["prompt_text"].partition("<|im_end|>\n")
    assert head.startswith("<|im_start|>system\n") and "Notes to myself:" in head
    assert rest.startswith("<|im_start|>user\nWrite something, p number 0.<|im_end|>\n<|im_start|>assistant\nNotes to myself:\n")
    assert (row["thought"], row["response"]) == ("Hm.", "Yes.")
    chat = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Well?"}]}
    (tmp_path / "chat.jsonl").write_text(json.dumps(chat) + "\n")
    row = generate(tpo, model, tmp_path / "chat.jsonl", "--thought", "system")[0]
    assert row["prompt_text"].startswith("<|im_start|>system\nBe brief.\n\nAnswer each request in two parts.")
    text = tpo.fails("generate", "--model", says(tmp_path / "n", NO_SYSTEM, "a"), "--prompts", prompts, "--out", tmp_path / "s.h5", "--thought",
                     "system")
    assert "nobody speaks before the user" in text


@pytest.mark.parametrize("layout, script, thought", [
    ("paper-generic", ["Here is my thought process:", " Hm. ", "Here is my response:", " Yes."], "Hm."),
    ("paper-specific", ["Yes is a draft; fine. ", "<R>", " Yes."], "Yes is a draft; fine.")])
def test_the_papers_markers(tpo, prompts, tmp_path, layout, script, thought):
    model = says(tmp_path / "m", PLAIN, *script)
    row = generate(tpo, model, prompts, "--thought", layout)[0]
    assert row["prompt_text"].endswith("<|im_start|>assistant\n"), "nothing is begun"
    assert (row["format_ok"], row["thought"], row["response"]) == (True, thought, "Yes.")
    budget = ["--thought", layout, "--set", f"thought.thought_tokens={len(script) - 2}"]
    cut = generate(tpo, model, prompts, *budget)[0]
    assert (cut["format_ok"], cut["finish_reason"], cut["response"]) == (False, "length", "")
    forced = generate(tpo, model, prompts, *budget, "--set", "thought.on_budget=force")[0]
    assert sum(forced["inserted"]) == 1 and (forced["thought"], forced["response"]) == (thought, "Yes.")


def test_a_chat_hides_the_thought(tpo, tmp_path):
    own = says(tmp_path / "own", OPENS, "Secret.", "</think>", "\n \n", "Hello", special=["</think>"])
    words = says(tmp_path / "words", PLAIN, "Secret.", "\nReply for the user:", " \n", "Hello")
    for model, layout in [(own, "think-tags"), (own, "auto"), (words, "generic"), (words, "system")]:
        shown = tpo("chat", "--model", model, "--thought", layout, "--max-tokens", 40, stdin=b"Hi?\n").stdout.decode()
        assert shown == "Hello\n", shown
        shown = tpo("chat", "--model", model, "--thought", layout, "--max-tokens", 40, "--show-thoughts", stdin=b"Hi?\n").stdout.decode()
        assert "Secret." in shown and shown.endswith("----------\nHello\n"), shown


def trained(tpo, model, out, *layout):
    """A checkpoint that tells that layout, and says what the model does."""
    pairs = out.with_suffix(".jsonl")
    pairs.write_text(json.dumps({"prompt": "Say it.", "chosen": "the one", "rejected": "and"}) + "\n")
    tpo.ok("dpo", "--model", model, "--pairs", pairs, "--out", out, "--batch", 1, "--lr", "1e-9", *layout)
    return out


def test_a_chat_shows_no_markers(tpo, tmp_path):
    """Neither that which ends a response, though its tokens come one by one, nor that which begins a thought, whoever says it."""
    told = ["a", "</think>", " b", "</thi", "nk>", " c"]
    for i, script in enumerate([(OPENS, *told), (PLAIN, "<think>", *told), (PLAIN, "\n<th", "ink>\n", *told)]):
        chat = ["chat", "--model", says(tmp_path / str(i), *script), "--thought", "think-tags", "--max-tokens", 40]
        assert tpo("chat", *chat[1:], stdin=b"Hi?\n").stdout == b"b\n"
        assert tpo("chat", *chat[1:], "--show-thoughts", stdin=b"Hi?\n").stdout == b"a\n----------\nb\n"
    stopped = ["--thought", "none", "--set", "sampling.stop=[nk> c]", "--max-tokens", 40]
    assert tpo("chat", "--model", tmp_path / "0", *stopped, stdin=b"Hi?\n").stdout == b"a</think> b</thi\n"


def test_a_chat_takes_the_layout_that_a_checkpoint_was_trained_with(tpo, tmp_path):
    model = says(tmp_path / "model", OPENS, "Secret.", "</think>", "Hello")
    checkpoint = trained(tpo, model, tmp_path / "c.h5", "--set", "thought=think-tags")
    chat = ["chat", "--model", checkpoint, "--max-tokens", 40]
    shown = tpo(*chat, "--show-thoughts", "--set", "thought.on_budget=stop", stdin=b"Hi?\n")
    assert shown.stdout == b"Secret.\n----------\nHello\n" and b"its thought layout is think-tags" in shown.stderr, shown
    assert tpo(*chat, "--set", "thought.thought_tokens=1", stdin=b"Hi?\n").stdout == b"Hello\n"  # forced, by the layout's on_budget
    for thought, told in ("none", b"Secret.</think>Hello\n"), ("generic", b""):
        other = tpo(*chat, "--thought", thought, "--set", "thought.on_budget=stop", stdin=b"Hi?\n")
        assert other.stdout.strip() == told.strip() and b"its thought layout" not in other.stderr
    plain = trained(tpo, model, tmp_path / "plain.h5")
    assert tpo("chat", "--model", plain, "--max-tokens", 40, stdin=b"Hi?\n").stdout == b"Secret.</think>Hello\n"


def test_instructions_are_not_looked_for_in_a_thought(tpo, tmp_path):
    """The chat template begins one though it is told not to."""
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps({"instruction": f"Name {i} towns by the sea."}) + "\n" for i in range(9)))
    synth = ["synth", "--seeds", tmp_path / "seeds.jsonl", "--out", tmp_path / "new.jsonl", "--n", 1, "--max-requests", 2, "--max-tokens", 60]
    model = says(tmp_path / "model", OPENS, "Hm, think of one that is good.", "</think>", "\n\nRequest 9: Write a poem on rain.")
    result = tpo(*synth, "--model", model)
    assert result.returncode == 0 and b"what stands before </think> is no instruction" in result.stderr, result.stderr
    assert json.loads((tmp_path / "new.jsonl").read_text())["instruction"] == "Write a poem on rain."
    endless = says(tmp_path / "endless", OPENS, "Write a poem about rain at sea.")
    assert "refused: 2 empty" in tpo.fails(*synth, "--model", endless, "--out", tmp_path / "none.jsonl")


def test_what_no_layout_may_be(tpo, tiny_model, prompts, tmp_path):
    lacks = with_template(tiny.make(tmp_path / "lacks"), PLAIN)
    tokenizer = json.loads((lacks / "tokenizer.json").read_text())
    vocab = tokenizer["model"]["vocab"]
    vocab["\u4e00"] = vocab.pop(">")
    (lacks / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    out = ["--prompts", prompts, "--out", tmp_path / "s.h5"]
    text = tpo.fails("generate", "--model", lacks, *out, "--thought", "think-tags")
    assert "thought.thought_marker: the model's tokenizer can't make \"<think>\"" in text, text
    (tmp_path / "list.yaml").write_text("prompt: '{instruction}'\ntemplate_args: [enable_thinking]\n")
    text = tpo.fails("generate", "--model", tiny_model, *out, "--thought", tmp_path / "list.yaml")
    assert "list.yaml:2: thought.template_args: expected a mapping" in text, text
    text = tpo.fails("generate", "--model", tiny_model, *out, "--thought", "think-tags", "--set", "thought.template_args.messages=x")
    assert "thought.template_args: messages, tools" in text, text
