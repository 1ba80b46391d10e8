/* Preference pairs from JSON Lines: ids as they are, text through the tokenizer and the chat template. */
#include <math.h>
#include "pairs_text.h"
#include "tpo/train.h"

/* ChatML in pieces. */
static int make_tokenizer(void **state)
{
  if (make_folder(state) != 0) return -1;
  folder = *state;
  struct tpo_error err = {0};
  int status = write_tokenizer(false, &err);
  if (status == 0) status = write_template(NULL, &err);
  struct tpo_template_config pieces = {.bos = "<s>",
                                       .system_prefix = "<|im_start|>system\n",
                                       .system_suffix = "<|im_end|>\n",
                                       .user_prefix = "<|im_start|>user\n",
                                       .user_suffix = "<|im_end|>\n",
                                       .assistant_prefix = "<|im_start|>assistant\n",
                                       .assistant_suffix = "<|im_end|>\n",
                                       .default_system = ""};
  if (status == 0) status = tpo_tokenizer_open(&tokenizer, folder, &err);
  if (status == 0) status = tpo_template_open(&tmpl, tokenizer, &pieces, &err);
  if (status < 0) fprintf(stderr, "%s\n", err.message);
  return status;
}

static int remove_tokenizer(void **state)
{
  close_model();
  return remove_folder(state);
}

static int read_text(struct tpo_pairs *pairs, const char *text, bool with_tokenizer, struct tpo_error *err)
{
  char path[4200];
  snprintf(path, sizeof path, "%s/pairs.jsonl", folder);
  assert_int_equal(tpo_write_file(path, text, strlen(text), NULL), 0);
  return tpo_train_read_pairs(pairs, path, with_tokenizer ? tokenizer : NULL, with_tokenizer ? tmpl : NULL,
                              err);
}

static struct tpo_pairs read_good(const char *text)
{
  struct tpo_pairs pairs = {0};
  struct tpo_error err = {0};
  if (read_text(&pairs, text, true, &err) < 0) fail_msg("%s", err.message);
  return pairs;
}

static void assert_refused(const char *text, bool with_tokenizer, int code, const char *words)
{
  struct tpo_pairs pairs = {0};
  struct tpo_error err = {0};
  assert_int_equal(read_text(&pairs, text, with_tokenizer, &err), code);
  if (!strstr(err.message, words)) fail_msg("\"%s\" does not hold \"%s\"", err.message, words);
  tpo_pairs_free(&pairs);
}

static void ids_are_taken_as_they_are(void **state)
{
  (void)state;
  struct tpo_pairs pairs = {0};
  assert_int_equal(read_text(&pairs,
                             "{\"prompt_ids\":[1,2],\"chosen_ids\":[3,4,5],\"rejected_ids\":[6]}\n\n"
                             "{\"id\":\"x\",\"prompt_ids\":[],\"chosen_ids\":[7,8],\"rejected_ids\":[9,9],"
                             "\"chosen_mask\":[0,1],\"chosen_score\":2.5,\"rejected_score\":1}\r\n",
                             false, NULL),
                   0);
  assert_int_equal(pairs.n, 2);
  const struct tpo_pair_row *a = &pairs.rows[0], *b = &pairs.rows[1];
  assert_string_equal(a->prompt_id, "line-1");
  assert_int_equal(a->n_prompt, 2);
  assert_int_equal(a->chosen_ids[2], 5);
  assert_int_equal(a->n_rejected, 1);
  assert_int_equal(a->chosen_mask[0] + a->chosen_mask[1] + a->chosen_mask[2], 3);
  assert_int_equal(a->chosen_row, -1);
  assert_true(isnan(a->chosen_ref_logprob) && isnan(a->rejected_ref_logprob));
  assert_string_equal(b->prompt_id, "x");
  assert_int_equal(b->chosen_mask[0], 0);
  assert_int_equal(b->chosen_mask[1], 1);
  assert_true(b->margin == 1.5);
  tpo_pairs_free(&pairs);
}

