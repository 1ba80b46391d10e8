/* A configuration and settings over it (parts: YAML, KEY=VALUE of --set, a prompt file's YAML). What is
 * printed, loaded again, prints the same. */
#include "fuzz/fuzz.h"
#include "tpo/config.h"

/* Every line of a report names its place; that it is there says that something is wrong. */
static bool refused(int status, char *report, const struct tpo_error *err)
{
  CLAIM(status < 0 || !report || !*report, "reported without failing: %s", report);
  CLAIM(!report || tpo_utf8_valid(report, strlen(report), NULL), "%s", report);
  free(report);
  return fuzz_refused(status, err);
}

static void printed_loads_the_same(const struct tpo_config *config)
{
  struct tpo_config again;
  struct tpo_error err = {0};
  char *first = tpo_config_print(config, false), *with_origins = tpo_config_print(config, true),
       *report = NULL;
  CLAIM(first && with_origins);
  tpo_config_default(&again);
  int status = tpo_config_load_text(&again, with_origins, strlen(with_origins), "again", &report, &err);
  CLAIM(status == 0, "%s\n%s", report, with_origins);
  char *second = tpo_config_print(&again, false);
  CLAIM(second && strcmp(first, second) == 0, "%s\nand then\n%s", first, second);
  free(report);
  free(first);
  free(second);
  free(with_origins);
  tpo_config_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct part parts[3];
  struct tpo_config config;
  struct tpo_error err = {0};
  char *report = NULL, place[512];
  fuzz_parts(data, size, parts, 3);
  fuzz_put_or_remove("layout.yaml", parts[2]);
  snprintf(place, sizeof place, "%s", fuzz_path("config.yaml")); /* beside it is layout.yaml */
  tpo_config_default(&config);
  int status = tpo_config_load_text(&config, (const char *)parts[0].data, parts[0].len, place, &report, &err);
  bool whole = !refused(status, report, &err);
  char *assignment = fuzz_string(parts[1]);
  if (*assignment) whole &= !fuzz_refused(tpo_config_set(&config, assignment, "--set", &err), &err);
  if (whole) printed_loads_the_same(&config);
  report = NULL;
  status = tpo_config_check(&config, TPO_CHECK_ALL, &report, &err);
  refused(status, report, &err);
  free(assignment);
  tpo_config_free(&config);
  return 0;
}
