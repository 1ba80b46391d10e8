/* Counts and sentences of answers without a verdict. */
#include "judge/unread.h"

#include <string.h>
#include "judge/judge.h"

static const struct {
  const char *name;
  const char *told; /* of several answers */
} readings[] = {
    [JUDGE_NO_MATCH] = {"no_match", "have nothing outside thoughts that judge.pattern finds"},
    [JUDGE_NOT_NAMED] = {"not_named",
                         "matched judge.pattern with what judge.verdicts doesn't name, or no number"},
    [JUDGE_TOO_LARGE] = {"too_large", "gave a number that is too large"},
    [JUDGE_CONTRADICTED] = {"contradicted", "have matches that differ (judge.verdict_rule: only)"},
    [JUDGE_GIVEN_UP] = {"given_up", "took too long to search and were given up"},
    [JUDGE_CUT_OFF] =
        {"cut_off",
         "were cut off by judge.max_tokens (or what judge.request gives in its place) or the model's context"},
    [JUDGE_OPEN_THOUGHT] = {"open_thought", "end in a thought that is not closed"},
};
_Static_assert(sizeof readings / sizeof *readings == N_JUDGE_READINGS, "each reading has a name");

void judge_unread_add(struct judge_unread *unread, const struct judge_found *found)
{
  if (found->reading != JUDGE_READ) unread->of[found->reading]++;
}

int64_t judge_unread_total(const struct judge_unread *unread)
{
  int64_t total = 0;
  for (int i = JUDGE_READ + 1; i < N_JUDGE_READINGS; i++) total += unread->of[i];
  return total;
}

bool judge_unread_put(const struct judge_unread *unread, json_t *counts)
{
  bool done = true;
  for (int i = JUDGE_READ + 1; i < N_JUDGE_READINGS; i++)
    done =
        json_object_set_new(counts, readings[i].name, json_integer((json_int_t)unread->of[i])) == 0 && done;
  return done;
}

/* Which reading a count is of; JUDGE_READ: of none. */
static int reading_of(const char *name)
{
  const char *dot = strrchr(name, '.');
  for (int i = JUDGE_READ + 1; i < N_JUDGE_READINGS; i++)
    if (strcmp(dot ? dot + 1 : name, readings[i].name) == 0) return i;
  return JUDGE_READ;
}

void judge_unread_omit(json_t *counts)
{
  const char *name;
  json_t *value;
  void *next;
  json_object_foreach_safe(counts, next, name, value)
  {
    if (reading_of(name) != JUDGE_READ && json_integer_value(value) == 0) json_object_del(counts, name);
  }
}

void judge_unread_take(struct judge_unread *unread, const json_t *counts)
{
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)counts, name, value)
  {
    int reading = reading_of(name);
    if (reading != JUDGE_READ) unread->of[reading] += json_integer_value(value);
  }
}

void judge_unread_tell(const struct judge_unread *unread, const char *const *matched, size_t n_matched,
                       struct tpo_buf *out)
{
  const char *separator = "";
  for (int i = JUDGE_READ + 1; i < N_JUDGE_READINGS; i++) {
    if (unread->of[i] == 0) continue;
    tpo_buf_printf(out, "%s%lld %s", separator, (long long)unread->of[i], readings[i].told);
    for (size_t m = 0; i == JUDGE_NOT_NAMED && m < n_matched; m++)
      tpo_buf_printf(out, "%s%s%s", m > 0 ? ", " : " (", matched[m], m + 1 == n_matched ? ")" : "");
    separator = "; ";
  }
}

void judge_unread_warn(struct judge_unread *unread, int64_t n, const char *what)
{
  int64_t total = judge_unread_total(unread);
  struct tpo_buf text = {0};
  if (unread->warned || 2 * total <= n) return;
  unread->warned = true;
  judge_unread_tell(unread, NULL, 0, &text);
  if (text.data && !text.failed)
    tpo_log(TPO_LOG_WARN, "judge: %lld of %lld answers so far have no %s: %s", (long long)total, (long long)n,
            what, text.data);
  tpo_buf_free(&text);
}

void judge_found_tell(const struct judge_found *found, const char *what, struct tpo_buf *out)
{
  switch (found->reading) {
  case JUDGE_READ: break;
  case JUDGE_NO_MATCH: tpo_buf_printf(out, "no %s that judge.pattern finds in the answer", what); break;
  case JUDGE_NOT_NAMED:
    tpo_buf_printf(out, "judge.pattern matched %s, which is no %s", found->match, what);
    break;
  case JUDGE_TOO_LARGE:
    tpo_buf_printf(out, "judge.pattern matched %s, a number that is too large: within ±%g they are taken",
                   found->match, JUDGE_LARGEST_SCORE);
    break;
  case JUDGE_CONTRADICTED:
    tpo_buf_printf(out, "no %s: judge.pattern matched %s and %s, and judge.verdict_rule is only", what,
                   found->first, found->match);
    break;
  case JUDGE_GIVEN_UP:
    tpo_buf_printf(out, "no %s: searching the answer by judge.pattern or judge.thought_pattern was given up",
                   what);
    break;
  case JUDGE_CUT_OFF:
    tpo_buf_printf(out, "no %s: %s or the model's context cut the answer off", what,
                   found->limit ? found->limit : "judge.max_tokens");
    break;
  case JUDGE_OPEN_THOUGHT:
    tpo_buf_printf(out, "no %s: the answer ends in a thought that is not closed", what);
    break;
  case N_JUDGE_READINGS: break;
  }
}
