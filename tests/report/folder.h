/* A run folder made of what a test wants to see on the page, and a strict reader of HTML. */
#ifndef TESTS_REPORT_FOLDER_H
#define TESTS_REPORT_FOLDER_H

#include "unit.h"
#include <math.h>
#include "base/buf.h"
#include "base/file.h"
#include "tpo/report.h"
#include "tpo/store.h"

/* What the texts of a made-up run hold; NULL: something harmless. */
struct texts {
  const char *instruction, *thought, *response, *meta, *detail, *id;
};

struct folder_options {
  int iterations, prompts, k;
  struct texts texts;
  bool unfinished; /* stops after the samples of the last iteration */
  int batch;       /* prompts of a training step, which the samples then tell; 0: they are an iteration's */
};

static inline void put_file(const char *dir, const char *name, const char *text)
{
  char path[4096];
  struct tpo_error err = {0};
  assert_int_equal(tpo_path_join(path, sizeof path, dir, name, NULL), 0);
  if (tpo_write_file(path, text, strlen(text), &err) < 0) fail_msg("%s", err.message);
}

static inline void in_iteration(char out[4096], const char *dir, int iteration, const char *name)
{
  struct tpo_error err = {0};
  snprintf(out, 4096, "%s/iter-%03d", dir, iteration);
  if (tpo_make_dirs(out, &err) < 0) fail_msg("%s", err.message);
  snprintf(out, 4096, "%s/iter-%03d/%s", dir, iteration, name);
}

static inline const char *or_else(const char *text, const char *otherwise)
{
  return text ? text : otherwise;
}

/* The scores fall with k, so that sample 0 is chosen; every fifth prompt's last sample fails its format. */
static inline void add_row(struct tpo_samples *samples, const struct texts *texts, int p, int k, int n_k,
                           bool scored)
{
  static const int32_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8};
  static const float logprobs[8] = {-1, -1, -1, -1, -1, -1, -1, -1};
  static const uint8_t inserted[8] = {0, 0, 1, 1, 0, 0, 0, 0};
  char id[256], instruction[256], response[128];
  snprintf(id, sizeof id, "%s-%d", or_else(texts->id, "prompt"), p);
  snprintf(instruction, sizeof instruction, "Describe garden number %d in two sentences, without commas.", p);
  snprintf(response, sizeof response, "Answer %d of prompt %d. The garden is green.", k, p);
  bool failed = n_k > 1 && k == n_k - 1 && p % 5 == 4;
  const struct tpo_sample_row row = {
      .prompt_id = id,
      .instruction = or_else(texts->instruction, instruction),
      .prompt_text = "rendered",
      .meta =
          or_else(texts->meta, "{\"checks\":[{\"type\":\"punctuation:no_comma\"},"
                               "{\"type\":\"length_constraints:number_sentences\",\"num_sentences\":2}]}"),
      .k = k,
      .text = or_else(texts->response, response),
      .thought = failed ? "" : or_else(texts->thought, "I should keep it short."),
      .response = failed ? "" : or_else(texts->response, response),
      .format_ok = !failed,
      .finish = TPO_FINISH_STOP,
      .prompt_ids = ids,
      .n_prompt = 3,
      .token_ids = ids,
      .token_logprobs = logprobs,
      .inserted = inserted,
      .n_tokens = 8,
      .n_thought_tokens = 4,
      .logprob = -6,
      .scored = scored && !failed,
      .score = 1 - 0.1 * k - 0.01 * (p % 7),
      .score_detail = or_else(
          texts->detail,
          "{\"checks\":[{\"type\":\"punctuation:no_comma\",\"passed\":true},{\"type\":"
          "\"length_constraints:number_sentences\",\"passed\":false}],\"passed\":1,\"repetition\":0.25}"),
  };
  struct tpo_error err = {0};
  if (tpo_samples_add(samples, &row, &err) < 0) fail_msg("%s", err.message);
}

static inline void put_samples(const char *dir, int iteration, const char *name,
                               const struct folder_options *o, int k, bool scored)
{
  char path[4096];
  struct tpo_error err = {0};
  struct tpo_samples samples = {.is_scored = scored};
  for (int p = 0; p < o->prompts; p++)
    for (int i = 0; i < k; i++) add_row(&samples, &o->texts, p, i, k, scored);
  for (size_t i = 0; o->batch > 0 && i < samples.n && strcmp(name, "validation.h5") != 0; i++)
    samples.rows[i].step = 1 + ((iteration - 1) * o->prompts + (int)i / k) / o->batch;
  in_iteration(path, dir, iteration, name);
  if (tpo_samples_write(&samples, path, &err) < 0) fail_msg("%s", err.message);
  tpo_samples_free(&samples);
}

