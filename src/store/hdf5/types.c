/* Our element types as HDF5 has them, and the library's errors as one sentence. */
#include <string.h>
#include "store/hdf5/h5.h"
#include "store/show.h"

static const struct {
  const char *name;
  size_t bytes;
} types[] = {{"uint8", 1},   {"uint16", 2},  {"int32", 4},   {"int64", 8},
             {"float16", 2}, {"float32", 4}, {"float64", 8}, {"text", sizeof(char *)},
             {"other", 0}};

const char *tpo_h5_type_name(enum tpo_h5_type type)
{
  return types[type].name;
}

size_t tpo_h5_type_size(enum tpo_h5_type type)
{
  return types[type].bytes;
}

void tpo_h5_quiet(void)
{
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* The first record of an upward walk is the innermost. */
static herr_t innermost(unsigned n, const H5E_error2_t *record, void *reason)
{
  if (n == 0 && record->desc) *(struct tpo_shown *)reason = tpo_show_name(record->desc, strlen(record->desc));
  return 0;
}

int tpo_h5_fail(struct tpo_error *err, int code, const char *path, const char *what)
{
  struct tpo_shown reason = {""};
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, &reason);
  H5Eclear2(H5E_DEFAULT);
  if (reason.text[0] == '\0') return tpo_fail(err, code, "%s: %s", path, what);
  return tpo_fail(err, code, "%s: %s: %s", path, what, reason.text);
}

static hid_t make_text(void)
{
  hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

/* IEEE half precision: HDF5 1.10 has no name for it. */
static hid_t make_half(void)
{
  hid_t type = H5Tcopy(H5T_IEEE_F32LE);
  H5Tset_fields(type, 15, 10, 5, 0, 10);
  H5Tset_size(type, 2);
  H5Tset_ebias(type, 15);
  return type;
}

hid_t tpo_h5_memory_type(enum tpo_h5_type type)
{
  switch (type) {
  case TPO_H5_U8: return H5Tcopy(H5T_NATIVE_UINT8);
  case TPO_H5_U16: return H5Tcopy(H5T_NATIVE_UINT16);
  case TPO_H5_I32: return H5Tcopy(H5T_NATIVE_INT32);
  case TPO_H5_I64: return H5Tcopy(H5T_NATIVE_INT64);
  case TPO_H5_F16: return make_half();
  case TPO_H5_F32: return H5Tcopy(H5T_NATIVE_FLOAT);
  case TPO_H5_F64: return H5Tcopy(H5T_NATIVE_DOUBLE);
  case TPO_H5_TEXT: return make_text();
  default: return H5I_INVALID_HID;
  }
}

hid_t tpo_h5_file_type(enum tpo_h5_type type)
{
  switch (type) {
  case TPO_H5_U8: return H5Tcopy(H5T_STD_U8LE);
  case TPO_H5_U16: return H5Tcopy(H5T_STD_U16LE);
  case TPO_H5_I32: return H5Tcopy(H5T_STD_I32LE);
  case TPO_H5_I64: return H5Tcopy(H5T_STD_I64LE);
  case TPO_H5_F16: return make_half();
  case TPO_H5_F32: return H5Tcopy(H5T_IEEE_F32LE);
  case TPO_H5_F64: return H5Tcopy(H5T_IEEE_F64LE);
  case TPO_H5_TEXT: return make_text();
  default: return H5I_INVALID_HID;
  }
}
