/* Labels by instruction. */
#include "eval/categories/labels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/visible.h"
#include "eval/categories/list.h"
#include "eval/rows.h"

static int no_memory(struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_MEMORY, "no memory for labels");
}

/* As it is told, without blanks around it: a long one ends in "~" and its hash, so that no two are told alike. NULL for an empty one, or short
 * memory. */
static char *tell(const char *text)
{
  char shown[LABEL_MOST - 8], hash[10];
  static const char blanks[] = " \t\r\n";
  struct tpo_buf whole = {0};
  if (text) text += strspn(text, blanks);
  if (!text || !*text) return NULL;
  size_t len = strlen(text);
  while (strchr(blanks, text[len - 1])) len--;
  tpo_visible_append(&whole, text, len);
  if (whole.len > LABEL_MOST) {
    tpo_visible_copy(shown, sizeof shown, text);
    snprintf(hash, sizeof hash, "~%08x", (unsigned)tpo_hash64(text, len));
    tpo_buf_clear(&whole);
    tpo_buf_puts(&whole, shown);
    tpo_buf_puts(&whole, hash);
  }
  return tpo_buf_take(&whole);
}

int labels_set(struct label *label, const char *category, enum label_by by, struct tpo_error *err)
{
  char *told = tell(category);
  if (!told) return no_memory(err);
  free(label->category);
  label->category = told;
  label->by = by;
  return 0;
}

static bool is_none(const char *category)
{
  char *folded = category_fold(category, strlen(category));
  bool none = folded && strcmp(folded, CATEGORY_NONE) == 0;
  free(folded);
  return none;
}

static int take_meta(struct label *label, const char *meta, bool own, struct tpo_error *err)
{
  json_t *fields = tpo_json_parse(meta, strlen(meta), "meta", NULL);
  const char *category = json_string_value(json_object_get(fields, "category"));
  label->dataset = tell(json_string_value(json_object_get(fields, "dataset")));
  bool given = own && category && category[strspn(category, " \t\r\n")] && !is_none(category);
  int status = given ? labels_set(label, category, LABEL_SAMPLES, err) : 0;
  json_decref(fields);
  return status;
}

int labels_open(struct labels *labels, const struct tpo_samples *samples, bool own, struct tpo_error *err)
{
  *labels = (struct labels){.samples = samples, .items = tpo_calloc(samples->n, sizeof *labels->items, err)};
  int status = labels->items ? 0 : TPO_E_MEMORY;
  for (size_t first = 0; first < samples->n && status == 0; first = tpo_samples_prompt_end(samples, first)) {
    struct label *label = &labels->items[labels->n++];
    label->first = first;
    status = take_meta(label, samples->rows[first].meta, own, err);
  }
  return status;
}

void labels_free(struct labels *labels)
{
  for (size_t i = 0; i < labels->n; i++) {
    free(labels->items[i].category);
    free(labels->items[i].dataset);
  }
  free(labels->items);
}

static const char *id_of(const struct labels *labels, const struct label *label)
{
  return labels->samples->rows[label->first].prompt_id;
}

struct reading {
  struct labels *labels;
  struct label **by_id; /* [n] sorted */
  size_t unknown;
};

static int by_id(const void *a, const void *b, void *arg)
{
  const struct labels *labels = arg;
  return strcmp(id_of(labels, *(struct label *const *)a), id_of(labels, *(struct label *const *)b));
}

static struct label *find(const struct reading *r, const char *id)
{
  size_t low = 0, high = r->labels->n;
  while (low < high) {
    size_t middle = (low + high) / 2;
    int order = strcmp(id, id_of(r->labels, r->by_id[middle]));
    if (order == 0) return r->by_id[middle];
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return NULL;
}

/* Numbers are ids too, as files of instructions may have them. */
static int id_of_row(const struct eval_row *row, const char *name, char digits[24], const char **id,
                     struct tpo_error *err)
{
  const json_t *value = json_object_get(row->fields, name);
  if (!json_is_integer(value)) return eval_row_text(row, name, id, err);
  snprintf(digits, 24, "%lld", (long long)json_integer_value(value));
  *id = digits;
  return 0;
}

static int take_row(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  static const char *const names[] = {"id", "prompt_id"};
  struct reading *r = arg;
  const char *name = eval_row_which(row, names, 2), *id = NULL, *category = NULL;
  char digits[24];
  int status = id_of_row(row, name ? name : "id", digits, &id, err);
  if (status == 0) status = eval_row_text(row, "category", &category, err);
  if (status < 0) return status;
  char *told = tell(category);
  if (!id || !*id || !told) {
    free(told);
    return tpo_fail(err, TPO_E_INPUT, "%s: expected an id and a category", row->place);
  }
  if (is_none(told)) {
    free(told);
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: \"%s\" is what instructions without a category are called; leave the row out",
                    row->place, CATEGORY_NONE);
  }
  struct label *label = find(r, id);
  r->unknown += !label;
  if (label && label->by == LABEL_FILE && strcmp(label->category, told) != 0)
    status = tpo_fail(err, TPO_E_INPUT, "%s: %.100s is \"%s\" here and \"%s\" before", row->place, id, told,
                      label->category);
  else if (label)
    status = labels_set(label, told, LABEL_FILE, err);
  free(told);
  return status;
}

