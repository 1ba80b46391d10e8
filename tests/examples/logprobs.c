/* Prints each token of a text with its log-probability: ./logprobs MODEL "The cat sat on the mat" */
#include <stdio.h>
#include <string.h>
#include <tpo/model.h>
#include <tpo/text.h>

int main(int argc, char **argv)
{
  if (argc != 3) return 2;
  struct tpo_error err = {0};
  struct tpo_backend *backend = NULL;
  struct tpo_model *model = NULL;
  struct tpo_tokenizer *tokenizer = NULL;
  struct tpo_ids ids = {0};
  float logprobs[4096];
  int status = tpo_backend_open(&backend, TPO_BACKEND_AUTO, 0, &err);
  if (status == 0) status = tpo_tokenizer_open(&tokenizer, argv[1], &err);
  if (status == 0) status = tpo_tokenizer_encode(tokenizer, argv[2], strlen(argv[2]), 0, &ids, &err);
  if (status == 0) {
    struct tpo_model_options options = {.backend = backend, .dtype = TPO_DTYPE_FP32};
    status = tpo_model_open(&model, argv[1], &options, &err);
  }
  if (status == 0 && ids.n > 0 && ids.n <= 4096) {
    int32_t cu_seqlens[] = {0, (int32_t)ids.n};
    struct tpo_batch batch = {.ids = ids.ids, .cu_seqlens = cu_seqlens, .n_tokens = (int)ids.n, .n_seqs = 1};
    status = tpo_model_logprobs(model, &batch, logprobs, &err);
  }
  for (size_t i = 0; status == 0 && i + 1 < ids.n; i++) {
    size_t len;
    bool special;
    const char *token = tpo_tokenizer_token(tokenizer, ids.ids[i + 1], &len, &special);
    printf("%8.3f  %.*s\n", logprobs[i], (int)len, token);
  }
  if (status < 0) fprintf(stderr, "%s\n", err.message);
  tpo_ids_free(&ids);
  tpo_tokenizer_close(tokenizer);
  tpo_model_close(model);
  tpo_backend_close(backend);
  return status < 0;
}
