/* A language model on our own engine as the one that is asked. An answer depends on the question, the model
 * and the settings alone: the engine's samples don't depend on the batch, and what they draw from is keyed by
 * the question's text. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/hash.h"
#include "base/memory.h"
#include "ask/ask.h"
#include "model/shelf.h"
#include "tpo/engine.h"
#include "tpo/model.h"
#include "tpo/text.h"

struct engine_chat {
  struct tpo_tokenizer *tokenizer;
  struct tpo_template *tmpl;
  struct tpo_model *model;
  struct tpo_model_shelf *shelf; /* that the model is of; NULL: none */
  struct tpo_engine *engine;
  struct tpo_sampling_config sampling;
  int64_t questions, too_long, truncated;
};

/* A question as the engine gets it, and where its answer goes. */
struct prompt {
  struct ask_answer *answer;
  struct tpo_ids ids;
  char id[33]; /* hash of the question */
  struct tpo_request request;
};

struct asking {
  struct engine_chat *chat;
  struct prompt *prompts; /* [n] those that the engine is given, longest first */
  size_t n, next;
  const struct tpo_watch *watch;
  size_t settled, questions; /* those without room in the context are settled at once */
};

/* The chat so far, in messages [4]; their number. */
static size_t messages_of(const struct ask_question *question, struct tpo_message messages[4])
{
  size_t n = 0;
  if (question->system) messages[n++] = (struct tpo_message){"system", question->system};
  messages[n++] = (struct tpo_message){"user", question->user};
  if (!question->answered) return n;
  messages[n++] = (struct tpo_message){"assistant", question->answered};
  messages[n++] = (struct tpo_message){"user", question->follow_up};
  return n;
}

static int hash_question(const struct ask_question *question, char id[33], struct tpo_error *err)
{
  const char *system = question->system ? question->system : "";
  struct tpo_hash hash;
  int status = tpo_hash_begin(&hash, err);
  if (status < 0) return status;
  tpo_hash_add(&hash, system, strlen(system) + 1);
  tpo_hash_add(&hash, question->user, strlen(question->user));
  if (question->answered) {
    tpo_hash_add(&hash, "", 1);
    tpo_hash_add(&hash, question->answered, strlen(question->answered) + 1);
    tpo_hash_add(&hash, question->follow_up, strlen(question->follow_up));
  }
  tpo_hash_end(&hash, id);
  return 0;
}

static int set_answer(struct ask_answer *answer, bool ok, struct tpo_buf *text, struct tpo_error *err)
{
  answer->ok = ok;
  answer->text = tpo_buf_take(text);
  return answer->text ? 0 : tpo_fail(err, TPO_E_MEMORY, "no memory for the judge model's answers");
}

/* Adds the question's prompt, unless it leaves no room for an answer. */
static int add_prompt(struct asking *asking, const struct ask_question *question, struct ask_answer *answer,
                      struct tpo_error *err)
{
  struct tpo_message messages[4];
  size_t n = messages_of(question, messages);
  int context = tpo_model_arch(asking->chat->model)->context;
  struct prompt *prompt = &asking->prompts[asking->n];
  *prompt = (struct prompt){.answer = answer};
  int status = tpo_template_encode(asking->chat->tmpl, messages, n, true, &prompt->ids, err);
  if (status == 0) status = hash_question(question, prompt->id, err);
  if (status == 0 && prompt->ids.n < (size_t)context) {
    asking->n++;
    return 0;
  }
  if (status == 0) {
    struct tpo_buf why = {0};
    tpo_buf_printf(
        &why, "the question has %zu tokens; the judge model's context of %d leaves no room for an answer",
        prompt->ids.n, context);
    asking->chat->too_long++;
    status = set_answer(answer, false, &why, err);
  }
  tpo_ids_free(&prompt->ids);
  return status;
}

static int longer_first(const void *a, const void *b)
{
  const struct prompt *one = a, *other = b;
  if (one->ids.n != other->ids.n) return one->ids.n > other->ids.n ? -1 : 1;
  return one->answer < other->answer ? -1 : one->answer > other->answer;
}

static int next_request(void *arg, const struct tpo_request **request, struct tpo_error *err)
{
  struct asking *asking = arg;
  (void)err;
  if (asking->next == asking->n) return 0;
  struct prompt *prompt = &asking->prompts[asking->next];
  prompt->request = (struct tpo_request){.id = prompt->id,
                                         .prompt_ids = prompt->ids.ids,
                                         .n_prompt = (int)prompt->ids.n,
                                         .k_count = 1,
                                         .index = asking->next};
  asking->next++;
  *request = &prompt->request;
  return 1;
}

/* What the tokens say, as a text of its own: without the space that SentencePiece begins one with, which a
 * sample's text, the end of its prompt's, keeps. Special ones are told by name but for the end: in some
 * models the marks of a thought are such. Those of a vocabulary that is larger than its tokenizer may have
 * no text. */
static int decode(const struct tpo_tokenizer *tokenizer, const struct tpo_output *output,
                  struct tpo_buf *text, struct tpo_error *err)
{
  struct tpo_ids known = {0};
  int status = 0;
  int n = output->n - (output->finish == TPO_FINISH_STOP);
  for (int i = 0; i < n && status == 0; i++)
    if (tpo_tokenizer_token(tokenizer, output->tokens[i], NULL, NULL))
      status = tpo_ids_append(&known, &output->tokens[i], 1, err);
  if (status == 0) status = tpo_tokenizer_decode(tokenizer, known.ids, known.n, true, text, err);
  tpo_ids_free(&known);
  return status;
}

