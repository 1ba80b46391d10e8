/* The defaults of a configuration, its memory, and where each value came from. */
#include <stdlib.h>
#include <string.h>
#include "config/keys.h"

void tpo_config_default(struct tpo_config *config)
{
  memset(config, 0, sizeof *config);
  config->origins = calloc(1, sizeof *config->origins);
  for (int key = 0; key < config_n_keys; key++) config_reset(config, key);
  struct config_report report = {0};
  const char *name = config->thought.name ? config->thought.name : "generic";
  char *copy = strdup(name); /* loading the layout resets the name */
  if (copy) config_load_thought(config, copy, NULL, "defaults", 0, &report);
  free(copy);
  tpo_buf_free(&report.lines);
  for (int key = 0; key < config_n_keys; key++) config_set_origin(config, key, NULL);
}

void tpo_config_free(struct tpo_config *config)
{
  for (int key = 0; key < config_n_keys; key++) {
    config_release(config, key);
    config_set_origin(config, key, NULL);
  }
  free(config->origins);
  memset(config, 0, sizeof *config);
}

const char *config_origin(const struct tpo_config *config, int key)
{
  const char *origin = config->origins ? config->origins->of[key] : NULL;
  return origin ? origin : "default";
}

void config_set_origin(struct tpo_config *config, int key, const char *origin)
{
  if (!config->origins) return;
  /* short of memory, a value shows as a default: no harm to the run */
  char *copy = origin ? strdup(origin) : NULL;
  free(config->origins->of[key]);
  config->origins->of[key] = copy;
}
