/* Event files for TensorBoard: records of a length, a message and their checksums, one record an event of
 * metrics.jsonl. Training steps are numbered through the run; everything else stands at its iteration, or, in a run
 * that draws samples between steps, at the step that was done last; a segment of it at the first of its steps. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "report/tags.h"
#include "report/tensorboard.pb-c.h"
#include "tpo/report.h"

/* One of all, because TensorBoard takes the files of a folder for one after another. */
#define FILE_NAME "events.out.tfevents.0000000000.tpo"

struct scalar {
  const char *event, *key, *tag;
  const char *against; /* of win rates; NULL: any */
};

static const struct scalar scalars[] = {
    {"step", "loss", "train/loss", NULL},
    {"step", "margin", "train/margin", NULL},
    {"step", "accuracy", "train/accuracy", NULL},
    {"step", "lr", "train/lr", NULL},
    {"step", "grad_norm", "train/grad_norm", NULL},
    {"step", "chosen_logprob", "train/chosen_logprob", NULL},
    {"step", "rejected_logprob", "train/rejected_logprob", NULL},
    {"step", "rho", "train/rho", NULL},
    {"step", "pairs", "train/pairs", NULL},
    {"epoch", "score", "train/validation_score", NULL},
    {"segment", "mean_score", "steps/score", NULL},
    {"segment", "format_rate", "steps/format_rate", NULL},
    {"segment", "thought_tokens", "steps/thought_tokens", NULL},
    {"segment", "response_tokens", "steps/response_tokens", NULL},
    {"segment", "samples", "steps/samples", NULL},
    {"segment", "pairs", "steps/pairs", NULL},
    {"segment", "rho", "steps/rho", NULL},
    {"sample", "format_rate", "iteration/format_rate", NULL},
    {"sample", "mean_thought_tokens", "iteration/thought_tokens", NULL},
    {"sample", "thought_tokens_25", "iteration/thought_tokens_25", NULL},
    {"sample", "thought_tokens_50", "iteration/thought_tokens_50", NULL},
    {"sample", "thought_tokens_75", "iteration/thought_tokens_75", NULL},
    {"sample", "mean_response_tokens", "iteration/response_tokens", NULL},
    {"sample", "response_tokens_25", "iteration/response_tokens_25", NULL},
    {"sample", "response_tokens_50", "iteration/response_tokens_50", NULL},
    {"sample", "response_tokens_75", "iteration/response_tokens_75", NULL},
    {"sample", "repetition", "iteration/repetition", NULL},
    {"judge", "mean_score", "iteration/score_mean", NULL},
    {"judge", "best_score", "iteration/score_best", NULL},
    {"judge", "worst_score", "iteration/score_worst", NULL},
    {"judge", "failures", "iteration/judge_failures", NULL},
    {"pairs", "pairs", "iteration/pairs", NULL},
    {"pairs", "rho", "iteration/rho", NULL},
    {"pairs", "tie_share", "iteration/tie_share", NULL},
    {"pairs", "unpaired_share", "iteration/unpaired_share", NULL},
    {"pairs", "length_difference", "iteration/length_difference", NULL},
    {"pairs", "length_difference_tokens", "iteration/length_difference_tokens", NULL},
    {"logprob_gap", "max", "iteration/logprob_gap_max", NULL},
    {"logprob_gap", "mean", "iteration/logprob_gap_mean", NULL},
    {"kl", "per_token", "iteration/kl_per_token", NULL},
    {"kl", "k3_per_token", "iteration/kl_k3_per_token", NULL},
    {"kl", "per_output", "iteration/kl_per_output", NULL},
    {"validate", "mean_score", "iteration/validation_score", NULL},
    {"validate", "difference", "iteration/validation_difference", NULL},
    {"validate", "format_rate", "iteration/validation_format_rate", NULL},
    {"validate", "unparsed_share", "iteration/validation_unparsed_share", NULL},
    {"validate", "mean_thought_tokens", "iteration/validation_thought_tokens", NULL},
    {"validate", "mean_response_tokens", "iteration/validation_response_tokens", NULL},
    {"validate", "repetition", "iteration/validation_repetition", NULL},
    {"win_rate", "win_rate", "iteration/win_rate_previous", "previous"},
    {"win_rate", "win_rate", "iteration/win_rate_baseline", "baseline"},
};
enum { N_SCALARS = sizeof scalars / sizeof scalars[0] };

/* Of what is watched, each as watch/NAME/KEY. */
static const char *const watched[] = {
    "value",        "difference",         "unparsed_share",   "prompt_strict",
    "prompt_loose", "instruction_strict", "instruction_loose"};
enum { N_WATCHED = sizeof watched / sizeof watched[0] };