/* Every prompt but each third gives one pair; margins grow with the prompt's number. */
static inline void put_pairs(const char *dir, int iteration, const struct folder_options *o)
{
  static const int32_t ids[] = {1, 2, 3};
  static const uint8_t mask[] = {1, 1, 1};
  char path[4096], id[256];
  struct tpo_error err = {0};
  struct tpo_pairs pairs = {0};
  for (int p = 0; p < o->prompts; p++) {
    if (p % 3 == 2) continue;
    snprintf(id, sizeof id, "%s-%d", or_else(o->texts.id, "prompt"), p);
    const struct tpo_pair_row row = {.prompt_id = id,
                                     .chosen_row = p * o->k,
                                     .rejected_row = p * o->k + o->k - 1,
                                     .chosen_score = 1,
                                     .rejected_score = 0.5,
                                     .margin = 1 + p,
                                     .prompt_ids = ids,
                                     .chosen_ids = ids,
                                     .rejected_ids = ids,
                                     .n_prompt = 3,
                                     .n_chosen = 3,
                                     .n_rejected = 3,
                                     .chosen_mask = mask,
                                     .rejected_mask = mask,
                                     .chosen_ref_logprob = -3,
                                     .rejected_ref_logprob = NAN};
    if (tpo_pairs_add(&pairs, &row, &err) < 0) fail_msg("%s", err.message);
  }
  in_iteration(path, dir, iteration, "pairs.h5");
  if (tpo_pairs_write(&pairs, path, &err) < 0) fail_msg("%s", err.message);
  tpo_pairs_free(&pairs);
}

static inline void put_events(struct tpo_buf *out, int i, const struct folder_options *o)
{
  tpo_buf_printf(out,
                 "{\"event\":\"sample\",\"iteration\":%d,\"prompts\":%d,\"samples\":%d,\"tokens\":4096,"
                 "\"seconds\":8,\"format_rate\":0.75,\"mean_thought_tokens\":31.5,\"thought_tokens_25\":21,"
                 "\"thought_tokens_50\":32,\"thought_tokens_75\":43,\"mean_response_tokens\":52,"
                 "\"response_tokens_25\":41,\"response_tokens_50\":51,\"response_tokens_75\":null,"
                 "\"mean_response_chars\":210,\"repetition\":0.125}\n",
                 i, o->prompts, o->prompts * o->k);
  tpo_buf_printf(out,
                 "{\"event\":\"judge\",\"iteration\":%d,\"mean_score\":0.42,\"best_score\":0.81,"
                 "\"worst_score\":0.11,\"failures\":3}\n",
                 i);
  tpo_buf_printf(out,
                 "{\"event\":\"pairs\",\"iteration\":%d,\"prompts\":20,\"pairs\":14,\"ties\":1,"
                 "\"single_valued\":4,\"too_few\":1,\"rho\":0.15,\"mean_chosen_length\":%d,"
                 "\"mean_rejected_length\":%d,\"tie_share\":0.25,\"unpaired_share\":0.3,"
                 "\"length_difference\":-11.5,\"length_difference_tokens\":-2.25}\n",
                 i, 200 - 3 * i, 205 + 2 * i);
  tpo_buf_printf(out,
                 "{\"event\":\"kl\",\"iteration\":%d,\"outputs\":64,\"tokens\":2000,\"per_output\":1.5,"
                 "\"per_output_se\":0.125,\"per_token\":0.04375,\"k3_per_token\":0.04625}\n",
                 i);
  tpo_buf_printf(
      out,
      "{\"event\":\"win_rate\",\"iteration\":%d,\"against\":\"previous\",\"baseline_iteration\":%d,"
      "\"n\":32,\"wins\":17,\"losses\":13,\"ties\":2,\"win_rate\":0.5625,\"standard_error\":0.0875}\n"
      "{\"event\":\"win_rate\",\"iteration\":%d,\"against\":\"baseline\",\"baseline_iteration\":%d,"
      "\"n\":32,\"wins\":20,\"losses\":12,\"ties\":0,\"win_rate\":0.625,\"standard_error\":null}\n",
      i, i - 1, i, i);
  tpo_buf_printf(out, "{\"event\":\"logprob_gap\",\"iteration\":%d,\"max\":0.0123,\"mean\":0.0011}\n", i);
  for (int s = 0; s < 12; s++)
    tpo_buf_printf(out,
                   "{\"event\":\"step\",\"iteration\":%d,\"step\":%d,\"epoch\":0.5,\"lr\":%g,\"loss\":%.6f,"
                   "\"accuracy\":%.3f,\"margin\":%.4f,\"chosen_logprob\":%.2f,\"rejected_logprob\":%.2f,"
                   "\"grad_norm\":%.3f,\"tokens\":900,\"seconds\":0.5}\n",
                   i, s + 1, 2e-6 * (1 - s / 12.0), 0.6931 - 0.01 * s + 0.004 * (s % 3), 0.5 + 0.03 * s,
                   0.02 * s, -90 + 0.2 * s, -95 - 0.4 * s, 3 + sin(s));
  tpo_buf_printf(out,
                 "{\"event\":\"epoch\",\"iteration\":%d,\"epoch\":1,\"score\":0.431}\n"
                 "{\"event\":\"epoch\",\"iteration\":%d,\"epoch\":2,\"score\":0.452}\n"
                 "{\"event\":\"selected\",\"iteration\":%d,\"epoch\":2}\n",
                 i, i, i);
}

