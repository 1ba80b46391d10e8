/* Records of an evaluation, under a name that says a format or none. Each row's fields can be asked for, and rows
 * written as JSON Lines read equal. */
#include <math.h>
#include "base/buf.h"
#include "base/json.h"
#include "eval/rows.h"
#include "fuzz/fuzz.h"

static int add(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  char *line = tpo_json_dump(row->fields);
  (void)err;
  CLAIM(line && json_is_object(row->fields) && row->place[0], "row %zu", row->number);
  tpo_buf_printf(arg, "%s\n", line);
  free(line);
  return 0;
}

/* What a field is asked for is refused by the row's place, or is a number or a text. */
static int ask(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  const char *name, *text;
  json_t *value;
  double number;
  json_object_foreach((json_t *)row->fields, name, value)
  {
    *err = (struct tpo_error){0};
    if (!fuzz_refused(eval_row_number(row, name, &number, err), err))
      CLAIM(!isinf(number) && (isnan(number) || !json_is_null(value)), "%s: %g", name, number);
    *err = (struct tpo_error){0};
    if (!fuzz_refused(eval_row_text(row, name, &text, err), err))
      CLAIM(text ? strlen(text) == json_string_length(value) : json_is_null(value), "%s", name);
  }
  *err = (struct tpo_error){0};
  ++*(size_t *)arg;
  return 0;
}

static void written_reads_the_same(const struct tpo_buf *lines)
{
  struct tpo_buf again = {0};
  struct tpo_error err = {0};
  const char *path = fuzz_put("again.jsonl", (struct part){(const uint8_t *)lines->data, lines->len});
  CLAIM(eval_rows_read(path, add, &again, &err) == 0, "%s", err.message);
  CLAIM(again.len == lines->len && memcmp(again.data, lines->data, again.len) == 0, "%s", lines->data);
  tpo_buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static const char *const names[] = {"rows", "rows.csv", "rows.tsv"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    struct tpo_buf lines = {0};
    struct tpo_error err = {0};
    size_t asked = 0;
    const char *path = fuzz_put(names[i], (struct part){data, size});
    bool bad = fuzz_refused(eval_rows_read(path, ask, &asked, &err), &err);
    CLAIM(bad || asked > 0, "a file without a row is read");
    if (!bad && eval_rows_read(path, add, &lines, &err) == 0) written_reads_the_same(&lines);
    tpo_buf_free(&lines);
  }
  return 0;
}
