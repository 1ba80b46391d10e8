#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "judge/judge.h"

static const struct tpo_judge_kind *const kinds[] = {&tpo_judge_rule};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

struct tpo_judge {
  const struct tpo_judge_kind *kind;
  void *state;
};

const char *tpo_judge_kinds(void)
{
  return "rule";
}

int tpo_judge_open(struct tpo_judge **out, const struct tpo_judge_config *config, struct tpo_error *err)
{
  *out = NULL;
  const char *name = config->kind ? config->kind : "";
  size_t len = strcspn(name, ":");
  const char *argument = name[len] ? name + len + 1 : NULL;
  for (int i = 0; i < N_KINDS; i++) {
    if (strlen(kinds[i]->name) != len || strncmp(kinds[i]->name, name, len) != 0) continue;
    struct tpo_judge *judge = tpo_calloc(1, sizeof *judge, err);
    if (!judge) return TPO_E_MEMORY;
    judge->kind = kinds[i];
    int status = kinds[i]->open(&judge->state, argument, config, err);
    if (status < 0) {
      free(judge);
      return status;
    }
    *out = judge;
    return 0;
  }
  return tpo_fail(err, TPO_E_USAGE, "judge.kind: there is no judge \"%s\"; expected one of: %s", name,
                  tpo_judge_kinds());
}

int tpo_judge_score(struct tpo_judge *judge, const struct tpo_judge_item *items, int n_items,
                    struct tpo_judge_result *results, struct tpo_error *err)
{
  size_t n = 0;
  for (int i = 0; i < n_items; i++) n += (size_t)items[i].n_responses;
  memset(results, 0, n * sizeof *results);
  int status = judge->kind->score(judge->state, items, n_items, results, err);
  if (status == 0) return 0;
  for (size_t i = 0; i < n; i++) {
    free(results[i].detail);
    results[i] = (struct tpo_judge_result){0};
  }
  return status;
}

void tpo_judge_close(struct tpo_judge *judge)
{
  if (!judge) return;
  judge->kind->close(judge->state);
  free(judge);
}
