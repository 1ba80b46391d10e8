/* The run that this one is compared with. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "run/loop.h"

/* "<baseline>/iter-NNN/validation.h5". */
static int validation_path(const struct loop *loop, int iteration, char out[4096], struct tpo_error *err)
{
  char inner[64];
  snprintf(inner, sizeof inner, "iter-%03d/validation.h5", iteration);
  return tpo_path_join(out, 4096, loop->config->run.baseline, inner, err);
}

int loop_baseline_path(const struct loop *loop, int *iteration, char out[4096], struct tpo_error *err)
{
  for (*iteration = loop->iteration; *iteration >= 0; --*iteration) {
    int status = validation_path(loop, *iteration, out, err);
    if (status < 0 || tpo_file_exists(out)) return status;
  }
  return tpo_fail(err, TPO_E_USAGE, "run.baseline: %s has no iter-000/validation.h5",
                  loop->config->run.baseline);
}

/* The next line of the judge's section that bears on scores, without its end; NULL: no more. *at: where the
 * section goes on. */
static const char *next_line(const char **at, size_t *len)
{
  static const char *const free_keys[] = {"max_failed", "slots",   "batch_tokens", "concurrency",
                                          "timeout",    "retries", "cache",        "key_env"};
  enum { n_free = sizeof free_keys / sizeof *free_keys };
  while (**at == ' ') {
    const char *line = *at, *key = line + strspn(line, " -");
    size_t k = 0, key_len = strcspn(key, ":\n");
    *len = strcspn(line, "\n");
    *at = line + *len + (line[*len] == '\n');
    while (k < n_free && (strlen(free_keys[k]) != key_len || strncmp(free_keys[k], key, key_len) != 0)) k++;
    if (k == n_free) return line;
  }
  *len = 0;
  return NULL;
}

static const char *judge_section(const char *yaml)
{
  const char *at = strstr(yaml, "\njudge:\n");
  return at ? at + strlen("\njudge:\n") : "";
}

/* Scores by another judge, or by the same one set otherwise, say nothing beside each other. */
static int same_judge(const struct loop *loop, const struct tpo_config *other, struct tpo_error *err)
{
  char *here = tpo_config_print(loop->config, false), *there = tpo_config_print(other, false);
  int status = here && there ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory");
  const char *a = status == 0 ? judge_section(here) : "", *b = status == 0 ? judge_section(there) : "";
  while (status == 0) {
    size_t a_len, b_len;
    const char *x = next_line(&a, &a_len), *y = next_line(&b, &b_len);
    if (!x && !y) break;
    if (x && y && a_len == b_len && memcmp(x, y, a_len) == 0) continue;
    status = tpo_fail(
        err, TPO_E_USAGE,
        "run.baseline: %s was judged otherwise than this run is: there judge has \"%.*s\", here "
        "\"%.*s\"",
        loop->config->run.baseline, (int)(y ? b_len - strspn(y, " ") : 0), y ? y + strspn(y, " ") : "",
        (int)(x ? a_len - strspn(x, " ") : 0), x ? x + strspn(x, " ") : "");
  }
  free(here);
  free(there);
  return status;
}

static int check(const struct loop *loop, struct tpo_error *err)
{
  static const char *const needed[] = {"manifest.json", "config.yaml", "iter-000/validation.h5"};
  const char *dir = loop->config->run.baseline;
  char path[4096];
  struct tpo_config other;
  if (loop->config->data.validation_prompts == 0)
    return tpo_fail(err, TPO_E_USAGE,
                    "run.baseline: responses to validation instructions are compared, and "
                    "data.validation_prompts is 0");
  if (!tpo_is_dir(dir)) return tpo_fail(err, TPO_E_USAGE, "run.baseline: %s is no folder of a run", dir);
  if (tpo_same_file(dir, loop->config->run.dir))
    return tpo_fail(err, TPO_E_USAGE, "run.baseline: %s is this run's own folder", dir);
  for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
    if (tpo_path_join(path, sizeof path, dir, needed[i], err) < 0) return TPO_E_USAGE;
    if (!tpo_file_exists(path))
      return tpo_fail(err, TPO_E_USAGE,
                      "run.baseline: %s has no %s; expected the folder of a run that was validated", dir,
                      needed[i]);
  }
  if (tpo_path_join(path, sizeof path, dir, "config.yaml", err) < 0) return TPO_E_USAGE;
  tpo_config_default(&other);
  int status = tpo_config_load(&other, path, NULL, err);
  if (status == 0) status = same_judge(loop, &other, err);
  tpo_config_free(&other);
  return status;
}

int loop_check_baseline(const struct loop *loop, struct tpo_error *err)
{
  const char *dir = loop->config->run.baseline;
  return loop_agree(loop, loop->first && dir && *dir ? check(loop, err) : 0, err);
}
