/* The set of instructions: adding to it, and writing it as JSON Lines. */
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "tpo/data.h"

int tpo_instructions_add(struct tpo_instructions *set, const struct tpo_instruction *item,
                         struct tpo_error *err)
{
  int status = tpo_grow(&set->items, &set->capacity, set->n + 1, sizeof *set->items, err);
  if (status < 0) return status;
  struct tpo_arena arena = {set->arena};
  struct tpo_instruction copy = {
      .id = tpo_arena_strdup(&arena, item->id),
      .instruction = tpo_arena_strdup(&arena, item->instruction),
      .messages = item->messages ? tpo_arena_strdup(&arena, item->messages) : NULL,
      .meta = tpo_arena_strdup(&arena, item->meta ? item->meta : "{}"),
  };
  set->arena = arena.blocks;
  if (!copy.id || !copy.instruction || !copy.meta || (item->messages && !copy.messages))
    return tpo_fail(err, TPO_E_MEMORY, "out of memory while adding instruction %s", item->id);
  set->items[set->n++] = copy;
  return 0;
}

void tpo_instructions_free(struct tpo_instructions *set)
{
  struct tpo_arena arena = {set->arena};
  tpo_arena_free(&arena);
  free(set->items);
  memset(set, 0, sizeof *set);
}

/* {"id": ..., "instruction" or "messages": ..., then the members of meta}, which the reader turns back into
 * item. */
static int append_line(struct tpo_buf *out, const struct tpo_instruction *item, struct tpo_error *err)
{
  tpo_buf_puts(out, "{\"id\":");
  tpo_json_append_string(out, item->id, strlen(item->id));
  if (item->messages) {
    tpo_buf_puts(out, ",\"messages\":");
    tpo_buf_puts(out, item->messages);
  } else {
    tpo_buf_puts(out, ",\"instruction\":");
    tpo_json_append_string(out, item->instruction, strlen(item->instruction));
  }
  const char *meta = item->meta ? item->meta : "{}";
  json_t *object = tpo_json_parse(meta, strlen(meta), item->id, err);
  if (!object) return tpo_fail_prefix(err, "instruction's meta");
  if (!json_is_object(object)) {
    json_decref(object);
    return tpo_fail(err, TPO_E_INPUT, "instruction %s: meta is not a JSON object", item->id);
  }
  const char *key;
  json_t *value;
  json_object_foreach(object, key, value)
  {
    char *text = tpo_json_dump(value);
    tpo_buf_putc(out, ',');
    tpo_json_append_string(out, key, strlen(key));
    tpo_buf_putc(out, ':');
    if (text)
      tpo_buf_puts(out, text);
    else
      out->failed = true;
    free(text);
  }
  json_decref(object);
  tpo_buf_puts(out, "}\n");
  return 0;
}

int tpo_instructions_write(const struct tpo_instructions *set, const char *path, struct tpo_error *err)
{
  struct tpo_buf out = {0};
  int status = 0;
  for (size_t i = 0; i < set->n && status == 0; i++) status = append_line(&out, &set->items[i], err);
  if (status == 0 && out.failed)
    status = tpo_fail(err, TPO_E_MEMORY, "out of memory while writing instructions to %s", path);
  if (status == 0 && strcmp(path, "-") != 0)
    status = tpo_write_file(path, out.data ? out.data : "", out.len, err);
  else if (status == 0 && fwrite(out.data ? out.data : "", 1, out.len, stdout) != out.len)
    status = tpo_fail(err, TPO_E_IO, "writing to standard output failed: %m");
  tpo_buf_free(&out);
  return status;
}

char *tpo_instruction_meta(const struct tpo_instruction *item, struct tpo_error *err)
{
  char *text = NULL;
  json_t *meta = tpo_json_parse(item->meta, strlen(item->meta), "meta", err);
  json_t *messages = meta ? tpo_json_parse(item->messages, strlen(item->messages), "messages", err) : NULL;
  if (messages) {
    bool whole = json_object_set(meta, "messages", messages) == 0;
    text = whole ? tpo_json_dump(meta) : NULL;
    if (!text) tpo_fail(err, TPO_E_MEMORY, "no memory for messages");
  }
  json_decref(messages);
  json_decref(meta);
  return text;
}
