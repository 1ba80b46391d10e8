/* From ggml's block formats to fp32. A block holds a scale (and an offset) in fp16 and small integers:
 * x = d * q (+ m). The K formats have blocks of 256 whose parts have 6- or 8-bit scales of their own.
 * Products are taken in fp32 in one fixed order, so that values equal those of the `gguf` Python package bit
 * for bit. */
#include "store/gguf.h"
#include "store/gguf_types.h"
#include "store/show.h"

static const struct tpo_ggml_type types[] = {
    {0, 1, 4, "F32"},         {1, 1, 2, "F16"},        {2, 32, 18, "Q4_0"},      {3, 32, 20, "Q4_1"},
    {6, 32, 22, "Q5_0"},      {7, 32, 24, "Q5_1"},     {8, 32, 34, "Q8_0"},      {10, 256, 84, "Q2_K"},
    {11, 256, 110, "Q3_K"},   {12, 256, 144, "Q4_K"},  {13, 256, 176, "Q5_K"},   {14, 256, 210, "Q6_K"},
    {16, 256, 66, "IQ2_XXS"}, {17, 256, 74, "IQ2_XS"}, {18, 256, 98, "IQ3_XXS"}, {19, 256, 50, "IQ1_S"},
    {20, 32, 18, "IQ4_NL"},   {21, 256, 110, "IQ3_S"}, {22, 256, 82, "IQ2_S"},   {23, 256, 136, "IQ4_XS"},
    {24, 1, 1, "I8"},         {25, 1, 2, "I16"},       {26, 1, 4, "I32"},        {27, 1, 8, "I64"},
    {28, 1, 8, "F64"},        {29, 256, 56, "IQ1_M"},  {30, 1, 2, "BF16"},       {34, 256, 54, "TQ1_0"},
    {35, 256, 66, "TQ2_0"},   {39, 32, 17, "MXFP4"},
};

const struct tpo_ggml_type *tpo_ggml_type_find(uint32_t number)
{
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
    if (types[i].number == number) return &types[i];
  return NULL;
}

const char *tpo_gguf_type_name(uint32_t ggml_type)
{
  const struct tpo_ggml_type *type = tpo_ggml_type_find(ggml_type);
  return type ? type->name : NULL;
}

