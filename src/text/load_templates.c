/* The chat template for tools that a folder may have in a file of its own, additional_chat_templates/tool_use.jinja. */
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/tokenizer.h"

enum { MAX_TEMPLATE_BYTES = 16 << 20 };

static int add_named(json_t *list, const char *name, const struct tpo_text_file *file)
{
  json_t *entry = json_object();
  json_object_set_new(entry, "name", json_string(name));
  json_object_set_new(entry, "template", json_stringn(file->bytes, file->len));
  return json_array_append_new(list, entry);
}

/* tokenizer_config.json with a list of both templates, which is what transformers read before it knew files of their
 * own, and reads still: so a checkpoint carries them, and an export has them. chat_template.jinja goes into it. */
static int write_list(struct tpo_tokenizer *tok, const struct tpo_text_file *tool, struct tpo_error *err)
{
  struct tpo_text_file *config_file = &tok->files[TPO_FILE_TOKENIZER_CONFIG];
  struct tpo_text_file *template = &tok->files[TPO_FILE_CHAT_TEMPLATE];
  /* what is wrong with the file is told when it is loaded */
  json_t *config =
      config_file->bytes ? tpo_json_parse(config_file->bytes, config_file->len, "", NULL) : json_object();
  json_t *list = json_array(), *own = json_object_get(config, "chat_template");
  if (template->bytes)
    add_named(list, "default", template);
  else if (json_is_string(own))
    json_array_append_new(list, json_pack("{s:s, s:O}", "name", "default", "template", own));
  add_named(list, "tool_use", tool);
  bool fits = json_is_object(config);
  if (fits) json_object_set(config, "chat_template", list);
  char *text = fits ? tpo_json_dump(config) : NULL;
  json_decref(list);
  json_decref(config);
  if (!fits) return TPO_OK;
  if (!text) return tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the chat templates", tok->place);
  free(config_file->bytes);
  free(template->bytes);
  *config_file = (struct tpo_text_file){.bytes = text, .len = strlen(text)};
  *template = (struct tpo_text_file){0};
  return TPO_OK;
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
