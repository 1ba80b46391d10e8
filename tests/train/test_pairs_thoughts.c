/* Pairs of text under templates that think: what a published answer's tokens are where the template begins a thought in the
 * prompt, closes one there, or leaves it out of history. */
#include "pairs_text.h"
#include "tpo/config.h"
#include "tpo/train.h"

#define START_OF(role) "<|im_start|>" role "\n"
#define TURN(role, text) START_OF(role) text "<|im_end|>\n"
#define SAYS(role, text) "{\"role\":\"" role "\",\"content\":\"" text "\"}"
#define ASKED(text) "<s>" TURN("user", text) START_OF("assistant")
#define THOUGHT "<think>\\nHm.\\n</think>\\n\\n"
#define ANSWERS(chosen, rejected)                                                                            \
  "{\"prompt\":[" SAYS("user", "Q") "],\"chosen\":\"" chosen "\",\"rejected\":\"" rejected "\"}\n"

/* A switch in the generation prompt; answers after the last question with their thoughts or empty ones, others without. */
static const char switched[] =
    "{{- bos_token }}{%- set ns = namespace(last=0) %}"
    "{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' }}{%- set said = m.content %}"
    "{%- if m.role == 'assistant' %}{%- set thought = '' %}"
    "{%- if '</think>' in said %}{%- set thought = said.split('</think>')[0].split('<think>')[-1].strip('\\n') %}"
    "{%- set said = said.split('</think>')[-1].lstrip('\\n') %}{%- endif %}"
    "{%- if loop.index0 > ns.last %}{{- '<think>\\n' + thought + '\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"
    "{{- said + '<|im_end|>\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and not enable_thinking %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{%- endif %}";

/* Answers without their thoughts anywhere, behind what separates them from the turn's beginning. */
#define WITHOUT_THOUGHTS(gap)                                                                                \
  "{{- bos_token }}{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' }}"                           \
  "{%- if m.role == 'assistant' %}{{- '" gap "' + m.content.split('</think>')[-1].lstrip('\\n') }}"          \
  "{%- else %}{{- m.content }}{%- endif %}{{- '<|im_end|>\\n' }}{%- endfor %}"                               \
  "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
static const char opened[] = WITHOUT_THOUGHTS("") "{{- '<think>\\n' }}{%- endif %}";
static const char dropped[] = WITHOUT_THOUGHTS("") "{%- endif %}";
static const char apart[] = WITHOUT_THOUGHTS(" ") "{%- endif %}";
/* No thoughts but empty ones. */
static const char silent[] =
    "{{- bos_token }}{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' }}"
    "{%- if m.role == 'assistant' %}{{- '<think>\\n\\n</think>\\n' }}{%- endif %}{{- m.content + '<|im_end|>\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n\\n</think>\\n' }}{%- endif %}";
/* Contents as they stand. */
static const char plain[] =
    "{{- bos_token }}{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

static void open_model(const char *template, bool control)
{
  struct tpo_error err = {0};
  close_model();
  if (write_tokenizer(control, &err) < 0 || write_template(template, &err) < 0 ||
      tpo_tokenizer_open(&tokenizer, folder, &err) < 0 || tpo_template_open(&tmpl, tokenizer, NULL, &err) < 0)
    fail_msg("%s", err.message);
}

static int read_under(const char *layout, const char *text, struct tpo_pairs *pairs, struct tpo_error *err)
{
  char path[4200];
  struct tpo_config config;
  snprintf(path, sizeof path, "%s/pairs.jsonl", folder);
  assert_int_equal(tpo_write_file(path, text, strlen(text), NULL), 0);
  tpo_config_default(&config);
  assert_int_equal(tpo_config_set_thought(&config, layout, "--thought", NULL), 0);
  int status = tpo_train_read_some_pairs(pairs, path, tokenizer, tmpl, &config.thought, 0, 0, err);
  tpo_config_free(&config);
  return status;
}

static void assert_refused(const char *layout, const char *text, const char *words)
{
  struct tpo_pairs pairs = {0};
  struct tpo_error err = {0};
  assert_int_equal(read_under(layout, text, &pairs, &err), TPO_E_UNSUPPORTED);
  if (!strstr(err.message, words)) fail_msg("\"%s\" does not hold \"%s\"", err.message, words);
  tpo_pairs_free(&pairs);
}

/* The one pair of the text. */
static void assert_pair(const char *layout, const char *text, const char *prompt, const char *chosen,
                        const char *rejected)
{
  struct tpo_pairs pairs = {0};
  struct tpo_error err = {0};
  if (read_under(layout, text, &pairs, &err) < 0) fail_msg("%s", err.message);
  const struct tpo_pair_row *row = &pairs.rows[0];
  assert_ids(row->prompt_ids, row->n_prompt, prompt);
  assert_ids(row->chosen_ids, row->n_chosen, chosen);
  assert_ids(row->rejected_ids, row->n_rejected, rejected);
  tpo_pairs_free(&pairs);
}

