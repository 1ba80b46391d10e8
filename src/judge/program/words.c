/* A command's words, and the file that its first one names. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/memory.h"
#include "judge/program/process.h"

static bool is_blank(char c)
{
  return c == ' ' || c == '\t' || c == '\n';
}

/* Copies the word at *in to *out with its NUL; false for a quote that isn't closed. */
static bool copy_word(const char **in, char **out)
{
  const char *c = *in;
  char *o = *out, quote = '\0';
  for (; *c && (quote || !is_blank(*c)); c++) {
    if (quote ? *c == quote : *c == '\'' || *c == '"') {
      quote = quote ? '\0' : *c;
      continue;
    }
    bool is_escape = *c == '\\' && c[1] && (!quote || (quote == '"' && (c[1] == '"' || c[1] == '\\')));
    *o++ = is_escape ? *++c : *c;
  }
  *o++ = '\0';
  *in = c;
  *out = o;
  return !quote;
}

char **judge_command_words(const char *command, struct tpo_error *err)
{
  /* A word and its NUL need no more bytes than the word with the blank
   * after it, and two words at least three. */
  size_t len = strlen(command), most = len / 2 + 2;
  char **words = tpo_calloc(1, most * sizeof *words + len + 2, err);
  if (!words) return NULL;
  char *out = (char *)(words + most);
  size_t n = 0;
  for (const char *in = command;;) {
    while (is_blank(*in)) in++;
    if (!*in) break;
    words[n++] = out;
    if (copy_word(&in, &out)) continue;
    tpo_fail(err, TPO_E_USAGE, "a quote is not closed in: %.400s", command);
    free(words);
    return NULL;
  }
  if (n > 0 && *words[0]) return words;
  tpo_fail(err, TPO_E_USAGE, "no program is named; expected command:PROGRAM, with its arguments if any");
  free(words);
  return NULL;
}

static bool is_executable(const char *path)
{
  return tpo_is_regular(path) && access(path, X_OK) == 0;
}

int judge_command_find(const char *program, char out[4096], struct tpo_error *err)
{
  if (strchr(program, '/')) {
    if (strlen(program) < 4096 && is_executable(program)) {
      strcpy(out, program);
      return 0;
    }
    int there = tpo_look_for(program, err);
    if (there < 0) return there;
    return tpo_fail(err, TPO_E_USAGE, "%.400s %s", program,
                    there > 0 ? "is not a file that may be executed (chmod +x makes it one)"
                              : "does not exist");
  }
  const char *path = getenv("PATH");
  for (const char *at = path ? path : "/usr/bin:/bin"; at;) {
    size_t len = strcspn(at, ":");
    char folder[4096] = ".";
    if (len < sizeof folder) {
      if (len > 0) memcpy(folder, at, len), folder[len] = '\0';
      if (tpo_path_join(out, 4096, folder, program, NULL) == 0 && is_executable(out)) return 0;
    }
    at = at[len] ? at + len + 1 : NULL;
  }
  return tpo_fail(err, TPO_E_USAGE,
                  "there is no program %.400s in PATH (a path to it needs a slash: ./%.100s)", program,
                  program);
}
