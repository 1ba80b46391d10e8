/* A file of categories, a model's answer, and a file of labels (parts). What an answer says is one of the categories,
 * and the same a second time; the question holds the instruction and every name; labels that are written are read. */
#include "eval/categories/labels.h"
#include "eval/categories/list.h"
#include "eval/categories/question.h"
#include "fuzz/fuzz.h"

static void ask(const struct category_list *list, const char *answer)
{
  int found, again;
  char *question = category_question(list, answer);
  CLAIM(question && strstr(question, answer), "%s", question ? question : "no memory");
  for (size_t i = 0; i < list->n; i++)
    CLAIM(strstr(question, list->items[i].name), "%s", list->items[i].name);
  CLAIM(category_read(list, answer, &found, NULL) == 0 && found >= -1 && found < (int)list->n, "%d", found);
  CLAIM(category_read(list, answer, &again, NULL) == 0 && again == found, "%d and %d", found, again);
  free(question);
}

static void read_labels(const char *path)
{
  static const char *const ids[] = {"a", "b", "c"};
  struct tpo_samples samples = {0};
  struct labels labels, again;
  struct tpo_error err = {0};
  size_t unknown;
  for (int i = 0; i < 3; i++) {
    const struct tpo_sample_row row = {.prompt_id = ids[i], .meta = "{\"category\":\"x\"}"};
    CLAIM(tpo_samples_add(&samples, &row, NULL) == 0);
  }
  CLAIM(labels_open(&labels, &samples, true, &err) == 0 && labels_open(&again, &samples, false, &err) == 0,
        "%s", err.message);
  if (!fuzz_refused(labels_read(&labels, path, &unknown, &err), &err)) {
    const char *copy = fuzz_path("copy.jsonl");
    CLAIM(labels_write(&labels, copy, &err) == 0, "%s", err.message);
    CLAIM(labels_read(&again, copy, &unknown, &err) == 0 && unknown == 0, "%s", err.message);
    for (int i = 0; i < 3; i++)
      CLAIM(strcmp(again.items[i].category, labels.items[i].category) == 0, "%s", labels.items[i].category);
  }
  labels_free(&labels);
  labels_free(&again);
  tpo_samples_free(&samples);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct part parts[3];
  struct category_list list;
  struct tpo_error err = {0};
  fuzz_parts(data, size, parts, 3);
  char *answer = fuzz_string(parts[1]);
  if (!fuzz_refused(category_list_read(&list, fuzz_put("list", parts[0]), &err), &err)) ask(&list, answer);
  category_list_free(&list);
  read_labels(fuzz_put("labels", parts[2]));
  free(answer);
  return 0;
}
