/* "Did you mean": the nearest known name by edit distance. */
#include <stdio.h>
#include <string.h>
#include "config/judge_kinds.h"
#include "config/keys.h"

enum { MAX_NAME = 48 };

/* Insertions, deletions, substitutions and swaps of neighbours, each of cost 1. */
int config_edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
  if (a_len > MAX_NAME || b_len > MAX_NAME) return MAX_NAME + 1;
  int rows[3][MAX_NAME + 1];
  int *before = rows[0], *last = rows[1], *row = rows[2];
  for (size_t j = 0; j <= b_len; j++) before[j] = last[j] = (int)j;
  for (size_t i = 1; i <= a_len; i++) {
    row[0] = (int)i;
    for (size_t j = 1; j <= b_len; j++) {
      int best = last[j - 1] + (a[i - 1] != b[j - 1]);
      if (last[j] + 1 < best) best = last[j] + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
        best = before[j - 2] + 1;
      row[j] = best;
    }
    int *spare = before;
    before = last;
    last = row;
    row = spare;
  }
  return last[b_len];
}

static bool near(const char *name, size_t len, const char *known, int *best)
{
  size_t known_len = strlen(known);
  int distance = config_edit_distance(name, len, known, known_len);
  int allowed = (int)(len > known_len ? len : known_len) / 3;
  if (distance > (allowed < 1 ? 1 : allowed) || distance >= *best) return false;
  if (distance >= (int)known_len) return false; /* nothing in common */
  *best = distance;
  return true;
}

bool config_suggest(const char *name, size_t len, const char *section, char out[64])
{
  int best = MAX_NAME + 1;
  for (int i = 0; i < config_n_keys && memchr(name, '.', len); i++) /* a whole path */
    if (near(name, len, config_keys[i].path, &best)) snprintf(out, 64, "%s", config_keys[i].path);
  if (best <= MAX_NAME) return true;
  for (int i = 0; i < config_n_keys; i++)
    if (config_in_section(i, section) && near(name, len, config_key_name(i), &best))
      snprintf(out, 64, "%s", config_keys[i].path);
  if (section[0] == '\0')
    for (int i = 0; i < config_n_sections; i++)
      if (near(name, len, config_sections[i].name, &best)) snprintf(out, 64, "%s", config_sections[i].name);
  if (best <= MAX_NAME) return true;
  for (int i = 0; i < config_n_keys; i++) /* the right name in the wrong section */
    if (near(name, len, config_key_name(i), &best)) snprintf(out, 64, "%s", config_keys[i].path);
  return best <= MAX_NAME;
}

const char *config_suggest_among(const char *name, size_t len, const char *const *names, int n)
{
  int best = MAX_NAME + 1;
  const char *found = NULL;
  for (int i = 0; i < n; i++)
    if (near(name, len, names[i], &best)) found = names[i];
  return found;
}

int config_suggest_judge_kind(const char *name, size_t len)
{
  int best = MAX_NAME + 1, kind = -1;
  for (int i = 0; i < N_JUDGE_KINDS; i++)
    if (near(name, len, config_judge_kind_name(i), &best)) kind = i;
  return kind;
}
