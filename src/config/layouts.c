/* Layouts by name, `auto` among them, and what they give the chat template. */
#include "config/layouts.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"

const char *layout_standing_for(const char *name)
{
  return strcmp(name, LAYOUT_AUTO) == 0 ? "generic" : name;
}

bool tpo_config_thought_is_open(const struct tpo_thought_config *thought)
{
  return thought->name && strcmp(thought->name, LAYOUT_AUTO) == 0;
}

/* Of a section that a layout was loaded into: not given beside it. */
static bool is_of_layout(const struct tpo_config *config, int key)
{
  const char *origin = config->origins ? config->origins->of[key] : NULL;
  return !origin || strcmp(origin, "built-in " LAYOUT_AUTO) == 0;
}

bool layout_leaves_open(const struct tpo_config *config, int key)
{
  return tpo_config_thought_is_open(&config->thought) && config_in_section(key, "thought") &&
         strcmp(config_keys[key].path, "thought.name") != 0 && is_of_layout(config, key);
}

/* Of the types that keys of a layout have. */
static void swap_values(struct tpo_config *a, struct tpo_config *b, int key)
{
  char kept[sizeof(char *)];
  enum key_type type = config_keys[key].type;
  void *of_a = (char *)a + config_keys[key].offset, *of_b = (char *)b + config_keys[key].offset;
  size_t size = type == KEY_TEXT || type == KEY_MAP           ? sizeof(char *)
                : type == KEY_BOOL || type == KEY_CHOICE_BOOL ? sizeof(bool)
                                                              : sizeof(int);
  memcpy(kept, of_a, size);
  memcpy(of_a, of_b, size);
  memcpy(of_b, kept, size);
}

static int replace_text(char **text, const char *with, struct tpo_error *err)
{
  char *copy = strdup(with);
  if (!copy) return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  free(*text);
  *text = copy;
  return 0;
}

static int settle_section(struct tpo_config *config, const char *name, struct tpo_error *err)
{
  struct tpo_config layout;
  tpo_config_default(&layout);
  int status = tpo_config_set_thought(&layout, name, "thought", err);
  for (int key = 0; key < config_n_keys && status == 0; key++) {
    if (!layout_leaves_open(config, key)) continue;
    swap_values(config, &layout, key);
    config_set_origin(config, key, layout.origins ? layout.origins->of[key] : NULL);
  }
  tpo_config_free(&layout);
  return status < 0 ? status : replace_text(&config->thought.name, name, err);
}

int tpo_config_settle_thought(struct tpo_config *config, const char *name, struct tpo_error *err)
{
  int status = 0;
  if (tpo_config_thought_is_open(&config->thought)) status = settle_section(config, name, err);
  for (int i = 0; i < config->run.n_watch && status == 0; i++) {
    char **own = &config->run.watch[i].thought;
    if (*own && strcmp(*own, LAYOUT_AUTO) == 0) status = replace_text(own, name, err);
  }
  return status;
}

const char *layout_args_taken(const json_t *variables)
{
  static const char *const taken[] = {"messages", "tools", "documents", "add_generation_prompt"};
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
    if (json_object_get(variables, taken[i])) return taken[i];
  return NULL;
}

void layout_fill_in(struct tpo_config *config, struct tpo_config *own)
{
  for (int key = 0; key < config_n_keys; key++) {
    if (!config_in_section(key, "thought") || strcmp(config_origin(config, key), "default") != 0) continue;
    swap_values(config, own, key);
    config_set_origin(config, key, own->origins ? own->origins->of[key] : NULL);
  }
}

bool layout_args_are_built_in(const struct tpo_thought_config *thought)
{
  struct tpo_config layout;
  if (!thought->name || !thought->template_args || !config_is_builtin_thought(thought->name)) return false;
  tpo_config_default(&layout);
  const char *args = tpo_config_set_thought(&layout, thought->name, "thought", NULL) == 0
                         ? layout.thought.template_args
                         : NULL;
  bool same = args && strcmp(args, thought->template_args) == 0;
  tpo_config_free(&layout);
  return same;
}

static bool is_word(const char *name)
{
  bool word = *name && !isdigit((unsigned char)*name);
  for (const char *c = name; *c && word; c++) word = *c == '_' || isalnum((unsigned char)*c);
  return word;
}

/* Whether a template can ask for it: Jinja's own words name no variable. */
static bool is_variable(const char *name)
{
  static const char *const words[] = {"and", "or",   "not",  "in",    "is",    "if",   "elif", "else",
                                      "for", "true", "True", "false", "False", "none", "None"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strcmp(name, words[i]) == 0) return false;
  return is_word(name);
}

static const char *names_problem(json_t *variables)
{
  const char *name;
  json_t *value;
  json_object_foreach(variables, name, value)
  {
    if (!is_variable(name))
      return "a name is no template's variable; expected letters, digits and _, no digit first, and no word of Jinja's "
             "own such as for";
  }
  return NULL;
}

const char *layout_args_problem(const char *args)
{
  if (!args) return NULL;
  json_t *variables = tpo_json_parse(args, strlen(args), "", NULL);
  const char *problem = NULL, *taken = layout_args_taken(variables);
  if (!json_is_object(variables))
    problem = "expected a mapping of the template's variables";
  else if (taken && strcmp(taken, "add_generation_prompt") == 0)
    problem = "add_generation_prompt can't be given: a prompt always ends where the answer begins";
  else if (taken)
    problem = "messages, tools and documents are of the chat itself and can't be given";
  else
    problem = names_problem(variables);
  json_decref(variables);
  return problem;
}
