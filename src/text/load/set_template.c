/* Another chat template in a tokenizer and in its tokenizer_config.json.
 *
 * The file is not parsed and written anew: its numbers would change (a tokenizer's "no limit" is 1e30 written
 * out), and what other programs keep in it is theirs. */
#include "text/load/set_template.h"

#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "text/load/scan.h"
#include "text/tokenizer.h"

int tpo_tokenizer_set_template(struct tpo_tokenizer *tok, const char *source, struct tpo_error *err)
{
  char *copy = strdup(source);
  if (!copy) return tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the chat template", tok->place);
  if (tok->tool_template)
    tpo_log(TPO_LOG_WARN,
            "%s: the model's chat template \"tool_use\" is left out; the new one is for all chats",
            tok->place);
  free(tok->chat_template);
  free(tok->tool_template);
  tok->chat_template = copy;
  tok->tool_template = NULL;
  return TPO_OK;
}

int tpo_tokenizer_config_put(const char *json, size_t len, const char *value, size_t value_len,
                             const char *place, struct tpo_buf *out, struct tpo_error *err)
{
  json_t *root = tpo_json_parse(json, len, place, err);
  bool object = json_is_object(root), empty = json_object_size(root) == 0;
  json_decref(root);
  if (!root) return err && err->code ? err->code : TPO_E_INPUT;
  struct tpo_scan own, inside = {json, json + len};
  if (!object || !tpo_scan_member(json, len, "chat_template", &own) || !tpo_scan_take(&inside, '{'))
    return tpo_fail(err, TPO_E_INPUT, "%s: an object was expected", place);
  bool there = own.at != NULL;
  if (!there) own = (struct tpo_scan){inside.at, inside.at};
  tpo_buf_append(out, json, (size_t)(own.at - json));
  if (!there) tpo_buf_puts(out, "\n  \"chat_template\": ");
  tpo_buf_append(out, value, value_len);
  if (!there && !empty) tpo_buf_puts(out, ",");
  tpo_buf_append(out, own.end, len - (size_t)(own.end - json));
  return out->failed ? tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the chat template", place) : TPO_OK;
}

int tpo_tokenizer_config_put_template(const char *json, size_t len, const char *source, const char *place,
                                      struct tpo_buf *out, struct tpo_error *err)
{
  struct tpo_buf value = {0};
  tpo_json_append_string(&value, source, strlen(source));
  int status = value.failed ? tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the chat template", place)
                            : tpo_tokenizer_config_put(json, len, value.data, value.len, place, out, err);
  tpo_buf_free(&value);
  return status;
}
