/* The texts of judge.prompt, judge.system and judge.pattern. */
#include "judge/texts.h"

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

void judge_warn_of_unparsable(int64_t unparsable, int64_t n, const char *what, bool *warned)
{
  if (*warned || 2 * unparsable <= n) return;
  *warned = true;
  tpo_log(TPO_LOG_WARN, "judge: %lld of %lld answers hold no %s that judge.pattern finds",
          (long long)unparsable, (long long)n, what);
}
