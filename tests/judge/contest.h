/* Responses compared through a chat whose rule is known. */
#ifndef TPO_TESTS_JUDGE_CONTEST_H
#define TPO_TESTS_JUDGE_CONTEST_H

#include <jansson.h>
#include "judge/compare/pairwise.h"
#include "unit.h"

/* Questions are "<instruction>|<a>|<b>" by judge.prompt. The rule answers with the text of a verdict; NULL:
 * no answer. */
struct fake {
  const char *(*rule)(const char *a, const char *b);
  int asked, calls;
  bool closed;
  char seen[1 << 16]; /* all questions */
  size_t n_seen;
  int status; /* what ask returns */
};

static inline int fake_ask(void *state, const struct ask_question *questions, size_t n,
                           struct ask_answer *answers, const struct tpo_watch *watch, struct tpo_error *err)
{
  struct fake *fake = state;
  fake->calls++;
  for (size_t i = 0; i < n; i++) {
    char a[256] = "", b[256] = "";
    const char *bar = strchr(questions[i].user, '|');
    if (bar) sscanf(bar + 1, "%255[^|]|%255[^|]", a, b);
    const char *verdict = fake->rule(a, b);
    answers[i].ok = verdict != NULL;
    answers[i].text = strdup(verdict ? verdict : "the line is dead");
    fake->asked++;
    tpo_watch_tell(watch, (double)(i + 1) / (double)n);
    if (fake->n_seen + strlen(questions[i].user) + 2 < sizeof fake->seen)
      fake->n_seen += (size_t)snprintf(fake->seen + fake->n_seen, sizeof fake->seen - fake->n_seen, "%s\n",
                                       questions[i].user);
  }
  return fake->status < 0 ? tpo_fail(err, fake->status, "the chat gave up") : 0;
}

static inline json_t *fake_counts(const void *state)
{
  return json_pack("{s:i}", "requests", ((const struct fake *)state)->asked);
}

static inline void fake_close(void *state)
{
  ((struct fake *)state)->closed = true;
}

static inline struct tpo_judge_config settings(void)
{
  struct tpo_judge_config config = {0};
  config.prompt = "{instruction}|{response_a}|{response_b}";
  config.elo_prior = 0.1;
  return config;
}

static inline struct judge_pairwise *open_with(struct fake *fake, const struct tpo_judge_config *config)
{
  struct judge_pairwise *p;
  struct ask_chat chat = {.state = fake, .ask = fake_ask, .counts = fake_counts, .close = fake_close};
  struct tpo_error err = {0};
  assert_int_equal(judge_pairwise_open(&p, chat, config, &(struct tpo_judge_env){.seed = 5}, &err), 0);
  return p;
}

/* One prompt's responses judged by a rule. */
struct judged {
  struct tpo_judge_result results[16];
  json_t *details[16];
  json_t *counts;
  int n;
  int status;
  struct tpo_error err;
  struct fake fake;
};

static inline void judge(struct judged *j, const char *(*rule)(const char *, const char *),
                         const struct tpo_judge_config *config, const struct tpo_judge_item *item)
{
  memset(j->results, 0, sizeof j->results);
  j->fake.rule = rule;
  j->n = item->n_responses;
  struct judge_pairwise *p = open_with(&j->fake, config);
  j->status = judge_pairwise_score(p, item, 1, j->results, &j->err);
  j->counts = judge_pairwise_counts(p);
  for (int i = 0; i < j->n; i++)
    j->details[i] = j->results[i].detail ? json_loads(j->results[i].detail, 0, NULL) : NULL;
  judge_pairwise_close(p);
  assert_true(j->fake.closed);
}

static inline void judge_responses(struct judged *j, const char *(*rule)(const char *, const char *), int n,
                                   const char *const *responses)
{
  struct tpo_judge_config config = settings();
  struct tpo_judge_item item = {
      .id = "p", .instruction = "Do it.", .meta = "{}", .n_responses = n, .responses = responses};
  *j = (struct judged){0};
  judge(j, rule, &config, &item);
  assert_int_equal(j->status, 0);
}

static inline void forget(struct judged *j)
{
  for (int i = 0; i < j->n; i++) {
    free(j->results[i].detail);
    json_decref(j->details[i]);
  }
  json_decref(j->counts);
}

static inline int number(const json_t *object, const char *name)
{
  assert_true(json_is_number(json_object_get(object, name)));
  return (int)json_number_value(json_object_get(object, name));
}

#endif
