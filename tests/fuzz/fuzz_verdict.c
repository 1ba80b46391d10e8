/* A judge's pattern and a model's answer, a prompt and what fills it (parts: pattern, answer, prompt). */
#include <math.h>
#include "fuzz/fuzz.h"
#include "judge/verdict.h"

static void read_answer(const char *pattern, const char *answer)
{
  struct judge_pattern *compiled;
  struct tpo_error err = {0};
  double number = NAN, again = NAN;
  if (fuzz_refused(judge_pattern_open(&compiled, pattern, &err), &err)) return;
  enum judge_verdict verdict = judge_read_verdict(compiled, answer);
  CLAIM(verdict >= JUDGE_VERDICT_NONE && verdict <= JUDGE_VERDICT_NEITHER, "%d", (int)verdict);
  CLAIM(judge_read_verdict(compiled, answer) == verdict, "another verdict at the second reading");
  if (judge_read_number(compiled, answer, &number)) {
    CLAIM(isfinite(number), "%g", number);
    CLAIM(verdict == JUDGE_VERDICT_NONE, "both a verdict and the number %g", number);
    CLAIM(judge_read_number(compiled, answer, &again) && again == number, "%g, then %g", number, again);
  }
  judge_pattern_close(compiled);
}

/* Filling in the names themselves changes nothing; a prompt that passes the check holds what fills it. */
static void fill(const char *prompt, const char *answer)
{
  static const char *const names[] = {"instruction", "response"};
  const struct judge_field themselves[] = {{"instruction", "{instruction}"}, {"response", "{response}"}};
  const struct judge_field fields[] = {{"instruction", answer}, {"response", ""}};
  struct tpo_error err = {0};
  char *same = judge_prompt_fill(prompt, themselves, 2), *filled = judge_prompt_fill(prompt, fields, 2);
  CLAIM(same && filled && strcmp(same, prompt) == 0, "%s", same ? same : "no memory");
  if (!fuzz_refused(judge_prompt_check(prompt, names, 2, "judge.prompt", &err), &err)) {
    CLAIM(strstr(filled, answer), "%s", filled);
    CLAIM(strlen(filled) + strlen("{instruction}{response}") == strlen(prompt) + strlen(answer), "%s",
          filled);
  }
  free(same);
  free(filled);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct part parts[3];
  fuzz_parts(data, size, parts, 3);
  char *pattern = fuzz_string(parts[0]), *answer = fuzz_string(parts[1]), *prompt = fuzz_string(parts[2]);
  read_answer(pattern, answer);
  read_answer(JUDGE_VERDICT_PATTERN, answer);
  fill(prompt, answer);
  free(pattern);
  free(answer);
  free(prompt);
  return 0;
}