static void a_switch_says_whether_the_prompt_closes_the_thought(void **state)
{
  (void)state;
  open_model(switched, false);
  assert_pair("think-tags", ANSWERS(THOUGHT "five", "six"), ASKED("Q"),
              "<think>\nHm.\n</think>\n\nfive<|im_end|>", "<think>\n\n</think>\n\nsix<|im_end|>");
  assert_pair("generic", ANSWERS("five", "six"), ASKED("Q") "<think>\n\n</think>\n\n", "five<|im_end|>",
              "six<|im_end|>");
  assert_refused("generic", ANSWERS("five", THOUGHT "six"),
                 "pairs.jsonl:1: rejected: the answer holds a thought (<think>), but the chat template has "
                 "closed it in the prompt; thought.template_args has the switches");
  open_model(silent, false);
  assert_pair("none", ANSWERS("five", "six"), ASKED("Q") "<think>\n\n</think>\n", "five<|im_end|>",
              "six<|im_end|>");
  assert_refused("none", ANSWERS(THOUGHT "five", "six"), "chosen: the answer holds a thought (<think>)");
  open_model(switched, false);
  assert_refused("none", ANSWERS("Hm.\\n</think>\\nfive", "six"),
                 "chosen: the answer holds a thought (</think>)");
}

static void an_unclosed_thought_is_not_shown_behind_an_empty_one(void **state)
{
  (void)state;
  open_model(switched, false);
  assert_pair("think-tags", ANSWERS(THOUGHT "five", "<think>\\nHm"), ASKED("Q"),
              "<think>\nHm.\n</think>\n\nfive<|im_end|>", "<think>\nHm<|im_end|>");
}

static void a_thought_that_the_prompt_opens_is_not_opened_again(void **state)
{
  (void)state;
  const char *asked = ASKED("Q") "<think>\n";
  open_model(opened, false);
  assert_pair("none", ANSWERS(THOUGHT "five", "<think>Hm.</think>six"), asked,
              "Hm.\n</think>\n\nfive<|im_end|>", "Hm.</think>six<|im_end|>");
  assert_pair("none", ANSWERS("Hm.\\n</think>\\n\\nfive", "\\n<think>\\n\\nnever"), asked,
              "Hm.\n</think>\n\nfive<|im_end|>", "\nnever<|im_end|>");
  /* an answer without a thought is no thought without an answer */
  assert_pair("none", ANSWERS("five", THOUGHT), asked, "\n</think>\n\nfive<|im_end|>",
              "Hm.\n</think>\n\n<|im_end|>");
}

static void a_thought_that_history_leaves_out_is_trained_on(void **state)
{
  (void)state;
  open_model(dropped, false);
  assert_pair("none", ANSWERS(THOUGHT "five", "six"), ASKED("Q"), "<think>\nHm.\n</think>\n\nfive<|im_end|>",
              "six<|im_end|>");
  open_model(apart, false);
  assert_pair("none", ANSWERS(THOUGHT "five", "six"), ASKED("Q"), " <think>\nHm.\n</think>\n\nfive<|im_end|>",
              " six<|im_end|>");
}

#define PART_AT_LAST                                                                                         \
  "{\"chosen\":[" SAYS("user", "1") "," SAYS("assistant", THOUGHT "2") "," SAYS("user", "3") "," SAYS(       \
      "assistant", THOUGHT                                                                                   \
      "4") "],\"rejected\":[" SAYS("user", "1") "," SAYS("assistant", THOUGHT                                \
                                                         "2") "," SAYS("user", "3") "," SAYS("assistant",    \
                                                                                             "5") "]}\n"

static void earlier_answers_are_history_without_thoughts(void **state)
{
  (void)state;
  const char *asked = "<s>" TURN("user", "1") TURN("assistant", "2") TURN("user", "3") START_OF("assistant");
  char prompt[200];
  open_model(switched, false);
  assert_pair("think-tags", PART_AT_LAST, asked, "<think>\nHm.\n</think>\n\n4<|im_end|>",
              "<think>\n\n</think>\n\n5<|im_end|>");
  open_model(opened, false);
  snprintf(prompt, sizeof prompt, "%s<think>\n", asked);
  assert_pair("none", PART_AT_LAST, prompt, "Hm.\n</think>\n\n4<|im_end|>", "\n</think>\n\n5<|im_end|>");
}

static void an_answer_that_later_messages_change_is_refused(void **state)
{
  (void)state;
  const char *pair = "{\"prompt\":\"1\",\"chosen\":[" SAYS("assistant", THOUGHT "2") "," SAYS(
      "user", "3") "," SAYS("assistant", "4") "],\"rejected\":[" SAYS("assistant", "5") "]}\n";
  static const char words[] =
      "pairs.jsonl:1: chosen: the chat template shows message 2, an answer, otherwise once others follow it";
  open_model(switched, false);
  assert_refused("think-tags", pair, words);
  open_model(opened, false);
  assert_refused("none", pair, words);
}