static uint16_t load_u16(const uint8_t *p)
{
  return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t load_u32(const uint8_t *p)
{
  return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static float load_f16(const uint8_t *p)
{
  return tpo_f16_to_f32(load_u16(p));
}

/* Q4: 16 bytes whose low halves are elements 0-15 and high halves 16-31. */
static void block_q4_0(const uint8_t *in, float *out)
{
  float d = load_f16(in);
  const uint8_t *q = in + 2;
  for (int i = 0; i < 16; i++) {
    out[i] = d * (float)((q[i] & 15) - 8);
    out[i + 16] = d * (float)((q[i] >> 4) - 8);
  }
}

static void block_q4_1(const uint8_t *in, float *out)
{
  float d = load_f16(in), m = load_f16(in + 2);
  const uint8_t *q = in + 4;
  for (int i = 0; i < 16; i++) {
    out[i] = d * (float)(q[i] & 15) + m;
    out[i + 16] = d * (float)(q[i] >> 4) + m;
  }
}

/* Q5: as Q4, with the fifth bits of elements 0-31 in one 32-bit word. */
static void block_q5_0(const uint8_t *in, float *out)
{
  float d = load_f16(in);
  uint32_t high = load_u32(in + 2);
  const uint8_t *q = in + 6;
  for (int i = 0; i < 16; i++) {
    out[i] = d * (float)((int)((q[i] & 15) | (high >> i & 1) << 4) - 16);
    out[i + 16] = d * (float)((int)(q[i] >> 4 | (high >> (i + 16) & 1) << 4) - 16);
  }
}

static void block_q5_1(const uint8_t *in, float *out)
{
  float d = load_f16(in), m = load_f16(in + 2);
  uint32_t high = load_u32(in + 4);
  const uint8_t *q = in + 8;
  for (int i = 0; i < 16; i++) {
    out[i] = d * (float)((q[i] & 15) | (high >> i & 1) << 4) + m;
    out[i + 16] = d * (float)(q[i] >> 4 | (high >> (i + 16) & 1) << 4) + m;
  }
}

static void block_q8_0(const uint8_t *in, float *out)
{
  float d = load_f16(in);
  for (int i = 0; i < 32; i++) out[i] = d * (float)(int8_t)in[2 + i];
}

/* Q4_K and Q5_K: eight parts of 32 with 6-bit scales and minima packed into 12 bytes. Parts 0-3 take the low
 * six bits of bytes 0-7; parts 4-7 have four bits in bytes 8-11 and two at the top of bytes 0-7. */
static void unpack_scale(const uint8_t *packed, int part, float *scale, float *minimum)
{
  int s, m;
  if (part < 4) {
    s = packed[part] & 63;
    m = packed[part + 4] & 63;
  } else {
    s = (packed[part + 4] & 15) | (packed[part - 4] >> 6) << 4;
    m = packed[part + 4] >> 4 | (packed[part] >> 6) << 4;
  }
  *scale = (float)s;
  *minimum = (float)m;
}

static void block_q4_k(const uint8_t *in, float *out)
{
  float d = load_f16(in), d_min = load_f16(in + 2);
  for (int part = 0; part < 8; part++) {
    const uint8_t *q = in + 16 + part / 2 * 32; /* two parts share 32 bytes: low halves, then high halves */
    int shift = part % 2 * 4;
    float scale, minimum;
    unpack_scale(in + 4, part, &scale, &minimum);
    scale *= d;
    minimum *= d_min;
    for (int i = 0; i < 32; i++) out[part * 32 + i] = scale * (float)(q[i] >> shift & 15) - minimum;
  }
}

static void block_q5_k(const uint8_t *in, float *out)
{
  float d = load_f16(in), d_min = load_f16(in + 2);
  const uint8_t *high = in + 16; /* bit `part` of byte i: the fifth bit of the part's element i */
  for (int part = 0; part < 8; part++) {
    const uint8_t *q = in + 48 + part / 2 * 32;
    int shift = part % 2 * 4;
    float scale, minimum;
    unpack_scale(in + 4, part, &scale, &minimum);
    scale *= d;
    minimum *= d_min;
    for (int i = 0; i < 32; i++)
      out[part * 32 + i] = scale * (float)((q[i] >> shift & 15) | (high[i] >> part & 1) << 4) - minimum;
  }
}

/* Q6_K: two halves of 128; low four bits in 64 bytes, high two bits in 32 bytes, signed 8-bit scales for
 * each 16. */
static void block_q6_k(const uint8_t *in, float *out)
{
  float d = load_f16(in + 208);
  for (int half = 0; half < 2; half++) {
    const uint8_t *low = in + half * 64, *high = in + 128 + half * 32, *scales = in + 192 + half * 8;
    for (int quarter = 0; quarter < 4; quarter++)
      for (int i = 0; i < 32; i++) {
        int q = (low[quarter % 2 * 32 + i] >> (quarter / 2 * 4) & 15) | (high[i] >> (quarter * 2) & 3) << 4;
        float scale = d * (float)(int8_t)scales[quarter * 2 + i / 16];
        out[half * 128 + quarter * 32 + i] = scale * (float)(q - 32);
      }
  }
}

/* The types that are elements, not blocks. The mapping keeps the file's alignment, so they may be read as
 * they lie. */
static bool plain_dtype(uint32_t type, enum tpo_dtype *dtype)
{
  switch (type) {
  case TPO_GGML_F32: *dtype = TPO_F32; return true;
  case TPO_GGML_F16: *dtype = TPO_F16; return true;
  case TPO_GGML_BF16: *dtype = TPO_BF16; return true;
  default: return false;
  }
}

typedef void (*block_function)(const uint8_t *in, float *out);

static block_function function_of(uint32_t type)
{
  switch (type) {
  case TPO_GGML_Q4_0: return block_q4_0;
  case TPO_GGML_Q4_1: return block_q4_1;
  case TPO_GGML_Q5_0: return block_q5_0;
  case TPO_GGML_Q5_1: return block_q5_1;
  case TPO_GGML_Q8_0: return block_q8_0;
  case TPO_GGML_Q4_K: return block_q4_k;
  case TPO_GGML_Q5_K: return block_q5_k;
  case TPO_GGML_Q6_K: return block_q6_k;
  default: return NULL;
  }
}

int tpo_gguf_dequantize(const struct tpo_gguf_tensor *tensor, uint64_t first, uint64_t n, float *out,
                        struct tpo_error *err)
{
  const struct tpo_ggml_type *type = tpo_ggml_type_find(tensor->type);
  block_function function = function_of(tensor->type);
  struct tpo_shown name = tpo_show_name(tensor->name.data, tensor->name.len);
  enum tpo_dtype dtype = TPO_F32;
  bool is_plain = plain_dtype(tensor->type, &dtype);
  if (!type || (!function && !is_plain))
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "tensor '%s' has type %s, expected F32, F16, BF16, Q8_0, Q4_0, Q4_1, "
                    "Q5_0, Q5_1, Q4_K, Q5_K or Q6_K",
                    name.text, type ? type->name : "unknown");
  uint64_t elements = tensor->bytes / type->bytes * type->block;
  if (first % type->block != 0 || n % type->block != 0 || first > elements || n > elements - first)
    return tpo_fail(err, TPO_E_USAGE,
                    "tensor '%s': elements %llu to %llu asked for, expected multiples of %u up to %llu",
                    name.text, (unsigned long long)first, (unsigned long long)(first + n), type->block,
                    (unsigned long long)elements);
  const uint8_t *in = tensor->data + first / type->block * type->bytes;
  if (is_plain) {
    tpo_convert(out, TPO_F32, in, dtype, n);
    return 0;
  }
  for (uint64_t done = 0; done < n; done += type->block, in += type->bytes) function(in, out + done);
  return 0;
}
