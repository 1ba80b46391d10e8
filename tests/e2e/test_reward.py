"""Reward models: `tpo score` on ids and chats, `tpo judge` on one rank and two, and folders that are refused."""
import json
import shutil

import pytest

import reward_models
import tiny

h5py = pytest.importorskip("h5py")

SECRET = "PLANTED-SECRET-5519"
THOUGHT = tiny.layout_with(SECRET)


@pytest.fixture(scope="module")
def armorm(tmp_path_factory):
    return reward_models.make_armorm(tmp_path_factory.mktemp("armorm"))


@pytest.fixture(scope="module")
def seqcls(tmp_path_factory):
    return reward_models.make_seqcls(tmp_path_factory.mktemp("seqcls") / "model")


@pytest.fixture(scope="module")
def samples(tpo, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    tiny.write_prompts(folder / "prompts.jsonl", "p", 7)
    (folder / "thought.yaml").write_text(THOUGHT)
    tpo.ok("generate", "--model", tiny_model, "--prompts", folder / "prompts.jsonl", "--out", folder / "samples.h5",
           "--k", 3, "--temperature", 1, "--top-p", 1, "--max-tokens", 48, "--thought", folder / "thought.yaml")
    return folder / "samples.h5"


def lines(objects):
    return "".join(json.dumps(o) + "\n" for o in objects)


def score(tpo, folder, objects, *more, ranks=0):
    out = tpo.ok("score", "--judge", f"reward:{folder}", "--dtype", "fp32", *more, stdin=lines(objects), ranks=ranks)
    return [json.loads(line) for line in out.splitlines()]


def read(path):
    with h5py.File(path) as f:
        return [(f["instruction"][i].decode(), f["response"][i].decode(), bool(f["format_ok"][i]), float(f["score"][i]),
                 json.loads(f["score_detail"][i])) for i in range(len(f["k"]))]


def check(got, rows, keys):
    assert len(got) == len(rows)
    for g, row in zip(got, rows):
        assert set(g) == set(keys)
        for key in keys:
            assert g[key] == pytest.approx(row[key], abs=1e-4)


@pytest.mark.parametrize("name, keys", [("seqcls", ["score"]), ("openrlhf", ["score", "raw"])])
def test_ids_are_scored_without_a_tokenizer(tpo, name, keys):
    rows = reward_models.expected(name)["texts"]
    check(score(tpo, reward_models.FIXTURES / name, [{"ids": r["ids"]} for r in rows]), rows, keys)


def test_an_armorm_tells_its_objectives_and_their_gating(tpo, armorm):
    rows = reward_models.expected("armorm")["texts"]
    check(score(tpo, armorm, [{"ids": r["ids"]} for r in rows]), rows, ["score", "objectives", "gating"])


def test_chats_are_scored_as_their_ids(tpo, armorm):
    rows = reward_models.expected("armorm")["chats"]
    chats = score(tpo, armorm, [{"messages": r["messages"]} for r in rows])
    check(chats, rows, ["score", "objectives", "gating"])
    assert chats == score(tpo, armorm, [{"ids": r["ids"]} for r in rows])


def test_scores_are_the_same_whatever_goes_into_a_pass(tpo, armorm):
    texts = [{"ids": r["ids"]} for r in reward_models.expected("armorm")["texts"]]
    whole = score(tpo, armorm, texts)
    assert score(tpo, armorm, texts, "--set", "judge.batch_tokens=13", "--threads", 1) == whole
    assert score(tpo, armorm, texts[::-1])[::-1] == whole
    assert score(tpo, armorm, texts, ranks=2) == whole


def test_bf16_scores_are_near(tpo, seqcls):
    rows = reward_models.expected("seqcls")["texts"]
    out = tpo.ok("score", "--judge", f"reward:{seqcls}", "--dtype", "bf16", stdin=lines([{"ids": r["ids"]} for r in rows]))
    for line, row in zip(out.splitlines(), rows):
        assert json.loads(line)["score"] == pytest.approx(row["score"], abs=0.15)


def test_a_bad_line_is_told_by_its_number(tpo, armorm):
    good = {"ids": reward_models.expected("armorm")["texts"][0]["ids"]}
    for bad, part in (("{\"ids\": []}", "at least one"), ("{\"ids\": [1.5]}", "ids[0]"), ("{\"ids\": [-1]}", "ids[0]"),
                      ("{\"ids\": 7}", "at least one"), ("{}", "expected {\"messages\""), ("[]", "expected"),
                      ("{\"ids\": [1], \"messages\": []}", "expected"), ("{\"messages\": []}", "messages"),
                      ("{\"messages\": [{\"role\": 7, \"content\": \"\"}]}", "messages[0]"), ("{", "standard input:3"),
                      ("{\"messages\": [{\"role\": \"user\"}]}", "messages[0]"),
                      ("{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}", "which the gate needs"),
                      ("{\"ids\": [1, 2]}", "which the gate needs"), ("{\"ids\": [128257]}", "outside"),
                      (json.dumps({"ids": [1] * 257}), "context of 256")):
        result = tpo("score", "--judge", f"reward:{armorm}", stdin=lines([good]) + "\n" + bad + "\n" + lines([good]))
        message = result.stderr.decode()
        assert result.returncode == 1 and "standard input:3" in message and part in message, (bad, message)
        assert len(result.stdout.splitlines()) == 1  # the line before it


def test_chats_need_a_tokenizer(tpo):
    message = tpo.fails("score", "--judge", f"reward:{reward_models.FIXTURES / 'seqcls'}", code=2,
                        stdin=lines([{"messages": [{"role": "user", "content": "Hi"}]}]))
    assert "tokenizer" in message and "standard input:1" in message


@pytest.mark.parametrize("which", ["armorm", "seqcls"])
def test_the_judge_scores_instruction_and_response_alone(tpo, samples, which, tmp_path, request):
    """Its scores are those of chats that hold nothing else; the samples' thoughts hold a secret."""
    folder, out = request.getfixturevalue(which), tmp_path / "scored.h5"
    with h5py.File(samples) as f:
        assert any(SECRET in t.decode() for t in f["thought"])
    tpo.ok("judge", "--samples", samples, "--judge", f"reward:{folder}", "--dtype", "fp32", "--out", out)
    rows = [row for row in read(out) if row[2]]
    assert len(rows) > 10 and not any(SECRET in response for _, response, *_ in rows)
    chats = [{"messages": [{"role": "user", "content": i}, {"role": "assistant", "content": r}]} for i, r, *_ in rows]
    for (_, _, _, value, detail), alone in zip(rows, score(tpo, folder, chats)):
        assert value == alone.pop("score") and detail == alone


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_two_ranks_give_the_scores_of_one(tpo, samples, armorm, tmp_path, dtype):
    scored = []
    for ranks in (0, 1, 2):
        out = tmp_path / f"{ranks}.h5"
        tpo.ok("judge", "--samples", samples, "--judge", f"reward:{armorm}", "--dtype", dtype, "--out", out, ranks=ranks,
               timeout=300)
        scored.append(read(out))
    assert scored[0] == scored[1] == scored[2]
    assert len({row[3] for row in scored[0] if row[2]}) > 10


def test_responses_that_are_too_long_have_no_score(tpo, samples, seqcls, tmp_path):
    folder, out = tmp_path / "short", tmp_path / "scored.h5"
    shutil.copytree(seqcls, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 16}))
    message = tpo.fails("judge", "--samples", samples, "--judge", f"reward:{folder}", "--out", out, code=1)
    assert "more than the reward model's context of 16" in message and "judge.max_failed" in message
    tpo.ok("judge", "--samples", samples, "--judge", f"reward:{folder}", "--out", out, "--set", "judge.max_failed=1")
    assert all("context of 16" in row[4]["error"] for row in read(out) if row[2])


