/* New instructions by few-shot prompting: rounds of requests are sampled over the ranks like any prompts;
 * rank 0 takes the answers in the order of the requests, so that what is accepted depends on neither. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/philox.h"
#include "base/visible.h"
#include "base/words.h"
#include "data/draft.h"
#include "data/novelty.h"
#include "tpo/steps.h"

enum { NGRAM_WORDS = 3, SHOTS_STREAM = 2 /* 0 and 1 are those of composed instructions */ };
enum { LEAST_ROUND = 16, MOST_ROUND = 4096 };

static const char task[] =
    "Here is a list of requests that different people have sent to an assistant. Continue it "
    "with request %d: similar in kind, on a subject that no other request in the list has, and clear "
    "to a reader who knows nothing else. Give the words of that one request. Don't carry out any of them.";

void tpo_synth_options_default(struct tpo_synth_options *options, size_t n)
{
  *options = (struct tpo_synth_options){
      .n = n, .max_requests = 10 * n, .shots = 8, .min_words = 3, .max_words = 150, .max_overlap = 0.7};
}

struct synth {
  const struct tpo_session *session;
  const struct tpo_policy *policy;
  const struct tpo_instructions *seeds;
  const struct tpo_synth_options *options;
  struct tpo_sampling_config sampling;
  /* None, and the answer is begun with the label of the request; where the chat template opens a thought all the
   * same, its tags alone. */
  struct tpo_thought_config thought;
  char *label, *stop; /* "Request 9:", and what begins the one after it */
  bool first;         /* this is rank 0 */
  uint32_t *usable;   /* [n_usable] seeds that requests show */
  uint32_t n_usable;
  size_t requests; /* sampled so far */
  /* Rank 0 alone, from here on. */
  struct tpo_instructions *out;
  struct novelty *index; /* the seeds, the task, then what was accepted */
  struct draft_rules rules;
  char **markers;
  size_t taken; /* requests whose answers were looked at */
  size_t faults[N_DRAFT_FAULTS];
};

static int find_usable(struct synth *s, struct tpo_error *err)
{
  s->usable = tpo_calloc(s->seeds->n, sizeof *s->usable, err);
  if (!s->usable) return TPO_E_MEMORY;
  for (size_t i = 0; i < s->seeds->n; i++)
    if (words_count(s->seeds->items[i].instruction) <= s->options->max_words)
      s->usable[s->n_usable++] = (uint32_t)i;
  size_t longer = s->seeds->n - s->n_usable;
  if (s->n_usable < (uint32_t)s->options->shots)
    return tpo_fail(err, TPO_E_USAGE,
                    "a request shows %d seed instructions (--shots), "
                    "but there are only %u of at most %zu words (--max-words), and %zu longer ones",
                    s->options->shots, s->n_usable, s->options->max_words, longer);
  if (longer > 0)
    tpo_log(TPO_LOG_INFO, "%zu of %zu seeds are longer than --max-words and not shown to the model", longer,
            s->seeds->n);
  return 0;
}

/* Names of special tokens that consist of more than letters and digits; they have no place in a text. */
static int collect_markers(struct synth *s, struct tpo_error *err)
{
  int n = tpo_tokenizer_size(s->policy->tokenizer);
  s->markers = tpo_calloc((size_t)n, sizeof *s->markers, err);
  if (!s->markers) return TPO_E_MEMORY;
  s->rules = (struct draft_rules){.min_words = s->options->min_words,
                                  .max_words = s->options->max_words,
                                  .markers = (const char *const *)s->markers};
  for (int id = 0; id < n; id++) {
    size_t len = 0;
    bool special = false;
    const char *bytes = tpo_tokenizer_token(s->policy->tokenizer, id, &len, &special);
    if (!bytes || !special || len < 3 || !strchr("<[{|", bytes[0])) continue;
    char *name = strndup(bytes, len);
    if (!name) return tpo_fail(err, TPO_E_MEMORY, "out of memory");
    s->markers[s->rules.n_markers++] = name;
  }
  return 0;
}

/* One sample a request. The answer goes on from the label of what is asked for, without which small models
 * talk about the requests in place of writing one; the label after it ends it. */
