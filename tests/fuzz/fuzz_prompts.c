/* A prompt file: JSON Lines or tab-separated, plain or gzip. What is read, written and read again is the
 * same. */
#include "fuzz/fuzz.h"
#include "tpo/data.h"
#include "tpo/checks.h"
#include "tpo/judge.h"

static bool same_text(const char *a, const char *b)
{
  return a == b || (a && b && strcmp(a, b) == 0);
}

static void written_reads_the_same(const struct tpo_instructions *set)
{
  struct tpo_instructions again = {0};
  struct tpo_error err = {0};
  CLAIM(tpo_instructions_write(set, fuzz_path("again.jsonl"), &err) == 0, "%s", err.message);
  CLAIM(tpo_instructions_read(&again, fuzz_path("again.jsonl"), &err) == 0, "%s", err.message);
  CLAIM(again.n == set->n, "%zu and %zu instructions", again.n, set->n);
  for (size_t i = 0; i < set->n; i++) {
    const struct tpo_instruction *a = &set->items[i], *b = &again.items[i];
    CLAIM(same_text(a->id, b->id) && same_text(a->instruction, b->instruction), "%s", a->id);
    CLAIM(same_text(a->messages, b->messages), "%s: %s and %s", a->id, a->messages, b->messages);
    CLAIM(same_text(a->meta, b->meta), "%s: %s and %s", a->id, a->meta, b->meta);
  }
  tpo_instructions_free(&again);
}

/* Its checks are verified or refused by name, on a response that is the instruction. */
static void judge(const struct tpo_instruction *item)
{
  struct tpo_error err = {0};
  struct tpo_judge_config config = {.kind = "rule"};
  const char *response = item->instruction;
  const struct tpo_judge_item asked = {.id = item->id,
                                       .instruction = item->instruction,
                                       .meta = item->meta,
                                       .n_responses = 1,
                                       .responses = &response};
  CLAIM(tpo_utf8_valid(item->instruction, strlen(item->instruction), NULL), "%s", item->id);
  bool bad = fuzz_refused(tpo_checks_validate(item->meta, &err), &err);
  struct tpo_judge *rule;
  CLAIM(tpo_judge_open(&rule, &config, &(struct tpo_judge_env){.size = 1}, &err) == 0, "%s", err.message);
  struct tpo_judge_result result = {0};
  CLAIM(tpo_judge_score(rule, &asked, 1, &result, &err) == 0, "%s", err.message);
  CLAIM(!bad || !result.ok, "what can't be verified has the score %g: %s", result.score, item->meta);
  free(result.detail);
  tpo_judge_close(rule);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct tpo_instructions set = {0};
  struct tpo_error err = {0};
  const char *path = fuzz_put("prompts.jsonl", (struct part){data, size});
  if (!fuzz_refused(tpo_instructions_read(&set, path, &err), &err)) {
    CLAIM(set.n > 0, "a file without an instruction is read");
    written_reads_the_same(&set);
    for (size_t i = 0; i < set.n && i < 4; i++) judge(&set.items[i]);
  } else {
    CLAIM(set.n == 0, "%zu instructions of a refused file", set.n);
  }
  tpo_instructions_free(&set);
  return 0;
}
