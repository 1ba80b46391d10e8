"""Makes tests/store/fixtures/ with the `gguf`, `safetensors` and `torch` packages, whose reading of the same bytes is
what the C code is compared with (made with gguf 0.17.1).  Usage: python make_fixtures.py [LARGE.gguf]

With a GGUF file it also prints the CRC-32 of its tensors' fp32 values, which test_gguf.c holds for SmolLM2."""

import pathlib
import sys
import zlib

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Q
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).parent / "fixtures"
TYPES = [Q.F32, Q.F16, Q.BF16, Q.Q8_0, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q4_K, Q.Q5_K, Q.Q6_K, Q.Q2_K]
ROWS, COLUMNS = 2, 256
# Byte offsets of the fp16 numbers in a block: random bits there could be infinite.
SCALES = {Q.Q8_0: [0], Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2],
          Q.Q6_K: [208], Q.Q2_K: [80, 82]}


def random_tensor(rng, kind):
    """Raw bytes [ROWS, bytes of a row] of a tensor whose integer parts are random bits."""
    if kind in (Q.F32, Q.F16, Q.BF16):
        values = rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)
        if kind == Q.F32:
            return values.view(np.uint8)
        if kind == Q.F16:
            values[0, :4] = [0, 6e-8, 65504, -6.1e-5]  # zero, the least denormal, the greatest, a denormal
            return values.astype(np.float16).view(np.uint8)
        return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    block, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (ROWS * COLUMNS // block, size), dtype=np.uint8)
    for at in SCALES[kind]:
        scale = rng.standard_normal((len(blocks), 1)).astype(np.float16) * np.float16(0.01)
        blocks[:, at:at + 2] = scale.view(np.uint8)
    return blocks.reshape(ROWS, -1)


def make_gguf():
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(FOLDER / "types.gguf", "llama")
    writer.add_uint8("test.u8", 200)
    writer.add_int8("test.i8", -100)
    writer.add_uint16("test.u16", 60000)
    writer.add_int16("test.i16", -30000)
    writer.add_uint32("test.u32", 4000000000)
    writer.add_int32("test.i32", -2000000000)
    writer.add_uint64("test.u64", 2**64 - 1)
    writer.add_int64("test.i64", -(2**62))
    writer.add_float32("test.f32", 0.1)
    writer.add_float64("test.f64", 0.1)
    writer.add_bool("test.true", True)
    writer.add_string("test.string", "naïve\n")
    writer.add_array("test.strings", ["a", "bc", "déf"])
    writer.add_array("test.ints", [3, -4, 5])
    expected = []
    for kind in TYPES:
        raw = random_tensor(rng, kind)
        writer.add_tensor(kind.name, raw, raw_shape=raw.shape, raw_dtype=kind)
        if kind != Q.Q2_K:
            values = gguf.dequantize(raw, kind)
            expected.append(np.asarray(values, dtype=np.float32).reshape(-1))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    np.concatenate(expected).tofile(FOLDER / "types.f32")


def make_safetensors():
    torch.manual_seed(1)
    tensors = {
        "a.f32": torch.arange(6, dtype=torch.float32).reshape(2, 3) / 4,
        "b.f16": torch.arange(5, dtype=torch.float16) - 2.5,
        "c.bf16": torch.arange(3, dtype=torch.bfloat16) * 1.5,
        "d.i64": torch.arange(4),
        "e.scalar": torch.tensor(7.0),
        "f.empty": torch.zeros(0, 4),
    }
    save_file(tensors, FOLDER / "types.safetensors", metadata={"format": "pt"})


def print_checksums(path):
    done = {}
    for tensor in gguf.GGUFReader(path).tensors:
        if tensor.tensor_type not in done:
            values = np.asarray(gguf.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
            done[tensor.tensor_type] = True
            print(f'{{"{tensor.name}", 0x{zlib.crc32(values.tobytes()):08x}}},')


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    make_gguf()
    make_safetensors()
    if len(sys.argv) > 1:
        print_checksums(sys.argv[1])