static void plain_text_gets_bos_before_and_the_end_token_after(void **state)
{
  (void)state;
  struct tpo_pairs pairs =
      read_good("{\"prompt\":\"Say hi.\",\"chosen\":\" Hi\",\"rejected\":\" No<|im_end|>\"}\n");
  const struct tpo_pair_row *row = &pairs.rows[0];
  assert_ids(row->prompt_ids, row->n_prompt, "<s>Say hi.");
  assert_ids(row->chosen_ids, row->n_chosen, " Hi<|im_end|>");
  assert_ids(row->rejected_ids, row->n_rejected, " No<|im_end|>"); /* not twice */
  assert_int_equal(row->rejected_ids[row->n_rejected - 1], END);
  assert_int_equal(row->prompt_ids[0], BEGIN);
  tpo_pairs_free(&pairs);
}

static void messages_go_through_the_template(void **state)
{
  (void)state;
  struct tpo_pairs pairs =
      read_good("{\"prompt\":[{\"role\":\"user\",\"content\":\"Q <|im_end|>\"}],"
                "\"chosen\":[{\"role\":\"assistant\",\"content\":\"A\"}],\"rejected\":\"B\"}\n");
  const struct tpo_pair_row *row = &pairs.rows[0];
  assert_ids(row->prompt_ids, row->n_prompt,
             "<s><|im_start|>user\nQ <|im_end|><|im_end|>\n<|im_start|>assistant\n");
  assert_ids(row->chosen_ids, row->n_chosen, "A<|im_end|>"); /* without the newline after it */
  assert_ids(row->rejected_ids, row->n_rejected, "B<|im_end|>");
  int ends = 0;
  for (int i = 0; i < row->n_prompt; i++) ends += row->prompt_ids[i] == END;
  assert_int_equal(ends, 1); /* the marker inside the message stays text */
  tpo_pairs_free(&pairs);
}

static void chats_that_share_their_beginning_need_no_prompt(void **state)
{
  (void)state;
  struct tpo_pairs pairs =
      read_good("{\"chosen\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"Q\"},"
                "{\"role\":\"assistant\",\"content\":\"yes\"}],"
                "\"rejected\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"Q\"},"
                "{\"role\":\"assistant\",\"content\":\"no\"}]}\n");
  const struct tpo_pair_row *row = &pairs.rows[0];
  assert_ids(row->prompt_ids, row->n_prompt,
             "<s><|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n");
  assert_ids(row->chosen_ids, row->n_chosen, "yes<|im_end|>");
  assert_ids(row->rejected_ids, row->n_rejected, "no<|im_end|>");
  tpo_pairs_free(&pairs);
}

static void a_prompt_may_be_what_whole_chats_repeat(void **state)
{
  (void)state;
  struct tpo_pairs pairs = read_good(
      "{\"prompt\":\"Q\","
      "\"chosen\":[{\"role\":\"user\",\"content\":\"Q\"},{\"role\":\"assistant\",\"content\":\"yes\"}],"
      "\"rejected\":[{\"role\":\"user\",\"content\":\"Q\"},{\"role\":\"assistant\",\"content\":\"no\"}]}\n");
  const struct tpo_pair_row *row = &pairs.rows[0];
  assert_ids(row->prompt_ids, row->n_prompt, "<s><|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n");
  assert_ids(row->chosen_ids, row->n_chosen, "yes<|im_end|>");
  assert_ids(row->rejected_ids, row->n_rejected, "no<|im_end|>");
  tpo_pairs_free(&pairs);
}

#define START_OF(role) "<|im_start|>" role "\n"
#define TURN(role, text) START_OF(role) text "<|im_end|>\n"
#define SAYS(role, text) "{\"role\":\"" role "\",\"content\":\"" text "\"}"
#define PAIR(prompt, before)                                                                                 \
  "{\"prompt\":" prompt                                                                                      \
  ",\"chosen\":[" before SAYS("assistant", "yes") "],\"rejected\":[" before SAYS("assistant", "no") "]}\n"

