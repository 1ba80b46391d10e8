/* A language model on our own engine that is asked questions: a random one, of a file made here. */
#include "model/model.h"
#include "engine/byte_tokenizer.h"
#include "ask/ask.h"
#include "heard.h"
#include "model/fixture.h"
#include "tpo/store.h"
#include "tpo/text.h"

enum { N_QUESTIONS = 4 };

static const char chatml[] =
    "{\"eos_token\":\"<|im_end|>\",\"chat_template\":\"{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\\\\n' + message['content'] + '<|im_end|>' + '\\\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\\\n' }}{% endif %}\"}";

static void write_file(const char *folder, const char *name, const char *text)
{
  char path[4200];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  assert_int_equal(tpo_write_file(path, text, strlen(text), NULL), 0);
}

/* A checkpoint in the folder, with the folder's tokenizer in it. Its path is returned. */
static const char *write_model(const char *folder, struct tpo_backend *be, int vocab, int context)
{
  static char path[4200];
  struct tpo_error err = {0};
  struct tpo_tokenizer *tok;
  struct tpo_model *model;
  struct tpo_checkpoint_writer *w;
  struct tpo_model_options options = {.backend = be, .dtype = TPO_DTYPE_FP32};
  const struct tpo_arch arch = {.vocab_size = vocab,
                                .hidden = 32,
                                .layers = 1,
                                .heads = 4,
                                .kv_heads = 2,
                                .head_dim = 8,
                                .ffn = 48,
                                .context = context,
                                .rms_eps = 1e-5,
                                .rope.theta = 10000,
                                .tied = true};
  snprintf(path, sizeof path, "%s/judge.h5", folder);
  assert_ok(tpo_tokenizer_open(&tok, folder, &err));
  assert_ok(tpo_model_create_random(&model, &arch, 3, &options, &err));
  assert_ok(tpo_checkpoint_create(&w, path, "seed: 0\n", &err));
  assert_ok(tpo_model_save(model, NULL, tok, w, &err));
  assert_ok(tpo_checkpoint_commit(w, &err));
  tpo_checkpoint_writer_close(w);
  tpo_model_close(model);
  tpo_tokenizer_close(tok);
  return path;
}

static void put_tokenizer(const char *folder)
{
  write_tokenizer(folder);
  write_file(folder, "tokenizer_config.json", chatml);
}

static const struct ask_question four[N_QUESTIONS] = {{.user = "One?"},
                                                      {.user = "Two?"},
                                                      {.system = "Be brief.", .user = "Three?"},
                                                      {.user = "Which is better?"}};

/* Asks a judge model of this vocabulary and context; its counts, to be released. */
static json_t *ask_these(const char *folder, int vocab, int context, int max_tokens,
                         const struct ask_question questions[N_QUESTIONS],
                         struct ask_answer answers[N_QUESTIONS])
{
  struct tpo_error err = {0};
  struct ask_chat chat;
  struct heard heard = {0};
  struct tpo_watch watch = {hear, &heard};
  struct tpo_backend *be = open_backend(CPU);
  struct tpo_judge_config config = {.temperature = 1, .max_tokens = max_tokens, .slots = 3};
  struct ask_options options = {.config = &config, .backend = be, .dtype = TPO_DTYPE_FP32, .seed = 5};
  put_tokenizer(folder);
  const char *path = write_model(folder, be, vocab, context);
  assert_ok(ask_check_engine(path, &err));
  assert_ok(ask_open_engine(&chat, path, &options, &err));
  assert_ok(chat.ask(chat.state, questions, N_QUESTIONS, answers, &watch, &err));
  if (heard.n > 0) assert_true(heard.last == 1); /* none of them had no room for an answer */
  json_t *counts = chat.counts(chat.state);
  chat.close(chat.state);
  tpo_backend_close(be);
  return counts;
}

static json_t *ask(const char *folder, int vocab, int context, int max_tokens,
                   struct ask_answer answers[N_QUESTIONS])
{
  return ask_these(folder, vocab, context, max_tokens, four, answers);
}

static void forget(json_t *counts, struct ask_answer answers[N_QUESTIONS])
{
  for (int i = 0; i < N_QUESTIONS; i++) free(answers[i].text);
  json_decref(counts);
}

static int count_of(const json_t *counts, const char *name)
{
  return (int)json_integer_value(json_object_get(counts, name));
}

