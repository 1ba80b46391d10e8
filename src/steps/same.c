/* Ranks with different models would share out work whose results don't belong together. */
#include "steps/same.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "judge/identity.h"
#include "model/identity.h"
#include "text/identity.h"

int same_model(struct tpo_comm *comm, const char *path, struct tpo_model *model,
               const struct tpo_tokenizer *tokenizer, struct tpo_error *err)
{
  char weights[33] = "", text[33] = "";
  if (tpo_comm_size(comm) == 1) return 0;
  int status = model_identify(model, weights, err);
  if (status == 0 && tokenizer) status = tokenizer_identify(tokenizer, text, err);
  struct tpo_buf what = {0};
  tpo_buf_printf(&what, "loads another model from %s", path);
  if (status == 0 && what.failed) status = tpo_fail(err, TPO_E_MEMORY, "out of memory");
  status = tpo_comm_agree(comm, status, err);
  const struct tpo_comm_fact facts[] = {{"the hash of its weights", weights},
                                        {"the hash of its tokenizer", *text ? text : NULL}};
  if (status == 0) status = tpo_comm_same(comm, what.data, facts, 2, err);
  tpo_buf_free(&what);
  return status;
}

/* Lines "judge model PATH: HASH\n" become facts, whose texts stay in the lines. */
static size_t split_lines(char *lines, struct tpo_comm_fact *facts)
{
  size_t n = 0;
  char *rest;
  for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    char *colon = strrchr(line, ':');
    if (!colon) continue;
    *colon = '\0';
    facts[n++] = (struct tpo_comm_fact){line, colon + 2};
  }
  return n;
}

static size_t count_lines(const struct tpo_buf *lines)
{
  size_t n = 0;
  for (size_t i = 0; i < lines->len; i++) n += lines->data[i] == '\n';
  return n;
}

int same_judge(struct tpo_comm *comm, const struct tpo_judge_config *config, struct tpo_error *err)
{
  struct tpo_buf lines = {0};
  struct tpo_comm_fact *facts = NULL;
  if (tpo_comm_size(comm) == 1) return 0;
  int status = judge_identify(config, &lines, err);
  if (status == 0 && lines.failed) status = tpo_fail(err, TPO_E_MEMORY, "out of memory");
  if (status == 0 && !(facts = tpo_calloc(count_lines(&lines) + 1, sizeof *facts, err)))
    status = TPO_E_MEMORY;
  status = tpo_comm_agree(comm, status, err);
  if (status == 0)
    status =
        tpo_comm_same(comm, "has another judge", facts, lines.len ? split_lines(lines.data, facts) : 0, err);
  free(facts);
  tpo_buf_free(&lines);
  return status;
}
