"""Prompts and pairs under the names and in the forms that public data sets have."""
import json

import pytest

import reward_models


def test_prompts_are_read_as_published(tpo, tiny_model, tmp_path):
    h5py = pytest.importorskip("h5py")
    rows = [{"instruction": "Turn it into a question.", "input": "The bridge is open.", "output": "unused"},
            {"prompt": [{"role": "user", "content": [{"type": "text", "text": "Name two birds."}]}]},
            {"conversations": [{"from": "human", "value": "Name two trees."}, {"from": "gpt", "value": "unused"}]}]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = tpo("generate", "--model", tiny_model, "--prompts", path, "--out", tmp_path / "s.h5", "--k", 2, "--max-tokens", 20,
                 "--thought", "none")
    assert result.returncode == 0, result.stderr
    with h5py.File(tmp_path / "s.h5") as file:
        asked = [text.decode() for text in file["instruction"][::2]]
    assert asked == ["Turn it into a question.\n\nThe bridge is open.", "Name two birds.", "Name two trees."]
    assert b"the answer at the end of 1 chat is left out" in result.stderr


def test_pairs_are_read_as_published(tpo, tiny_model, tmp_path):
    def say(role, text):
        return {"role": role, "content": [{"type": "text", "text": text}]}
    rows = [{"id": 5, "prompt": [say("user", "Hi")], "chosen": [say("assistant", "Hello.")], "rejected": [say("assistant", "No.")]},
            {"chosen": [say("user", "Hi"), say("assistant", "Hello."), say("user", "Bye"), say("assistant", "Bye!")],
             "rejected": [say("user", "Hi"), say("assistant", "Go.")]},
            {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello.", "rejected": "\n\nHuman: Hi\n\nAssistant: No."},
            {"prompt_id": 9, "prompt": "Hi", "chosen": "Same.", "rejected": "Same."}]
    path = tmp_path / "p.jsonl"
    path.write_text("\ufeff" + "".join(json.dumps(row) + "\n" for row in rows))
    result = tpo("dpo", "--model", tiny_model, "--pairs", path, "--out", tmp_path / "c.h5", "--batch", 3)
    assert result.returncode == 0, result.stderr
    assert b'p.jsonl:4: pair "9" is left out: chosen and rejected are identical' in result.stderr
    assert result.stderr.count(b"identical") == 2 and b"1 of 4 pairs are left out" in result.stderr
    whole = {name: [say("user", "Hi"), say("assistant", name)] for name in ("chosen", "rejected")}
    for prompt in ("Bye", [say("user", "Bye")]):
        path.write_text(json.dumps({"prompt": "Hi", **whole}) + "\n" + json.dumps({"prompt": prompt, **whole}))
        assert "p.jsonl:2: " in tpo.fails("dpo", "--model", tiny_model, "--pairs", path, "--out", tmp_path / "d.h5", code=1)
    path.write_text(json.dumps(rows))
    tpo.fails("dpo", "--model", tiny_model, "--pairs", path, "--out", tmp_path / "d.h5", code=1)


def test_bad_rows_are_left_out_as_far_as_allowed(tpo, tiny_model, tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"instruction": "Name a bird."}\n{"instruction": 5}\n{"instruction": "Name a tree."}\n')
    args = ["generate", "--model", tiny_model, "--prompts", path, "--out", tmp_path / "s.h5", "--k", 2, "--max-tokens", 8,
            "--thought", "none"]
    assert "p.jsonl:2" in tpo.fails(*args, code=1)
    result = tpo(*args, "--skip-bad", 1)
    assert result.returncode == 0, result.stderr
    assert b"p.jsonl:2: " in result.stderr and b"left out (1 of 1 allowed)" in result.stderr
    assert b"4 samples of 2 prompts" in result.stderr
    path.write_text('{"prompt": "a", "chosen": "b"}\n{"prompt": "a", "chosen": "b", "rejected": "c"}\n'
                    '{"prompt": [{"role": "user", "content": 5}], "chosen": "b", "rejected": "c"}\n'
                    '{"prompt_ids": [1], "chosen_ids": [2, 99999999], "rejected_ids": [3]}\n')
    args = ["dpo", "--model", tiny_model, "--pairs", path, "--out", tmp_path / "c.h5", "--batch", 1]
    assert "p.jsonl:1" in tpo.fails(*args, code=1)
    result = tpo(*args, "--skip-bad", 3, ranks=2)
    assert result.returncode == 0, result.stderr
    for line, why in ((1, "prompt_ids"), (3, 'prompt[0]: "content" must be'), (4, "chosen_ids[1] is 99999999")):
        assert f"p.jsonl:{line}: {why}".encode() in result.stderr, result.stderr


def test_template_and_score_read_content_in_parts(tpo, tiny_model, tmp_path):
    parts = [{"role": "user", "content": [{"type": "text", "text": "Name "}, {"type": "text", "text": "a bird."}]}]
    plain = [{"role": "user", "content": "Name a bird."}]
    picture = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {}}]}]
    call = [{"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}]
    template = ["template", "--model", tiny_model]
    assert tpo.ok(*template, stdin=json.dumps(parts)) == tpo.ok(*template, stdin=json.dumps(plain))
    score = ["score", "--judge", f"reward:{reward_models.make_seqcls(tmp_path / 'reward')}"]
    both = tpo.ok(*score, stdin="".join(json.dumps({"messages": m}) + "\n" for m in (parts, plain))).splitlines()
    assert both[0] == both[1] and "score" in json.loads(both[0])
    for command, wrap in ((template, lambda m: m), (score, lambda m: {"messages": m})):
        unheard = [(call, "tool_calls")] if command is score else []  # tpo template shows them
        for chat, name in [(picture, "image_url"), ([{"role": "user"}], "content"), ([], "messages"), *unheard]:
            text = tpo.fails(*command, stdin=json.dumps(wrap(chat)) + "\n", code=1)
            assert "standard input" in text and name in text and text.count("standard input") == 1, text


def test_over_long_pairs_are_listed_or_their_prompts_cut(tpo, tiny_model, tmp_path):
    long = list(range(3, 43))
    rows = [{"id": "long", "prompt_ids": long, "chosen_ids": [60, 61, 2], "rejected_ids": [62, 63, 64, 65, 2]},
            {"id": "short", "prompt_ids": [3, 4, 5], "chosen_ids": [70, 2], "rejected_ids": [71, 72, 2]},
            {"id": "all", "prompt_ids": [3], "chosen_ids": [80] * 30, "rejected_ids": [81, 2]}]
    path, cut = tmp_path / "p.jsonl", tmp_path / "cut.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cut.write_text("".join(json.dumps(row) + "\n" for row in [dict(rows[0], prompt_ids=long[-15:]), rows[1]]))

    def train(pairs, *more):
        result = tpo("dpo", "--model", tiny_model, "--pairs", pairs, "--out", tmp_path / "c.h5", "--batch", 1, "--epochs", 2,
                     "--lr", 1e-3, "--dtype", "fp32", "--metrics", "-", "--set", "train.max_pair_tokens=20", *more, ranks=2)
        assert result.returncode == 0, result.stderr
        return [{k: v for k, v in json.loads(m).items() if k != "seconds"} for m in result.stdout.splitlines()], result.stderr.decode()

    steps, told = train(path)
    assert len(steps) == 2 and f'{path}:1: pair "long" is left out: 45 tokens are more than 20, train.max_pair_tokens' in told
    assert f'{path}:3: pair "all" is left out: 31 tokens' in told and "2 of 3 pairs are left out: 2 too long" in told
    steps, told = train(path, "--truncate", "left")
    assert steps == train(cut)[0] and len(steps) == 4 and steps[0]["margin"] == 0
    assert "the prompts of 1 of 3 pairs are cut to their last tokens, to fit 20" in told
    assert 'pair "all" is left out: 31 tokens (its output alone leaves no room for a prompt)' in told
