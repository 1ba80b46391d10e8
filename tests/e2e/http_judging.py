"""What the tests of the judge that is a server share."""
import json
import re

import pytest

import tiny
from fake_server import reply

h5py = pytest.importorskip("h5py")

SECRET = "PLANTED-SECRET-4410"
THOUGHT = tiny.layout_with(SECRET)
PROMPT = "Request: {instruction}\nAnswer: {response}\nRate it."
# No proxy of the surroundings between us and the server, and no key of theirs.
PLAIN = {"no_proxy": "127.0.0.1,localhost", "NO_PROXY": "127.0.0.1,localhost", "TPO_JUDGE_KEY": "", "SSL_CERT_FILE": "",
         "CURL_CA_BUNDLE": ""}


@pytest.fixture(scope="module")
def samples(tpo, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    tiny.write_prompts(folder / "prompts.jsonl", "p", 7)
    (folder / "thought.yaml").write_text(THOUGHT)
    tpo.ok("generate", "--model", tiny_model, "--prompts", folder / "prompts.jsonl", "--out", folder / "samples.h5", "--k", 3,
           "--temperature", 1, "--top-p", 1, "--max-tokens", 48, "--thought", folder / "thought.yaml")
    return folder / "samples.h5"


def arguments(samples, url, out, *settings, model="judge-1"):
    args = ["judge", "--samples", samples, "--judge", f"http:{url}", "--out", out, "--set", f"judge.model={model}"]
    for setting in settings:
        args += ["--set", setting]
    return args


def read(path):
    with h5py.File(path) as f:
        return [{"id": f["prompt_id"][i].decode(), "k": int(f["k"][i]), "response": f["response"][i].decode(),
                 "ok": bool(f["format_ok"][i]), "score": float(f["score"][i]), "detail": json.loads(f["score_detail"][i])}
                for i in range(len(f["k"]))]


def usable(path):
    return [row for row in read(path) if row["ok"]]


def answer_of(request):
    return re.search(r"Answer: (.*)\nRate it\.$", request.user, re.S)[1]


def rate(request):
    return reply(f"Fair enough.\n[[{len(answer_of(request))}.5]]")


def judge(tpo, tmp_path, samples, url, *settings, **kwargs):
    out = tmp_path / "scored.h5"
    tpo.ok(*arguments(samples, url, out, f"judge.prompt={PROMPT}", *settings), env=PLAIN, **kwargs)
    return out


def first_time(trouble):
    """The first request for each question gets `trouble`, the next a score."""
    seen = set()

    def behave(request):
        if request.user in seen:
            return rate(request)
        seen.add(request.user)
        return trouble(request) if callable(trouble) else trouble
    return behave


def samples_of(tpo, tiny_model, folder, n):
    """Three responses to each of n prompts."""
    tiny.write_prompts(folder / "prompts.jsonl", "p", n)
    tpo.ok("generate", "--model", tiny_model, "--prompts", folder / "prompts.jsonl", "--out", folder / "samples.h5", "--k", 3,
           "--thought", "none", "--temperature", 1, "--top-p", 1, "--max-tokens", 12)
    return folder / "samples.h5"


@pytest.fixture(scope="module")
def many_samples(tpo, tiny_model, tmp_path_factory):
    """Three responses to each of 200 prompts, all of which are there."""
    return samples_of(tpo, tiny_model, tmp_path_factory.mktemp("many"), 200)
