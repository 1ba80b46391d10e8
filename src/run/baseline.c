/* The run that this one is compared with. */
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "config/keys.h"
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
    if (status == 0) status = tpo_look_for(out, err);
    if (status != 0) return status < 0 ? status : 0;
  }
  return tpo_fail(err, TPO_E_USAGE, "run.baseline: %s has no iter-000/validation.h5",
                  loop->config->run.baseline);
}

/* Key by key. Scores by another judge, or of outputs drawn otherwise, say nothing beside each other. */
static int same_validation(const struct loop *loop, const struct tpo_config *other, struct tpo_error *err)
{
  int status = 0;
  for (int key = 0; key < config_n_keys && status == 0; key++) {
    if (!config_bears_on_validation(key)) continue;
    struct tpo_buf here = {0}, there = {0};
    const char *name = config_keys[key].path;
    config_append_value(loop->config, key, &here);
    config_append_value(other, key, &there);
    if (here.failed || there.failed)
      status = tpo_fail(err, TPO_E_MEMORY, "out of memory");
    else if (strcmp(here.data, there.data) != 0)
      status = tpo_fail(err, TPO_E_USAGE,
                        "run.baseline: %.300s was %s otherwise than this run is: "
                        "there \"%s: %.200s\", here \"%s: %.200s\"",
                        loop->config->run.baseline, config_in_section(key, "judge") ? "judged" : "validated",
                        name, there.data, name, here.data);
    tpo_buf_free(&here);
    tpo_buf_free(&there);
  }
  return status;
}

/* One that still runs has no last iteration yet: which one stands in for a later one of this run is left to
 * chance. */
static int warn_of_unfinished(const char *manifest, struct tpo_error *err)
{
  json_t *root = tpo_json_load(manifest, 64u << 20, err);
  if (!root) return TPO_E_INPUT;
  if (!json_is_true(json_object_get(root, "done")))
    tpo_log(TPO_LOG_WARN,
            "run.baseline: %s tells of a run that is not finished; "
            "iterations that it lacks are compared with its last one",
            manifest);
  json_decref(root);
  return 0;
}

static int check(const struct loop *loop, struct tpo_error *err)
{
  static const char *const needed[] = {"manifest.json", "config.yaml", "iter-000/validation.h5"};
  const char *dir = loop->config->run.baseline;
  char path[4096];
  struct tpo_config other;
  if (loop->config->data.validation_prompts == 0)
    return tpo_fail(err, TPO_E_USAGE,
                    "run.baseline: responses to validation instructions are compared, "
                    "and data.validation_prompts is 0");
  if (tpo_same_file(dir, loop->config->run.dir))
    return tpo_fail(err, TPO_E_USAGE, "run.baseline: %s is this run's own folder", dir);
  int status = tpo_look_for(dir, err);
  if (status < 0) return status;
  if (!tpo_is_dir(dir)) return tpo_fail(err, TPO_E_USAGE, "run.baseline: %s is no folder of a run", dir);
  for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
    if (tpo_path_join(path, sizeof path, dir, needed[i], err) < 0) return TPO_E_USAGE;
    status = tpo_look_for(path, err);
    if (status < 0) return status;
    if (status == 0)
      return tpo_fail(err, TPO_E_USAGE,
                      "run.baseline: %s has no %s; expected the folder of a run that was validated", dir,
                      needed[i]);
  }
  if (tpo_path_join(path, sizeof path, dir, "config.yaml", err) < 0) return TPO_E_USAGE;
  tpo_config_default(&other);
  status = tpo_config_load(&other, path, NULL, err);
  if (status == 0) status = same_validation(loop, &other, err);
  tpo_config_free(&other);
  if (status == 0) status = tpo_path_join(path, sizeof path, dir, "manifest.json", err);
  return status < 0 ? status : warn_of_unfinished(path, err);
}

int loop_check_baseline(const struct loop *loop, struct tpo_error *err)
{
  const char *dir = loop->config->run.baseline;
  return loop_agree(loop, loop->first && dir && *dir ? check(loop, err) : 0, err);
}
