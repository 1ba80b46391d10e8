/* Questions over the ranks: rank 0 has their answers in order, each asked once, whatever the number of ranks; a journal
 * keeps those that were answered, and them alone. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "eval/asking.h"
#include "eval/small_server.h"
#include "mpi_check.h"
#include "store/journal/journal.h"

enum { N = 60 };

static char folder[64], cache[96], kind[64];
static struct tpo_config config;
static struct tpo_session session;
static char keys[N * 20][32], texts[N * 20][48];
static struct eval_question questions[N * 20];
static struct ask_answer *answers; /* rank 0's */

static bool is_first(void)
{
  return tpo_comm_rank(comm) == 0;
}

static void make_questions(size_t n, const char *word, int top_tokens)
{
  for (size_t i = 0; i < n; i++) {
    snprintf(keys[i], sizeof *keys, "key %zu", i);
    snprintf(texts[i], sizeof *texts, "%s %zu", word, i);
    questions[i] =
        (struct eval_question){.key = keys[i], .ask = {.user = texts[i], .top_tokens = top_tokens}};
  }
}

/* Requests that the server has had, on all ranks, those included that a client which gave up left on their way. */
static int requests(void)
{
  int n = server.requests;
  for (int before = -1; n != before;) {
    before = n;
    usleep(50000);
    n = server.requests;
  }
  CHECK(tpo_comm_bcast(comm, &n, sizeof n, 0, &err) == 0);
  return n;
}

static int ask(size_t n, const char *journal, json_t **counts)
{
  const struct eval_asking options = {.what = "asking", .journal = journal, .work = "of: a test\n"};
  answers = is_first() ? calloc(n, sizeof *answers) : NULL;
  return eval_ask(&session, questions, n, &options, answers, counts, &err);
}

static void forget(size_t n, json_t *counts)
{
  eval_answers_free(answers, n);
  json_decref(counts);
}

static int count_of(const json_t *counts, const char *name)
{
  return (int)json_integer_value(json_object_get(counts, name));
}

static void rank_0_has_the_answers_in_the_questions_order(void)
{
  int before = requests();
  json_t *counts;
  make_questions(N, "question", 5);
  questions[7].ask.answered = "so";
  questions[7].ask.follow_up = "and then 7";
  questions[8].ask.user = "cut 8";
  CHECK(ask(N, NULL, &counts) == 0);
  for (int i = 0; i < N && is_first(); i++) {
    char expected[32];
    const struct ask_answer *answer = &answers[i];
    snprintf(expected, sizeof expected, "A %d of %d", i, i == 7 ? 3 : 1);
    CHECK(answer->ok && strcmp(answer->text, expected) == 0 && answer->cut_off == (i == 8));
    CHECK(answer->n_top == 2 && strcmp(answer->top[0].text, "A") == 0);
    CHECK(answer->top[0].logprob == -0.25 && answer->top[1].logprob == -i - 0.5);
  }
  CHECK(!is_first() || (count_of(counts, "requests") == N && count_of(counts, "top_tokens_told") == N));
  CHECK(is_first() || !counts);
  CHECK(requests() == before + N);
  forget(N, counts);
}

static void what_is_answered_is_not_asked_again(void)
{
  int before = requests(), kept;
  json_t *counts;
  make_questions(N, "again", 0);
  CHECK(ask(N / 2, folder, NULL) == 0);
  forget(N / 2, NULL);
  CHECK(requests() == before + N / 2);
  for (int time = 0; time < 2; time++) { /* the second time all are kept */
    CHECK(ask(N, folder, &counts) == 0);
    for (int i = 0; i < N && is_first(); i++) CHECK(answers[i].ok && atoi(answers[i].text + 2) == i);
    CHECK(!is_first() || count_of(counts, "requests") == N / 2);
    CHECK(requests() == before + N);
    forget(N, counts);
  }
  questions[3].ask.top_tokens = 2; /* another question */
  CHECK(ask(N, folder, &counts) == 0);
  kept = is_first() ? answers[3].n_top : 2;
  CHECK(kept == 2 && requests() == before + N + 1);
  forget(N, counts);
  CHECK(!is_first() || journal_remove(folder, &err) == 0);
}

static void what_stays_without_an_answer_is_asked_again_later(void)
{
  int before = requests();
  make_questions(N, "x", 0);
  questions[5].ask.user = "fail 5";
  for (int time = 1; time <= 2; time++) {
    CHECK(ask(N, folder, NULL) == 0);
    CHECK(!is_first() || (!answers[5].ok && strstr(answers[5].text, "no answer to that") && answers[6].ok));
    CHECK(requests() == before + N + time - 1);
    forget(N, NULL);
  }
  CHECK(!is_first() || journal_remove(folder, &err) == 0);
}

/* It would stand in the way of whoever begins anew. */
static void a_journal_without_any_answer_does_not_stay(void)
{
  make_questions(N, "fail", 0);
  CHECK(ask(N, folder, NULL) == 0);
  for (int i = 0; i < N && is_first(); i++) CHECK(!answers[i].ok);
  CHECK(!is_first() || !journal_exists(folder));
  forget(N, NULL);
}

