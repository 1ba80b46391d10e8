/* Fills in the prompts of judge models, and finds the last verdict or number in an answer. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "judge/verdict.h"

#include <math.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/memory.h"
#include "judge/messages.h"
#include "checks/text.h"

/* Bytes of "{name}" at text, or 0. */
static size_t placeholder_at(const char *text, const char *name)
{
  size_t len = strlen(name);
  return text[0] == '{' && strncmp(text + 1, name, len) == 0 && text[len + 1] == '}' ? len + 2 : 0;
}

int judge_prompt_check(const char *text, const char *const *names, size_t n_names, const char *key,
                       struct tpo_error *err)
{
  for (size_t i = 0; i < n_names; i++) {
    size_t found = 0;
    for (const char *at = text; *at; at++) found += placeholder_at(at, names[i]) > 0;
    if (found != 1)
      return tpo_fail(err, TPO_E_USAGE, "%s: {%s} must stand in it exactly once, not %zu times", key,
                      names[i], found);
  }
  return 0;
}

char *judge_prompt_fill(const char *text, const struct judge_field *fields, size_t n_fields)
{
  struct tpo_buf out = {0};
  while (*text) {
    size_t len = 0;
    for (size_t i = 0; i < n_fields && len == 0; i++)
      if ((len = placeholder_at(text, fields[i].name)) > 0) tpo_buf_puts(&out, fields[i].text);
    if (len == 0) tpo_buf_putc(&out, text[len++]);
    text += len;
  }
  return tpo_buf_take(&out);
}

/* "User", "Assistant", "System"; another role as it is. */
static void put_role(struct tpo_buf *out, const char *role)
{
  if (*role >= 'a' && *role <= 'z') tpo_buf_putc(out, (char)(*role++ - 'a' + 'A'));
  tpo_buf_puts(out, role);
  tpo_buf_puts(out, ":\n");
}

char *judge_instruction_text(const struct tpo_judge_item *item, struct tpo_error *err)
{
  struct tpo_buf out = {0};
  struct judge_messages chat;
  int status = judge_messages_of_item(&chat, item, err);
  if (status == 0 && chat.n == 1) tpo_buf_puts(&out, item->instruction);
  for (size_t i = 0; status == 0 && chat.n > 1 && i < chat.n; i++) {
    if (i > 0) tpo_buf_puts(&out, "\n\n");
    put_role(&out, chat.list[i].role);
    tpo_buf_puts(&out, chat.list[i].content);
  }
  judge_messages_free(&chat);
  if (status < 0) return NULL;
  char *text = tpo_buf_take(&out);
  if (!text) tpo_fail(err, TPO_E_MEMORY, "no memory for a question to the judge");
  return text;
}

enum { MAX_PATTERN = 4096, MATCH_LIMIT = 200000, DEPTH_LIMIT = 2000, HEAP_LIMIT = 8192 /* KiB */ };

struct judge_pattern {
  pcre2_code *code;
};

int judge_pattern_open(struct judge_pattern **out, const char *pattern, struct tpo_error *err)
{
  *out = NULL;
  size_t len = strlen(pattern);
  if (len > MAX_PATTERN)
    return tpo_fail(err, TPO_E_USAGE, "judge.pattern has %zu bytes, %d are allowed", len, MAX_PATTERN);
  int problem;
  PCRE2_SIZE offset;
  /* \C would let a match stop inside a character; models' answers may hold bytes that are not UTF-8. */
  pcre2_code *code =
      pcre2_compile((PCRE2_SPTR)pattern, len, PCRE2_MATCH_INVALID_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
                    &problem, &offset, NULL);
  if (!code) {
    char reason[128] = "";
    pcre2_get_error_message(problem, (PCRE2_UCHAR *)reason, sizeof reason);
    return tpo_fail(err, TPO_E_USAGE, "judge.pattern is wrong at byte %zu: %s", (size_t)offset, reason);
  }
  uint32_t groups = 0;
  pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
  *out = groups > 0 ? tpo_calloc(1, sizeof **out, err) : NULL;
  if (*out) {
    (*out)->code = code;
    return 0;
  }
  pcre2_code_free(code);
  return groups > 0 ? TPO_E_MEMORY
                    : tpo_fail(err, TPO_E_USAGE,
                               "judge.pattern has no group: "
                               "the verdict is what its first pair of parentheses matches");
}