static void chats_that_part_at_the_users_turn_share_what_both_begin_with(void **state)
{
  (void)state;
  struct tpo_pairs pairs = {0};
  struct tpo_error err = {0};
  const char *pair =
      "{\"chosen\":[" SAYS("user", "1") "," SAYS("assistant", THOUGHT "2") "," SAYS("user", "3") "," SAYS(
          "assistant", THOUGHT
          "4") "],\"rejected\":[" SAYS("user", "1") "," SAYS("assistant", THOUGHT
                                                             "2") "," SAYS("user", "6") "," SAYS("assistant",
                                                                                                 "7") "]}\n";
  open_model(switched, false);
  if (read_under("think-tags", pair, &pairs, &err) < 0) fail_msg("%s", err.message);
  const struct tpo_pair_row *row = &pairs.rows[0];
  assert_ids(row->prompt_ids, row->n_prompt, "<s>" TURN("user", "1") TURN("assistant", "2") START_OF("user"));
  assert_ids(row->chosen_ids, row->n_chosen,
             "3<|im_end|>\n" START_OF("assistant") "<think>\nHm.\n</think>\n\n4<|im_end|>");
  assert_trained(row->chosen_ids, row->chosen_mask, row->n_chosen, "<think>\nHm.\n</think>\n\n4<|im_end|>");
  assert_trained(row->rejected_ids, row->rejected_mask, row->n_rejected,
                 "<think>\n\n</think>\n\n7<|im_end|>");
  tpo_pairs_free(&pairs);
}

static int count(const int32_t *ids, int32_t n, int32_t id)
{
  int found = 0;
  for (int32_t i = 0; i < n; i++) found += ids[i] == id;
  return found;
}

/* What a sampled output has; in a question, and beyond a thought's two tags, they are text. */
/* A template that ends an answer only before another turn: a model must learn to end it all the same. */
static void an_end_that_comes_with_the_next_turn_is_trained_on(void **state)
{
  (void)state;
  static const char between[] =
      "{{- bos_token }}{%- for m in messages %}{{- ('' if loop.first else '<|im_end|>\\n') ~ '<|im_start|>' + "
      "m.role + '\\n' + m.content }}{%- endfor %}{%- if add_generation_prompt %}"
      "{{- '<|im_end|>\\n<|im_start|>assistant\\n' }}{%- endif %}";
  open_model(between, false);
  assert_pair("none", ANSWERS("five", "six"), ASKED("Q"), "five<|im_end|>", "six<|im_end|>");
}

static void a_layouts_tags_may_be_control_tokens(void **state)
{
  (void)state;
  enum { THINK = END + 1, CLOSE };
  const char *pair =
      "{\"prompt\":[" SAYS("user", "<think>") "],\"chosen\":\"" THOUGHT
                                              "</think>five<|im_end|>\",\"rejected\":\"six\"}\n";
  static const char *const templates[] = {plain, opened, plain};
  for (int i = 0; i < 3; i++) {
    struct tpo_pairs pairs = {0};
    struct tpo_error err = {0};
    open_model(templates[i], true);
    if (read_under(i == 2 ? "none" : "think-tags", pair, &pairs, &err) < 0) fail_msg("%s", err.message);
    const struct tpo_pair_row *row = &pairs.rows[0];
    assert_int_equal(count(row->prompt_ids, row->n_prompt, THINK), i == 1);
    assert_int_equal(count(row->chosen_ids, row->n_chosen, THINK), i == 0);
    assert_int_equal(count(row->chosen_ids, row->n_chosen, CLOSE), i < 2);
    assert_int_equal(count(row->chosen_ids, row->n_chosen, END), 1);
    assert_ids(row->chosen_ids, row->n_chosen,
               i == 1 ? "Hm.\n</think>\n\n</think>five<|im_end|><|im_end|>"
                      : "<think>\nHm.\n</think>\n\n</think>five<|im_end|><|im_end|>");
    tpo_pairs_free(&pairs);
  }
}

static int make(void **state)
{
  if (make_folder(state) != 0) return -1;
  folder = *state;
  return 0;
}

static int remove_all(void **state)
{
  close_model();
  return remove_folder(state);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_switch_says_whether_the_prompt_closes_the_thought),
      cmocka_unit_test(an_unclosed_thought_is_not_shown_behind_an_empty_one),
      cmocka_unit_test(a_thought_that_the_prompt_opens_is_not_opened_again),
      cmocka_unit_test(a_thought_that_history_leaves_out_is_trained_on),
      cmocka_unit_test(earlier_answers_are_history_without_thoughts),
      cmocka_unit_test(an_answer_that_later_messages_change_is_refused),
      cmocka_unit_test(chats_that_part_at_the_users_turn_share_what_both_begin_with),
      cmocka_unit_test(an_end_that_comes_with_the_next_turn_is_trained_on),
      cmocka_unit_test(a_layouts_tags_may_be_control_tokens),
  };
  return cmocka_run_group_tests(tests, make, remove_all);
}
