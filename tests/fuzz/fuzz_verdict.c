/* A judge's pattern and a model's answer, a prompt and what fills it (parts: pattern, answer, prompt). */
#include <math.h>
#include "fuzz/fuzz.h"
#include "base/utf8.h"
#include "judge/prompt.h"
#include "judge/verdict.h"

static struct judge_found read_once(const struct judge_reader *reader, char *text, bool number)
{
  struct judge_found found;
  struct tpo_buf said = {0};
  const struct ask_answer answer = {.ok = true, .text = text};
  int status = (number ? judge_read_number : judge_read_verdict)(reader, &answer, &said, &found, NULL);
  CLAIM(status == 0, "%d", status);
  CLAIM(tpo_utf8_valid(said.data, said.len, NULL), "%s", said.data);
  CLAIM(said.len <= 3 * strlen(text), "%zu bytes of %zu", said.len, strlen(text));
  tpo_buf_free(&said);
  return found;
}

static void read_answer(char *pattern, char *thought, char *answer)
{
  struct judge_reader reader;
  struct tpo_error err = {0};
  const struct tpo_judge_config config = {.pattern = pattern, .thought_pattern = thought};
  if (fuzz_refused(judge_reader_open(&reader, &config, &err), &err)) {
    judge_reader_close(&reader);
    return;
  }
  struct judge_found verdict = read_once(&reader, answer, false), number = read_once(&reader, answer, true);
  CLAIM(verdict.verdict >= JUDGE_VERDICT_NONE && verdict.verdict <= JUDGE_VERDICT_NEITHER, "%d",
        (int)verdict.verdict);
  CLAIM(read_once(&reader, answer, false).verdict == verdict.verdict,
        "another verdict at the second reading");
  CLAIM(verdict.reading != JUDGE_READ || number.reading != JUDGE_READ, "both a verdict and the number %g",
        number.number);
  if (number.reading == JUDGE_READ) CLAIM(isfinite(number.number), "%g", number.number);
  judge_reader_close(&reader);
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
  read_answer(pattern, NULL, answer);
  read_answer(NULL, pattern, answer);
  read_answer(NULL, NULL, answer);
  fill(prompt, answer);
  free(pattern);
  free(answer);
  free(prompt);
  return 0;
}
