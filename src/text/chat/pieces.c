/* Chats between the pieces that a configuration gives, or between nothing. */
#include "text/chat/pieces.h"

#include <string.h>

struct piece {
  const char *name, *text;
};

static int own(struct tpo_rendered *r, struct piece piece, struct tpo_error *err)
{
  return tpo_rendered_add(r, piece.text, strlen(piece.text), piece.name, true, err);
}

static int content(struct tpo_rendered *r, const json_t *message, size_t i, struct tpo_error *err)
{
  char name[48];
  const json_t *text = json_object_get(message, "content");
  snprintf(name, sizeof name, "messages[%zu].content", i);
  return tpo_rendered_add(r, json_string_value(text), json_string_length(text), name, false, err);
}

static bool has_role(const json_t *message, const char *role)
{
  return strcmp(json_string_value(json_object_get(message, "role")), role) == 0;
}

static int check(const json_t *messages, struct tpo_error *err)
{
  size_t i;
  json_t *message;
  json_array_foreach(messages, i, message)
  {
    const char *role = json_string_value(json_object_get(message, "role"));
    if (!role || !json_is_string(json_object_get(message, "content")))
      return tpo_fail(err, TPO_E_INPUT, "message %zu: a role and a content that are text were expected",
                      i + 1);
    if (strcmp(role, "system") != 0 && strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0)
      return tpo_fail(err, TPO_E_INPUT, "message %zu: the role \"%.80s\" is none of system, user, assistant",
                      i + 1, role);
  }
  return TPO_OK;
}

static int render_turn(const struct tpo_template_config *p, const json_t *message, size_t i,
                       struct tpo_rendered *r, struct tpo_error *err)
{
  const struct piece prefixes[] = {{"template.system_prefix", p->system_prefix},
                                   {"template.user_prefix", p->user_prefix},
                                   {"template.assistant_prefix", p->assistant_prefix}};
  const struct piece suffixes[] = {{"template.system_suffix", p->system_suffix},
                                   {"template.user_suffix", p->user_suffix},
                                   {"template.assistant_suffix", p->assistant_suffix}};
  int role = has_role(message, "system") ? 0 : has_role(message, "user") ? 1 : 2;
  int status = own(r, prefixes[role], err);
  if (status == TPO_OK) status = content(r, message, i, err);
  return status < 0 ? status : own(r, suffixes[role], err);
}

static int render_default_system(const struct tpo_template_config *p, struct tpo_rendered *r,
                                 struct tpo_error *err)
{
  int status = own(r, (struct piece){"template.system_prefix", p->system_prefix}, err);
  if (status == TPO_OK)
    status = tpo_rendered_add(r, p->default_system, strlen(p->default_system), "template.default_system",
                              false, err);
  return status < 0 ? status : own(r, (struct piece){"template.system_suffix", p->system_suffix}, err);
}

int tpo_pieces_render(const struct tpo_template_config *p, const json_t *messages, bool generation_prompt,
                      struct tpo_rendered *r, struct tpo_error *err)
{
  size_t n = json_array_size(messages);
  int status = check(messages, err);
  if (status == TPO_OK) status = own(r, (struct piece){"template.bos", p->bos}, err);
  if (status == TPO_OK && n > 0 && *p->default_system && !has_role(json_array_get(messages, 0), "system"))
    status = render_default_system(p, r, err);
  for (size_t i = 0; i < n && status == TPO_OK; i++)
    status = render_turn(p, json_array_get(messages, i), i, r, err);
  if (status == TPO_OK && generation_prompt)
    status = own(r, (struct piece){"template.assistant_prefix", p->assistant_prefix}, err);
  return status;
}

int tpo_contents_render(const json_t *messages, struct tpo_rendered *r, struct tpo_error *err)
{
  size_t i;
  json_t *message;
  int status = check(messages, err);
  json_array_foreach(messages, i, message)
  {
    if (status == TPO_OK) status = content(r, message, i, err);
  }
  return status;
}
