/* How a word problem is put to a model. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "eval/tasks/gsm8k.h"

/* What stands below the question. No number and nothing that stands for one: small models copy it. */
static const char *const requests[] = {
    [EVAL_GSM8K_DIRECT] =
        "Work it out step by step. Then end with a line of its own that says \"The answer is\" and "
        "then the final number, without a unit.",
    [EVAL_GSM8K_THOUGHT] =
        "End your reply with a line of its own that says \"The answer is\" and then the final "
        "number, without a unit.",
    [EVAL_GSM8K_ANSWER_ONLY] =
        "Reply with the final number alone. Don't show any work, and add no words and no "
        "unit.",
    [EVAL_GSM8K_SHOTS] = "",
};

/* Worked examples, of this program's own. */
static const struct {
  const char *question, *answer;
} shots[EVAL_GSM8K_MOST_SHOTS] = {
    {"A ferry has 6 rows of 14 seats. On the morning trip 59 seats are taken. How many seats are free?",
     "The ferry has 6 * 14 = 84 seats. 59 are taken, so 84 - 59 = 25 are free.\nThe answer is 25."},
    {"Ines saves 12 euros a week. She wants a tent for 190 euros and already has 46 euros. After how many weeks can "
     "she buy it?",
     "She still needs 190 - 46 = 144 euros. At 12 euros a week that takes 144 / 12 = 12 weeks.\nThe answer is 12."},
    {"A baker uses 3/4 of a kilogram of flour for a loaf. On Friday he bakes 32 loaves, on Saturday half as many "
     "again. How many kilograms of flour does he use on both days?",
     "On Saturday he bakes 32 + 16 = 48 loaves, so on both days 32 + 48 = 80. They take 80 * 0.75 = 60 kilograms.\n"
     "The answer is 60."},
    {"A cyclist rides for 2 hours at 18 kilometres an hour and for 90 minutes at 24 kilometres an hour. How far does "
     "she ride?",
     "In the first part she rides 2 * 18 = 36 kilometres. 90 minutes are 1.5 hours, so the second part is "
     "1.5 * 24 = 36 kilometres. Together that is 36 + 36 = 72.\nThe answer is 72."},
    {"A coat costs $240. In the sale it is 15% cheaper, and Omar has a voucher of $20 on top. How much does he pay?",
     "15% of $240 is 0.15 * 240 = 36 dollars, so the sale's price is 240 - 36 = 204. With the voucher he pays "
     "204 - 20 = 184 dollars.\nThe answer is 184."},
    {"Three friends share the costs of a trip. The car costs 150, the fuel 42 and the cottage 270. One of them has "
     "paid 100 already. How much is her share still short of?",
     "The trip costs 150 + 42 + 270 = 462. Each pays 462 / 3 = 154. She has paid 100, so 154 - 100 = 54 are "
     "missing.\nThe answer is 54."},
    {"A pond is filled by two pipes, one giving 40 litres a minute and the other 25. At the same time 5 litres a "
     "minute leak away. How many litres are in the empty pond after 3 hours?",
     "Each minute 40 + 25 - 5 = 60 litres are added. 3 hours are 180 minutes, so there are 180 * 60 = 10,800 "
     "litres.\nThe answer is 10800."},
    {"Mara is four times as old as her son. In 6 years the two will be 62 years old together. How old is Mara now?",
     "Now they are 62 - 12 = 50 years old together. That is five times the son's age, who is 50 / 5 = 10. Mara is "
     "4 * 10 = 40.\nThe answer is 40."},
};

int eval_gsm8k_prompting_parse(struct eval_gsm8k_prompting *out, const char *text, struct tpo_error *err)
{
  static const char *const names[] = {"direct", "thought", "answer-only"};
  for (int i = 0; i < 3; i++) {
    *out = (struct eval_gsm8k_prompting){(enum eval_gsm8k_way)i, 0};
    if (strcmp(text, names[i]) == 0) return 0;
  }
  const char *number = strncmp(text, "shots:", 6) == 0 ? text + 6 : "";
  *out = (struct eval_gsm8k_prompting){EVAL_GSM8K_SHOTS, *number ? *number - '0' : 0};
  if (strlen(number) == 1 && out->shots >= 1 && out->shots <= EVAL_GSM8K_MOST_SHOTS) return 0;
  return tpo_fail(
      err, TPO_E_USAGE,
      "%s is no way of prompting: expected direct, thought, answer-only or shots:N with N from 1 to %d", text,
      EVAL_GSM8K_MOST_SHOTS);
}

static json_t *turn(const char *role, const char *content)
{
  return json_pack("{s:s, s:s}", "role", role, "content", content);
}

/* The examples and the question, as turns; JSON text to be freed, NULL: memory is short. */
static char *chat_of(const char *question, int n)
{
  json_t *chat = json_array();
  bool failed = false;
  for (int i = 0; i < n; i++) {
    failed |= json_array_append_new(chat, turn("user", shots[i].question)) < 0;
    failed |= json_array_append_new(chat, turn("assistant", shots[i].answer)) < 0;
  }
  failed |= json_array_append_new(chat, turn("user", question)) < 0;
  char *text = failed ? NULL : tpo_json_dump(chat);
  json_decref(chat);
  return text;
}

static char *meta_of(double final, const char *chat)
{
  json_t *meta = json_pack("{s:s, s:f}", "dataset", "gsm8k", "reference", final);
  json_t *turns = chat ? json_loads(chat, 0, NULL) : NULL;
  if (turns) json_object_set_new(meta, "messages", turns);
  char *text = meta && (turns || !chat) ? tpo_json_dump(meta) : NULL;
  json_decref(meta);
  return text;
}

static int add(const struct eval_gsm8k_row *row, struct eval_gsm8k_prompting how,
               struct tpo_instructions *instructions, struct tpo_error *err)
{
  const char *request = requests[how.way];
  struct tpo_buf text = {0};
  tpo_buf_printf(&text, "%s%s%s", row->question, *request ? "\n\n" : "", request);
  char *chat = how.shots > 0 && !text.failed ? chat_of(text.data, how.shots) : NULL;
  char *meta = meta_of(row->final, chat);
  struct tpo_instruction item = {row->id, text.data, chat, meta};
  bool failed = text.failed || !meta || (how.shots > 0 && !chat);
  int status = failed ? tpo_fail(err, TPO_E_MEMORY, "out of memory for the prompts")
                      : tpo_instructions_add(instructions, &item, err);
  free(chat);
  free(meta);
  tpo_buf_free(&text);
  return status;
}

int eval_gsm8k_ask(const struct eval_gsm8k_set *set, struct eval_gsm8k_prompting how,
                   struct tpo_instructions *instructions, struct tpo_error *err)
{
  int status = 0;
  for (size_t i = 0; i < set->n && status == 0; i++) status = add(&set->rows[i], how, instructions, err);
  return status;
}
