/* Questions from rank 0 to the others. */
#include "eval/questions.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/memory.h"

enum { TEXTS = 5 };

static int no_memory(struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_MEMORY, "no memory for questions");
}

static void point_at(struct eval_question *question, const char **fields[TEXTS])
{
  fields[0] = &question->key;
  fields[1] = &question->ask.system;
  fields[2] = &question->ask.user;
  fields[3] = &question->ask.answered;
  fields[4] = &question->ask.follow_up;
}

int eval_questions_add(struct eval_questions *q, const struct eval_question *question, struct tpo_error *err)
{
  int status = tpo_grow(&q->list, &q->capacity, q->n + 1, sizeof *q->list, err);
  if (status < 0) return status;
  struct eval_question *copy = &q->list[q->n];
  const char **fields[TEXTS];
  struct tpo_arena arena = {q->texts};
  *copy = *question;
  point_at(copy, fields);
  for (int i = 0; i < TEXTS && status == 0; i++)
    if (*fields[i] && !(*fields[i] = tpo_arena_strdup(&arena, *fields[i]))) status = no_memory(err);
  q->texts = arena.blocks;
  q->n += status == 0;
  return status;
}

/* For each question: top_tokens, and for each text a byte that says whether it is there, and it with its NUL. */
static void pack(const struct eval_questions *q, struct tpo_buf *out)
{
  for (size_t i = 0; i < q->n; i++) {
    const char **fields[TEXTS];
    const int32_t top = q->list[i].ask.top_tokens;
    point_at(&q->list[i], fields);
    tpo_buf_append(out, &top, sizeof top);
    for (int t = 0; t < TEXTS; t++) {
      tpo_buf_putc(out, *fields[t] != NULL);
      if (*fields[t]) tpo_buf_append(out, *fields[t], strlen(*fields[t]) + 1);
    }
  }
}

static int unpack(struct eval_questions *q, const char *bytes, size_t len, struct tpo_error *err)
{
  int status = 0;
  for (const char *at = bytes; at < bytes + len && status == 0;) {
    struct eval_question question = {0};
    const char **fields[TEXTS];
    int32_t top;
    point_at(&question, fields);
    memcpy(&top, at, sizeof top);
    at += sizeof top;
    question.ask.top_tokens = top;
    for (int t = 0; t < TEXTS; t++) {
      *fields[t] = *at++ ? at : NULL;
      if (*fields[t]) at += strlen(at) + 1;
    }
    status = eval_questions_add(q, &question, err);
  }
  return status;
}

int eval_questions_share(struct tpo_comm *comm, int status, struct eval_questions *q, struct tpo_error *err)
{
  struct tpo_buf packed = {0};
  if (tpo_comm_size(comm) == 1) return status;
  if (status == 0) pack(q, &packed);
  if (status == 0 && packed.failed) status = no_memory(err);
  status = tpo_comm_agree(comm, status, err);
  void *bytes = packed.data;
  size_t len = packed.len;
  if (status == 0) status = tpo_comm_bcast_bytes(comm, &bytes, &len, 0, err);
  if (status == 0 && tpo_comm_rank(comm) != 0) status = unpack(q, bytes, len, err);
  free(bytes);
  return tpo_comm_agree(comm, status, err);
}

void eval_questions_free(struct eval_questions *q)
{
  tpo_arena_free(&(struct tpo_arena){q->texts});
  free(q->list);
  *q = (struct eval_questions){0};
}
