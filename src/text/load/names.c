/* The names of the tokenizer's tokens that a chat template may ask for, as transformers gives them: bos_token and
 * its like, a model's own (`image_token`), and lists of more. */
#include <string.h>
#include "base/json.h"
#include "text/tokenizer.h"

/* "x" or {"content": "x"}; borrowed, NULL: neither. */
static json_t *name_in(json_t *value)
{
  json_t *name = json_is_object(value) ? json_object_get(value, "content") : value;
  return json_is_string(name) ? name : NULL;
}

static json_t *names_in_list(json_t *list)
{
  size_t i;
  json_t *item, *names = json_array();
  json_array_foreach(list, i, item)
  {
    json_t *name = name_in(item);
    if (name) json_array_append(names, name);
  }
  return names;
}

/* The first file that names a token counts. */
static int put(struct tpo_tokenizer *tok, const char *key, json_t *name, struct tpo_error *err)
{
  if (json_object_get(tok->names, key) || json_object_set(tok->names, key, name) == 0) return TPO_OK;
  return tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the names of tokens", tok->place);
}

static bool ends_with(const char *text, const char *end)
{
  size_t len = strlen(text), of_end = strlen(end);
  return len >= of_end && strcmp(text + len - of_end, end) == 0;
}

static bool is_list_of_more(const char *key)
{
  return strcmp(key, "additional_special_tokens") == 0 || strcmp(key, "extra_special_tokens") == 0;
}

int tpo_tokenizer_load_names(struct tpo_tokenizer *tok, json_t *object, struct tpo_error *err)
{
  const char *key;
  json_t *value;
  int status = TPO_OK;
  json_object_foreach(object, key, value)
  {
    bool more = is_list_of_more(key);
    if (more && json_is_array(value)) {
      json_t *names = names_in_list(value);
      status = put(tok, key, names, err);
      json_decref(names);
    } else if (more) {
      status = tpo_tokenizer_load_names(tok, value, err); /* a model's own, by name */
    } else if (ends_with(key, "_token") && name_in(value)) {
      status = put(tok, key, name_in(value), err);
    }
    if (status < 0) return status;
  }
  return TPO_OK;
}

int tpo_tokenizer_name_token(struct tpo_tokenizer *tok, const char *key, int32_t id, struct tpo_error *err)
{
  if (id < 0) return TPO_OK;
  const struct tpo_token *token = &tok->vocab.tokens[id];
  json_t *name = token->bytes ? json_stringn(token->bytes, token->len) : NULL;
  if (!name) return TPO_OK; /* bytes that are no text are no name */
  int status = put(tok, key, name, err);
  json_decref(name);
  return status;
}