def damage(folder, what):
    if what == "no config":
        (folder / "config.json").unlink()
    elif what == "no weights":
        (folder / "model.safetensors").unlink()
    elif what == "config cut":
        (folder / "config.json").write_text("{")
    elif what == "weights cut":
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[:-100])
    elif what == "no head":
        tensors = reward_models.load_tensors(folder / "model.safetensors")
        del tensors["score.weight"]
        reward_models.write_safetensors(folder / "model.safetensors", tensors)
    elif what == "policy":
        shutil.rmtree(folder)
        tiny.make(folder)


@pytest.mark.parametrize("what, part", [("no config", "config.json"), ("no weights", "safetensors"), ("config cut", "config.json"),
                                        ("weights cut", "safetensors"), ("no head", "score.weight is missing"),
                                        ("policy", "no reward model")])
def test_bad_folders_are_told(tpo, samples, seqcls, tmp_path, what, part):
    folder = tmp_path / "model"
    shutil.copytree(seqcls, folder)
    damage(folder, what)
    for args in (["score"], ["judge", "--samples", samples, "--out", tmp_path / "out.h5"]):
        message = tpo.fails(*args, "--judge", f"reward:{folder}", stdin=lines([{"ids": [1]}]))
        assert part in message and str(folder) in message, message
    assert part in tpo.fails("judge", "--samples", samples, "--out", tmp_path / "out.h5", "--judge", f"reward:{folder}",
                             ranks=2)
    assert not (tmp_path / "out.h5").exists()


def test_score_asks_for_a_reward_model(tpo, samples, tmp_path):
    assert "--judge reward:DIR" in tpo.fails("score", code=2)
    assert "--judge reward:DIR" in tpo.fails("score", "--judge", "rule", code=2)
    assert "--judge reward:DIR" in tpo.fails("score", "--judge", "reward:", code=2)
    assert "/no/such" in tpo.fails("score", "--judge", "reward:/no/such", code=2)
    assert "reward:DIR" in tpo.fails("judge", "--samples", samples, "--out", tmp_path / "out.h5", "--judge", "reward", code=2)
