/* `tpo logprobs`: log-probabilities of token ids, line by line. */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "cli/session.h"

static const struct option options[] = {
    OPTION_MODEL,
    OPTION_DTYPE,
    OPTION_END,
};

static int read_ids(const char *line, size_t len, const char *place, int32_t **ids, size_t *n,
                    struct tpo_error *err)
{
  json_t *root = tpo_json_parse(line, len, place, err);
  if (!root) return TPO_E_INPUT;
  const json_t *array = json_object_get(root, "ids");
  int status = 0;
  *n = json_array_size(array);
  *ids = NULL;
  if (!json_is_array(array) || *n == 0)
    status = tpo_fail(err, TPO_E_INPUT, "%s: expected {\"ids\": [...]} with at least one id", place);
  else if (!(*ids = tpo_calloc(*n, sizeof **ids, err)))
    status = TPO_E_MEMORY;
  for (size_t i = 0; status == 0 && i < *n; i++) {
    const json_t *id = json_array_get(array, i);
    json_int_t value = json_integer_value(id);
    if (!json_is_integer(id) || value < 0 || value > INT32_MAX)
      status = tpo_fail(err, TPO_E_INPUT, "%s: ids[%zu] is not a token id", place, i);
    (*ids)[i] = (int32_t)value;
  }
  json_decref(root);
  return status;
}

static int print_line(struct tpo_model *model, const int32_t *ids, size_t n, const char *place,
                      struct tpo_error *err)
{
  int32_t cu_seqlens[] = {0, (int32_t)n};
  struct tpo_batch batch = {.ids = ids, .cu_seqlens = cu_seqlens, .n_tokens = (int)n, .n_seqs = 1};
  float *logprob = tpo_calloc(n, sizeof *logprob, err);
  if (!logprob) return TPO_E_MEMORY;
  int status = tpo_model_logprobs(model, &batch, logprob, err);
  if (status < 0) tpo_fail_prefix(err, "%s", place);
  if (status == 0) {
    printf("{\"logprobs\":[");
    for (size_t i = 0; i + 1 < n; i++) printf("%s%.9g", i ? "," : "", (double)logprob[i]);
    printf("]}\n");
  }
  free(logprob);
  return status;
}

static int print_all(struct tpo_model *model, struct tpo_error *err)
{
  struct tpo_lines lines;
  int status = tpo_lines_open(&lines, "-", err);
  if (status < 0) return status;
  while ((status = tpo_lines_next(&lines, err)) > 0) {
    char place[64];
    int32_t *ids = NULL;
    size_t n = 0;
    if (lines.line.len == 0) continue;
    snprintf(place, sizeof place, "standard input:%llu", (unsigned long long)lines.number);
    status = read_ids(lines.line.data, lines.line.len, place, &ids, &n, err);
    if (status == 0) status = print_line(model, ids, n, place, err);
    free(ids);
    if (status < 0) break;
  }
  tpo_lines_close(&lines);
  return status;
}

static int run(struct invocation *in, struct tpo_error *err)
{
  struct cli_session s;
  const char *path;
  struct tpo_model *model = NULL;
  int status = require_model(in, &path, err);
  if (status == 0) status = cli_session_open(&s, in, err);
  if (status < 0) return status;
  struct tpo_model_options model_options = {.backend = s.session.backend, .dtype = in->config.model.dtype};
  status = tpo_model_open(&model, path, &model_options, err);
  if (status == 0) status = print_all(model, err);
  tpo_model_close(model);
  cli_session_close(&s);
  return status;
}

const struct command cmd_logprobs = {
    .name = "logprobs",
    .arguments = "",
    .summary = "log-probabilities of token ids, JSON Lines in and out",
    .options = options,
    .run = run,
    .notes = "Reads {\"ids\": [...]} a line and writes {\"logprobs\": [...]}: log p(ids[i+1] | ids[0..i]), "
             "natural log.",
};
