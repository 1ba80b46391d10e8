/* Questions about categories, over the ranks. */
#include "eval/categories/assign.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/memory.h"
#include "eval/categories/question.h"
#include "eval/questions.h"
#include "judge/answer.h"
#include "judge/prompt.h"
#include "steps/judge_item.h"

static bool is_pending(const struct label *label, const double *outcomes)
{
  return !label->category && !(outcomes && isnan(outcomes[label->first]));
}

static int add_question(const struct tpo_sample_row *row, const struct category_list *list,
                        struct eval_questions *questions, struct tpo_error *err)
{
  struct tpo_judge_item item = judge_item_of_sample(row);
  char *instruction = judge_instruction_text(&item, err), *text = NULL;
  struct tpo_buf key = {0};
  int status = instruction ? 0 : err->code;
  if (instruction && !(text = category_question(list, instruction)))
    status = tpo_fail(err, TPO_E_MEMORY, "no memory for questions");
  tpo_buf_printf(&key, "category of %s", row->prompt_id);
  const struct eval_question question = {.key = key.data, .ask = {.user = text}};
  if (status == 0 && key.failed) status = tpo_fail(err, TPO_E_MEMORY, "no memory for questions");
  if (status == 0) status = eval_questions_add(questions, &question, err);
  tpo_buf_free(&key);
  free(instruction);
  free(text);
  return status;
}

/* Rank 0. */
static int make_questions(const struct labels *labels, const struct assign_options *options,
                          struct eval_questions *questions, struct tpo_error *err)
{
  int status = 0;
  for (size_t i = 0; i < labels->n && status == 0; i++)
    if (is_pending(&labels->items[i], options->outcomes))
      status = add_question(&labels->samples->rows[labels->items[i].first], options->list, questions, err);
  return status;
}

static int open_thoughts(const struct tpo_judge_config *judge, struct judge_pattern **out,
                         struct tpo_error *err)
{
  *out = NULL;
  if (!judge->thought_pattern || !*judge->thought_pattern) return 0;
  return judge_pattern_open(out, "judge.thought_pattern", judge->thought_pattern, JUDGE_PATTERN_WHOLE, err);
}

/* category -1: the answer says none. */
static int read_answer(const struct category_list *list, const struct ask_answer *answer,
                       const struct judge_pattern *thoughts, int *category, struct tpo_error *err)
{
  struct tpo_buf said = {0};
  *category = -1;
  tpo_buf_puts(&said, "");
  int closed = judge_answer_said(&said, answer->text, thoughts, ANSWER_OPEN_IS_THOUGHT, err);
  int status = closed < 0 ? closed : 0;
  if (closed == ANSWER_THOUGHTS_CLOSED && !answer->cut_off)
    status = category_read(list, said.data, category, err);
  tpo_buf_free(&said);
  return status;
}

/* Rank 0: answers to the pending ones, in their order. */
static int take_answers(struct labels *labels, const struct assign_options *options,
                        const struct ask_answer *answers, const struct tpo_judge_config *judge,
                        const struct judge_pattern *thoughts, struct assigned *out, struct tpo_error *err)
{
  int status = 0;
  const char *why = NULL;
  for (size_t i = 0; i < labels->n && status == 0; i++) {
    int category;
    struct label *label = &labels->items[i];
    if (!is_pending(label, options->outcomes)) continue;
    const struct ask_answer *answer = &answers[out->asked++];
    if (!answer->ok && out->failed++ == 0) why = answer->text;
    if (!answer->ok) continue;
    status = read_answer(options->list, answer, thoughts, &category, err);
    out->unread += category < 0;
    if (status == 0 && category >= 0)
      status = labels_set(label, options->list->items[category].name, LABEL_MODEL, err);
  }
  if (status == 0)
    status = eval_check_failed(judge, out->failed, out->asked, "questions for a category", why,
                               options->journal, err);
  return status;
}

static int ask(const struct tpo_session *session, struct labels *labels,
               const struct eval_questions *questions, const struct assign_options *options,
               struct assigned *out, struct tpo_error *err)
{
  const struct eval_asking asking = {.what = "categories",
                                     .journal = options->journal,
                                     .work = "evaluation: categories\n",
                                     .drop_other = options->drop_other};
  bool first = tpo_comm_rank(session->comm) == 0;
  struct judge_pattern *thoughts = NULL;
  struct ask_answer *answers = first ? tpo_calloc(questions->n, sizeof *answers, err) : NULL;
  int status = first && !answers ? TPO_E_MEMORY : open_thoughts(&session->config->judge, &thoughts, err);
  status = tpo_comm_agree(session->comm, status, err);
  if (status == 0)
    status = eval_ask(session, questions->list, questions->n, &asking, answers, &out->counts, err);
  if (status == 0 && first)
    status = take_answers(labels, options, answers, &session->config->judge, thoughts, out, err);
  eval_answers_free(answers, questions->n);
  judge_pattern_close(thoughts);
  return tpo_comm_agree(session->comm, status, err);
}

int categories_assign(const struct tpo_session *session, struct labels *labels,
                      const struct assign_options *options, struct assigned *out, struct tpo_error *err)
{
  struct eval_questions questions = {0};
  bool first = tpo_comm_rank(session->comm) == 0;
  *out = (struct assigned){0};
  int status = first ? make_questions(labels, options, &questions, err) : 0;
  status = eval_questions_share(session->comm, status, &questions, err);
  if (status == 0 && questions.n > 0) status = ask(session, labels, &questions, options, out, err);
  eval_questions_free(&questions);
  return status;
}