static void a_prompt_is_what_chats_begin_with_or_answer(void **state)
{
  (void)state;
  struct tpo_pairs pairs = read_good(PAIR("\" Q\"", SAYS("system", "S") "," SAYS("user", "Q\\n") ",") PAIR(
      "[" SAYS("system", "S") "," SAYS("user", "Q\\n") "]", SAYS("system", "S") "," SAYS("user", "Q\\n") ",")
                                         PAIR("[" SAYS("system", "S") "," SAYS("user", "Q\\n") "]", "") PAIR(
                                             "\"\\n\\nHuman: Q\\n\\nAssistant:\"", SAYS("user", "Q") ","));
  for (int i = 0; i < 4; i++) {
    const struct tpo_pair_row *row = &pairs.rows[i];
    assert_ids(row->prompt_ids, row->n_prompt,
               i < 3 ? "<s>" TURN("system", "S") TURN("user", "Q\n") START_OF("assistant")
                     : "<s>" TURN("user", "Q") START_OF("assistant"));
    assert_ids(row->chosen_ids, row->n_chosen, "yes<|im_end|>");
    assert_ids(row->rejected_ids, row->n_rejected, "no<|im_end|>");
  }
  tpo_pairs_free(&pairs);
}

static void a_prompt_that_chats_do_not_repeat_is_refused(void **state)
{
  (void)state;
  assert_refused(PAIR("\"P\"", SAYS("user", "Q") ","), true, TPO_E_INPUT,
                 "pairs.jsonl:1: prompt is not what the user says first in chosen");
  assert_refused("{\"prompt\":\"Q\",\"chosen\":[" SAYS("user", "Q") "," SAYS(
                     "assistant", "a") "],\"rejected\":[" SAYS("user", "P") "," SAYS("assistant", "b") "]}",
                 true, TPO_E_INPUT, "first in rejected");
  assert_refused(PAIR("[" SAYS("user", "P") "]", SAYS("user", "Q") ","), true, TPO_E_INPUT,
                 "pairs.jsonl:1: chosen begins with neither the prompt nor an answer");
  assert_refused(PAIR("\"\\n\\nHuman: P\\n\\nAssistant:\"", SAYS("user", "Q") ","), true, TPO_E_INPUT,
                 "chosen begins with neither");
  assert_refused(
      "{\"prompt\":[" SAYS("user", "Q") "],\"chosen\":[" SAYS("user", "Q") "],\"rejected\":\"no\"}", true,
      TPO_E_INPUT, "chosen has nothing after");
  struct tpo_pairs pairs =
      read_good("{\"prompt\":\"Q\",\"instruction\":\"Q\",\"chosen\":\"A\",\"rejected\":\"B\"}\n");
  tpo_pairs_free(&pairs);
  assert_refused("{\"prompt\":\"Q\",\"instruction\":\"P\",\"chosen\":\"A\",\"rejected\":\"B\"}", true,
                 TPO_E_INPUT, ":1: \"instruction\" stands beside another \"prompt\"");
  assert_refused("{\"instruction\":\"P\",\"chosen\":\"\\n\\nHuman: Q\\n\\nAssistant: A\","
                 "\"rejected\":\"\\n\\nHuman: Q\\n\\nAssistant: B\"}",
                 true, TPO_E_INPUT, "\"instruction\" is not read");
}