static int set_sampling(struct synth *s, struct tpo_error *err)
{
  const struct tpo_sampling_config *given = &s->session->config->sampling;
  char **stops = tpo_calloc((size_t)given->n_stop + 1, sizeof *stops, err);
  if (!stops) return TPO_E_MEMORY;
  s->sampling = *given;
  s->sampling.k = 1;
  s->sampling.stop = stops;
  for (int i = 0; i < given->n_stop; i++) stops[i] = given->stop[i];
  if (asprintf(&s->stop, "\nRequest %d", s->options->shots + 2) < 0) s->stop = NULL;
  if (asprintf(&s->label, "Request %d:", s->options->shots + 1) < 0) s->label = NULL;
  stops[s->sampling.n_stop++] = s->stop;
  return s->stop && s->label ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory");
}

/* A label behind <think> would have the model write requests in its thought. */
static int set_beginning(struct synth *s, struct tpo_error *err)
{
  static char open[] = "<think>", close[] = "</think>";
  struct tpo_buf begun = {0};
  s->thought = (struct tpo_thought_config){.thought_marker = open, .response_marker = close};
  int status = tpo_thought_begun(&s->thought, s->policy->tmpl, &begun, err);
  if (status == 0 && begun.len == 0) s->thought = (struct tpo_thought_config){.prefill = s->label};
  if (status == 0 && begun.len > 0 && s->first)
    tpo_log(TPO_LOG_INFO,
            "the model's chat template begins a thought: what stands before %s is no instruction", close);
  tpo_buf_free(&begun);
  return status;
}

/* What the answer says behind its thought; free() it. */
static char *said(const struct synth *s, const struct tpo_sample_row *row)
{
  struct tpo_parsed parsed;
  tpo_thought_parse(&s->thought, row->text, strlen(row->text), &parsed);
  return strndup(row->text + parsed.response_begin, parsed.response_end - parsed.response_begin);
}

static int open_synth(struct synth *s, struct tpo_error *err)
{
  int status = find_usable(s, err);
  if (status == 0) status = set_sampling(s, err);
  if (status == 0) status = set_beginning(s, err);
  if (status == 0 && s->first) status = collect_markers(s, err);
  if (status == 0 && s->first) status = novelty_create(&s->index, NGRAM_WORDS, err);
  for (size_t i = 0; status == 0 && s->first && i < s->seeds->n; i++)
    status = novelty_add(s->index, s->seeds->items[i].instruction, err);
  if (status == 0 && s->first) status = novelty_add(s->index, task, err);
  return status;
}

static void close_synth(struct synth *s)
{
  for (size_t i = 0; s->markers && i < s->rules.n_markers; i++) free(s->markers[i]);
  free(s->markers);
  novelty_free(s->index);
  free(s->usable);
  free(s->sampling.stop);
  free(s->stop);
  free(s->label);
}

/* The seeds that a request shows, in its order: different ones, keyed by the request's number. */
static void draw_shots(const struct synth *s, size_t request, uint32_t *shots)
{
  struct tpo_rng rng;
  tpo_rng_init(&rng, s->session->config->seed, TPO_STREAM_SYNTH, request, SHOTS_STREAM);
  for (int i = 0; i < s->options->shots;) {
    int before = 0;
    shots[i] = s->usable[tpo_rng_below(&rng, s->n_usable)];
    while (before < i && shots[before] != shots[i]) before++;
    i += before == i;
  }
}

/* The list stands last: the answer goes on with it. */
static void write_request(const struct synth *s, const uint32_t *shots, struct tpo_buf *text)
{
  tpo_buf_printf(text, task, s->options->shots + 1);
  for (int i = 0; i < s->options->shots; i++)
    tpo_buf_printf(text, "\n\nRequest %d: %s", i + 1, s->seeds->items[shots[i]].instruction);
}

