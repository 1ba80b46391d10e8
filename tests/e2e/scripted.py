"""A language model that always says the same: each token of its script follows from the one before it alone, whatever the
question. Its layers add nothing; its head knows which token comes behind which."""
import json
import random

import tiny


def make(folder, script, special=(), hidden=64, context=4096):
    """script: texts that become tokens of their own, said one after the other, with none twice; then the turn ends. Those of
    `special` are marked as control tokens."""
    folder.mkdir(parents=True)
    vocab = tiny.write_tokenizer(folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    for i, text in enumerate(script):
        tokenizer["added_tokens"].append(tokenizer["added_tokens"][0] | {"id": vocab + i, "content": text, "special": text in special})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    known = tokenizer["model"]["vocab"]
    n = vocab + len(script)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": n, "hidden_size": hidden, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": 8, "max_position_embeddings": context,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": False, "bos_token_id": 1,
        "eos_token_id": 2, "torch_dtype": "float32"}))
    rng = random.Random(1)
    embedding = [[rng.gauss(0, 1) for _ in range(hidden)] for _ in range(n)]
    said = [known["\u010a"], *range(vocab, n), known["<|im_end|>"]]  # the prompt ends with a line break
    head = [[0.0] * hidden for _ in range(n)]
    for before, after in zip(said, said[1:]):
        head[after] = embedding[before]

    def flat(rows):
        return [len(rows), len(rows[0])], [x for row in rows for x in row]

    def zeros(rows, columns):
        return [rows, columns], [0.0] * (rows * columns)

    p, ones = "model.layers.0.", ([hidden], [1.0] * hidden)
    tiny.write_safetensors(folder / "model.safetensors", {
        "model.embed_tokens.weight": flat(embedding), "lm_head.weight": flat(head), "model.norm.weight": ones,
        p + "input_layernorm.weight": ones, p + "post_attention_layernorm.weight": ones,
        **{f"{p}self_attn.{name}_proj.weight": zeros(hidden, hidden) for name in "qkvo"},
        p + "mlp.gate_proj.weight": zeros(8, hidden), p + "mlp.up_proj.weight": zeros(8, hidden),
        p + "mlp.down_proj.weight": zeros(hidden, 8)})
    return folder
