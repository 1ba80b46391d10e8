"""Pairs of text with thoughts in them, under templates that think: what is trained on are the tokens that the model would have said."""
import json

import pytest

import scripted

h5py = pytest.importorskip("h5py")

BEGIN = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
# Answers to the last question with a thought, empty where they have none; the generation prompt has a switch for it.
SWITCHED = ("{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
            "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% set said = m.content %}{% if m.role == 'assistant' %}"
            "{% set thought = said.split('</think>')[0].split('<think>')[-1].strip('\\n') if '</think>' in said else '' %}"
            "{% set said = said.split('</think>')[-1].lstrip('\\n') %}"
            "{% if loop.index0 > ns.last %}{{ '<think>\\n' + thought + '\\n</think>\\n\\n' }}{% endif %}{% endif %}"
            "{{ said + '<|im_end|>\\n' }}{% endfor %}" + BEGIN +
            "{% if not enable_thinking %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}")
# Answers without their thoughts; the generation prompt begins one.
OPENED = ("{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{{ m.content.split('</think>')[-1] if m.role == 'assistant' else m.content }}"
          "{{ '<|im_end|>\\n' }}{% endfor %}" + BEGIN + "{{ '<think>\\n' }}{% endif %}")


def make(folder, template, script):
    scripted.make(folder, script)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": template}))
    return folder


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def train(tpo, model, pairs, *more, ranks=0):
    """A line of metrics a step, without the time it took: two trainings on the same tokens have the same."""
    tpo.ok("dpo", "--model", model, "--pairs", pairs, "--out", pairs.with_suffix(".h5"), "--metrics", pairs.with_suffix(".metrics"),
           "--batch", 2, "--epochs", 2, "--lr", 1e-3, *more, ranks=ranks)
    lines = [json.loads(line) for line in pairs.with_suffix(".metrics").read_text().splitlines()]
    return [{name: value for name, value in line.items() if "second" not in name} for line in lines]


@pytest.mark.parametrize("template, script", [(SWITCHED, ["<think>\n", "Hm.", "\n</think>\n\n", "Five!"]), (OPENED, ["Hm.", "</think>", "Five!"])],
                         ids=["switched", "opened"])
def test_texts_are_the_tokens_that_were_sampled(tpo, tmp_path, template, script):
    model = make(tmp_path / "m", template, script)
    prompts = write(tmp_path / "prompts.jsonl", *({"id": str(i), "instruction": f"What comes after {i}?"} for i in range(4)))
    tpo.ok("generate", "--model", model, "--prompts", prompts, "--out", tmp_path / "s.h5", "--thought", "think-tags", "--temperature", 0,
           "--max-tokens", 20, ranks=2)
    ids, texts = [], []
    with h5py.File(tmp_path / "s.h5") as f:
        prompt_ends, ends = f["prompt_token_offset"][:], f["token_offset"][:]
        for i in range(4):
            prompt, said = (f[name][at[i]:at[i + 1]].tolist() for name, at in (("prompt_token_ids", prompt_ends), ("token_ids", ends)))
            text = f["text"][i].decode()
            assert f["format_ok"][i] and text.startswith("<think>") and text.endswith("Five!")
            ids.append({"prompt_ids": prompt, "chosen_ids": said, "rejected_ids": said[:-2] + said[-1:]})
            texts.append({"prompt": [{"role": "user", "content": f"What comes after {i}?"}], "chosen": text, "rejected": text[:-len("Five!")]})
    expected = train(tpo, model, write(tmp_path / "ids.jsonl", *ids), ranks=2)
    assert len(expected) == 4
    assert train(tpo, model, write(tmp_path / "texts.jsonl", *texts), "--thought", "think-tags", ranks=2) == expected
    texts[0]["chosen"] = texts[0]["chosen"].replace("Hm.", "Five!")
    assert train(tpo, model, write(tmp_path / "others.jsonl", *texts), "--thought", "think-tags") != expected, "a thought counts"


def test_thoughts_take_a_prompt_that_leaves_room_for_them(tpo, tmp_path):
    model = make(tmp_path / "m", SWITCHED, ["Five!"])
    rows = [{"prompt": [{"role": "user", "content": "What comes after 4?"}], "chosen": f"<think>\n{thought}\n</think>\n\n5", "rejected": "6"} for thought in "ab"]
    pairs = write(tmp_path / "p.jsonl", *rows)
    told = tpo.fails("dpo", "--model", model, "--pairs", pairs, "--out", tmp_path / "c.h5", code=1)
    assert "p.jsonl:1: chosen: the answer holds a thought (<think>)" in told and "--thought think-tags" in told
    by_layout = train(tpo, model, pairs, "--thought", "think-tags")
    assert by_layout == train(tpo, model, pairs, "--thought", "auto") == train(tpo, model, pairs, "--set", "thought.template_args.enable_thinking=true")
    with h5py.File(tmp_path / "p.h5", "w"):
        pass
    told = tpo.fails("dpo", "--model", model, "--pairs", tmp_path / "p.h5", "--out", tmp_path / "c.h5", "--thought", "think-tags", code=2)
    assert "--thought is for messages in JSON Lines" in told
    answers = [{**row, "chosen": "5"} for row in rows]
    assert train(tpo, model, write(tmp_path / "q.jsonl", *answers)) != train(tpo, model, write(tmp_path / "q.jsonl", *answers), "--thought", "think-tags")
