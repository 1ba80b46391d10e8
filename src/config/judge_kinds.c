/* What a text such as judge.kind names of the kinds of judges. */
#include "config/judge_kinds.h"
#include <string.h>
#include "base/hash.h"

#define ROW(id, name, argument, compares, told) [JUDGE_KIND_##id] = {name, argument, compares},
static const struct {
  const char *name, *argument;
  bool compares;
} kinds[] = {CONFIG_JUDGE_KINDS(ROW)};

int config_judge_kind_named(const char *name, size_t len)
{
  for (int i = 0; i < N_JUDGE_KINDS; i++)
    if (strlen(kinds[i].name) == len && strncmp(kinds[i].name, name, len) == 0) return i;
  return -1;
}

int config_judge_kind(const char *text, const char **argument)
{
  size_t len = strcspn(text, ":");
  *argument = text[len] ? text + len + 1 : NULL;
  return config_judge_kind_named(text, len);
}

const char *config_judge_kind_name(enum config_judge_kind kind)
{
  return kinds[kind].name;
}

const char *config_judge_kind_argument(enum config_judge_kind kind)
{
  return kinds[kind].argument;
}

bool config_judge_kind_compares(enum config_judge_kind kind)
{
  return kinds[kind].compares;
}

size_t config_judge_told(const char *kind)
{
  const char *address = strstr(kind, "://");
  return address ? (size_t)(address - kind) + strcspn(address, "?") : strlen(kind);
}

void config_tell_addresses(const char *text, struct tpo_buf *out)
{
  static const char ends[] = " \t\r\n\"'";
  for (const char *address; (address = strstr(text, "://"));) {
    size_t whole = strcspn(address, ends), told = strcspn(address, "?");
    tpo_buf_append(out, text, (size_t)(address - text) + (told < whole ? told : whole));
    if (told < whole)
      tpo_buf_printf(out, "?~%016llx", (unsigned long long)tpo_hash64(address + told, whole - told));
    text = address + whole;
  }
  tpo_buf_puts(out, text);
}
