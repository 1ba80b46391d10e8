/* Whether the ranks were started alike: with the same program, command and settings, on the same files. Each
 * could work with its own, and the results would be nobody's. */
#include "cli/same.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "config/keys.h"

static bool is_among(const char *option, const char *const *names, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (strcmp(option, names[i]) == 0) return true;
  return false;
}

/* Options that say nothing of the results. */
static bool is_free(const char *option)
{
  static const char *const names[] = {"--config", "--quiet", "--verbose", "--log-json"};
  return is_among(option, names, sizeof names / sizeof *names);
}

/* Options that name a file whose contents are compared instead, or one that rank 0 alone writes: it may have another
 * place on another host. That goes neither for --out nor for --annotations-out: what is finished of them is kept in a
 * journal beside them, in which all ranks write and rank 0 reads. */
static bool is_place(const char *option)
{
  static const char *const names[] = {
      "--prompts", "--samples",     "--pairs",      "--seeds",      "--reference",  "--battles",
      "--games",   "--annotations", "--difficulty", "--gamed",      "--outputs",    "--baseline",
      "--save",    "--responses",   "--solutions",  "--details",    "--answers",    "--games-out",
      "--a",       "--b",           "--labels",     "--categories", "--assign-out", "--leaderboard"};
  return is_among(option, names, sizeof names / sizeof *names);
}

enum { FACTS_MOST = 256 };

/* What is compared; values are owned. */
struct facts {
  struct tpo_comm_fact list[FACTS_MOST];
  size_t n;
  bool failed;
};

/* Takes value. */
static void add(struct facts *facts, const char *name, char *value)
{
  if (!value || facts->n == FACTS_MOST) {
    facts->failed = true;
    free(value);
    return;
  }
  facts->list[facts->n++] = (struct tpo_comm_fact){name, value};
}

static int compare(const struct invocation *in, const char *what, struct facts *facts, struct tpo_error *err)
{
  int status = facts->failed ? tpo_fail(err, TPO_E_MEMORY, "out of memory") : 0;
  status = tpo_comm_agree(in->comm, status, err);
  if (status == 0) status = tpo_comm_same(in->comm, what, facts->list, facts->n, err);
  for (size_t i = 0; i < facts->n; i++) free((char *)facts->list[i].value);
  return status;
}

static int same_program(const struct invocation *in, struct tpo_error *err)
{
  struct facts facts = {0};
  add(&facts, "its version", strdup(tpo_version()));
  add(&facts, "its build", version_build());
  add(&facts, "its libraries", version_libraries());
  add(&facts, "its build id", version_build_id());
  return compare(in, "runs another program", &facts, err);
}

static void add_options(const struct invocation *in, struct facts *facts)
{
  const char *name, *key;
  add(facts, "the command", strdup(in->command->name));
  for (int i = 0; (name = option_name(in->command, i, &key)); i++)
    if (!key && in->values[i] && !is_free(name))
      add(facts, name, strdup(*in->values[i] && !is_place(name) ? in->values[i] : "given"));
}

/* A place may differ; that there is one may not, for what is done depends on it. */
static void add_key(const struct invocation *in, int key, struct facts *facts)
{
  struct tpo_buf value = {0};
  if (config_may_differ_by_host(key)) {
    if (config_is_given(&in->config, key)) add(facts, config_keys[key].path, strdup("given"));
    return;
  }
  config_append_value(&in->config, key, &value);
  add(facts, config_keys[key].path, tpo_buf_take(&value));
}

static int same_settings(const struct invocation *in, struct tpo_error *err)
{
  struct facts facts = {0};
  add_options(in, &facts);
  for (int key = 0; key < config_n_keys; key++) add_key(in, key, &facts);
  return compare(in, "has other settings", &facts, err);
}

int agree_on_usage(const struct invocation *in, int status, struct tpo_error *err)
{
  double some[] = {status < 0, status == 0};
  struct tpo_error problem = {0};
  if (tpo_comm_size(in->comm) == 1) return status;
  int exchanged = tpo_comm_allreduce_max_f64(in->comm, some, 2, &problem);
  if (exchanged < 0 && status == 0) *err = problem;
  if (exchanged < 0 || some[1] == 0) return status < 0 ? status : exchanged;
  return some[0] == 0 ? 0 : tpo_comm_agree(in->comm, status, err);
}

int check_same_start(const struct invocation *in, int status, struct tpo_error *err)
{
  status = agree_on_usage(in, status, err);
  if (status < 0 || tpo_comm_size(in->comm) == 1) return status;
  status = same_program(in, err);
  return status < 0 ? status : same_settings(in, err);
}

int check_shared(const struct invocation *in, const char *option, const char *path, struct tpo_error *err)
{
  bool standard_input = strcmp(path, "-") == 0;
  if (tpo_comm_size(in->comm) == 1) return 0;
  if (!standard_input && (!tpo_file_exists(path) || tpo_is_regular(path))) return 0;
  return tpo_fail(err, TPO_E_USAGE, "tpo %s: %s %s: expected a regular file, which all ranks can read",
                  in->command->name, option, path);
}

int check_same_file(const struct invocation *in, const char *path, struct tpo_error *err)
{
  if (!in->comm || tpo_comm_size(in->comm) == 1 || !path || !*path) return 0;
  char hash[33] = "";
  int status = tpo_is_regular(path) ? tpo_hash_sampled(path, hash, err) : 0;
  struct tpo_buf what = {0};
  tpo_buf_printf(&what, "reads another %s", path);
  if (status == 0 && what.failed) status = tpo_fail(err, TPO_E_MEMORY, "out of memory");
  status = tpo_comm_agree(in->comm, status, err);
  if (status == 0) {
    struct tpo_comm_fact fact = {"its content hash", *hash ? hash : NULL};
    status = tpo_comm_same(in->comm, what.data, &fact, 1, err);
  }
  tpo_buf_free(&what);
  return status;
}