/* Whatever it says so with. */
static void a_server_that_refuses_the_likeliest_tokens_is_asked_without(void)
{
  static const int statuses[] = {400, 403, 404, 422, 501};
  for (size_t s = 0; s < sizeof statuses / sizeof *statuses; s++) {
    json_t *counts;
    server.refuses_top = statuses[s];
    make_questions(N, "refused", 5);
    CHECK(ask(N, NULL, &counts) == 0);
    for (int i = 0; i < N && is_first(); i++) CHECK(answers[i].ok && answers[i].n_top == 0);
    int refused = count_of(counts, "top_tokens_refused");
    CHECK(!is_first() ||
          (refused > 0 && count_of(counts, "requests") == N + refused &&
           count_of(counts, "retries") == refused && count_of(counts, "top_tokens_told") == 0));
    forget(N, counts);
  }
  server.refuses_top = 0;
}

/* What was told without them serves as long as they are refused, and no longer. */
static void answers_without_the_likeliest_tokens_are_kept_as_such(void)
{
  json_t *counts;
  session.judge_dir = folder;
  make_questions(N, "kept", 5);
  for (int time = 0; time < 3; time++) {
    int before = requests();
    server.refuses_top = time < 2 ? 403 : 0;
    CHECK(tpo_comm_barrier(comm, &err) == 0);
    CHECK(ask(N, NULL, &counts) == 0);
    for (int i = 0; i < N && is_first(); i++) CHECK(answers[i].ok && answers[i].n_top == (time < 2 ? 0 : 2));
    int refused = count_of(counts, "top_tokens_refused"), sent = requests() - before;
    CHECK(!is_first() || sent == (time == 1 ? 0 : N) + refused);
    forget(N, counts);
  }
  session.judge_dir = NULL;
  CHECK(!is_first() || (journal_remove(cache, &err) == 0 && rmdir(folder) == 0));
}

static void a_judge_that_answers_nothing_is_asked_no_more(void)
{
  int before = requests(), ranks = tpo_comm_size(comm);
  make_questions(N * 20, "void", 0);
  server.fails = true;
  CHECK(ask(N * 20, folder, NULL) < 0);
  CHECK(strstr(err.message, "100 questions in a row"));
  CHECK(requests() <= before + ranks * (ASK_IN_A_ROW + config.judge.concurrency));
  server.fails = false;
  forget(N * 20, NULL);
  CHECK(!strstr(err.message, "are kept"));
  CHECK(!is_first() || journal_remove(folder, &err) == 0);
}

/* A journal without any answer would only stand in the way of other settings; one of another round's stays. */
static void what_keeps_nothing_is_no_journal(void)
{
  server.fails = true;
  make_questions(N * 20, "first", 0);
  for (int time = 0; time < 2; time++) {
    CHECK(ask(N * 20, folder, NULL) < 0);
    CHECK(!is_first() || access(folder, F_OK) < 0);
    forget(N * 20, NULL);
  }
  server.fails = false;
  make_questions(N, "first", 0);
  CHECK(ask(N, folder, NULL) == 0);
  forget(N, NULL);
  make_questions(N * 20, "second", 0);
  server.fails = true;
  CHECK(ask(N * 20, folder, NULL) < 0);
  server.fails = false;
  forget(N * 20, NULL);
  int before = requests();
  make_questions(N, "first", 0);
  CHECK(ask(N, folder, NULL) == 0 && requests() == before);
  forget(N, NULL);
  CHECK(!is_first() || journal_remove(folder, &err) == 0);
}

static void questions_that_are_alike_and_other_judges_are_refused(void)
{
  make_questions(N, "twin", 0);
  questions[2] = questions[1];
  CHECK(ask(N, NULL, NULL) == TPO_E_STATE && strstr(err.message, "key 1"));
  forget(N, NULL);
  struct tpo_judge_config rule = {.kind = (char *)"rule"};
  CHECK(eval_ask_check(&rule, &err) == TPO_E_USAGE && strstr(err.message, "judge.kind is rule"));
  CHECK(eval_ask_check(&config.judge, &err) == 0);
}

int main(void)
{
  CHECK(tpo_comm_open(&comm, 60, &err) == 0);
  CHECK(!is_first() || server_begin());
  snprintf(folder, sizeof folder, "/tmp/tpo-asking-%d.journal", (int)getpid());
  CHECK(tpo_comm_bcast(comm, folder, sizeof folder, 0, &err) == 0);
  snprintf(cache, sizeof cache, "%s/judge-cache", folder);
  CHECK(tpo_comm_bcast(comm, &server.port, sizeof server.port, 0, &err) == 0);
  snprintf(kind, sizeof kind, "http://127.0.0.1:%d/v1", server.port);
  tpo_config_default(&config);
  CHECK(tpo_config_set(&config, "judge.model=small", "test", &err) == 0);
  free(config.judge.kind);
  config.judge.kind = strdup(kind);
  config.judge.concurrency = 8;
  session = (struct tpo_session){.config = &config, .comm = comm};
  rank_0_has_the_answers_in_the_questions_order();
  what_is_answered_is_not_asked_again();
  what_stays_without_an_answer_is_asked_again_later();
  a_journal_without_any_answer_does_not_stay();
  a_server_that_refuses_the_likeliest_tokens_is_asked_without();
  answers_without_the_likeliest_tokens_are_kept_as_such();
  a_judge_that_answers_nothing_is_asked_no_more();
  what_keeps_nothing_is_no_journal();
  questions_that_are_alike_and_other_judges_are_refused();
  CHECK(tpo_comm_barrier(comm, &err) == 0);
  if (is_first()) server_end();
  tpo_config_free(&config);
  tpo_comm_close(comm);
  return 0;
}
