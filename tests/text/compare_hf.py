#!/usr/bin/env python3
"""Compares a tokenizer with transformers' on random texts, through libtpo.

    python tests/text/compare_hf.py --lib build/cpu/libtpo.so MODEL [--texts 2000]

MODEL is a GGUF or a model folder. The files that tpo_tokenizer_each_file makes of it are loaded by transformers, and
the ids of both are compared, with special tokens and without; the rendered chats too, when a template is recognised.
"""
import argparse, ctypes, os, random, sys, tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from make_vectors import CONTENT, texts  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402


class Ids(ctypes.Structure):
    _fields_ = [("ids", ctypes.POINTER(ctypes.c_int32)), ("n", ctypes.c_size_t), ("capacity", ctypes.c_size_t)]


class Buf(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("len", ctypes.c_size_t), ("capacity", ctypes.c_size_t), ("failed", ctypes.c_bool)]


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("message", ctypes.c_char * 1024)]


class Message(ctypes.Structure):
    _fields_ = [("role", ctypes.c_char_p), ("content", ctypes.c_char_p)]


FILE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)


def check(status, error):
    if status < 0:
        sys.exit(error.message.decode(errors="replace"))


class Tokenizer:
    def __init__(self, lib, path):
        self.lib, self.error, self.handle = ctypes.CDLL(lib), Error(), ctypes.c_void_p()
        check(self.lib.tpo_tokenizer_open(ctypes.byref(self.handle), path.encode(), ctypes.byref(self.error)), self.error)
        self.template = ctypes.c_void_p()
        status = self.lib.tpo_template_open(ctypes.byref(self.template), self.handle, None, ctypes.byref(self.error))
        if status < 0:
            print("no chat template:", self.error.message.decode())

    def ids(self, text, flags):
        data, out = text.encode(), Ids()
        check(self.lib.tpo_tokenizer_encode(self.handle, data, ctypes.c_size_t(len(data)), flags, ctypes.byref(out),
                                            ctypes.byref(self.error)), self.error)
        result = out.ids[:out.n]
        self.lib.tpo_ids_free(ctypes.byref(out))
        return result

    def chat(self, messages, prompt):
        array = (Message * len(messages))(*[Message(m["role"].encode(), m["content"].encode()) for m in messages])
        out = Buf()
        check(self.lib.tpo_template_render(self.template, array, ctypes.c_size_t(len(messages)), ctypes.c_bool(prompt),
                                           ctypes.byref(out), ctypes.byref(self.error)), self.error)
        text = ctypes.string_at(out.data, out.len).decode()
        self.lib.tpo_buf_free(ctypes.byref(out))
        return text

    def save(self, folder):
        def write(_, name, data, n, __):
            with open(os.path.join(folder, name.decode()), "wb") as f:
                f.write(ctypes.string_at(data, n))
            return 0
        check(self.lib.tpo_tokenizer_each_file(self.handle, FILE(write), None, ctypes.byref(self.error)), self.error)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--lib", required=True)
    parser.add_argument("--texts", type=int, default=2000)
    args = parser.parse_args()
    ours, bad = Tokenizer(args.lib, args.model), 0
    with tempfile.TemporaryDirectory() as folder:
        ours.save(folder)
        theirs = AutoTokenizer.from_pretrained(folder)
        backend = theirs.backend_tokenizer
    for text in texts(args.texts, 99):
        expected = [theirs(text)["input_ids"]]
        backend.encode_special_tokens = True
        expected.append(backend.encode(text, add_special_tokens=False).ids)
        backend.encode_special_tokens = False
        for flags, ids in zip((3, 0), expected):
            got = ours.ids(text, flags)
            if got != ids:
                bad += 1
                print(repr(text), flags, "\n expected", ids, "\n got     ", got)
    rng, chats = random.Random(5), 0
    for _ in range(300 if ours.template and theirs.chat_template else 0):
        messages = [{"role": "assistant" if i % 2 else "user",
                     "content": "".join(rng.choice(CONTENT) for _ in range(rng.randint(0, 3)))} for i in range(rng.randint(1, 4))]
        prompt, chats = rng.random() < 0.5, chats + 1
        expected = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
        if ours.chat(messages, prompt) != expected:
            bad += 1
            print(repr(expected))
    print(f"{args.texts} texts, {chats} chats, {bad} differences")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
