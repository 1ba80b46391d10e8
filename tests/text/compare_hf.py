#!/usr/bin/env python3
"""Compares a tokenizer with Hugging Face's tokenizers on random texts, through libtpo.

    python tests/text/compare_hf.py --lib build/cpu/libtpo.so MODEL [--texts 2000] [--data DIR] [--pipeline NAME | --folder DIR]

MODEL is a model folder or a GGUF. A folder's tokenizer.json is read by both. Of a GGUF both take the vocabulary, and the tokenizers
package the pipeline that the model's makers publish (pipelines.py; by the name of tokenizer.ggml.pre, or NAME); or it reads the
tokenizer.json of another folder, which the GGUF was made of. Compared are
the ids with special tokens' names recognised and BOS/EOS added and with neither, and what these ids decode to.
"""
import argparse, ctypes, json, os, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fuzz_texts, pipelines  # noqa: E402
from make_vectors import read_gguf  # noqa: E402
from tokenizers import Tokenizer as HfTokenizer  # noqa: E402


class Ids(ctypes.Structure):
    _fields_ = [("ids", ctypes.POINTER(ctypes.c_int32)), ("n", ctypes.c_size_t), ("capacity", ctypes.c_size_t)]


class Buf(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("len", ctypes.c_size_t), ("capacity", ctypes.c_size_t), ("failed", ctypes.c_bool)]


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("message", ctypes.c_char * 1024)]


def check(status, error):
    if status < 0:
        sys.exit(error.message.decode(errors="replace"))


class Tokenizer:
    def __init__(self, lib, path):
        self.lib, self.error, self.handle = ctypes.CDLL(lib), Error(), ctypes.c_void_p()
        check(self.lib.tpo_tokenizer_open(ctypes.byref(self.handle), path.encode(), ctypes.byref(self.error)), self.error)

    def ids(self, text, flags):
        data, out = text.encode(), Ids()
        check(self.lib.tpo_tokenizer_encode(self.handle, data, ctypes.c_size_t(len(data)), flags, ctypes.byref(out),
                                            ctypes.byref(self.error)), self.error)
        result = out.ids[:out.n]
        self.lib.tpo_ids_free(ctypes.byref(out))
        return result

    def text(self, ids, special):
        array, out = (ctypes.c_int32 * len(ids))(*ids), Buf()
        check(self.lib.tpo_tokenizer_decode(self.handle, array, ctypes.c_size_t(len(ids)), ctypes.c_bool(special), ctypes.byref(out),
                                            ctypes.byref(self.error)), self.error)
        text = ctypes.string_at(out.data, out.len).decode(errors="replace") if out.len else ""
        self.lib.tpo_buf_free(ctypes.byref(out))
        return text


def merges_of_scores(vocab, scores):
    """SentencePiece merges what makes the token of the highest score: all ways to make one, before those to make the next."""
    merges = []
    for token in sorted(vocab, key=lambda t: (-scores[vocab[t]], vocab[t])):
        merges += [(token[:i], token[i:]) for i in range(1, len(token)) if token[:i] in vocab and token[i:] in vocab]
    return merges


def of_gguf(path, name):
    meta = {k.removeprefix("tokenizer.ggml."): v for k, v in read_gguf(path).items()}
    tokens, kinds = meta["tokens"], meta["token_type"]
    if name is None:
        name = {"llama": "llama2", "gemma4": "gemma"}.get(meta["model"]) or pipelines.of_gguf(meta["pre"])
    vocab = {t: i for i, (t, k) in enumerate(zip(tokens, kinds)) if k != 5}
    if meta["model"] == "llama":
        merges = merges_of_scores({t: i for t, i in vocab.items() if kinds[i] == 1}, meta["scores"])
    else:
        merges = [split_merge(m) for m in meta["merges"]]
    added = [(i, t, k != 4) for i, (t, k) in enumerate(zip(tokens, kinds)) if k in (3, 4)]
    bos = tokens[meta["bos_token_id"]] if meta.get("add_bos_token", pipelines.PIPELINES[name].get("bos", False)) else None
    unk = tokens[meta.get("unknown_token_id", 0)] if name in pipelines.PIECES else None
    data = pipelines.tokenizer_json(name, vocab, merges, added, unk, bos)
    return name, HfTokenizer.from_str(json.dumps(data))


