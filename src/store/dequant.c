/* Tensors of a GGUF file to fp32; base/ggml_blocks.h has the block formats. */
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

int tpo_gguf_dequantize(const struct tpo_gguf_tensor *tensor, uint64_t first, uint64_t n, float *out,
                        struct tpo_error *err)
{
  const struct tpo_ggml_type *type = tpo_ggml_type_find(tensor->type);
  struct tpo_shown name = tpo_show_name(tensor->name.data, tensor->name.len);
  if (!type || (tensor->type != TPO_GGML_F32 && !tpo_ggml_can_dequantise(tensor->type)))
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
  /* The mapping keeps the file's alignment, so elements may be read as they lie. */
  if (tensor->type == TPO_GGML_F32)
    tpo_convert(out, TPO_F32, in, TPO_F32, n);
  else
    tpo_ggml_dequantise(tensor->type, in, out, n);
  return 0;
}
