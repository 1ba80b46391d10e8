/* Preference pairs from JSON Lines: ids, texts, or chats through a tokenizer and its template. */
#include "fuzz/pairs.h"
#include "tpo/text.h"
#include "tpo/train.h"

static struct tpo_tokenizer *tokenizer;
static struct tpo_template *tmpl;

static void open_fixture(void)
{
  struct tpo_template_config pieces = {.bos = "",
                                       .system_prefix = "[",
                                       .system_suffix = "]",
                                       .user_prefix = "<",
                                       .user_suffix = ">",
                                       .assistant_prefix = "(",
                                       .assistant_suffix = ")",
                                       .default_system = ""};
  struct tpo_error err = {0};
  CLAIM(tpo_tokenizer_open(&tokenizer, TPO_SOURCE_DIR "/tests/model/fixtures/tokenizer", &err) == 0, "%s",
        err.message);
  CLAIM(tpo_template_open(&tmpl, tokenizer, &pieces, &err) == 0, "%s", err.message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct tpo_pairs pairs = {0};
  struct tpo_error err = {0};
  if (!tokenizer) open_fixture();
  const char *path = fuzz_put("pairs.jsonl", (struct part){data, size});
  if (!fuzz_refused(tpo_train_read_pairs(&pairs, path, tokenizer, tmpl, &err), &err)) {
    CLAIM(pairs.n > 0, "a file without a pair is read");
    fuzz_pairs_round_trip(&pairs);
  }
  tpo_pairs_free(&pairs);
  return 0;
}