static void a_mark_of_what_is_trained_on_says_what_is_so_anyway(void **state)
{
  (void)state;
  const char *line =
      "{\"prompt\":[{\"role\":\"user\",\"content\":\"a\",\"%s\":%s}],\"chosen\":[{\"role\":\"assistant\","
      "\"content\":\"b\",\"%s\":%s}],\"rejected\":\"c\"}\n";
  static const char *const names[] = {"train", "training", "loss"};
  char text[600], words[80];
  for (int i = 0; i < 3; i++) {
    snprintf(text, sizeof text, line, names[i], "false", names[i], "true");
    struct tpo_pairs pairs = read_good(text);
    tpo_pairs_free(&pairs);
    snprintf(text, sizeof text, line, names[i], "null", names[i], "0");
    snprintf(words, sizeof words, ":1: chosen[0]: \"%s\" is not supported, unless it is true", names[i]);
    assert_refused(text, true, TPO_E_UNSUPPORTED, words);
    snprintf(text, sizeof text, line, names[i], "true", names[i], "1");
    snprintf(words, sizeof words, ":1: prompt[0]: \"%s\" is not supported, unless it is false", names[i]);
    assert_refused(text, true, TPO_E_UNSUPPORTED, words);
  }
}

static void ids_may_be_integers_and_a_byte_order_mark_begins_the_file(void **state)
{
  (void)state;
  struct tpo_pairs pairs =
      read_good("\xef\xbb\xbf{\"id\":41,\"prompt\":\"Q\",\"chosen\":\"A\",\"rejected\":\"B\"}\n"
                "{\"prompt_id\":-7,\"prompt\":\"Q\",\"chosen\":\"A\",\"rejected\":\"B\"}\n"
                "{\"id\":null,\"prompt\":\"Q\",\"chosen\":\"A\",\"rejected\":\"B\"}\n");
  assert_string_equal(pairs.rows[0].prompt_id, "41");
  assert_string_equal(pairs.rows[1].prompt_id, "-7");
  assert_string_equal(pairs.rows[2].prompt_id, "line-3");
  tpo_pairs_free(&pairs);
  assert_refused("{\"id\":1.5,\"prompt\":\"Q\",\"chosen\":\"A\",\"rejected\":\"B\"}", true, TPO_E_INPUT,
                 "\"id\" must be");
}

static void chats_may_part_before_their_last_turn(void **state)
{
  (void)state;
  struct tpo_pairs pairs = read_good(
      "{\"chosen\":[{\"role\":\"user\",\"content\":\"1\"},{\"role\":\"assistant\",\"content\":\"2\"},"
      "{\"role\":\"user\",\"content\":\"3\"},{\"role\":\"assistant\",\"content\":\"4\"}],"
      "\"rejected\":[{\"role\":\"user\",\"content\":\"1\"},{\"role\":\"assistant\",\"content\":\"5\"}]}\n"
      "{\"chosen\":[{\"role\":\"user\",\"content\":\"1\"},{\"role\":\"assistant\",\"content\":\"2\"},"
      "{\"role\":\"user\",\"content\":\"3\"},{\"role\":\"assistant\",\"content\":\"4\"}],"
      "\"rejected\":[{\"role\":\"user\",\"content\":\"1\"},{\"role\":\"assistant\",\"content\":\"2\"},"
      "{\"role\":\"user\",\"content\":\"6\"},{\"role\":\"assistant\",\"content\":\"7\"}]}\n");
  const struct tpo_pair_row *row = &pairs.rows[0];
  assert_ids(row->prompt_ids, row->n_prompt, "<s>" TURN("user", "1") START_OF("assistant"));
  assert_ids(row->chosen_ids, row->n_chosen,
             "2<|im_end|>\n" TURN("user", "3") START_OF("assistant") "4<|im_end|>");
  assert_trained(row->chosen_ids, row->chosen_mask, row->n_chosen, "2<|im_end|>4<|im_end|>");
  assert_trained(row->rejected_ids, row->rejected_mask, row->n_rejected, "5<|im_end|>");
  row = &pairs.rows[1]; /* they part at the user's turn */
  assert_ids(row->prompt_ids, row->n_prompt, "<s>" TURN("user", "1") TURN("assistant", "2"));
  assert_ids(row->chosen_ids, row->n_chosen, TURN("user", "3") START_OF("assistant") "4<|im_end|>");
  assert_trained(row->rejected_ids, row->rejected_mask, row->n_rejected, "7<|im_end|>");
  tpo_pairs_free(&pairs);
}

