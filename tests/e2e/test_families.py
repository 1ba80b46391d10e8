"""Every family of models through the command line: an iteration on two ranks, what it exports, rewards, bad configurations."""
import json
import math
import shutil

import pytest

import families
import reward_models
import tiny

h5py = pytest.importorskip("h5py")

CONFIG = """
seed: 3
model: {{path: {model}, dtype: fp32}}
thought: {{name: {folder}/thought.yaml}}
data: {{train: {folder}/prompts.jsonl, validation: {folder}/validation.jsonl, prompts_per_iteration: 4, validation_prompts: 2}}
sampling: {{k: 4, temperature: 1, top_p: 1, max_tokens: 48, slots: 5}}
pairs: {{mode: all, reject_failures: false}}
train: {{learning_rate: 1e-3, batch: 1, epochs: 1, warmup: 0, save_optimizer: false}}
run: {{dir: {folder}/run, iterations: 1, validation_temperature: 1, deadline: 60}}
"""


def lines(ids):
    return "".join(json.dumps({"ids": row}) + "\n" for row in ids)


def logprobs(tpo, model, text, **kwargs):
    return [json.loads(line)["logprobs"] for line in
            tpo.ok("logprobs", "--model", model, "--dtype", "fp32", stdin=text, **kwargs).splitlines()]


@pytest.fixture(scope="module", params=families.CONFIGS)
def ran(request, tpo, tmp_path_factory):
    """A folder with the model, and one iteration of it on two ranks."""
    folder = tmp_path_factory.mktemp(request.param)
    families.make(folder / "model", request.param)
    (folder / "thought.yaml").write_text(tiny.layout_with("x"))
    tiny.write_prompts(folder / "prompts.jsonl", "p", 4)
    tiny.write_prompts(folder / "validation.jsonl", "v", 2)
    (folder / "run.yaml").write_text(CONFIG.format(model=folder / "model", folder=folder))
    tpo.ok("run", folder / "run.yaml", ranks=2)
    return request.param, folder


def test_samplers_log_probabilities_are_the_trainers(tpo, ran):
    """The paged pass, which forgets what no window sees, and the whole sequences that training computes."""
    _, folder = ran
    with h5py.File(folder / "run/iter-001/samples.h5") as f:
        prompts, outputs = f["prompt_token_offset"][:], f["token_offset"][:]
        rows = [(f["prompt_token_ids"][prompts[i]:prompts[i + 1]].tolist(), f["token_ids"][outputs[i]:outputs[i + 1]].tolist(),
                 f["token_logprob"][outputs[i]:outputs[i + 1]].tolist(), f["inserted"][outputs[i]:outputs[i + 1]].tolist())
                for i in range(len(f["k"]))]
    assert len(rows) == 16 and all(len(prompt) > families.WINDOW + 20 for prompt, *_ in rows)
    again = logprobs(tpo, folder / "model", lines([prompt + ids for prompt, ids, *_ in rows]))
    drawn = 0
    for (prompt, _, sampled, inserted), whole in zip(rows, again):
        for of_sampler, forced, of_trainer in zip(sampled, inserted, whole[len(prompt) - 1:]):
            assert forced or of_sampler == pytest.approx(of_trainer, abs=2e-5)
            drawn += not forced
    assert drawn > 100


def test_training_begins_at_the_reference_and_moves(ran):
    _, folder = ran
    events = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
    losses = [e["loss"] for e in events if "loss" in e and e.get("event") == "step"]
    assert losses and losses[0] == pytest.approx(math.log(2), abs=1e-6) and min(losses[1:]) < math.log(2)


def test_the_export_is_the_checkpoint(tpo, ran):
    family, folder = ran
    checkpoint = folder / "run/iter-001/checkpoint.h5"
    tpo.ok("export", checkpoint, folder / "exported", "--to", "hf")
    text = lines([[3 + (i * 7 + j * 11) % 250 for j in range(n)] for i, n in enumerate((2, 60, 200))])
    before, after, exported = (logprobs(tpo, m, text) for m in (folder / "model", checkpoint, folder / "exported"))
    assert after == exported and before != after
    settings = json.loads((folder / "exported/config.json").read_text())
    assert settings["model_type"] == family and settings["architectures"] == [families.CONFIGS[family][0] + "ForCausalLM"]


