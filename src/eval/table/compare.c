/* Which columns hold values that don't compare, since they were made with other instructions, or by other
 * judges. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "eval/table/table.h"

static const struct {
  const char *what, *words;
} kinds[] = {{"prompts", "other instructions (provenance: the hash of \"prompts\")"},
             {"baseline", "another baseline"},
             {"difficulty", "other difficulties of the instructions"},
             {"gamed", "other gamed rows"},
             {"annotator", "another annotator"},
             {"judge", "another judge"},
             {"b", "another model's samples (provenance: the hash of \"b\")"},
             {"n", "another number of instructions (\"n\" and \"missing\")"},
             {"answer_is", "another rule for what a response's answer is"},
             {"instructions", "other instructions"}};

/* The first row of the column that says what it was made with, and the first that says something else. */
static bool find_two(const struct eval_table *table, const struct table_column *column, const char *what,
                     const struct table_row **one, const struct table_row **other)
{
  const json_t *first = NULL;
  for (size_t r = 0; r < table->n; r++) {
    const struct table_value *value = table_value_of(&table->rows[r], column);
    const json_t *with = value ? json_object_get(value->made_with, what) : NULL;
    if (!with) continue;
    if (first && !json_equal(first, with)) {
      *other = &table->rows[r];
      return true;
    }
    if (!first) *one = &table->rows[r];
    if (!first) first = with;
  }
  return false;
}

static int note(struct eval_table *table, const struct table_column *column, const char *words,
                const struct table_row *one, const struct table_row *other, struct tpo_error *err)
{
  struct tpo_buf text = {0};
  const char *name = table_figures[column->figure].evaluation;
  tpo_buf_printf(&text, "%s%s%s doesn't compare: \"%s\" was made with %s than \"%s\"", name,
                 *column->detail ? " " : "", column->detail, other->label, words, one->label);
  if (text.failed ||
      tpo_grow(&table->notes, &table->notes_capacity, table->n_notes + 1, sizeof *table->notes, err) < 0) {
    tpo_buf_free(&text);
    return tpo_fail(err, TPO_E_MEMORY, "no memory for a table");
  }
  table->notes[table->n_notes++] = tpo_buf_take(&text);
  return 0;
}

/* Figures of one result stand beside each other and share what they were made with: one note for them. */
static bool is_same_result(const struct table_column *a, const struct table_column *b)
{
  return strcmp(table_figures[a->figure].evaluation, table_figures[b->figure].evaluation) == 0 &&
         strcmp(a->detail, b->detail) == 0;
}

int table_compare(struct eval_table *table, struct tpo_error *err)
{
  for (size_t c = 0; c < table->n_columns; c++) {
    struct table_column *column = &table->columns[c];
    bool again = c > 0 && is_same_result(column - 1, column);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
      const struct table_row *one, *other;
      if (!find_two(table, column, kinds[k].what, &one, &other)) continue;
      column->differs = true;
      if (!again && note(table, column, kinds[k].words, one, other, err) < 0) return TPO_E_MEMORY;
    }
  }
  return 0;
}