static int take_output(void *arg, const struct tpo_output *output, struct tpo_error *err)
{
  struct asking *asking = arg;
  struct prompt *prompt = &asking->prompts[output->request->index];
  struct tpo_buf text = {0};
  int status = decode(asking->chat->tokenizer, output, &text, err);
  if (status == 0) status = set_answer(prompt->answer, true, &text, err);
  prompt->answer->cut_off = output->finish == TPO_FINISH_LENGTH || output->finish == TPO_FINISH_CONTEXT;
  asking->chat->truncated += prompt->answer->cut_off;
  if (status == 0) tpo_watch_tell(asking->watch, (double)++asking->settled / (double)asking->questions);
  tpo_buf_free(&text);
  return status;
}

static int engine_ask(void *state, const struct ask_question *questions, size_t n, struct ask_answer *answers,
                      const struct tpo_watch *watch, struct tpo_error *err)
{
  struct asking asking = {.chat = state, .watch = watch, .questions = n};
  asking.prompts = tpo_calloc(n, sizeof *asking.prompts, err);
  int status = asking.prompts ? 0 : TPO_E_MEMORY;
  for (size_t i = 0; i < n && status == 0; i++) status = add_prompt(&asking, &questions[i], &answers[i], err);
  asking.settled = n - asking.n;
  if (status == 0) qsort(asking.prompts, asking.n, sizeof *asking.prompts, longer_first);
  struct tpo_engine_client client = {.arg = &asking, .next = next_request, .output = take_output};
  if (status == 0 && asking.n > 0) status = tpo_engine_run(asking.chat->engine, &client, err);
  asking.chat->questions += (int64_t)n;
  for (size_t i = 0; i < asking.n; i++) tpo_ids_free(&asking.prompts[i].ids);
  free(asking.prompts);
  if (status < 0) tpo_fail_prefix(err, "the judge model");
  return status;
}

static json_t *engine_counts(const void *state)
{
  const struct engine_chat *chat = state;
  struct tpo_engine_stats stats;
  tpo_engine_stats(chat->engine, &stats);
  return json_pack("{s:I, s:I, s:I, s:I, s:I}", "questions", (json_int_t)chat->questions, "question_tokens",
                   (json_int_t)stats.prompt_tokens, "answer_tokens", (json_int_t)stats.sampled_tokens,
                   "too_long", (json_int_t)chat->too_long, "truncated", (json_int_t)chat->truncated);
}

static void engine_close(void *state)
{
  struct engine_chat *chat = state;
  tpo_engine_close(chat->engine);
  shelf_put_model(chat->shelf, chat->model);
  tpo_template_close(chat->tmpl);
  tpo_tokenizer_close(chat->tokenizer);
  free(chat);
}

static int open_text(struct engine_chat *chat, const char *path, struct tpo_error *err)
{
  int status = tpo_tokenizer_open(&chat->tokenizer, path, err);
  return status < 0 ? status : tpo_template_open(&chat->tmpl, chat->tokenizer, NULL, err);
}

int ask_check_engine(const char *path, struct tpo_error *err)
{
  struct tpo_arch arch;
  struct engine_chat *chat = tpo_calloc(1, sizeof *chat, err);
  if (!chat) return TPO_E_MEMORY;
  int status = tpo_model_check(&arch, path, err);
  if (status == 0) status = open_text(chat, path, err);
  if (status == 0) status = tpo_tokenizer_check_vocab(chat->tokenizer, arch.vocab_size, err);
  if (status < 0) tpo_fail_prefix(err, "the judge model");
  engine_close(chat);
  return status;
}

static int open_parts(struct engine_chat *chat, const char *path, const struct ask_options *ask,
                      struct tpo_error *err)
{
  const struct tpo_judge_config *config = ask->config;
  struct tpo_model_options options = {.backend = ask->backend, .dtype = ask->dtype};
  struct tpo_engine_options engine = {.sampling = &chat->sampling, .section = "judge", .seed = ask->seed};
  chat->sampling = (struct tpo_sampling_config){.k = 1,
                                                .temperature = config->temperature,
                                                .top_p = 1,
                                                .repetition_penalty = 1,
                                                .max_tokens = config->max_tokens,
                                                .slots = config->slots};
  chat->shelf = ask->models;
  int status = open_text(chat, path, err);
  if (status == 0) status = shelf_take_model(&chat->model, chat->shelf, path, &options, err);
  if (status == 0)
    status = tpo_engine_open(&chat->engine, chat->model, chat->tokenizer, chat->tmpl, &engine, err);
  if (status < 0) tpo_fail_prefix(err, "the judge model");
  return status;
}

int ask_open_engine(struct ask_chat *out, const char *path, const struct ask_options *options,
                    struct tpo_error *err)
{
  if (!options->backend)
    return tpo_fail(err, TPO_E_USAGE, "the judge model %s needs a backend to compute on", path);
  struct engine_chat *chat = tpo_calloc(1, sizeof *chat, err);
  if (!chat) return TPO_E_MEMORY;
  int status = open_parts(chat, path, options, err);
  if (status < 0) {
    engine_close(chat);
    return status;
  }
  *out = (struct ask_chat){.state = chat, .ask = engine_ask, .counts = engine_counts, .close = engine_close};
  return 0;
}