@pytest.fixture(scope="module")
def samples(tpo, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    tiny.write_prompts(folder / "prompts.jsonl", "p", 5)
    (folder / "thought.yaml").write_text(tiny.layout_with("x"))
    tpo.ok("generate", "--model", tiny_model, "--prompts", folder / "prompts.jsonl", "--out", folder / "samples.h5", "--k", 2,
           "--temperature", 1, "--top-p", 1, "--max-tokens", 48, "--thought", folder / "thought.yaml")
    return folder / "samples.h5"


@pytest.mark.parametrize("family", ["qwen3", "gemma2", "phi3"])
def test_a_reward_model_of_the_family_judges(tpo, samples, tmp_path, family):
    """As `tpo score` has the same chats, whatever stands beside them."""
    judge = f"reward:{families.make_reward(tmp_path / 'judge', family)}"
    tpo.ok("judge", "--samples", samples, "--judge", judge, "--out", tmp_path / "scored.h5", "--set", "model.dtype=fp32", ranks=2)
    with h5py.File(tmp_path / "scored.h5") as f:
        rows = [(f["instruction"][i].decode(), f["response"][i].decode(), float(f["score"][i])) for i in range(len(f["k"]))
                if f["format_ok"][i]]
    assert len(rows) > 5 and len({score for *_, score in rows}) > 3
    chats = [json.dumps({"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]})
             for asked, said, _ in rows]
    for order in (chats, chats[::-1]):
        told = [json.loads(line)["score"] for line in
                tpo.ok("score", "--judge", judge, "--dtype", "fp32", stdin="\n".join(order) + "\n").splitlines()]
        assert (told if order is chats else told[::-1]) == [score for *_, score in rows]


@pytest.mark.parametrize("family", ["gemma3_text", "smollm3"])
def test_a_model_of_the_family_talks(tpo, tmp_path, family):
    model = families.make(tmp_path / "model", family)
    said = tpo.ok("chat", "--model", model, "--thought", "none", "--max-tokens", 40, "--temperature", 0, stdin="Hello there.\nMore.\n")
    assert len(said.strip()) > 20 and said == tpo.ok("chat", "--model", model, "--thought", "none", "--max-tokens", 40,
                                                     "--temperature", 0, stdin="Hello there.\nMore.\n")


def renamed(folder, names):
    """With tensors of the file named as an older or newer transformers does."""
    tensors = reward_models.load_tensors(folder / "model.safetensors")
    found = {next((to + name[len(of):] for of, to in names.items() if name.startswith(of)), name): t for name, t in tensors.items()}
    assert set(found) & set(tensors) == {"score.weight"}
    reward_models.write_safetensors(folder / "model.safetensors", found)


def test_scores_of_a_reward_model_of_several_parts_are_transformers(tpo, tmp_path):
    """Gemma 3's for texts and images, whose text model alone is taken, under both names that files have for its tensors."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    vocab = tiny.write_tokenizer(tmp_path)
    text = {"vocab_size": vocab, "hidden_size": 48, "intermediate_size": 56, "num_hidden_layers": 3, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 256, "sliding_window": 7, "query_pre_attn_scalar": 24,
            "pad_token_id": 0, "layer_types": families.SLIDING[1:]}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
              "patch_size": 14}
    torch.manual_seed(1)
    model = transformers.Gemma3ForSequenceClassification(transformers.Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=1, image_token_index=vocab - 1, boi_token_index=vocab - 2,
        eoi_token_index=vocab - 3, num_labels=1)).double().eval()
    with torch.no_grad():
        for parameter in model.model.language_model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        texts = [[5 + (i * 7) % 200 for i in range(n)] for n in (1, 7, 40)] + [[9, 8, 7, 0, 0]]
        expected = [model(input_ids=torch.tensor([ids])).logits.item() for ids in texts]
    model.float().save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["Gemma3ForSequenceClassification"]

    def scores():
        out = tpo.ok("score", "--judge", f"reward:{tmp_path}", "--dtype", "fp32", stdin=lines(texts))
        return [json.loads(line)["score"] for line in out.splitlines()]
    assert max(expected) - min(expected) > 0.05 and scores() == pytest.approx(expected, abs=1e-5)
    renamed(tmp_path, {"language_model.model.": "model.language_model.", "vision_tower.": "model.vision_tower.",
                       "multi_modal_projector.": "model.multi_modal_projector."})
    assert scores() == pytest.approx(expected, abs=1e-5)
