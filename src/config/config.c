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

bool config_is_set(const struct tpo_config *config, int key)
{
  return config->origins && config->origins->of[key];
}

void config_set_origin(struct tpo_config *config, int key, const char *origin)
{
  if (!config->origins) return;
  /* short of memory, a value shows as a default: no harm to the run */
  char *copy = origin ? strdup(origin) : NULL;
  free(config->origins->of[key]);
  config->origins->of[key] = copy;
}

/* Where the values of a section came from. */
static void exchange_origins(struct tpo_config *a, struct tpo_config *b, const char *section)
{
  for (int key = 0; key < config_n_keys; key++) {
    if (!config_in_section(key, section) || !a->origins || !b->origins) continue;
    char *origin = a->origins->of[key];
    a->origins->of[key] = b->origins->of[key];
    b->origins->of[key] = origin;
  }
}

void config_exchange_thought(struct tpo_config *a, struct tpo_config *b)
{
  struct tpo_thought_config thought = a->thought;
  a->thought = b->thought;
  b->thought = thought;
  exchange_origins(a, b, "thought");
}

void config_exchange_template(struct tpo_config *a, struct tpo_config *b)
{
  struct tpo_template_config pieces = a->template_pieces;
  a->template_pieces = b->template_pieces;
  b->template_pieces = pieces;
  exchange_origins(a, b, "template");
}

int tpo_config_take_prompts(struct tpo_config *config, const char *yaml, const char *place,
                            struct tpo_error *err)
{
  struct tpo_config other;
  tpo_config_default(&other);
  int status = tpo_config_load_text(&other, yaml, strlen(yaml), place, NULL, err);
  if (status == 0) {
    config_exchange_thought(config, &other);
    config_exchange_template(config, &other);
  }
  tpo_config_free(&other);
  return status;
}
