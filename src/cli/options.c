/* The command line is parsed by a command's table of options, and help is printed from it. */
#include "cli/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "config/keys.h"

static const struct option common_options[] = {
    {"--config", 0, "FILE", NULL, "read settings from a YAML file first; options override it"},
    {"--backend", 0, "auto|cpu|cuda", "model.backend", "where tensors are computed"},
    {"--threads", 't', "N", "model.threads", "threads a rank; 0: share the host's cores"},
    {"--isa", 0, "NAME", "model.isa", "CPU kernels: auto, scalar, avx2, avx512 or avx512_bf16"},
    {"--seed", 's', "S", "seed", "seed of all randomness"},
    {"--set", 0, "KEY=VALUE", NULL, "override one configuration key; may be repeated"},
    {"--quiet", 'q', NULL, NULL, "print warnings and errors only, no progress"},
    {"--verbose", 'v', NULL, NULL, "print more"},
    {"--log-json", 0, NULL, NULL, "log one JSON object a line, progress too"},
    {"--help", 'h', NULL, NULL, "show this help"},
    {NULL, 0, NULL, NULL, NULL},
};

static int count(const struct option *options)
{
  int n = 0;
  while (options[n].name) n++;
  return n;
}

/* The option at index i of the command's own options followed by the common ones. */
static const struct option *option_at(const struct command *command, int i)
{
  int own = count(command->options);
  return i < own ? &command->options[i] : &common_options[i - own];
}

const char *option_name(const struct command *command, int i, const char **key)
{
  if (i >= count(command->options) + count(common_options)) return NULL;
  *key = option_at(command, i)->key;
  return option_at(command, i)->name;
}

static int find(const struct command *command, const char *name, size_t len, char letter)
{
  int n = count(command->options) + count(common_options);
  for (int i = 0; i < n; i++) {
    const struct option *o = option_at(command, i);
    if (letter ? o->letter == letter : strlen(o->name) == len && strncmp(o->name, name, len) == 0) return i;
  }
  return -1;
}

static int set_key(struct invocation *in, const struct option *o, const char *value, struct tpo_error *err)
{
  if (strcmp(o->key, "thought") == 0) return tpo_config_set_thought(&in->config, value, o->name, err);
  struct tpo_buf assignment = {0};
  tpo_buf_printf(&assignment, "%s=%s", o->key, value);
  if (assignment.failed) return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  int status = tpo_config_set(&in->config, assignment.data, o->name, err);
  tpo_buf_free(&assignment);
  return status;
}

static int load_config(struct invocation *in, const char *path, struct tpo_error *err)
{
  char *report = NULL;
  int status = tpo_config_load(&in->config, path, &report, err);
  if (status < 0 && report && strchr(report, '\n') != strrchr(report, '\n')) fprintf(stderr, "%s", report);
  free(report);
  return status;
}

/* Settings from --config first, so that every other option overrides
 * the file wherever it stands on the line. */
static int apply(struct invocation *in, int index, const char *value, bool config_pass, struct tpo_error *err)
{
  const struct option *o = option_at(in->command, index);
  bool is_config = strcmp(o->name, "--config") == 0;
  if (config_pass) return is_config ? load_config(in, value, err) : 0;
  if (is_config) return 0;
  if (strcmp(o->name, "--set") == 0) return tpo_config_set(&in->config, value, "--set", err);
  if (strcmp(o->name, "--quiet") == 0) in->quiet = true;
  if (strcmp(o->name, "--verbose") == 0) in->verbose = true;
  if (strcmp(o->name, "--log-json") == 0) in->log_json = true;
  if (strcmp(o->name, "--help") == 0) in->help = true;
  in->values[index] = value;
  return o->key ? set_key(in, o, o->argument ? value : "true", err) : 0;
}

/* `--set thought.name=mine` with a prompt that is set behind it: as in a file, the order doesn't matter, and a
 * name that no layout has waits until the prompt is there. */
static bool is_waiting_label(const char *value, int n_rest, char **rest)
{
  const char *key = "thought.name=", *name = value + strlen(key);
  if (strncmp(value, key, strlen(key)) != 0 || config_is_builtin_thought(name) || tpo_file_exists(name))
    return false;
  for (int i = 0; i < n_rest && strcmp(rest[i], "--") != 0; i++) {
    const char *set = strncmp(rest[i], "--set=", 6) == 0 ? rest[i] + 6 : "";
    if (strcmp(rest[i], "--set") == 0 && i + 1 < n_rest) set = rest[i + 1];
    if (strncmp(set, "thought.prompt=", strlen("thought.prompt=")) == 0) return true;
  }
  return false;
}

static int unknown(const struct command *command, const char *name, size_t len, struct tpo_error *err)
{
  const char *nearest = NULL;
  int n = count(command->options) + count(common_options), best = (int)len / 3 + 1;
  for (int i = 0; i < n && len > 2; i++) {
    const char *known = option_at(command, i)->name;
    int distance = config_edit_distance(name, len, known, strlen(known));
    if (distance >= best) continue;
    best = distance;
    nearest = known;
  }
  return tpo_fail(err, TPO_E_USAGE, "tpo %s: unknown option '%.*s'%s%s%s; see tpo %s --help", command->name,
                  (int)len, name, nearest ? "; did you mean " : "", nearest ? nearest : "",
                  nearest ? "?" : "", command->name);
}

