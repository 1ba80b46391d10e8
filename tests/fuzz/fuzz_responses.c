/* Word problems, responses to them, and a text that gives an answer. What is read is in order and complete, written
 * again it reads equal, and a number is finite. */
#include <math.h>
#include "eval/tasks/given.h"
#include "eval/tasks/gsm8k.h"
#include "fuzz/fuzz.h"

static void is_told(struct eval_gsm8k_answer answer)
{
  bool nowhere = answer.place == EVAL_GSM8K_NOWHERE;
  CLAIM(nowhere ? isnan(answer.number) : isfinite(answer.number), "%s %g",
        eval_gsm8k_place_name(answer.place), answer.number);
}

static void text_gives_a_number_or_none(struct part part)
{
  char *text = fuzz_string(part);
  is_told(eval_gsm8k_of_text(text));
  is_told(eval_gsm8k_of_solution(text));
  free(text);
}

static void is_in_order(const struct eval_given *given)
{
  for (size_t i = 1; i < given->n; i++) {
    const struct eval_given_row *a = &given->rows[i - 1], *b = &given->rows[i];
    bool later = a->model < b->model || (a->model == b->model && a->prompt < b->prompt);
    CLAIM(later || (a->model == b->model && a->prompt == b->prompt && a->k < b->k), "row %zu", i);
  }
}

static void written_reads_the_same(const struct eval_given *given, const struct tpo_samples *samples,
                                   size_t first, const struct eval_prompt *prompts, size_t n)
{
  struct eval_given again;
  struct tpo_error err = {0};
  const char *path = fuzz_path("again.jsonl");
  CLAIM(eval_given_write(path, samples, "index", "question", prompts, n, &err) == 0, "%s", err.message);
  CLAIM(eval_given_read(&again, path, prompts, n, "response", &err) == 0, "%s", err.message);
  CLAIM(again.n == samples->n && again.unknown == 0, "%zu of %zu", again.n, samples->n);
  for (size_t i = 0; i < again.n; i++) {
    const struct eval_given_row *a = &again.rows[i], *b = &given->rows[first + i];
    CLAIM(a->prompt == b->prompt && a->k == b->k && a->format_ok == b->format_ok, "row %zu", i);
    CLAIM(strcmp(a->response, b->response) == 0, "row %zu: %s", i, a->response);
  }
  eval_given_free(&again);
}

static void is_scored(const struct eval_gsm8k_set *set, const struct tpo_samples *samples)
{
  struct eval_gsm8k score;
  struct tpo_error err = {0};
  CLAIM(eval_gsm8k_score(set, samples, eval_gsm8k_of_text, &score, &err) == 0, "%s", err.message);
  CLAIM(score.n + score.missing == set->n && score.n > 0, "%zu and %zu", score.n, score.missing);
  CLAIM(score.n_responses == samples->n && score.n_correct <= samples->n, "%zu", score.n_correct);
  CLAIM(score.accuracy >= 0 && score.accuracy <= 1, "%g", score.accuracy);
  for (size_t i = 0; i < samples->n; i++) is_told(score.verdicts[i].answer);
  eval_gsm8k_score_free(&score);
}

static void read_responses(const struct eval_gsm8k_set *set, const char *path)
{
  struct eval_given given;
  struct tpo_error err = {0};
  struct eval_prompt *prompts = calloc(set->n, sizeof *prompts);
  CLAIM(prompts, "no memory");
  for (size_t i = 0; i < set->n; i++)
    prompts[i] = (struct eval_prompt){set->rows[i].id, set->rows[i].question};
  if (!fuzz_refused(eval_given_read(&given, path, prompts, set->n, "response", &err), &err)) {
    is_in_order(&given);
    for (size_t m = 0; m < given.n_models; m++) {
      struct tpo_samples samples;
      size_t first;
      CLAIM(eval_given_samples(&given, m, &samples, &first, &err) == 0, "%s", err.message);
      if (samples.n > 0) is_scored(set, &samples);
      if (samples.n > 0) written_reads_the_same(&given, &samples, first, prompts, set->n);
      tpo_samples_free(&samples);
    }
  }
  eval_given_free(&given);
  free(prompts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct part parts[3];
  struct tpo_error err = {0};
  struct eval_gsm8k_set set;
  fuzz_parts(data, size, parts, 3);
  text_gives_a_number_or_none(parts[2]);
  const char *rows = fuzz_put("rows", parts[0]), *responses = fuzz_put("responses", parts[1]);
  if (!fuzz_refused(eval_gsm8k_read(&set, rows, 0, &err), &err)) {
    struct tpo_instructions asked = {0};
    for (size_t i = 0; i < set.n; i++) CLAIM(isfinite(set.rows[i].final) && set.rows[i].id[0], "row %zu", i);
    CLAIM(eval_gsm8k_ask(&set, (struct eval_gsm8k_prompting){EVAL_GSM8K_SHOTS, 2}, &asked, &err) == 0, "%s",
          err.message);
    CLAIM(asked.n == set.n, "%zu of %zu", asked.n, set.n);
    tpo_instructions_free(&asked);
    read_responses(&set, responses);
  }
  eval_gsm8k_free(&set);
  return 0;
}
