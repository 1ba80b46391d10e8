/* Finds the verdict or number of an answer. */
#include "judge/verdict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/interrupt.h"
#include "base/utf8.h"
#include "config/verdicts.h"
#include "judge/answer.h"
#include "judge/judge.h"

enum { TAIL = 256 << 10 /* bytes at an answer's end in which a match may begin */ };

static const char *pattern_of(const struct tpo_judge_config *config)
{
  const struct config_verdict_preset *preset = config_verdict_preset(config->verdicts.preset);
  if (judge_given(config->pattern)) return config->pattern;
  return preset ? preset->pattern : JUDGE_VERDICT_PATTERN;
}

static int check_labels(const struct tpo_verdicts *verdicts, struct tpo_error *err)
{
  struct tpo_buf problem = {0};
  int status = 0;
  if (!config_verdicts_sound(verdicts, &problem))
    status =
        tpo_fail(err, TPO_E_USAGE, "judge.verdicts: %s", problem.failed ? "out of memory" : problem.data);
  tpo_buf_free(&problem);
  return status;
}

int judge_reader_open(struct judge_reader *reader, const struct tpo_judge_config *config,
                      struct tpo_error *err)
{
  const struct config_verdict_preset *preset = config_verdict_preset(config->verdicts.preset);
  *reader = (struct judge_reader){.labels = preset ? preset->labels : config->verdicts.labels,
                                  .n_labels = preset ? preset->n : config->verdicts.n,
                                  .only = config->verdict_rule == TPO_VERDICT_ONLY};
  int status = check_labels(&config->verdicts, err);
  if (status == 0)
    status =
        judge_pattern_open(&reader->pattern, "judge.pattern", pattern_of(config), JUDGE_PATTERN_GROUP, err);
  if (status == 0 && judge_given(config->thought_pattern))
    status = judge_pattern_open(&reader->thought, "judge.thought_pattern", config->thought_pattern,
                                JUDGE_PATTERN_WHOLE, err);
  return status;
}

void judge_reader_close(struct judge_reader *reader)
{
  judge_pattern_close(reader->pattern);
  judge_pattern_close(reader->thought);
  *reader = (struct judge_reader){0};
}

int judge_reader_check(const struct tpo_judge_config *config, struct tpo_error *err)
{
  struct judge_reader reader;
  int status = judge_reader_open(&reader, config, err);
  judge_reader_close(&reader);
  return status;
}

/* Where the search begins. What stands before it is still there for a pattern that looks behind. */
static size_t tail_of(struct span text)
{
  size_t at = text.len > TAIL ? text.len - TAIL : 0;
  while (at > 0 && ((unsigned char)text.text[at] & 0xC0) == 0x80) at--;
  return at;
}

/* The matches so far. */
struct matches {
  bool any, differ;
  struct judge_match last, other; /* other: before the last, of those that differ from it */
};

static bool same(struct span a, struct span b)
{
  return a.len == b.len && (a.len == 0 || strncasecmp(a.text, b.text, a.len) == 0);
}

static void take_match(void *arg, const struct judge_match *match)
{
  struct matches *matches = arg;
  struct judge_match now = *match;
  if (now.group.text) now.group = text_strip(now.group);
  if (matches->any && !same(matches->last.group, now.group)) {
    matches->differ = true;
    matches->other = matches->last;
  }
  matches->any = true;
  matches->last = now;
}

static void copy_match(char out[JUDGE_MATCH], struct span text)
{
  size_t len = text.len < JUDGE_MATCH ? text.len : JUDGE_MATCH - 1;
  if (len > 0) memcpy(out, text.text, len);
  if (len < text.len) len -= tpo_utf8_incomplete_tail(out, len);
  out[len] = '\0';
}

static enum judge_reading reading_of(const struct judge_reader *reader, const struct matches *matches)
{
  if (!matches->any || !matches->last.group.text) return JUDGE_NO_MATCH;
  return reader->only && matches->differ ? JUDGE_CONTRADICTED : JUDGE_READ;
}