static void answers_of_several_turns_follow_a_prompt(void **state)
{
  (void)state;
  const char *line = "{\"prompt\":%s,\"chosen\":[%s{\"role\":\"assistant\",\"content\":\"2\"},"
                     "{\"role\":\"user\",\"content\":\"3\"},{\"role\":\"assistant\",\"content\":\"4\"}],"
                     "\"rejected\":[%s{\"role\":\"assistant\",\"content\":\"5\"}]}\n";
  const char *turn = "{\"role\":\"user\",\"content\":\"1\"},";
  const char *prompts[] = {"\"1\"", "[{\"role\":\"user\",\"content\":\"1\"}]"};
  for (int i = 0; i < 4; i++) { /* text or chat, repeated in the answers or not */
    char text[600];
    snprintf(text, sizeof text, line, prompts[i / 2], i % 2 ? turn : "", i % 2 ? turn : "");
    struct tpo_pairs pairs = read_good(text);
    const struct tpo_pair_row *row = &pairs.rows[0];
    assert_ids(row->prompt_ids, row->n_prompt, "<s>" TURN("user", "1") START_OF("assistant"));
    assert_trained(row->chosen_ids, row->chosen_mask, row->n_chosen, "2<|im_end|>4<|im_end|>");
    assert_trained(row->rejected_ids, row->rejected_mask, row->n_rejected, "5<|im_end|>");
    tpo_pairs_free(&pairs);
  }
}

static void dialogues_in_one_string_become_chats(void **state)
{
  (void)state;
  struct tpo_pairs pairs =
      read_good("{\"chosen\":\"\\n\\nHuman: 1\\n\\nAssistant: 2\\n\\nHuman: 3\\n\\n3b\\n\\nAssistant: 4 \","
                "\"rejected\":\"\\n\\nHuman: 1\\n\\nAssistant: 2\\n\\nHuman: 3\\n\\n3b\\n\\nAssistant:\"}\n");
  const struct tpo_pair_row *row = &pairs.rows[0];
  assert_ids(row->prompt_ids, row->n_prompt,
             "<s>" TURN("user", "1") TURN("assistant", "2") TURN("user", "3\n\n3b") START_OF("assistant"));
  assert_ids(row->chosen_ids, row->n_chosen, "4<|im_end|>");
  assert_ids(row->rejected_ids, row->n_rejected, "<|im_end|>");
  tpo_pairs_free(&pairs);
  /* beside a prompt that they repeat, and behind one that ends where the answer begins */
  pairs = read_good(
      "{\"prompt\":\"1\",\"chosen\":\"\\n\\nHuman: 1\\n\\nAssistant: 2\",\"rejected\":\"\\n\\nHuman: 1\\n\\nAssistant: 3\"}\n"
      "{\"prompt\":\"\\n\\nHuman: 1\\n\\nAssistant:\",\"chosen\":{\"role\":\"assistant\",\"content\":\"2\"},\"rejected\":\"3\"}\n");
  for (int i = 0; i < 2; i++) {
    row = &pairs.rows[i];
    assert_ids(row->prompt_ids, row->n_prompt, "<s>" TURN("user", "1") START_OF("assistant"));
    assert_ids(row->chosen_ids, row->n_chosen, "2<|im_end|>");
    assert_ids(row->rejected_ids, row->n_rejected, "3<|im_end|>");
  }
  tpo_pairs_free(&pairs);
}

