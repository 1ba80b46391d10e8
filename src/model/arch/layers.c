/* What config.json says of single layers: which see a window alone, and which are not rotated. */
#include "model/arch/arch.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

/* "no_rope_layers" has 1 for each layer that is rotated. */
static int read_unrotated_list(struct tpo_arch *arch, const json_t *list, const char *place,
                               struct tpo_error *err)
{
  if (!json_is_array(list) || json_array_size(list) != (size_t)arch->layers)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: \"no_rope_layers\" must be a list of %d numbers, one a layer; it has %zu", place,
                    arch->layers, json_array_size(list));
  for (int i = 0; i < arch->layers; i++) {
    const json_t *rotated = json_array_get(list, (size_t)i);
    json_int_t value = json_is_integer(rotated) ? json_integer_value(rotated) : -1;
    if (value != 0 && value != 1)
      return tpo_fail(err, TPO_E_INPUT, "%s: \"no_rope_layers\"[%d] must be 0 or 1", place, i);
    if (value == 0) tpo_layer_add(&arch->unrotated, i);
  }
  return 0;
}

static int read_unrotated(struct tpo_arch *arch, const json_t *config, const char *place,
                          struct tpo_error *err)
{
  const struct tpo_family_row *family = tpo_family(arch);
  if (!(family->keys & TPO_KEYS_UNROTATED)) return 0;
  const json_t *list = json_object_get(config, "no_rope_layers");
  if (list && !json_is_null(list)) return read_unrotated_list(arch, list, place, err);
  int64_t period = family->unrotated_period;
  int code = tpo_json_get_int(config, "no_rope_layer_interval", 1, 1 << 24, &period, place, err);
  for (int i = 0; code == 0 && i < arch->layers; i++)
    if ((i + 1) % period == 0) tpo_layer_add(&arch->unrotated, i);
  return code;
}

/* *window: 0 where it is turned off. */
static int read_window(int64_t *window, const struct tpo_arch *arch, const json_t *config, const char *place,
                       struct tpo_error *err)
{
  const struct tpo_family_row *family = tpo_family(arch);
  bool on = !(family->keys & TPO_KEYS_WINDOW_SWITCH);
  const json_t *value = json_object_get(config, "sliding_window");
  *window = 0;
  if (!(family->keys & TPO_KEYS_WINDOW)) return 0;
  int code = on ? 0 : tpo_json_get_bool(config, "use_sliding_window", &on, place, err);
  if (code < 0 || !on || json_is_null(value)) return code;
  *window = family->window;
  return tpo_json_get_int(config, "sliding_window", 1, 1 << 30, window, place, err);
}

/* The layers that have a window where "layer_types" doesn't tell. */
static int add_usual(struct tpo_arch *arch, struct tpo_layer_set *set, const json_t *config,
                     const char *place, struct tpo_error *err)
{
  const struct tpo_family_row *family = tpo_family(arch);
  int64_t first = family->late_windows_from, period = family->window_period;
  int code = 0;
  if (family->windows == TPO_WINDOWS_LATE)
    code = tpo_json_get_int(config, "max_window_layers", 0, 1 << 24, &first, place, err);
  if (family->keys & TPO_KEYS_LOCAL_ROPE) {
    code = tpo_json_get_int(config, "_sliding_window_pattern", 1, 1 << 24, &period, place, err);
    if (code == 0) code = tpo_json_get_int(config, "sliding_window_pattern", 1, 1 << 24, &period, place, err);
  }
  for (int i = 0; code == 0 && i < arch->layers; i++) {
    bool windowed = family->windows == TPO_WINDOWS_ALL      ? true
                    : family->windows == TPO_WINDOWS_LATE   ? i >= first
                    : family->windows == TPO_WINDOWS_PERIOD ? (i + 1) % period != 0
                                                            : tpo_layer_in(&arch->unrotated, i);
    if (windowed) tpo_layer_add(set, i);
  }
  return code;
}

static int read_types(const struct tpo_arch *arch, struct tpo_layer_set *set, const json_t *types,
                      const char *place, struct tpo_error *err)
{
  memset(set, 0, sizeof *set);
  if (!json_is_array(types) || json_array_size(types) != (size_t)arch->layers)
    return tpo_fail(err, TPO_E_INPUT,
                    "%s: \"layer_types\" must be a list of %d words, one a layer; it has %zu", place,
                    arch->layers, json_array_size(types));
  for (int i = 0; i < arch->layers; i++) {
    const json_t *type = json_array_get(types, (size_t)i);
    const char *word = json_is_string(type) ? json_string_value(type) : "";
    if (strcmp(word, "sliding_attention") == 0)
      tpo_layer_add(set, i);
    else if (strcmp(word, "full_attention") != 0)
      return tpo_arch_unsupported(place, "layer_types", type,
                                  "\"full_attention\" or \"sliding_attention\" in every layer", err);
  }
  return 0;
}

/* A family whose layers are all alike has no say in "layer_types", which then must tell what is so anyway. */
static int agree(const struct tpo_arch *arch, const struct tpo_layer_set *types,
                 const struct tpo_layer_set *windowed, const char *place, struct tpo_error *err)
{
  for (int i = 0; i < arch->layers; i++) {
    bool expected = tpo_layer_in(windowed, i);
    if (tpo_layer_in(types, i) == expected) continue;
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "%s: \"layer_types\"[%d]: \"%s\" is not supported; expected \"%s\" in every layer of %s "
                    "models %s a window",
                    place, i, expected ? "full_attention" : "sliding_attention",
                    expected ? "sliding_attention" : "full_attention",
                    tpo_family(arch)->names[TPO_NAME_PROSE], expected ? "with" : "without");
  }
  return 0;
}

static bool is_empty(const struct tpo_layer_set *set)
{
  const struct tpo_layer_set none = {{0}};
  return memcmp(set, &none, sizeof none) == 0;
}

static int read_windowed(struct tpo_arch *arch, int64_t window, const json_t *config, const char *place,
                         struct tpo_error *err)
{
  const struct tpo_family_row *family = tpo_family(arch);
  const json_t *types = json_object_get(config, "layer_types");
  struct tpo_layer_set usual = {{0}}, named = {{0}};
  bool told = types && !json_is_null(types);
  int code = 0;
  if (window > 0 || family->windows == TPO_WINDOWS_PERIOD) code = add_usual(arch, &usual, config, place, err);
  if (code == 0 && told) code = read_types(arch, &named, types, place, err);
  if (code == 0 && told && !(family->keys & TPO_KEYS_LAYER_TYPES))
    code = agree(arch, &named, &usual, place, err);
  arch->windowed = told ? named : usual;
  if (code < 0 || window > 0 || is_empty(&arch->windowed)) return code;
  return tpo_fail(err, TPO_E_INPUT, "%s: %s layers see a window, but \"sliding_window\" is off", place,
                  told ? "\"layer_types\" says that" : "some");
}

int tpo_arch_read_layers(struct tpo_arch *arch, const json_t *config, const char *place,
                         struct tpo_error *err)
{
  int64_t window;
  if (arch->layers > TPO_MOST_LAYERS)
    return tpo_arch_check_range("number of layers", arch->layers, 1, TPO_MOST_LAYERS, place, err);
  int code = read_unrotated(arch, config, place, err);
  if (code == 0) code = read_window(&window, arch, config, place, err);
  if (code == 0) code = read_windowed(arch, window, config, place, err);
  if (code == 0) arch->window = (int)window;
  return code;
}