static inline void put_validate_event(struct tpo_buf *out, int i, double difference, double se)
{
  tpo_buf_printf(out,
                 "{\"event\":\"validate\",\"iteration\":%d,\"n\":32,\"mean_score\":%.4f,\"format_rate\":0.9,"
                 "\"mean_thought_tokens\":%d,\"mean_response_tokens\":%d,\"mean_response_chars\":240,"
                 "\"repetition\":0.25,\"difference\":%.4f,\"difference_se\":%.4f}\n",
                 i, 0.4 + difference, 30 + i, 55 - i, difference, se);
}

/* The whole folder. `difference` of the last iteration against the start, ± 0.02. */
static inline void make_run(const char *dir, const struct folder_options *o, double difference)
{
  struct tpo_buf metrics = {0}, manifest = {0};
  put_samples(dir, 0, "validation.h5", o, 1, true);
  put_validate_event(&metrics, 0, 0, 0);
  tpo_buf_puts(&manifest,
               "{\"version\":1,\"tpo_version\":\"0.1.0\",\"created\":\"2026-01-31T12:00:00Z\",\"seed\":7,"
               "\"ranks\":2,\"steps\":[{\"iteration\":0,\"step\":\"validate\",\"files\":[],\"seconds\":4.5}");
  for (int i = 1; i <= o->iterations; i++) {
    bool stops = o->unfinished && i == o->iterations;
    put_samples(dir, i, "samples.h5", o, o->k, false);
    tpo_buf_printf(&manifest, ",{\"iteration\":%d,\"step\":\"sample\",\"files\":[],\"seconds\":75}", i);
    if (stops) break;
    put_samples(dir, i, "scored.h5", o, o->k, true);
    put_pairs(dir, i, o);
    put_samples(dir, i, "validation.h5", o, 1, true);
    put_events(&metrics, i, o);
    put_validate_event(&metrics, i, difference * i / o->iterations, 0.02);
    tpo_buf_printf(&manifest,
                   ",{\"iteration\":%d,\"step\":\"dpo\",\"files\":[],\"seconds\":3725.2},"
                   "{\"iteration\":%d,\"step\":\"validate\",\"files\":[],\"seconds\":5}",
                   i, i);
  }
  tpo_buf_printf(&manifest, "],\"done\":%s}\n", o->unfinished ? "false" : "true");
  put_file(dir, "metrics.jsonl", metrics.data);
  put_file(dir, "manifest.json", manifest.data);
  put_file(dir, "config.yaml", "seed: 7\nmodel:\n  path: models/tiny.gguf\ntrain:\n  epochs: 2\n");
  tpo_buf_free(&metrics);
  tpo_buf_free(&manifest);
}

/* Writes the report of dir and returns it; free() it. */
static inline char *report_of(const char *dir)
{
  char path[4200];
  struct tpo_error err = {0};
  struct tpo_buf page = {0};
  snprintf(path, sizeof path, "%s/report.html", dir);
  if (tpo_report_write(dir, path, &err) < 0) fail_msg("%s", err.message);
  if (tpo_read_file(path, (size_t)1 << 30, &page, &err) < 0) fail_msg("%s", err.message);
  return tpo_buf_take(&page);
}

#endif