struct writer {
  struct tpo_buf out;
  struct tags tags; /* of the line that is read */
  double time;      /* of the last event that told it; seconds since 1970 */
  int64_t step;     /* training steps so far */
  bool in_steps;    /* the run draws samples between them */
};

/* A checksum of something that may hold checksums is turned, as the format asks. */
static uint32_t masked_crc(const void *bytes, size_t len)
{
  uint32_t crc = tpo_crc32c(bytes, len);
  return (crc >> 15 | crc << 17) + 0xa282ead8U;
}

static void append_little(struct tpo_buf *out, uint64_t value, int bytes)
{
  for (int i = 0; i < bytes; i++) tpo_buf_putc(out, (char)(value >> 8 * i));
}

static int append_record(struct tpo_buf *out, const Tensorboard__Event *event, struct tpo_error *err)
{
  size_t len = tensorboard__event__get_packed_size(event), at = out->len;
  uint8_t *bytes = malloc(len ? len : 1);
  if (!bytes) return tpo_fail(err, TPO_E_MEMORY, "no memory for TensorBoard's events");
  tensorboard__event__pack(event, bytes);
  append_little(out, len, 8);
  if (!out->failed) append_little(out, masked_crc(out->data + at, 8), 4);
  tpo_buf_append(out, bytes, len);
  append_little(out, masked_crc(bytes, len), 4);
  free(bytes);
  return out->failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for TensorBoard's events") : 0;
}

static int append_version(struct writer *w, struct tpo_error *err)
{
  Tensorboard__Event event = TENSORBOARD__EVENT__INIT;
  event.wall_time = w->time;
  event.what_case = TENSORBOARD__EVENT__WHAT_FILE_VERSION;
  event.file_version = (char *)"brain.Event:2";
  return append_record(&w->out, &event, err);
}

static int take_watched(struct tags *tags, const json_t *line, struct tpo_error *err)
{
  const char *name = json_string_value(json_object_get(line, "name"));
  int status = 0;
  for (size_t i = 0; name && i < N_WATCHED && status == 0; i++) {
    const json_t *number = json_object_get(line, watched[i]);
    if (json_is_number(number))
      status = tags_add(tags, tags_name(tags, "watch", name, watched[i]), json_number_value(number), err);
  }
  return status;
}

/* Where the time of a segment's steps went. */
static int take_seconds(struct tags *tags, const json_t *line, struct tpo_error *err)
{
  static const char *const spent[][2] = {{"sample", "steps/seconds_sample"},
                                         {"judge", "steps/seconds_judge"},
                                         {"reference", "steps/seconds_reference"},
                                         {"train", "steps/seconds_train"},
                                         {"wait", "steps/seconds_wait"}};
  const json_t *seconds = json_object_get(line, "seconds");
  int status = 0;
  for (size_t i = 0; i < sizeof spent / sizeof *spent && status == 0; i++) {
    const json_t *number = json_object_get(seconds, spent[i][0]);
    if (json_is_number(number)) status = tags_add(tags, spent[i][1], json_number_value(number), err);
  }
  return status;
}

/* The scalars that a line of metrics.jsonl holds. Numbers that are null are left out. */
static int take_scalars(struct tags *tags, const json_t *line, const char *name, struct tpo_error *err)
{
  const char *against = json_string_value(json_object_get(line, "against"));
  int status = 0;
  tags_clear(tags);
  for (size_t i = 0; i < N_SCALARS && status == 0; i++) {
    const struct scalar *s = &scalars[i];
    const json_t *number = json_object_get(line, s->key);
    if (strcmp(s->event, name) != 0 || !json_is_number(number)) continue;
    if (s->against && (!against || strcmp(s->against, against) != 0)) continue;
    status = tags_add(tags, s->tag, json_number_value(number), err);
  }
  if (status == 0 && (strcmp(name, "groups") == 0 || strcmp(name, "group_wins") == 0))
    status = tags_of_groups(tags, line, err);
  if (status == 0 && strcmp(name, "thoughts") == 0) status = tags_of_thoughts(tags, line, err);
  if (status == 0 && strcmp(name, "segment") == 0) status = take_seconds(tags, line, err);
  if (status == 0 && strcmp(name, "watch") == 0) status = take_watched(tags, line, err);
  return status;
}

