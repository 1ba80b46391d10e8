/* The verdict machinery of judges, set to Arena-Hard's labels and rule. */
#include "eval/arena/verdict.h"

#include <string.h>

int arena_reader_open(struct arena_reader *reader, const struct tpo_judge_config *config,
                      struct tpo_error *err)
{
  const struct tpo_judge_config rule = {.verdicts.preset = (char *)"arena-hard",
                                        .verdict_rule = TPO_VERDICT_ONLY,
                                        .thought_pattern = config->thought_pattern};
  *reader = (struct arena_reader){0};
  int status = judge_reader_open(&reader->judge, &rule, err);
  reader->judge.all = true;
  return status;
}

void arena_reader_close(struct arena_reader *reader)
{
  judge_reader_close(&reader->judge);
  tpo_buf_free(&reader->said);
}

/* "[[A>B]]" without its brackets. */
static void unwrap(const char *match, char label[JUDGE_MATCH])
{
  size_t len = strcspn(match + 2, "]");
  memcpy(label, match + 2, len);
  label[len] = '\0';
}

int arena_read_verdict(struct arena_reader *reader, const char *judgment, char label[JUDGE_MATCH],
                       struct tpo_error *err)
{
  /* An answer that a limit cut off is read like another: the benchmark doesn't ask why it ended. */
  const struct ask_answer answer = {.ok = true, .text = (char *)judgment};
  struct judge_found found;
  *label = '\0';
  tpo_buf_clear(&reader->said);
  int status = judge_read_verdict(&reader->judge, &answer, &reader->said, &found, err);
  if (status < 0) return status;
  if (found.reading == JUDGE_CONTRADICTED) return ARENA_CONTRADICTED;
  if (found.reading != JUDGE_READ && found.reading != JUDGE_NOT_NAMED) return ARENA_WITHOUT;
  unwrap(found.match, label);
  return ARENA_LABEL;
}
