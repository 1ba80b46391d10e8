/* An answer's memory. */
#include <stdlib.h>
#include <string.h>

#include "ask/ask.h"
#include "base/memory.h"

void ask_answer_clear(struct ask_answer *answer)
{
  free(answer->text);
  for (int i = 0; i < answer->n_top; i++) free(answer->top[i].text);
  free(answer->top);
  *answer = (struct ask_answer){0};
}

int ask_answer_add_top(struct ask_answer *answer, const char *text, size_t len, double logprob,
                       struct tpo_error *err)
{
  size_t capacity = (size_t)answer->n_top; /* grown one by one: there are few */
  int status = tpo_grow(&answer->top, &capacity, capacity + 1, sizeof *answer->top, err);
  if (status < 0) return status;
  struct ask_token *token = &answer->top[answer->n_top];
  *token = (struct ask_token){strndup(text, len), logprob};
  if (!token->text) return tpo_fail(err, TPO_E_MEMORY, "no memory for an answer's tokens");
  answer->n_top++;
  return 0;
}

int ask_answer_copy_top(struct ask_answer *answer, const struct ask_token *top, int n, struct tpo_error *err)
{
  int status = 0;
  for (int i = 0; i < n && status == 0; i++)
    status = ask_answer_add_top(answer, top[i].text, strlen(top[i].text), top[i].logprob, err);
  return status;
}

static int likelier_first(const void *a, const void *b)
{
  const struct ask_token *one = a, *other = b;
  if (one->logprob != other->logprob) return one->logprob > other->logprob ? -1 : 1;
  return strcmp(one->text, other->text);
}

void ask_answer_sort_top(struct ask_answer *answer)
{
  if (answer->n_top > 1) qsort(answer->top, (size_t)answer->n_top, sizeof *answer->top, likelier_first);
}
