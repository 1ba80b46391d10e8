/* The chat template for tools that a folder may have in a file of its own, additional_chat_templates/tool_use.jinja. */
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/load/set_template.h"
#include "text/tokenizer.h"

enum { MAX_TEMPLATE_BYTES = 16 << 20 };

static void put_named(struct tpo_buf *list, const char *name, const char *text, size_t len)
{
  tpo_buf_printf(list, "%s{\"name\": \"%s\", \"template\": ", list->len > 1 ? ", " : "", name);
  tpo_json_append_string(list, text, len);
  tpo_buf_putc(list, '}');
}

/* As JSON text; own: what tokenizer_config.json has, or NULL. */
static void put_list(struct tpo_buf *list, const struct tpo_text_file *template, const json_t *own,
                     const struct tpo_text_file *tool)
{
  tpo_buf_putc(list, '[');
  if (template->bytes)
    put_named(list, "default", template->bytes, template->len);
  else if (json_is_string(own))
    put_named(list, "default", json_string_value(own), json_string_length(own));
  put_named(list, "tool_use", tool->bytes, tool->len);
  tpo_buf_putc(list, ']');
}

/* tokenizer_config.json with a list of both templates, which is what transformers read before it knew files of their
 * own, and reads still: so a checkpoint carries them, and an export has them. chat_template.jinja goes into it. */
static int write_list(struct tpo_tokenizer *tok, const struct tpo_text_file *tool, struct tpo_error *err)
{
  struct tpo_text_file *config_file = &tok->files[TPO_FILE_TOKENIZER_CONFIG];
  struct tpo_text_file *template = &tok->files[TPO_FILE_CHAT_TEMPLATE];
  const char *json = config_file->bytes ? config_file->bytes : "{}";
  size_t len = config_file->bytes ? config_file->len : strlen(json);
  struct tpo_buf list = {0}, text = {0};
  json_t *config = tpo_json_parse(json, len, "", NULL);
  bool fits = json_is_object(config); /* what is wrong with the file is told when it is loaded */
  if (fits) put_list(&list, template, json_object_get(config, "chat_template"), tool);
  json_decref(config);
  if (!fits) return TPO_OK;
  int status = list.failed ? tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the chat templates", tok->place)
                           : tpo_tokenizer_config_put(json, len, list.data, list.len, tok->place, &text, err);
  tpo_buf_free(&list);
  if (status == TPO_OK) {
    free(config_file->bytes);
    free(template->bytes);
    config_file->len = text.len;
    config_file->bytes = tpo_buf_take(&text);
    *template = (struct tpo_text_file){0};
  }
  tpo_buf_free(&text);
  return status;
}

int tpo_tokenizer_gather_templates(struct tpo_tokenizer *tok, const char *folder, struct tpo_error *err)
{
  char path[4096];
  struct tpo_buf bytes = {0};
  int status = tpo_path_join(path, sizeof path, folder, "additional_chat_templates/tool_use.jinja", err);
  if (status == 0) status = tpo_look_for(path, err);
  if (status <= 0) return status;
  status = tpo_read_file(path, MAX_TEMPLATE_BYTES, &bytes, err);
  const struct tpo_text_file tool = {.bytes = bytes.data ? bytes.data : "", .len = bytes.len};
  const struct tpo_text_file *other = &tok->files[TPO_FILE_CHAT_TEMPLATE];
  if (status == 0 && (!tpo_utf8_valid(tool.bytes, tool.len, NULL) || memchr(tool.bytes, 0, tool.len)))
    status = tpo_fail(err, TPO_E_INPUT, "%s is not UTF-8 text", path);
  bool told_later = other->bytes && !tpo_utf8_valid(other->bytes, other->len, NULL);
  if (status == 0 && !told_later) status = write_list(tok, &tool, err);
  tpo_buf_free(&bytes);
  return status;
}