static void content_may_be_a_list_of_parts(void **state)
{
  (void)state;
  struct tpo_pairs pairs =
      read_good("{\"prompt\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"1\"}]}],"
                "\"chosen\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"2\"}]}],"
                "\"rejected\":{\"from\":\"gpt\",\"value\":\"3\"}}\n");
  const struct tpo_pair_row *row = &pairs.rows[0];
  assert_ids(row->prompt_ids, row->n_prompt, "<s>" TURN("user", "1") START_OF("assistant"));
  assert_ids(row->chosen_ids, row->n_chosen, "2<|im_end|>");
  assert_ids(row->rejected_ids, row->n_rejected, "3<|im_end|>");
  tpo_pairs_free(&pairs);
}

static void what_would_change_the_meaning_is_refused_by_name(void **state)
{
  (void)state;
  assert_refused(
      "{\"prompt\":\"a\",\"chosen\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":1}]}],"
      "\"rejected\":\"c\"}",
      true, TPO_E_UNSUPPORTED, ":1: chosen[0]: \"tool_calls\"");
  assert_refused("{\"prompt\":\"a\",\"system\":\"s\",\"chosen\":\"b\",\"rejected\":\"c\"}", true,
                 TPO_E_UNSUPPORTED, "\"system\"");
  assert_refused(
      "{\"prompt\":\"a\",\"chosen\":[{\"role\":\"assistant\",\"content\":\"b\",\"weight\":0}],\"rejected\":\"c\"}",
      true, TPO_E_UNSUPPORTED, "\"weight\"");
  assert_refused(
      "{\"prompt\":[{\"role\":\"user\",\"content\":\"a\"}],\"chosen\":\"b\",\"rejected\":\"c\",\"chosen_mask\":[1,1]}",
      true, TPO_E_UNSUPPORTED, "chosen_mask");
  assert_refused(
      "{\"chosen\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}],"
      "\"rejected\":[{\"role\":\"user\",\"content\":\"a\"}]}",
      true, TPO_E_INPUT, "rejected has nothing after");
  assert_refused("[\n{\"prompt\":\"a\"}]", true, TPO_E_INPUT, "jq -c '.[]'");
  assert_refused("PAR1 and more", false, TPO_E_INPUT, "Parquet");
}

static void identical_answers_are_read_for_the_filter_to_leave_out(void **state)
{
  (void)state;
  struct tpo_pairs pairs = read_good(
      "{\"prompt\":\"Q\",\"chosen\":\"A\",\"rejected\":\"A\"}\n" PAIR("\"Q\"", SAYS("user", "Q") ",") "{\"chosen\":[" SAYS(
          "user",
          "1") "," SAYS("assistant",
                        "2") "," SAYS("user",
                                      "3") "," SAYS("assistant",
                                                    "4") "],\"rejected\":[" SAYS("user",
                                                                                 "1") "," SAYS("assistant",
                                                                                               "2") "," SAYS("user",
                                                                                                             "3") "," SAYS("assistant",
                                                                                                                           "4") "]}\n{\"prompt_ids\":[1],\"chosen_ids\":[2,3],\"rejected_ids\":[2,3],\"chosen_mask\":[1,0]}\n");
  assert_int_equal(pairs.n, 4);
  const struct tpo_pair_row *row = &pairs.rows[2];
  assert_ids(row->prompt_ids, row->n_prompt,
             "<s>" TURN("user", "1") TURN("assistant", "2") TURN("user", "3") START_OF("assistant"));
  assert_ids(row->chosen_ids, row->n_chosen, "4<|im_end|>");
  assert_ids(row->rejected_ids, row->n_rejected, "4<|im_end|>");
  struct tpo_train_config config = {0};
  struct tpo_train_filtered filtered;
  assert_int_equal(tpo_train_filter_pairs(&pairs, &config, 1000, "pairs.jsonl", &filtered, NULL), 0);
  assert_int_equal(filtered.identical, 2);
  assert_int_equal(pairs.n, 2);
  assert_string_equal(pairs.rows[0].prompt_id, "line-2");
  assert_string_equal(pairs.rows[1].prompt_id, "line-4");
  tpo_pairs_free(&pairs);
}