/* Requests [s->requests, s->requests + n). */
static int make_requests(const struct synth *s, size_t n, struct tpo_instructions *set, struct tpo_error *err)
{
  uint32_t *shots = tpo_calloc((size_t)s->options->shots, sizeof *shots, err);
  struct tpo_buf text = {0};
  int status = shots ? 0 : TPO_E_MEMORY;
  for (size_t i = 0; i < n && status == 0; i++) {
    char id[40];
    snprintf(id, sizeof id, "request-%06zu", s->requests + i + 1);
    tpo_buf_clear(&text);
    draw_shots(s, s->requests + i, shots);
    write_request(s, shots, &text);
    if (text.failed) status = tpo_fail(err, TPO_E_MEMORY, "out of memory");
    struct tpo_instruction item = {.id = id, .instruction = text.data};
    if (status == 0) status = tpo_instructions_add(set, &item, err);
  }
  tpo_buf_free(&text);
  free(shots);
  return status;
}

/* {"dataset": "synth", "seeds": [ids]} */
static char *write_meta(const struct synth *s, size_t request, struct tpo_error *err)
{
  uint32_t *shots = tpo_calloc((size_t)s->options->shots, sizeof *shots, err);
  json_t *ids = json_array();
  if (shots) draw_shots(s, request, shots);
  for (int i = 0; shots && i < s->options->shots; i++)
    json_array_append_new(ids, json_string(s->seeds->items[shots[i]].id));
  json_t *meta = json_pack("{s:s, s:o}", "dataset", "synth", "seeds", ids);
  char *text = meta ? tpo_json_dump(meta) : NULL;
  if (!shots || !text) tpo_fail(err, TPO_E_MEMORY, "out of memory");
  json_decref(meta);
  free(shots);
  return text;
}

static int accept(struct synth *s, const char *text, size_t request, struct tpo_error *err)
{
  char id[40], *meta = write_meta(s, request, err);
  if (!meta) return TPO_E_MEMORY;
  snprintf(id, sizeof id, "synth-%06zu", s->out->n + 1);
  struct tpo_instruction item = {.id = id, .instruction = text, .meta = meta};
  int status = tpo_instructions_add(s->out, &item, err);
  if (status == 0) status = novelty_add(s->index, text, err);
  free(meta);
  return status;
}

/* What is wrong with an answer; *text (free() it) is the instruction that was found in it. */
static int look_at(struct synth *s, const struct tpo_sample_row *row, char **text, enum draft_fault *fault,
                   struct tpo_error *err)
{
  double overlap;
  size_t which;
  *fault = DRAFT_CUT;
  char *answer = said(s, row);
  *text = answer ? draft_clean(answer) : NULL;
  free(answer);
  if (!*text) return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  if (row->finish != TPO_FINISH_STOP && row->finish != TPO_FINISH_STOP_STRING) return 0;
  *fault = draft_check(*text, &s->rules);
  if (*fault != DRAFT_GOOD) return 0;
  int status = novelty_nearest(s->index, *text, &overlap, &which, err);
  if (status == 0 && overlap > s->options->max_overlap)
    *fault = which < s->seeds->n ? DRAFT_LIKE_SEED : which == s->seeds->n ? DRAFT_REPLY : DRAFT_LIKE_OTHER;
  return status;
}

static int take_answers(struct synth *s, const struct tpo_samples *samples, struct tpo_error *err)
{
  int status = 0;
  for (size_t i = 0; i < samples->n && status == 0 && s->out->n < s->options->n; i++) {
    char *text = NULL;
    enum draft_fault fault;
    status = look_at(s, &samples->rows[i], &text, &fault, err);
    if (status == 0 && fault == DRAFT_GOOD) status = accept(s, text, s->requests + i, err);
    if (status == 0) s->faults[fault]++;
    if (status == 0) s->taken++;
    if (status == 0 && fault != DRAFT_GOOD && tpo_log_level() >= TPO_LOG_DEBUG) {
      char shown[200];
      tpo_visible_copy(shown, sizeof shown, text);
      tpo_log(TPO_LOG_DEBUG, "request %zu: %s: %s", s->requests + i + 1, draft_fault_name(fault), shown);
    }
    free(text);
  }
  return status;
}