/* One pass over the arguments; the first only loads --config files. */
static int pass(struct invocation *in, int argc, char **argv, bool config_pass, struct tpo_error *err)
{
  in->n_positional = 0;
  bool only_positional = false;
  const char *label = NULL;
  for (int i = 0; i < argc; i++) {
    const char *arg = argv[i];
    if (!only_positional && strcmp(arg, "--") == 0) {
      only_positional = true;
      continue;
    }
    if (only_positional || arg[0] != '-' || arg[1] == '\0') {
      if (in->n_positional == in->command->n_positional_max)
        return tpo_fail(err, TPO_E_USAGE, "tpo %s: unexpected argument '%s'; see tpo %s --help",
                        in->command->name, arg, in->command->name);
      in->positional[in->n_positional++] = arg;
      continue;
    }
    bool is_long = arg[1] == '-';
    const char *equals = is_long ? strchr(arg, '=') : NULL;
    size_t len = equals ? (size_t)(equals - arg) : strlen(arg);
    int index = is_long || len == 2 ? find(in->command, arg, len, is_long ? 0 : arg[1]) : -1;
    if (index < 0) return unknown(in->command, arg, len, err);
    const struct option *o = option_at(in->command, index);
    const char *value = equals ? equals + 1 : "";
    if (!o->argument && equals)
      return tpo_fail(err, TPO_E_USAGE, "tpo %s: %s takes no value", in->command->name, o->name);
    if (o->argument && !equals) {
      if (i + 1 == argc)
        return tpo_fail(err, TPO_E_USAGE, "tpo %s: %s needs a value: %s %s", in->command->name, o->name,
                        o->name, o->argument);
      value = argv[++i];
    }
    bool waits =
        !config_pass && strcmp(o->name, "--set") == 0 && is_waiting_label(value, argc - i - 1, argv + i + 1);
    if (waits) label = value;
    int status = waits ? 0 : apply(in, index, value, config_pass, err);
    if (status < 0) return status;
  }
  return label ? tpo_config_set(&in->config, label, "--set", err) : 0;
}

int options_parse(struct invocation *in, int argc, char **argv, struct tpo_error *err)
{
  for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
    if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
      in->help = true;
      return 0;
    }
  int status = pass(in, argc, argv, true, err);
  if (status == 0 && in->command->config_argument && in->n_positional > 0)
    status = load_config(in, in->positional[0], err);
  if (status == 0) status = pass(in, argc, argv, false, err);
  if (status == 0 && in->n_positional < in->command->n_positional_min)
    status = tpo_fail(err, TPO_E_USAGE, "tpo %s: %s is missing; see tpo %s --help", in->command->name,
                      in->command->arguments, in->command->name);
  return status;
}

const char *option_value(const struct invocation *in, const char *name)
{
  int index = find(in->command, name, strlen(name), 0);
  return index < 0 ? NULL : in->values[index];
}

int option_int(const struct invocation *in, const char *name, int64_t min, int64_t max, int64_t missing,
               int64_t *out, struct tpo_error *err)
{
  const char *value = option_value(in, name);
  *out = missing;
  if (!value) return 0;
  char *end;
  errno = 0;
  long long n = strtoll(value, &end, 10);
  if (errno || end == value || *end || n < min || n > max)
    return tpo_fail(err, TPO_E_USAGE, "tpo %s: %s is '%s'; expected a whole number from %lld to %lld",
                    in->command->name, name, value, (long long)min, (long long)max);
  *out = n;
  return 0;
}

bool option_is_key_set(const struct invocation *in, const char *key)
{
  return strcmp(config_origin(&in->config, config_find_key(key, strlen(key))), "default") != 0;
}

int option_require(const struct invocation *in, const char *name, const char **out, struct tpo_error *err)
{
  *out = option_value(in, name);
  if (*out && **out) return 0;
  const struct option *o = option_at(in->command, find(in->command, name, strlen(name), 0));
  return tpo_fail(err, TPO_E_USAGE, "tpo %s: %s %s is required (%s)", in->command->name, o->name, o->argument,
                  o->help);
}

static void print_options(const struct option *options, const char *no_default)
{
  for (const struct option *o = options; o->name; o++) {
    char left[64];
    char letter[5] = "    ";
    if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(left, sizeof left, "%s%s%s%s", letter, o->name, o->argument ? " " : "",
             o->argument ? o->argument : "");
    const char *key = o->key && strcmp(o->key, "thought") == 0 ? "thought.name" : o->key;
    const char *fallback = key ? tpo_config_default_text(key) : NULL;
    printf("  %-36s %s", left, o->help);
    if (fallback && *fallback && !(no_default && strcmp(o->name, no_default) == 0))
      printf(" (default %s)", fallback);
    printf("\n");
  }
}

void options_help(const struct command *command)
{
  bool has_arguments = command->arguments && *command->arguments;
  printf("usage: tpo %s%s%s [options]\n\n%s\n", command->name, has_arguments ? " " : "",
         has_arguments ? command->arguments : "", command->summary);
  if (command->options->name) {
    printf("\noptions:\n");
    print_options(command->options, command->no_default);
  }
  printf("\ncommon options:\n");
  print_options(common_options, NULL);
  if (command->notes) printf("\n%s\n", command->notes);
}
