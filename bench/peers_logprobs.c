/* What llama.cpp makes of a GGUF file, for bench/peers_gguf.
 *
 * MODEL CONTEXT < lines of ids > numbers: of each line, for each of its positions, the log-probability of every
 * token after it: [n, vocabulary] fp32. Attention is computed plainly, over a cache of fp32.
 * MODEL tokens < texts > lines of ids: each text after its length in bytes, 4 of them. */
#include "llama.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void tell(enum ggml_log_level level, const char *text, void *arg)
{
  (void)arg;
  if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static void log_softmax(const float *logits, int n, float *out)
{
  double largest = logits[0], sum = 0;
  for (int v = 1; v < n; v++) largest = fmax(largest, logits[v]);
  for (int v = 0; v < n; v++) sum += exp(logits[v] - largest);
  for (int v = 0; v < n; v++) out[v] = (float)(logits[v] - largest - log(sum));
}

/* The ids of a line, at the positions from 0 on, of sequence 0. */
static struct llama_batch batch_of(char *line, int context)
{
  struct llama_batch batch = llama_batch_init(context, 0, 1);
  for (char *word = strtok(line, " \n"); word && batch.n_tokens < context; word = strtok(NULL, " \n")) {
    int i = batch.n_tokens++;
    batch.token[i] = atoi(word);
    batch.pos[i] = i;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = 1;
  }
  return batch;
}

static int compute(struct llama_context *context, int size, int n_vocab)
{
  static char line[1 << 20];
  float *row = malloc((size_t)n_vocab * sizeof *row);
  while (fgets(line, sizeof line, stdin)) {
    struct llama_batch batch = batch_of(line, size);
    llama_memory_clear(llama_get_memory(context), true);
    if (llama_decode(context, batch) != 0) return 1;
    for (int i = 0; i < batch.n_tokens; i++) {
      log_softmax(llama_get_logits_ith(context, i), n_vocab, row);
      fwrite(row, sizeof *row, (size_t)n_vocab, stdout);
    }
    llama_batch_free(batch);
  }
  free(row);
  return 0;
}

static int tokenise(const char *path)
{
  enum { MOST = 1 << 20 };
  static char text[MOST];
  static llama_token ids[MOST];
  struct llama_model_params settings = llama_model_default_params();
  settings.vocab_only = true;
  struct llama_model *model = llama_model_load_from_file(path, settings);
  if (!model) return 1;
  uint32_t length;
  while (fread(&length, sizeof length, 1, stdin) == 1) {
    if (length > MOST || fread(text, 1, length, stdin) != length) return 1;
    int n = llama_tokenize(llama_model_get_vocab(model), text, (int)length, ids, MOST, true, true);
    for (int i = 0; i < n; i++) printf("%s%d", i ? " " : "", ids[i]);
    putchar('\n');
  }
  llama_model_free(model);
  return 0;
}

int main(int argc, char **argv)
{
  if (argc != 3) return 2;
  llama_log_set(tell, NULL);
  llama_backend_init();
  if (strcmp(argv[2], "tokens") == 0) return tokenise(argv[1]);
  struct llama_model_params of_model = llama_model_default_params();
  of_model.n_gpu_layers = 0;
  struct llama_model *model = llama_model_load_from_file(argv[1], of_model);
  if (!model) return 1;
  struct llama_context_params settings = llama_context_default_params();
  settings.n_ctx = settings.n_batch = settings.n_ubatch = (uint32_t)atoi(argv[2]);
  settings.type_k = settings.type_v = GGML_TYPE_F32;
  settings.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  settings.swa_full = true;
  struct llama_context *context = llama_init_from_model(model, settings);
  if (!context) return 1;
  int code = compute(context, atoi(argv[2]), llama_vocab_n_tokens(llama_model_get_vocab(model)));
  llama_free(context);
  llama_model_free(model);
  return code;
}
