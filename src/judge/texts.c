/* The texts of judge.prompt and judge.system. */
#include "judge/texts.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "judge/judge.h"

int judge_texts_check(const struct tpo_judge_config *config, const char *const *names, size_t n_names,
                      struct tpo_error *err)
{
  int status = 0;
  if (judge_given(config->prompt))
    status = judge_prompt_check(config->prompt, names, n_names, "judge.prompt", err);
  return status < 0 ? status : judge_reader_check(config, err);
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
  return judge_reader_open(&texts->reader, config, err);
}

void judge_texts_close(struct judge_texts *texts)
{
  judge_reader_close(&texts->reader);
  free(texts->system);
  free(texts->prompt);
}