/* Requests of the next round, by the share that was accepted so far; 0: enough, or no more allowed. */
static size_t next_round(const struct synth *s)
{
  size_t missing = s->options->n - s->out->n, left = s->options->max_requests - s->requests;
  double rate = s->taken > 0 ? (double)s->out->n / (double)s->taken : 1;
  double wanted = 1.1 * (double)missing / (rate > 0.05 ? rate : 0.05);
  size_t round = wanted < LEAST_ROUND ? LEAST_ROUND : wanted > MOST_ROUND ? MOST_ROUND : (size_t)wanted;
  return missing == 0 ? 0 : round < left ? round : left;
}

static int run_round(struct synth *s, size_t n, struct tpo_error *err)
{
  struct tpo_comm *comm = s->session->comm;
  struct tpo_instructions set = {0};
  struct tpo_samples samples = {0};
  struct tpo_generate_stats stats;
  struct tpo_generate_options options = {
      .sampling = &s->sampling, .thought = &s->thought, .what = "sampling"};
  int status = tpo_comm_agree(comm, make_requests(s, n, &set, err), err);
  if (status == 0) status = tpo_generate(s->session, s->policy, &set, &options, &samples, &stats, err);
  if (status == 0 && s->first) {
    status = take_answers(s, &samples, err);
    tpo_log(TPO_LOG_INFO, "%zu of %zu instructions after %zu requests, %.0f tokens/s", s->out->n,
            s->options->n, s->taken, stats.seconds > 0 ? stats.sampled_tokens / stats.seconds : 0);
  }
  s->requests += n;
  tpo_samples_free(&samples);
  tpo_instructions_free(&set);
  return tpo_comm_agree(comm, status, err);
}

/* "12 too short, 3 like a seed", the most frequent reasons first. */
static void tell_faults(const struct synth *s, struct tpo_buf *out)
{
  bool told[N_DRAFT_FAULTS] = {[DRAFT_GOOD] = true};
  for (;;) {
    int most = DRAFT_GOOD;
    for (int f = 0; f < N_DRAFT_FAULTS; f++)
      if (!told[f] && s->faults[f] > 0 && (most == DRAFT_GOOD || s->faults[f] > s->faults[most])) most = f;
    if (most == DRAFT_GOOD) break;
    told[most] = true;
    tpo_buf_printf(out, "%s%zu %s", out->len > 0 ? ", " : "", s->faults[most],
                   draft_fault_name((enum draft_fault)most));
  }
  if (out->len == 0) tpo_buf_puts(out, "none");
}

static int finish(const struct synth *s, struct tpo_error *err)
{
  struct tpo_buf faults = {0};
  int status = 0;
  tell_faults(s, &faults);
  if (faults.failed)
    status = tpo_fail(err, TPO_E_MEMORY, "out of memory");
  else if (s->out->n < s->options->n)
    status =
        tpo_fail(err, TPO_E_STATE,
                 "only %zu of %zu instructions were accepted from %zu requests (--max-requests); refused: %s",
                 s->out->n, s->options->n, s->taken, faults.data);
  else
    tpo_log(TPO_LOG_INFO, "%zu instructions accepted from %zu requests; refused: %s", s->out->n, s->taken,
            faults.data);
  tpo_buf_free(&faults);
  return status;
}

int tpo_synth(const struct tpo_session *session, const struct tpo_policy *policy,
              const struct tpo_instructions *seeds, const struct tpo_synth_options *options,
              struct tpo_instructions *out, struct tpo_error *err)
{
  struct synth s = {.session = session,
                    .policy = policy,
                    .seeds = seeds,
                    .options = options,
                    .out = out,
                    .first = tpo_comm_rank(session->comm) == 0};
  int status = tpo_comm_agree(session->comm, open_synth(&s, err), err);
  while (status == 0) {
    size_t round = s.first ? next_round(&s) : 0;
    status = tpo_comm_bcast(session->comm, &round, sizeof round, 0, err);
    if (status < 0 || round == 0) break;
    status = run_round(&s, round, err);
  }
  if (status == 0) status = tpo_comm_agree(session->comm, s.first ? finish(&s, err) : 0, err);
  close_synth(&s);
  return status;
}
