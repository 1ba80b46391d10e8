/* A GGUF file as a model, as a vocabulary, and as something to look into. Of its vocabulary, the
 * tokenizer.json that is made for others must encode alike. */
#include <math.h>
#include "base/buf.h"
#include "fuzz/fuzz.h"
#include "store/gguf.h"
#include "tpo/model.h"
#include "tpo/store.h"
#include "tpo/text.h"

static const char text[] = "The cat's  naïve 42\n\t<|im_start|>user \xff\xe2\x96\x81";

static void look_into(const char *path)
{
  struct tpo_error err = {0};
  char *shown = NULL;
  size_t len = 0;
  FILE *out = open_memstream(&shown, &len);
  CLAIM(out, "no memory");
  int status = tpo_inspect(path, 20, out, &err);
  fclose(out);
  fuzz_refused(status, &err);
  for (size_t i = 0; i < len; i++) CLAIM(shown[i] == '\n' || (unsigned char)shown[i] >= 0x20, "%s", shown);
  free(shown);
}

/* A block of each tensor: what the table of tensors says lies within the file. */
static void read_blocks(const char *path)
{
  struct tpo_gguf gguf;
  struct tpo_error err = {0};
  float block[256];
  if (fuzz_refused(tpo_gguf_open(&gguf, path, &err), &err)) return;
  for (uint64_t i = 0; i < gguf.n_tensors && i < 64; i++) {
    const struct tpo_gguf_tensor *tensor = &gguf.tensors[i];
    uint64_t elements = 1;
    for (int d = 0; d < tensor->n_dims; d++) elements *= tensor->dims[d];
    if (elements < 256) continue;
    fuzz_refused(tpo_gguf_dequantize(tensor, 0, 256, block, &err), &err);
    if (tensor->bytes % 256 == 0)
      fuzz_refused(tpo_gguf_dequantize(tensor, elements - elements % 256 - 256, 256, block, &err), &err);
  }
  tpo_gguf_close(&gguf);
}

/* What can be written again is a model with the same sizes; types of less than fp32 round, or refuse. */
static void export_again(const char *path, const struct tpo_arch *arch)
{
  char file[512];
  struct tpo_arch again;
  struct tpo_error err = {0};
  snprintf(file, sizeof file, "%s/again.gguf", fuzz_folder());
  if (fuzz_refused(tpo_model_export_gguf(path, file, TPO_GGUF_MATRICES_F32, NULL, &err), &err)) return;
  int status = tpo_model_check(&again, file, &err);
  CLAIM(status == 0, "%s", err.message);
  CLAIM(again.hidden == arch->hidden && again.head_dim == arch->head_dim && again.context == arch->context);
  CLAIM(again.family == arch->family || arch->window == 0, "Mistral is told by its window");
  CLAIM(again.window == arch->window && again.rotated == arch->rotated);
  /* Llama 3 scaling by next to nothing is none. */
  CLAIM(again.rope.kind == arch->rope.kind || arch->rope.kind == TPO_ROPE_LLAMA3);
  CLAIM(memcmp(&again.windowed, &arch->windowed, sizeof again.windowed) == 0);
  CLAIM(memcmp(&again.unrotated, &arch->unrotated, sizeof again.unrotated) == 0);
  unlink(file);
}

static void as_model(const char *path)
{
  struct tpo_arch arch, again;
  struct tpo_error err = {0};
  int status = tpo_arch_read(&arch, path, &err);
  if (fuzz_refused(status, &err)) return;
  CLAIM(arch.layers > 0 && arch.heads > 0 && arch.kv_heads > 0 && arch.heads % arch.kv_heads == 0);
  CLAIM(arch.vocab_size > 0 && arch.hidden > 0 && arch.ffn > 0 && arch.context > 0);
  CLAIM(arch.head_dim > 0 && arch.head_dim % 2 == 0 && arch.rms_eps > 0 && isfinite(arch.rope.theta));
  if (fuzz_refused(tpo_model_check(&again, path, &err), &err)) return;
  CLAIM(again.hidden == arch.hidden && again.layers == arch.layers && again.ffn == arch.ffn);
  CLAIM(arch.window >= 0 && arch.window <= arch.context && arch.rotated <= arch.head_dim);
  export_again(path, &arch);
}

static int keep_file(void *arg, const char *name, const char *bytes, size_t len, struct tpo_error *err)
{
  (void)arg, (void)err;
  fuzz_put(name, (struct part){(const uint8_t *)bytes, len});
  return 0;
}

static void encode(const struct tpo_tokenizer *tok, struct tpo_ids *ids)
{
  struct tpo_error err = {0};
  int status = tpo_tokenizer_encode(tok, text, sizeof text - 1, TPO_ENCODE_BOS_EOS, ids, &err);
  CLAIM(status == 0, "%s", err.message);
  for (size_t i = 0; i < ids->n; i++) CLAIM(ids->ids[i] >= 0 && ids->ids[i] < tpo_tokenizer_size(tok));
}

/* Whether a token that is no byte's is spelled "<0x41>": in tokenizer.json it would be one. */
static bool tokens_look_like_bytes(const struct tpo_tokenizer *tok)
{
  for (int32_t id = 0; id < tpo_tokenizer_size(tok); id++) {
    size_t len;
    bool special;
    const char *bytes = tpo_tokenizer_token(tok, id, &len, &special);
    if (bytes && len == 6 && memcmp(bytes, "<0x", 3) == 0 && bytes[5] == '>') return true;
  }
  return false;
}

static void as_vocabulary(const char *path)
{
  struct tpo_error err = {0};
  struct tpo_tokenizer *tok, *again;
  struct tpo_ids first = {0}, second = {0};
  if (fuzz_refused(tpo_tokenizer_open(&tok, path, &err), &err)) return;
  encode(tok, &first);
  unlink(fuzz_path("tokenizer.json"));
  unlink(fuzz_path("tokenizer_config.json"));
  unlink(fuzz_path("generation_config.json"));
  unlink(fuzz_path("special_tokens_map.json"));
  unlink(fuzz_path("chat_template.jinja"));
  bool written = !fuzz_refused(tpo_tokenizer_each_file(tok, keep_file, NULL, &err), &err);
  /* What a vocabulary of ours holds, tokenizer.json may be unable to say; then it is refused, never misread.
   */
  written = written && !tokens_look_like_bytes(tok);
  if (written && !fuzz_refused(tpo_tokenizer_open(&again, fuzz_folder(), &err), &err)) {
    encode(again, &second);
    CLAIM(first.n == second.n, "%zu and %zu tokens", first.n, second.n);
    CLAIM(memcmp(first.ids, second.ids, first.n * sizeof *first.ids) == 0);
    tpo_tokenizer_close(again);
  }
  tpo_ids_free(&first);
  tpo_ids_free(&second);
  tpo_tokenizer_close(tok);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  char path[512];
  snprintf(path, sizeof path, "%s", fuzz_put("model.gguf", (struct part){data, size}));
  look_into(path);
  read_blocks(path);
  as_model(path);
  as_vocabulary(path);
  return 0;
}