/* Half of the vocabulary, and so about half of what is drawn at temperature 1, has no token. */
static void tokens_that_the_tokenizer_does_not_know_add_nothing_to_an_answer(void **state)
{
  struct ask_answer answers[N_QUESTIONS] = {0};
  json_t *counts = ask(*state, 2 * BYTE_TOKENS, 256, 60, answers);
  size_t bytes = 0;
  for (int i = 0; i < N_QUESTIONS; i++) {
    assert_true(answers[i].ok);
    bytes += strlen(answers[i].text);
  }
  int tokens = count_of(counts, "answer_tokens");
  assert_true(tokens > 100 && bytes > 0 && bytes < (size_t)tokens * 3 / 4);
  forget(counts, answers);
}

static void answers_that_a_limit_cut_off_are_counted(void **state)
{
  static const struct {
    int context, max_tokens;
  } limits[] = {{256, 3}, {64, 1000}}; /* of the settings; of the model */
  for (int i = 0; i < 2; i++) {
    struct ask_answer answers[N_QUESTIONS] = {0};
    json_t *counts = ask(*state, BYTE_TOKENS, limits[i].context, limits[i].max_tokens, answers);
    int failed = 0;
    for (int j = 0; j < N_QUESTIONS; j++) {
      failed += !answers[j].ok;
      assert_int_equal(answers[j].cut_off, answers[j].ok);
    }
    assert_int_equal(failed, count_of(counts, "too_long"));
    assert_true(failed < N_QUESTIONS);
    assert_int_equal(count_of(counts, "truncated"), N_QUESTIONS - failed); /* none drew the end token */
    forget(counts, answers);
  }
}

/* The whole chat is what the model reads, and what the draws are keyed by. */
static void what_was_answered_bears_on_what_is_answered_next(void **state)
{
  static const struct ask_question chats[N_QUESTIONS] = {{NULL, "One?", "Yes.", "Sure?", 0},
                                                         {NULL, "One?", "Yes.", "Why?", 0},
                                                         {NULL, "One?", "No.", "Sure?", 5},
                                                         {NULL, "One?", "Yes.", "Sure?", 0}};
  struct ask_answer first[N_QUESTIONS] = {0}, answers[N_QUESTIONS] = {0};
  json_t *before = ask(*state, BYTE_TOKENS, 256, 30, first);
  json_t *counts = ask_these(*state, BYTE_TOKENS, 256, 30, chats, answers);
  assert_true(count_of(counts, "question_tokens") > count_of(before, "question_tokens") + 4 * 20);
  assert_string_equal(answers[0].text, answers[3].text);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(answers[i].n_top, 0); /* a model that is computed here tells none */
    assert_string_not_equal(answers[i].text, first[0].text);
    for (int j = 0; j < i; j++) assert_string_not_equal(answers[i].text, answers[j].text);
  }
  forget(before, first);
  forget(counts, answers);
}

static void refuse(const char *path, const char *part)
{
  struct tpo_error err = {0};
  assert_true(ask_check_engine(path, &err) < 0);
  assert_contains(err.message, "the judge model: ");
  assert_contains(err.message, part);
}

static void what_a_model_lacks_is_told_without_reading_its_weights(void **state)
{
  struct tpo_backend *be = open_backend(CPU);
  refuse(*state, "config.json");
  put_tokenizer(*state);
  refuse(write_model(*state, be, BYTE_TOKENS - 1, 64), "259 tokens, the model's vocabulary only 258");
  write_file(*state, "tokenizer_config.json", "{\"chat_template\":\"{% include 'x' %}\"}");
  refuse(write_model(*state, be, BYTE_TOKENS, 64), "the model's own files must hold one that can be run");
  write_file(*state, "tokenizer_config.json", "{}");
  refuse(write_model(*state, be, BYTE_TOKENS, 64), "the model's own files must hold one that can be run");
  tpo_backend_close(be);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
  const struct CMUnitTest tests[] = {
      IN_FOLDER(tokens_that_the_tokenizer_does_not_know_add_nothing_to_an_answer),
      IN_FOLDER(answers_that_a_limit_cut_off_are_counted),
      IN_FOLDER(what_was_answered_bears_on_what_is_answered_next),
      IN_FOLDER(what_a_model_lacks_is_told_without_reading_its_weights),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
