/* Another chat template in a tokenizer and in its tokenizer_config.json.
 *
 * The file is not parsed and written anew: its numbers would change (a tokenizer's "no limit" is 1e30 written
 * out), and what other programs keep in it is theirs. */
#include "text/set_template.h"

#include <stdlib.h>
#include <string.h>
#include "base/json.h"
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

/* These go through a text that is known to be JSON, and end with a NUL behind it. */
static const char *skip_space(const char *at)
{
  return at + strspn(at, " \t\r\n");
}

static const char *skip_string(const char *at)
{
  for (at++; *at != '"'; at++) at += *at == '\\';
  return at + 1;
}

static const char *skip_value(const char *at)
{
  if (*at == '"') return skip_string(at);
  int depth = 0;
  do {
    if (*at == '"') {
      at = skip_string(at);
      continue;
    }
    depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
    at++;
  } while (depth > 0 || (*at && !strchr(",}] \t\r\n", *at)));
  return at;
}

/* Where the member's value begins; *end where it ends. NULL: there is no such member. */
static const char *find_member(const char *object, const char *quoted_key, const char **end)
{
  for (const char *at = skip_space(skip_space(object) + 1); *at == '"';) {
    bool found = strncmp(at, quoted_key, strlen(quoted_key)) == 0;
    const char *value = skip_space(skip_space(skip_string(at)) + 1);
    *end = skip_value(value);
    if (found) return value;
    at = skip_space(*end);
    if (*at == ',') at = skip_space(at + 1);
  }
  return NULL;
}

int tpo_tokenizer_config_put_template(const char *json, size_t len, const char *source, const char *place,
                                      struct tpo_buf *out, struct tpo_error *err)
{
  json_t *root = tpo_json_parse(json, len, place, err);
  bool object = json_is_object(root), empty = json_object_size(root) == 0;
  json_decref(root);
  if (!root) return err && err->code ? err->code : TPO_E_INPUT;
  if (!object) return tpo_fail(err, TPO_E_INPUT, "%s: an object was expected", place);
  const char *end, *value = find_member(json, "\"chat_template\"", &end), *from = value;
  if (!value) from = end = skip_space(json) + 1;
  tpo_buf_append(out, json, (size_t)(from - json));
  if (!value) tpo_buf_puts(out, "\n  \"chat_template\": ");
  tpo_json_append_string(out, source, strlen(source));
  if (!value && !empty) tpo_buf_puts(out, ",");
  tpo_buf_append(out, end, len - (size_t)(end - json));
  return out->failed ? tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the chat template", place) : TPO_OK;
}