static void what_cannot_be_rendered_or_is_of_another_model_is_a_bad_row(void **state)
{
  (void)state;
  assert_refused(PAIR("\"Q\"", "") PAIR("[" SAYS("user", "Q") "," SAYS("tool", "4") "]", ""), true,
                 TPO_E_INPUT, "pairs.jsonl:2: the prompt: message 2: the role \"tool\"");
  assert_refused("{\"prompt\":\"Q\",\"chosen\":[" SAYS("assistant", "a") "," SAYS("tool", "4") "," SAYS(
                     "assistant", "b") "],\"rejected\":\"c\"}",
                 true, TPO_E_INPUT, "pairs.jsonl:1: chosen: message 3: the role \"tool\"");
  const char *text = "{\"prompt_ids\":[1],\"chosen_ids\":[2],\"rejected_ids\":[3,9]}\n"
                     "{\"prompt_ids\":[1],\"chosen_ids\":[2],\"rejected_ids\":[3,10]}\n" PAIR(
                         "[" SAYS("user", "Q") "," SAYS("tool", "4") "]", "");
  char path[4200];
  struct tpo_pairs pairs = {0};
  struct tpo_error err = {0};
  snprintf(path, sizeof path, "%s/pairs.jsonl", folder);
  assert_int_equal(tpo_write_file(path, text, strlen(text), NULL), 0);
  assert_int_equal(tpo_train_read_some_pairs(&pairs, path, tokenizer, tmpl, NULL, 10, 2, &err), 0);
  assert_int_equal(pairs.n, 1);
  tpo_pairs_free(&pairs);
  assert_int_equal(tpo_train_read_some_pairs(&pairs, path, tokenizer, tmpl, NULL, 10, 0, &err), TPO_E_INPUT);
  if (!strstr(err.message, "pairs.jsonl:2: rejected_ids[1] is 10, but the model's vocabulary has 10 tokens"))
    fail_msg("%s", err.message);
  tpo_pairs_free(&pairs);
}

static void so_many_bad_rows_are_left_out(void **state)
{
  (void)state;
  const char *text =
      "{\"prompt_ids\":[1],\"chosen_ids\":[-2],\"rejected_ids\":[3]}\n"
      "{\"prompt_ids\":[1],\"chosen_ids\":[2],\"rejected_ids\":[3]}\n"
      "{\"prompt\":\"a\",\"chosen\":[{\"role\":\"assistant\",\"tool_calls\":[1]}],\"rejected\":\"c\"}\n";
  char path[4200];
  struct tpo_pairs pairs = {0};
  struct tpo_error err = {0};
  snprintf(path, sizeof path, "%s/pairs.jsonl", folder);
  assert_int_equal(tpo_write_file(path, text, strlen(text), NULL), 0);
  assert_int_equal(tpo_train_read_some_pairs(&pairs, path, tokenizer, tmpl, NULL, 0, 2, &err), 0);
  assert_int_equal(pairs.n, 1);
  assert_string_equal(pairs.rows[0].prompt_id, "line-2");
  tpo_pairs_free(&pairs);
  assert_int_equal(tpo_train_read_some_pairs(&pairs, path, tokenizer, tmpl, NULL, 0, 1, &err),
                   TPO_E_UNSUPPORTED);
  assert_non_null(strstr(err.message, "more bad rows than the 1"));
  assert_non_null(strstr(err.message, "pairs.jsonl:3"));
  tpo_pairs_free(&pairs);
}

