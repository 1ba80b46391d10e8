/* Fills in the prompts of judge models, and finds the last verdict or number in an answer. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "judge/verdict.h"

#include <math.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "judge/judge.h"
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
enum {
  TAIL = 256 << 10, /* bytes at an answer's end in which a match may begin */
  LONGEST = 10      /* seconds for one answer */
};

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
  /* \C would let a match stop inside a character. */
  pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, len, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
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

static bool in_character(const char *text, size_t at)
{
  return ((unsigned char)text[at] & 0xC0) == 0x80;
}

/* Where the search begins. What stands before it is still there for a pattern that looks behind. */
static size_t tail_of(const char *text, size_t len)
{
  size_t at = len > TAIL ? len - TAIL : 0;
  while (at > 0 && in_character(text, at)) at--;
  return at;
}

/* First group of the last match; false where there is none, or where matching was given up. text is UTF-8:
 * PCRE2, which would look through all of it before each match, need not. */
static bool last_group(pcre2_code *code, pcre2_match_data *data, pcre2_match_context *context,
                       struct span text, struct span *group)
{
  double end = tpo_seconds() + LONGEST;
  bool found = false;
  for (size_t at = tail_of(text.text, text.len); at <= text.len;) {
    if (tpo_interrupted() || tpo_seconds() > end) return false;
    int n = pcre2_match(code, (PCRE2_SPTR)text.text, text.len, at, PCRE2_NO_UTF_CHECK, data, context);
    if (n < 0) return n == PCRE2_ERROR_NOMATCH && found;
    const PCRE2_SIZE *v = pcre2_get_ovector_pointer(data);
    found = n > 1 && v[2] != PCRE2_UNSET && v[2] <= v[3];
    if (found) *group = text_strip((struct span){text.text + v[2], v[3] - v[2]});
    size_t next = v[1] > at ? v[1] : at + 1;
    while (v[1] <= at && next < text.len && in_character(text.text, next)) next++;
    at = next;
  }
  return found;
}

/* Models' answers may hold bytes that are not UTF-8: each becomes U+FFFD. */
static bool replace_malformed(struct tpo_buf *out, const char *text, size_t len)
{
  for (size_t at = 0; at < len;) {
    uint32_t cp;
    int n = tpo_utf8_decode((const uint8_t *)text + at, len - at, &cp);
    if (n > 0)
      tpo_buf_append(out, text + at, (size_t)n);
    else
      tpo_buf_puts(out, "\xEF\xBF\xBD");
    at += n > 0 ? (size_t)n : 1;
  }
  return !out->failed;
}

/* The group lies in text, or in `copy`, which the caller frees. */
static bool find_group(const struct judge_pattern *pattern, const char *text, struct tpo_buf *copy,
                       struct span *group)
{
  struct span whole = {text, strlen(text)};
  if (!tpo_utf8_valid(text, whole.len, NULL)) {
    if (!replace_malformed(copy, text, whole.len)) return false;
    whole = (struct span){copy->data, copy->len};
  }
  pcre2_match_context *context = pcre2_match_context_create(NULL);
  pcre2_match_data *data = pcre2_match_data_create_from_pattern(pattern->code, NULL);
  bool found = false;
  if (context && data) {
    pcre2_set_match_limit(context, MATCH_LIMIT);
    pcre2_set_depth_limit(context, DEPTH_LIMIT);
    pcre2_set_heap_limit(context, HEAP_LIMIT);
    found = last_group(pattern->code, data, context, whole, group);
  }
  pcre2_match_data_free(data);
  pcre2_match_context_free(context);
  return found;
}

static enum judge_verdict verdict_named(struct span group)
{
  static const struct {
    const char *name;
    enum judge_verdict verdict;
  } verdicts[] = {{"a", JUDGE_VERDICT_A},       {"b", JUDGE_VERDICT_B},
                  {"c", JUDGE_VERDICT_TIE},     {"tie", JUDGE_VERDICT_TIE},
                  {"both", JUDGE_VERDICT_BOTH}, {"neither", JUDGE_VERDICT_NEITHER}};
  for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
    if (strlen(verdicts[i].name) == group.len && strncasecmp(verdicts[i].name, group.text, group.len) == 0)
      return verdicts[i].verdict;
  return JUDGE_VERDICT_NONE;
}

enum judge_verdict judge_read_verdict(const struct judge_pattern *pattern, const char *text)
{
  struct tpo_buf copy = {0};
  struct span group;
  enum judge_verdict verdict =
      find_group(pattern, text, &copy, &group) ? verdict_named(group) : JUDGE_VERDICT_NONE;
  tpo_buf_free(&copy);
  return verdict;
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

static bool read_decimal(struct span text, double *out)
{
  char digits[64];
  if (text.len >= sizeof digits || !is_decimal(text)) return false;
  memcpy(digits, text.text, text.len);
  digits[text.len] = '\0';
  *out = strtod(digits, NULL);
  return fabs(*out) <= JUDGE_LARGEST_SCORE;
}

bool judge_read_number(const struct judge_pattern *pattern, const char *text, double *out)
{
  struct tpo_buf copy = {0};
  struct span group;
  bool found = find_group(pattern, text, &copy, &group) && read_decimal(group, out);
  tpo_buf_free(&copy);
  return found;
}

int judge_reading_stopped(struct tpo_error *err)
{
  int number = tpo_interrupted();
  return number ? tpo_fail(err, TPO_E_INTERRUPTED, "stopped by signal %d while judging", number) : 0;
}
