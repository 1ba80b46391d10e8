/* Samples made of what the run layer's arithmetic looks at. */
#ifndef TESTS_LOOP_ROWS_H
#define TESTS_LOOP_ROWS_H

#include "unit.h"
#include <math.h>
#include "tpo/store.h"

struct sketch {
  const char *id;
  double score;         /* NaN: none */
  const char *response; /* NULL: the format failed */
  int thought, tokens;
  const char *instruction, *detail; /* NULL: "Do it.", "{}" */
  const char *meta, *text;          /* text: the thought's; NULL: "{}", "" */
};

/* k counts within a prompt. */
static inline void sketch_samples(struct tpo_samples *samples, const struct sketch *rows, size_t n)
{
  static const int32_t ids[64];
  struct tpo_error err = {0};
  int k = 0;
  for (size_t i = 0; i < n; i++) {
    k = i > 0 && strcmp(rows[i].id, rows[i - 1].id) == 0 ? k + 1 : 0;
    const struct tpo_sample_row row = {.prompt_id = rows[i].id,
                                       .instruction = rows[i].instruction ? rows[i].instruction : "Do it.",
                                       .k = k,
                                       .response = rows[i].response,
                                       .format_ok = rows[i].response != NULL,
                                       .prompt_ids = ids,
                                       .n_prompt = 1,
                                       .token_ids = ids,
                                       .n_tokens = rows[i].tokens,
                                       .n_thought_tokens = rows[i].thought,
                                       .scored = !isnan(rows[i].score),
                                       .score = rows[i].score,
                                       .score_detail = rows[i].detail,
                                       .meta = rows[i].meta,
                                       .thought = rows[i].text};
    if (tpo_samples_add(samples, &row, &err) < 0) fail_msg("%s", err.message);
  }
  samples->is_scored = true;
}

#define ROW(id_, score_, response_, thought_, tokens_)                                                       \
  {                                                                                                          \
    .id = id_, .score = score_, .response = response_, .thought = thought_, .tokens = tokens_                \
  }
#define TEXT_ROW(id_, score_, response_, thought_, tokens_, instruction_, detail_)                           \
  {                                                                                                          \
    .id = id_, .score = score_, .response = response_, .thought = thought_, .tokens = tokens_,               \
    .instruction = instruction_, .detail = detail_                                                           \
  }
#define SKETCH(samples, ...)                                                                                 \
  do {                                                                                                       \
    const struct sketch rows_[] = {__VA_ARGS__};                                                             \
    sketch_samples(samples, rows_, sizeof rows_ / sizeof *rows_);                                            \
  } while (0)

static inline void assert_near(double got, double expected)
{
  if (!(fabs(got - expected) <= 1e-12 * fmax(1, fabs(expected))))
    fail_msg("got %.17g, expected %.17g", got, expected);
}

#endif