void judge_pattern_close(struct judge_pattern *pattern)
{
  if (!pattern) return;
  pcre2_code_free(pattern->code);
  free(pattern);
}

/* First group of the last match; false where there is none, or where matching was given up. */
static bool last_group(pcre2_code *code, pcre2_match_data *data, pcre2_match_context *context,
                       const char *text, struct span *group)
{
  size_t len = strlen(text), at = 0;
  bool found = false;
  while (at <= len) {
    int n = pcre2_match(code, (PCRE2_SPTR)text, len, at, 0, data, context);
    if (n < 0) return n == PCRE2_ERROR_NOMATCH && found;
    const PCRE2_SIZE *v = pcre2_get_ovector_pointer(data);
    found = n > 1 && v[2] != PCRE2_UNSET && v[2] <= v[3];
    if (found) *group = text_strip((struct span){text + v[2], v[3] - v[2]});
    size_t next = v[1] > at ? v[1] : at + 1;
    while (v[1] <= at && next < len && ((unsigned char)text[next] & 0xC0) == 0x80) next++;
    at = next;
  }
  return found;
}

static bool find_group(const struct judge_pattern *pattern, const char *text, struct span *group)
{
  pcre2_match_context *context = pcre2_match_context_create(NULL);
  pcre2_match_data *data = pcre2_match_data_create_from_pattern(pattern->code, NULL);
  bool found = false;
  if (context && data) {
    pcre2_set_match_limit(context, MATCH_LIMIT);
    pcre2_set_depth_limit(context, DEPTH_LIMIT);
    pcre2_set_heap_limit(context, HEAP_LIMIT);
    found = last_group(pattern->code, data, context, text, group);
  }
  pcre2_match_data_free(data);
  pcre2_match_context_free(context);
  return found;
}

enum judge_verdict judge_read_verdict(const struct judge_pattern *pattern, const char *text)
{
  static const struct {
    const char *name;
    enum judge_verdict verdict;
  } verdicts[] = {{"a", JUDGE_VERDICT_A},       {"b", JUDGE_VERDICT_B},
                  {"c", JUDGE_VERDICT_TIE},     {"tie", JUDGE_VERDICT_TIE},
                  {"both", JUDGE_VERDICT_BOTH}, {"neither", JUDGE_VERDICT_NEITHER}};
  struct span group;
  if (!find_group(pattern, text, &group)) return JUDGE_VERDICT_NONE;
  for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
    if (strlen(verdicts[i].name) == group.len && strncasecmp(verdicts[i].name, group.text, group.len) == 0)
      return verdicts[i].verdict;
  return JUDGE_VERDICT_NONE;
}

/* Sign, digits, and digits behind a point. */
static bool is_decimal(struct span text)
{
  size_t at = text.len > 0 && (text.text[0] == '-' || text.text[0] == '+'), digits = 0, points = 0;
  for (; at < text.len; at++) {
    bool digit = text.text[at] >= '0' && text.text[at] <= '9';
    digits += digit;
    points += text.text[at] == '.';
    if (!digit && text.text[at] != '.') return false;
  }
  return digits > 0 && points <= 1;
}

bool judge_read_number(const struct judge_pattern *pattern, const char *text, double *out)
{
  struct span group;
  char digits[64];
  if (!find_group(pattern, text, &group) || group.len >= sizeof digits || !is_decimal(group)) return false;
  memcpy(digits, group.text, group.len);
  digits[group.len] = '\0';
  *out = strtod(digits, NULL);
  return isfinite(*out);
}