def split_merge(merge):
    at = merge.index(" ", 1)
    return merge[:at], merge[at + 1:]


class Comparison:
    def __init__(self, ours, theirs, show):
        self.ours, self.theirs, self.show, self.bad = ours, theirs, show, 0
        self.strips = "Strip(" in str(theirs.decoder)
        self.taking = [t.content for t in theirs.get_added_tokens_decoder().values() if t.lstrip or t.rstrip]

    def differ(self, what, text, expected, got):
        if expected == got:
            return
        self.bad += 1
        if self.bad <= self.show:
            print(what, ascii(text[:300]), "\n expected", expected[:60], "\n got     ", got[:60])

    def run(self, texts):
        special = [e.ids for e in self.theirs.encode_batch_fast(texts)]
        self.theirs.encode_special_tokens = True
        plain = [e.ids for e in self.theirs.encode_batch_fast(texts, add_special_tokens=False)]
        self.theirs.encode_special_tokens = False
        for text, ids, plain_ids in zip(texts, special, plain):
            self.differ("with special tokens", text, ids, self.ours.ids(text, 3))
            self.differ("plain", text, plain_ids, self.ours.ids(text, 0))
            if self.strips:  # a space after each special token: ours takes away what encoding put there, theirs the first alone
                got = self.ours.text(plain_ids, True)
                if got != text and not any(name in text for name in self.taking):
                    self.differ("decoded", text, self.theirs.decode(plain_ids, skip_special_tokens=False), got)
                continue
            for what, show in (("decoded", True), ("decoded without special tokens", False)):
                expected = self.theirs.decode(ids, skip_special_tokens=not show)
                if expected.count("\ufffd") > text.count("\ufffd"):  # theirs reads added tokens' names in the byte alphabet
                    continue
                self.differ(what, text, expected, self.ours.text(ids, show))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--lib", required=True)
    parser.add_argument("--texts", type=int, default=2000, help="how many random ones")
    parser.add_argument("--seed", type=int, default=99)
    parser.add_argument("--data", help="folder of evaluation data, whose texts are compared too")
    parser.add_argument("--every", type=int, default=1, help="of the data's texts only each of so many")
    parser.add_argument("--pipeline", choices=pipelines.PIPELINES, help="for a GGUF")
    parser.add_argument("--folder", help="whose tokenizer.json the tokenizers package reads")
    parser.add_argument("--show", type=int, default=5, help="how many differences to print")
    args = parser.parse_args()
    began, ours, name = time.time(), Tokenizer(args.lib, args.model), "its own pipeline"
    if args.folder or os.path.isdir(args.model):
        theirs = HfTokenizer.from_file(os.path.join(args.folder or args.model, "tokenizer.json"))
    else:
        name, theirs = of_gguf(args.model, args.pipeline)
    comparison = Comparison(ours, theirs, args.show)
    added = [t.content for t in theirs.get_added_tokens_decoder().values()]
    random_texts = fuzz_texts.fuzzed(args.texts, args.seed, added)
    shared = fuzz_texts.shared(args.data)[::args.every] if args.data else []
    if "\u2581" in theirs.get_vocab():  # there it is a space; ours encodes the bytes of a text's own, which decode to it
        random_texts, shared = ([t for t in texts if "\u2581" not in t] for texts in (random_texts, shared))
    for texts in (random_texts, shared):
        for i in range(0, len(texts), 1000):
            comparison.run(texts[i:i + 1000])
    print(f"{args.model}: {name}: {len(random_texts)} random texts, {len(shared)} of the data, {comparison.bad} differences, "
          f"{time.time() - began:.0f} s")
    sys.exit(comparison.bad > 0)


if __name__ == "__main__":
    main()
