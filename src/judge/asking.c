/* Prompts and patterns of judge models are checked and opened; questions are asked in batches. */
#include "judge/asking.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "judge/judge.h"

int judge_texts_check(const struct tpo_judge_config *config, const char *const *names, size_t n_names,
                      struct tpo_error *err)
{
  struct judge_pattern *pattern = NULL;
  int status = 0;
  if (judge_given(config->prompt))
    status = judge_prompt_check(config->prompt, names, n_names, "judge.prompt", err);
  if (status == 0 && judge_given(config->pattern))
    status = judge_pattern_open(&pattern, config->pattern, err);
  judge_pattern_close(pattern);
  return status;
}

int judge_texts_open(struct judge_texts *texts, const struct tpo_judge_config *config, const char *system,
                     const char *prompt, struct tpo_error *err)
{
  *texts = (struct judge_texts){0};
  if (judge_given(config->prompt)) prompt = config->prompt, system = NULL;
  if (judge_given(config->system)) system = config->system;
  texts->prompt = strdup(prompt);
  texts->system = system ? strdup(system) : NULL;
  if (!texts->prompt || (system && !texts->system))
    return tpo_fail(err, TPO_E_MEMORY, "no memory for a judge");
  const char *pattern = judge_given(config->pattern) ? config->pattern : JUDGE_VERDICT_PATTERN;
  return judge_pattern_open(&texts->pattern, pattern, err);
}

void judge_texts_close(struct judge_texts *texts)
{
  judge_pattern_close(texts->pattern);
  free(texts->system);
  free(texts->prompt);
}

struct judge_batch {
  const struct judge_chat *chat;
  const char *system;
  judge_take *take;
  void *arg;
  size_t n;
  struct judge_place places[JUDGE_ASK_AT_ONCE];
  struct judge_question questions[JUDGE_ASK_AT_ONCE];
  struct judge_answer answers[JUDGE_ASK_AT_ONCE];
};

int judge_batch_open(struct judge_batch **out, const struct judge_chat *chat, const char *system,
                     judge_take *take, void *arg, struct tpo_error *err)
{
  struct judge_batch *b = *out = tpo_calloc(1, sizeof *b, err);
  if (!b) return TPO_E_MEMORY;
  b->chat = chat;
  b->system = system;
  b->take = take;
  b->arg = arg;
  return 0;
}

int judge_batch_add(struct judge_batch *b, char *question, struct judge_place place, struct tpo_error *err)
{
  if (!question) return tpo_fail(err, TPO_E_MEMORY, "no memory for questions to the judge");
  b->places[b->n] = place;
  b->questions[b->n++] = (struct judge_question){b->system, question};
  return b->n < JUDGE_ASK_AT_ONCE ? 0 : judge_batch_ask(b, err);
}

static void clear(struct judge_batch *b)
{
  for (size_t i = 0; i < b->n; i++) {
    free((char *)b->questions[i].user);
    free(b->answers[i].text);
    b->answers[i] = (struct judge_answer){0};
  }
  b->n = 0;
}

int judge_batch_ask(struct judge_batch *b, struct tpo_error *err)
{
  int status = b->n > 0 ? b->chat->ask(b->chat->state, b->questions, b->n, b->answers, err) : 0;
  for (size_t i = 0; i < b->n && status == 0; i++)
    status = b->answers[i].text ? b->take(b->arg, b->places[i], &b->answers[i], err)
                                : tpo_fail(err, TPO_E_STATE, "a question to the judge was passed over");
  clear(b);
  return status;
}

void judge_batch_close(struct judge_batch *b)
{
  if (!b) return;
  clear(b);
  free(b);
}

void judge_warn_of_unparsable(int64_t unparsable, int64_t n, const char *what, bool *warned)
{
  if (*warned || 2 * unparsable <= n) return;
  *warned = true;
  tpo_log(TPO_LOG_WARN, "judge: %lld of %lld answers hold no %s that judge.pattern finds",
          (long long)unparsable, (long long)n, what);
}