int labels_read(struct labels *labels, const char *path, size_t *unknown, struct tpo_error *err)
{
  struct reading r = {.labels = labels, .by_id = tpo_calloc(labels->n, sizeof *r.by_id, err)};
  if (!r.by_id) return TPO_E_MEMORY;
  for (size_t i = 0; i < labels->n; i++) r.by_id[i] = &labels->items[i];
  if (labels->n > 0) qsort_r(r.by_id, labels->n, sizeof *r.by_id, by_id, labels);
  int status = eval_rows_read(path, take_row, &r, err);
  free(r.by_id);
  *unknown = r.unknown;
  return status;
}

/* A label by its category, folded. */
struct spelling {
  char *folded;
  size_t at; /* a list's come before labels */
  const char *name;
  struct label *label; /* NULL: a list's */
};

static int by_spelling(const void *a, const void *b)
{
  const struct spelling *one = a, *other = b;
  int order = strcmp(one->folded, other->folded);
  return order != 0 ? order : (one->at > other->at) - (one->at < other->at);
}

static int add_spelling(struct spelling *all, size_t *n, const char *name, struct label *label,
                        struct tpo_error *err)
{
  char *folded = category_fold(name, strlen(name));
  if (!folded) return no_memory(err);
  all[*n] = (struct spelling){folded, *n, name, label};
  ++*n;
  return 0;
}

/* The first of those that are alike names the others. */
static int spell_alike(struct spelling *all, size_t n, struct tpo_error *err)
{
  int status = 0;
  qsort(all, n, sizeof *all, by_spelling);
  for (size_t i = 0, first = 0; i < n && status == 0; i++) {
    if (strcmp(all[first].folded, all[i].folded) != 0) first = i;
    if (all[i].label && strcmp(all[first].name, all[i].name) != 0)
      status = labels_set(all[i].label, all[first].name, all[i].label->by, err);
  }
  return status;
}

int labels_unify(struct labels *labels, const struct category_list *list, struct tpo_error *err)
{
  size_t n = 0;
  struct spelling *all = tpo_calloc(list->n + labels->n, sizeof *all, err);
  int status = all ? 0 : TPO_E_MEMORY;
  for (size_t i = 0; i < list->n && status == 0; i++)
    status = add_spelling(all, &n, list->items[i].name, NULL, err);
  for (size_t i = 0; i < labels->n && status == 0; i++)
    if (labels->items[i].category)
      status = add_spelling(all, &n, labels->items[i].category, &labels->items[i], err);
  if (status == 0 && n > 0) status = spell_alike(all, n, err);
  for (size_t i = 0; i < n; i++) free(all[i].folded);
  free(all);
  return status;
}

int labels_write(const struct labels *labels, const char *path, struct tpo_error *err)
{
  struct tpo_buf out = {0};
  tpo_buf_puts(&out, "");
  for (size_t i = 0; i < labels->n; i++) {
    const struct label *label = &labels->items[i];
    const char *id = id_of(labels, label);
    if (!label->category) continue;
    tpo_buf_puts(&out, "{\"id\":");
    tpo_json_append_string(&out, id, strlen(id));
    tpo_buf_puts(&out, ",\"category\":");
    tpo_json_append_string(&out, label->category, strlen(label->category));
    tpo_buf_puts(&out, "}\n");
  }
  int status = out.failed ? no_memory(err) : tpo_write_file(path, out.data, out.len, err);
  tpo_buf_free(&out);
  return status;
}

size_t labels_count(const struct labels *labels, enum label_by by)
{
  size_t n = 0;
  for (size_t i = 0; i < labels->n; i++) n += labels->items[i].by == by;
  return n;
}
