/* Questions that are asked many at a time. */
#include "ask/ask.h"

#include <stdlib.h>

#include "base/memory.h"

struct ask_batch {
  const struct ask_chat *chat;
  const char *system;
  ask_take *take;
  void *arg;
  const struct tpo_watch *watch; /* NULL: nobody listens */
  size_t settled, total;         /* before this run, and in all */
  size_t n;
  struct ask_place places[ASK_AT_ONCE];
  struct ask_question questions[ASK_AT_ONCE];
  struct ask_answer answers[ASK_AT_ONCE];
};

int ask_batch_open(struct ask_batch **out, const struct ask_chat *chat, const char *system, ask_take *take,
                   void *arg, struct tpo_error *err)
{
  struct ask_batch *b = *out = tpo_calloc(1, sizeof *b, err);
  if (!b) return TPO_E_MEMORY;
  b->chat = chat;
  b->system = system;
  b->take = take;
  b->arg = arg;
  return 0;
}

void ask_batch_watch(struct ask_batch *b, const struct tpo_watch *watch, size_t total)
{
  b->watch = watch;
  b->total = total;
}

static void tell_settled(void *arg, double share)
{
  const struct ask_batch *b = arg;
  if (b->total > 0) tpo_watch_tell(b->watch, ((double)b->settled + share * (double)b->n) / (double)b->total);
}

int ask_batch_add(struct ask_batch *b, char *question, struct ask_place place, struct tpo_error *err)
{
  if (!question) return tpo_fail(err, TPO_E_MEMORY, "no memory for questions to the judge");
  b->places[b->n] = place;
  b->questions[b->n++] = (struct ask_question){.system = b->system, .user = question};
  return b->n < ASK_AT_ONCE ? 0 : ask_batch_run(b, err);
}

static void clear(struct ask_batch *b)
{
  for (size_t i = 0; i < b->n; i++) {
    free((char *)b->questions[i].user);
    ask_answer_clear(&b->answers[i]);
  }
  b->n = 0;
}

int ask_batch_run(struct ask_batch *b, struct tpo_error *err)
{
  struct tpo_watch watch = {tell_settled, b};
  int status = b->n > 0 ? b->chat->ask(b->chat->state, b->questions, b->n, b->answers, &watch, err) : 0;
  for (size_t i = 0; i < b->n && status == 0; i++)
    status = b->answers[i].text ? b->take(b->arg, b->places[i], &b->answers[i], err)
                                : tpo_fail(err, TPO_E_STATE, "a question to the judge was passed over");
  b->settled += b->n;
  clear(b);
  return status;
}

void ask_batch_close(struct ask_batch *b)
{
  if (!b) return;
  clear(b);
  free(b);
}
