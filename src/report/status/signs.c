/* Signs of life: who works in the folder, and when each rank wrote last. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "report/status/status.h"
#include "store/owner.h"
#include "store/owner_text.h"

enum { MOST_RANKS = 4096 };

/* A process of this host can be looked at; of another one there is the file's age, by clocks that may differ. */
static const char *state_of(const struct owner_text *owner, double age)
{
  struct owner_text self;
  struct tpo_error ignored = {0};
  if (owner_text_of_self(&self, &ignored) == 0 && owner_text_is_here(owner, &self))
    return owner_text_is_alive(owner) ? "working" : "gone";
  return fabs(age) < OWNER_WATCH ? "working" : "silent"; /* a time to come tells nothing */
}

void status_of_owner(json_t *facts, const char *dir, double now)
{
  char path[4096], told[320];
  struct tpo_buf text = {0};
  struct owner_text owner;
  struct tpo_error ignored = {0};
  if (tpo_path_join(path, sizeof path, dir, OWNER_FILE, NULL) < 0 || !tpo_is_regular(path)) return;
  double age = status_age(path, now);
  if (tpo_read_file(path, OWNER_TEXT, &text, &ignored) == 0 && text.data && isfinite(age) &&
      owner_text_read(&owner, text.data)) {
    owner_text_tell(&owner, told);
    json_object_update_new(facts, json_pack("{s:s, s:f, s:s}", "owner", told, "heartbeat", age, "owner_state",
                                            state_of(&owner, age)));
  }
  tpo_buf_free(&text);
}

struct rank_signs {
  double age[MOST_RANKS]; /* of what the rank wrote last into a journal; NaN: nothing */
  int n;
};

/* "RANK-RANDOM.journal" */
static void look_into(struct rank_signs *signs, const char *folder)
{
  char path[4096];
  DIR *dir = opendir(folder);
  if (!dir) return;
  for (const struct dirent *entry; (entry = readdir(dir));) {
    char *end;
    long rank = strtol(entry->d_name, &end, 10);
    if (end == entry->d_name || *end != '-' || rank < 0 || rank >= MOST_RANKS ||
        tpo_path_join(path, sizeof path, folder, entry->d_name, NULL) < 0)
      continue;
    while (signs->n <= rank) signs->age[signs->n++] = NAN;
    signs->age[rank] = fmin(signs->age[rank], status_age(path, 0));
  }
  closedir(dir);
}

static bool is_journal(const char *name)
{
  size_t len = strlen(name);
  return len > 8 && strcmp(name + len - 8, ".journal") == 0;
}

/* The journals of one iteration's folder. */
static void look_through(struct rank_signs *signs, const char *folder)
{
  char path[4096];
  DIR *dir = opendir(folder);
  if (!dir) return;
  for (const struct dirent *entry; (entry = readdir(dir));)
    if (is_journal(entry->d_name) && tpo_path_join(path, sizeof path, folder, entry->d_name, NULL) == 0)
      look_into(signs, path);
  closedir(dir);
}

/* By the file system's own times, so that no two clocks are compared. */
void status_of_ranks(json_t *facts, const char *dir)
{
  struct rank_signs *signs = tpo_calloc(1, sizeof *signs, NULL);
  char path[4096];
  const json_t *iteration = json_object_get(facts, "iteration");
  double newest = NAN;
  if (!signs || !json_is_integer(iteration)) {
    free(signs);
    return;
  }
  int len = snprintf(path, sizeof path, "%s/iter-%03lld", dir, (long long)json_integer_value(iteration));
  if (len > 0 && (size_t)len < sizeof path) look_through(signs, path);
  for (int r = 0; r < signs->n; r++) newest = fmin(newest, signs->age[r]);
  json_t *list = json_array();
  for (int r = 0; r < signs->n; r++)
    if (isfinite(signs->age[r]))
      json_array_append_new(list, json_pack("{s:i, s:f}", "rank", r, "behind", signs->age[r] - newest));
  if (json_array_size(list) > 0)
    json_object_set_new(facts, "last_written", list);
  else
    json_decref(list);
  free(signs);
}

/* The newest entry of the folder; NaN: none. */
static double newest_in(const char *folder, double now)
{
  char path[4096];
  double age = NAN;
  DIR *dir = opendir(folder);
  if (!dir) return age;
  for (const struct dirent *entry; (entry = readdir(dir));)
    if (*entry->d_name != '.' && tpo_path_join(path, sizeof path, folder, entry->d_name, NULL) == 0)
      age = fmin(age, status_age(path, now));
  closedir(dir);
  return age;
}

/* What --resume goes on from within an iteration: the state of training. */
void status_of_training(json_t *facts, const char *dir, double now)
{
  char path[4096];
  double age = NAN;
  const json_t *iteration = json_object_get(facts, "iteration");
  if (tpo_path_join(path, sizeof path, dir, "training.state", NULL) == 0) age = newest_in(path, now);
  if (json_is_integer(iteration)) {
    int len = snprintf(path, sizeof path, "%s/iter-%03lld/checkpoint.h5.journal", dir,
                       (long long)json_integer_value(iteration));
    if (len > 0 && (size_t)len < sizeof path) age = fmin(age, newest_in(path, now));
  }
  if (isfinite(age)) json_object_set_new(facts, "training_kept", json_real(age));
}