/* An event with these scalars. */
static int append_scalars(struct tpo_buf *out, const struct tags *tags, double time, int64_t step,
                          struct tpo_error *err)
{
  Tensorboard__Summary__Value *values = tpo_calloc(tags->n, sizeof *values, err);
  Tensorboard__Summary__Value **pointers = tpo_calloc(tags->n, sizeof(*pointers), err);
  Tensorboard__Summary summary = TENSORBOARD__SUMMARY__INIT;
  Tensorboard__Event event = TENSORBOARD__EVENT__INIT;
  int status = values && pointers ? 0 : TPO_E_MEMORY;
  for (size_t i = 0; i < tags->n && status == 0; i++) {
    tensorboard__summary__value__init(&values[i]);
    values[i].tag = (char *)tags->list[i].name;
    values[i].value_case = TENSORBOARD__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
    values[i].simple_value = (float)tags->list[i].value;
    pointers[i] = &values[i];
  }
  summary.n_value = tags->n;
  summary.value = pointers;
  event.wall_time = time;
  event.step = step;
  event.what_case = TENSORBOARD__EVENT__WHAT_SUMMARY;
  event.summary = &summary;
  if (status == 0) status = append_record(out, &event, err);
  free(values);
  free(pointers);
  return status;
}

/* Where on TensorBoard's axis a line stands. */
static int64_t place_of(const struct writer *w, const char *name, const json_t *line, int64_t iteration)
{
  const json_t *first = json_object_get(line, "first_step");
  if (strcmp(name, "segment") == 0 && json_is_integer(first)) return json_integer_value(first);
  bool of_training = strcmp(name, "step") == 0 || strcmp(name, "epoch") == 0;
  return of_training || w->in_steps ? w->step : iteration;
}

static int append_line(struct writer *w, const json_t *line, struct tpo_error *err)
{
  const char *name = json_string_value(json_object_get(line, "event"));
  const json_t *time = json_object_get(line, "time"), *iteration = json_object_get(line, "iteration");
  if (!name || !json_is_integer(iteration)) return 0;
  if (json_is_number(time)) w->time = json_number_value(time);
  int status = w->out.len == 0 ? append_version(w, err) : 0;
  w->step += strcmp(name, "step") == 0;
  w->in_steps |= strcmp(name, "segment") == 0;
  if (status == 0) status = take_scalars(&w->tags, line, name, err);
  if (status < 0 || w->tags.n == 0) return status;
  return append_scalars(&w->out, &w->tags, w->time, place_of(w, name, line, json_integer_value(iteration)),
                        err);
}

static int read_metrics(struct writer *w, const char *path, struct tpo_error *err)
{
  struct tpo_lines lines;
  char place[4160];
  int status = tpo_lines_open(&lines, path, err), more = 0;
  if (status < 0) return status;
  while (status == 0 && (more = tpo_lines_next(&lines, err)) == 1) {
    snprintf(place, sizeof place, "%s:%llu", path, (unsigned long long)lines.number);
    json_t *line = tpo_json_parse(lines.line.data, lines.line.len, place, err);
    status = line ? append_line(w, line, err) : TPO_E_INPUT;
    json_decref(line);
  }
  tpo_lines_close(&lines);
  return status < 0 ? status : more;
}

/* A TensorBoard that reads the file goes on with what is appended, but would not notice another file in its
 * place; so only what does not begin as it should is replaced. */
static int write_events(const char *path, const struct tpo_buf *all, struct tpo_error *err)
{
  struct tpo_map old = {0};
  int status = tpo_file_exists(path) ? tpo_map_open(&old, path, err) : 0;
  if (status < 0) return status;
  size_t had = old.size;
  bool goes_on = had > 0 && had <= all->len && memcmp(old.data, all->data, had) == 0;
  tpo_map_close(&old);
  if (!goes_on) return tpo_write_file(path, all->data, all->len, err);
  if (had == all->len) return 0;
  FILE *file = fopen(path, "abe");
  if (!file) return tpo_fail(err, TPO_E_IO, "%s: can't be written: %m", path);
  bool ok = fwrite(all->data + had, 1, all->len - had, file) == all->len - had && fflush(file) == 0 &&
            fsync(fileno(file)) == 0;
  int why = errno;
  if (fclose(file) != 0 && ok) {
    ok = false;
    why = errno;
  }
  return ok ? 0 : tpo_fail(err, TPO_E_IO, "%s: writing failed: %s", path, strerror(why));
}

int tpo_tensorboard_write(const char *run_dir, struct tpo_error *err)
{
  char path[4096];
  struct writer w = {0};
  int status = tpo_path_join(path, sizeof path, run_dir, "metrics.jsonl", err);
  if (status == 0) status = read_metrics(&w, path, err);
  if (status == 0 && w.out.len > 0) {
    status = tpo_path_join(path, sizeof path, run_dir, "tensorboard", err);
    if (status == 0) status = tpo_make_dirs(path, err);
    if (status == 0) status = tpo_path_join(path, sizeof path, run_dir, "tensorboard/" FILE_NAME, err);
    if (status == 0) status = write_events(path, &w.out, err);
  }
  tpo_buf_free(&w.out);
  tags_free(&w.tags);
  return status;
}