/* The group that counts, where found->reading is READ; it lies in `said`. */
static int find_group(const struct judge_reader *reader, const struct ask_answer *answer,
                      struct tpo_buf *said, struct judge_found *found, struct span *group,
                      struct tpo_error *err)
{
  struct matches matches = {0};
  *found = (struct judge_found){.reading = JUDGE_GIVEN_UP, .limit = answer->limit};
  enum answer_open open = reader->all ? ANSWER_OPEN_IS_SAID : ANSWER_OPEN_IS_THOUGHT;
  int status = judge_answer_said(said, answer->text, reader->thought, open, err);
  if (status < 0) return status;
  if (answer->cut_off)
    found->reading = JUDGE_CUT_OFF;
  else if (status == ANSWER_THOUGHT_OPEN)
    found->reading = JUDGE_OPEN_THOUGHT;
  else if (status == ANSWER_THOUGHTS_CLOSED) {
    struct span text = {said->data, said->len};
    size_t from = reader->all ? 0 : tail_of(text);
    status = judge_pattern_search(reader->pattern, text, from, take_match, &matches, err);
    if (status < 0) return status;
    if (status == JUDGE_SEARCH_DONE) found->reading = reading_of(reader, &matches);
  }
  if (found->reading == JUDGE_GIVEN_UP && tpo_stopped("judging", err) < 0) return TPO_E_INTERRUPTED;
  copy_match(found->match, matches.last.whole);
  if (found->reading == JUDGE_CONTRADICTED) copy_match(found->first, matches.other.whole);
  *group = matches.last.group;
  return 0;
}

static bool is_named(const char *name, struct span group)
{
  struct span label = text_strip(span_of(name));
  return same(label, group);
}

static void name_builtin(struct span group, struct judge_found *found)
{
  static const struct {
    const char *name;
    enum judge_verdict verdict;
  } verdicts[] = {{"a", JUDGE_VERDICT_A},       {"b", JUDGE_VERDICT_B},
                  {"c", JUDGE_VERDICT_TIE},     {"tie", JUDGE_VERDICT_TIE},
                  {"both", JUDGE_VERDICT_BOTH}, {"neither", JUDGE_VERDICT_NEITHER}};
  for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
    if (is_named(verdicts[i].name, group)) found->verdict = verdicts[i].verdict;
  found->weight = 1;
}

static void name_label(const struct judge_reader *reader, struct span group, struct judge_found *found)
{
  static const enum judge_verdict verdicts[] = {[TPO_VERDICT_A] = JUDGE_VERDICT_A,
                                                [TPO_VERDICT_B] = JUDGE_VERDICT_B,
                                                [TPO_VERDICT_TIE] = JUDGE_VERDICT_TIE};
  for (int i = 0; i < reader->n_labels; i++) {
    if (!is_named(reader->labels[i].text, group)) continue;
    found->verdict = verdicts[reader->labels[i].is];
    found->weight = reader->labels[i].weight;
  }
}

int judge_read_verdict(const struct judge_reader *reader, const struct ask_answer *answer,
                       struct tpo_buf *said, struct judge_found *found, struct tpo_error *err)
{
  struct span group = {0};
  int status = find_group(reader, answer, said, found, &group, err);
  if (status < 0 || found->reading != JUDGE_READ) return status;
  if (reader->n_labels > 0)
    name_label(reader, group, found);
  else
    name_builtin(group, found);
  if (found->verdict == JUDGE_VERDICT_NONE) found->reading = JUDGE_NOT_NAMED;
  return 0;
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

static enum judge_reading read_decimal(struct span text, double *out)
{
  char digits[512];
  if (!is_decimal(text)) return JUDGE_NOT_NAMED;
  if (text.len >= sizeof digits) return JUDGE_TOO_LARGE;
  memcpy(digits, text.text, text.len);
  digits[text.len] = '\0';
  *out = strtod(digits, NULL);
  return fabs(*out) <= JUDGE_LARGEST_SCORE ? JUDGE_READ : JUDGE_TOO_LARGE;
}

int judge_read_number(const struct judge_reader *reader, const struct ask_answer *answer,
                      struct tpo_buf *said, struct judge_found *found, struct tpo_error *err)
{
  struct span group = {0};
  int status = find_group(reader, answer, said, found, &group, err);
  if (status == 0 && found->reading == JUDGE_READ) found->reading = read_decimal(group, &found->number);
  return status;
}