static void what_is_no_pair_is_refused_with_its_line(void **state)
{
  (void)state;
  const char *good = "{\"prompt_ids\":[1],\"chosen_ids\":[2],\"rejected_ids\":[3]}\n";
  char text[400];
  snprintf(text, sizeof text, "%s{\"prompt_ids\":[1],\"chosen_ids\":[-2],\"rejected_ids\":[3]}\n", good);
  assert_refused(text, false, TPO_E_INPUT, "pairs.jsonl:2: chosen_ids[0] is not a token id");
  assert_refused("{\"prompt_ids\":[1.5],\"chosen_ids\":[2],\"rejected_ids\":[3]}", false, TPO_E_INPUT,
                 "prompt_ids[0]");
  assert_refused("{\"prompt_ids\":[1],\"chosen_ids\":[4294967298],\"rejected_ids\":[3]}", false, TPO_E_INPUT,
                 "chosen_ids[0]");
  assert_refused("{\"prompt_ids\":[1],\"chosen_ids\":[2]}", false, TPO_E_INPUT, "rejected_ids");
  assert_refused("{\"prompt_ids\":[1],\"chosen_ids\":[2],\"rejected_ids\":[3],\"chosen_mask\":[1,1]}", false,
                 TPO_E_INPUT, "chosen_mask");
  assert_refused("{\"prompt_ids\":[1],\"chosen_ids\":[2],\"rejected_ids\":[3],\"rejected_mask\":[2]}", false,
                 TPO_E_INPUT, "0 or 1");
  assert_refused("[1]", false, TPO_E_INPUT, "object");
  assert_refused("{\"prompt_ids\":[1", false, TPO_E_INPUT, "JSON");
  assert_refused("\n\n", false, TPO_E_INPUT, "no pairs");
  assert_refused("{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\"}", false, TPO_E_USAGE, "tokenizer");
  assert_refused("{\"prompt\":\"a\",\"chosen\":\"b\"}", true, TPO_E_INPUT, "rejected");
  assert_refused("{\"chosen\":\"b\",\"rejected\":\"c\"}", true, TPO_E_INPUT, "without `prompt`");
  assert_refused("{\"prompt\":[],\"chosen\":\"b\",\"rejected\":\"c\"}", true, TPO_E_INPUT,
                 "at least one message");
  assert_refused("{\"prompt\":[{\"role\":\"user\"}],\"chosen\":\"b\",\"rejected\":\"c\"}", true, TPO_E_INPUT,
                 "prompt[0]");
  assert_refused("{\"prompt\":\"a\",\"chosen\":[{\"role\":\"user\",\"content\":\"b\"}],\"rejected\":\"c\"}",
                 true, TPO_E_INPUT, "expected \"assistant\"");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ids_are_taken_as_they_are),
      cmocka_unit_test(plain_text_gets_bos_before_and_the_end_token_after),
      cmocka_unit_test(messages_go_through_the_template),
      cmocka_unit_test(chats_that_share_their_beginning_need_no_prompt),
      cmocka_unit_test(a_prompt_may_be_what_whole_chats_repeat),
      cmocka_unit_test(a_prompt_is_what_chats_begin_with_or_answer),
      cmocka_unit_test(a_prompt_that_chats_do_not_repeat_is_refused),
      cmocka_unit_test(a_mark_of_what_is_trained_on_says_what_is_so_anyway),
      cmocka_unit_test(ids_may_be_integers_and_a_byte_order_mark_begins_the_file),
      cmocka_unit_test(chats_may_part_before_their_last_turn),
      cmocka_unit_test(answers_of_several_turns_follow_a_prompt),
      cmocka_unit_test(dialogues_in_one_string_become_chats),
      cmocka_unit_test(content_may_be_a_list_of_parts),
      cmocka_unit_test(what_would_change_the_meaning_is_refused_by_name),
      cmocka_unit_test(identical_answers_are_read_for_the_filter_to_leave_out),
      cmocka_unit_test(what_cannot_be_rendered_or_is_of_another_model_is_a_bad_row),
      cmocka_unit_test(so_many_bad_rows_are_left_out),
      cmocka_unit_test(what_is_no_pair_is_refused_with_its_line),
  };
  return cmocka_run_group_tests(tests, make_tokenizer, remove_tokenizer);
}
