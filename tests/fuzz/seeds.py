"""seeds.py FOLDER: seeds that are binary, or that the tests' fixtures hold already, as FOLDER/<target>/<name>."""
import json
import pathlib
import sys
import tempfile

TESTS = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(TESTS / "e2e"))
import gguf  # noqa: E402
import tiny  # noqa: E402

OUT = pathlib.Path(sys.argv[1])
SEPARATOR = b"\n====\n"


def put(target, name, *parts):
    folder = OUT / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(SEPARATOR.join(parts))


def read(*names):
    """A fixture's bytes, none where it lacks the file."""
    path = TESTS.joinpath(*names)
    return path.read_bytes() if path.exists() else b""


def small_model():
    """A whole model: a folder's weights, and the same as GGUF with its vocabulary."""
    with tempfile.TemporaryDirectory() as name:
        folder = tiny.make(pathlib.Path(name) / "model", hidden=4, layers=1, heads=2, kv_heads=1, ffn=4, context=64)
        meta = gguf.metadata(folder)
        for key, value in {"block_count": 1, "context_length": 64, "embedding_length": 4, "feed_forward_length": 4,
                           "attention.head_count": 2, "attention.head_count_kv": 1}.items():
            meta["llama." + key] = (gguf.U32, value)
        put("gguf", "model", gguf.build(meta, gguf.tensors(folder)))
        put("config_json", "tiny", (folder / "config.json").read_bytes())
        few = dict(list(meta.items())[:10])
        put("gguf", "metadata", gguf.build(few, []))


def sentencepiece():
    """Vocabularies of the other kinds: byte tokens, and scores instead of merges or merges of pieces."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + ["\u2581", "t", "h", "e", "th", "the", "\u2581the"]
    scores = [0.0] * 259 + [-float(i) for i in range(len(tokens) - 259)]
    kinds = [2, 3, 3] + [6] * 256 + [1] * (len(tokens) - 259)
    meta = {"tokenizer.ggml.model": (gguf.STRING, "llama"), "tokenizer.ggml.tokens": (gguf.ARRAY, (gguf.STRING, tokens)),
            "tokenizer.ggml.scores": (gguf.ARRAY, (gguf.F32, scores)),
            "tokenizer.ggml.token_type": (gguf.ARRAY, (gguf.I32, kinds)),
            "tokenizer.ggml.bos_token_id": (gguf.U32, 1), "tokenizer.ggml.eos_token_id": (gguf.U32, 2)}
    put("gguf", "sentencepiece", gguf.build(meta, []))
    meta["tokenizer.ggml.model"] = (gguf.STRING, "gemma4")
    meta["tokenizer.ggml.merges"] = (gguf.ARRAY, (gguf.STRING, ["t h", "th e", "\u2581 the"]))
    put("gguf", "pieces", gguf.build(meta, []))


def safetensors():
    whole = read("store", "fixtures", "types.safetensors")
    put("safetensors", "types", whole)
    header = {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}

    def shard(name):
        text = json.dumps({name: header["x"]}).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text + b"\0\0\x80\x3f"

    index = {"metadata": {"total_size": 8}, "weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}
    put("safetensors", "sharded", json.dumps(index).encode(), shard("x"), shard("y"))


def texts():
    for folder in sorted((TESTS / "text" / "fixtures").iterdir()):
        if (folder / "tokenizer.json").exists():
            put("tokenizer", folder.name, "The cat's  na\u00efve 42\n".encode(), read(folder, "tokenizer.json"),
                read(folder, "tokenizer_config.json"))
    chat = json.dumps([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]).encode()
    for path in sorted((TESTS / "text" / "fixtures" / "chat").glob("*.json")):
        put("template", path.stem, json.loads(path.read_text())["template"].encode(), chat, b"Name a colour.")
    small = json.loads(read("text", "fixtures", "jinja.json"))
    for i, case in enumerate(small["cases"]):
        put("jinja", str(i), case["template"].encode(), json.dumps(small["inputs"]).encode())
    minis = json.loads(read("text", "fixtures", "jinja_miniatures.json"))
    for name, variables in minis["inputs"].items():
        for i, template in enumerate(minis["templates"] if name.startswith("private") else []):  # characters that no template has
            put("jinja", f"{name} {i}", template["template"].encode(), json.dumps(variables, ensure_ascii=False).encode())


def configurations():
    for path in sorted((TESTS.parent / "configs").glob("*.yaml")):
        put("config", path.stem, path.read_bytes())
    for path in sorted((TESTS.parent / "configs" / "thought").glob("*.yaml")):
        put("config", "thought-" + path.stem, b"thought: layout.yaml\n", b"seed=2", path.read_bytes())
    for path in sorted(TESTS.glob("*/fixtures/**/config.json")):
        put("config_json", path.parent.name, path.read_bytes())


small_model()
sentencepiece()
for family in ("gemma3", "granite", "llama_yarn", "phi3_longrope", "qwen2_window_yarn"):
    put("gguf", family, read("model", "fixtures", "families_gguf", family + ".gguf"))
put("gguf", "types", read("store", "fixtures", "types.gguf"))
safetensors()
texts()
configurations()
