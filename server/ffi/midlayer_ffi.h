// The C ABI of the Rust crates `tokenizers` and `safetensors` (crate midlayer-ffi, one static library).
//
// Only server/tokenizer and server/weights include this header; everyone else uses their C++ classes.
//
// Errors: a function that can fail has a last parameter `error`. On failure the function returns NULL or false and sets
// *error to a message (UTF-8, NUL-terminated, to be freed with midlayer_error_free); on success *error is untouched.
// Every Rust panic is caught and becomes such an error: bad input never ends the process. (Running out of memory does.)
//
// Threads: a MidlayerTokenizer may be used by any number of threads at once, until it is freed. The other functions
// keep no state.
#ifndef MIDLAYER_SERVER_FFI_MIDLAYER_FFI_H_
#define MIDLAYER_SERVER_FFI_MIDLAYER_FFI_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void midlayer_error_free(char* message);  // NULL is allowed.

// ---------------------------------------------------------------------------------------------------------------------
// Tokenizer

typedef struct MidlayerTokenizer MidlayerTokenizer;

typedef struct {
  size_t vocab_size;    // Number of tokens in the vocabulary, added tokens included.
  int32_t max_id;       // The largest id that can come out; -1 if there is none. Ids may have gaps.
  size_t num_leading;   // Special tokens that are put before a text ...
  size_t num_trailing;  // ... and after it.
} MidlayerTokenizerInfo;

typedef enum {
  MIDLAYER_TRUNCATE_NONE = 0,   // All tokens, however many.
  MIDLAYER_TRUNCATE_LEFT = 1,   // Drop tokens at the start of the text: its end stays.
  MIDLAYER_TRUNCATE_RIGHT = 2,  // Drop tokens at the end of the text: its start stays.
} MidlayerTruncate;

typedef struct {
  MidlayerTruncate truncate;
  size_t max_tokens;  // Special tokens included, which are never dropped. Not used without truncation.
  bool lowercase;     // Lowercase the text (Unicode) before anything else.
} MidlayerEncodeOptions;

typedef struct {
  int32_t* ids;  // `size` ids, special tokens included; free with midlayer_encoding_free. Never NULL on success.
  size_t size;
  size_t untruncated_size;  // How many there would be without truncation.
} MidlayerEncoding;

// Reads a tokenizer.json. Its own truncation and padding are dropped. Fails if the JSON is no tokenizer, an id does not
// fit int32, or the post-processor does not hold the text exactly once between its special tokens.
MidlayerTokenizer* midlayer_tokenizer_new(const uint8_t* json, size_t size, char** error);
void midlayer_tokenizer_free(MidlayerTokenizer* tokenizer);  // NULL is allowed.
MidlayerTokenizerInfo midlayer_tokenizer_info(const MidlayerTokenizer* tokenizer);

// Fails if `text` is not UTF-8, if it cannot be tokenized (an unknown token in a vocabulary without one for it), or if
// truncating to fewer tokens than there are special ones.
bool midlayer_tokenizer_encode(const MidlayerTokenizer* tokenizer, const uint8_t* text, size_t size,
                               const MidlayerEncodeOptions* options, MidlayerEncoding* encoding, char** error);
void midlayer_encoding_free(MidlayerEncoding* encoding);  // Sets *encoding to empty; an empty one is allowed.

// ---------------------------------------------------------------------------------------------------------------------
// Safetensors

typedef struct {
  const char* name;  // UTF-8, not NUL-terminated, as is dtype.
  size_t name_size;
  const char* dtype;  // As in the file: "F32", "BF16", ...
  size_t dtype_size;
  const size_t* shape;
  size_t rank;
  size_t begin;  // Where the data lies: offsets from the start of the file, begin <= end <= size of the file.
  size_t end;
} MidlayerTensor;

// Called once a tensor, in the order of the data. What `tensor` points to lives until the call returns. Must not throw.
typedef void (*MidlayerTensorCallback)(void* context, const MidlayerTensor* tensor);

// Called once an entry of the header's `__metadata__`, in no order and before all tensors. Key and value: UTF-8, not
// NUL-terminated, alive until the call returns. Must not throw.
typedef void (*MidlayerMetadataCallback)(void* context, const char* key, size_t key_size, const char* value,
                                         size_t value_size);

// Checks the header of the safetensors file that lies at file[0, size) and hands out its tensors and metadata, both
// with `context`. Reads the header only, not the data. Fails if the header is broken, names a tensor twice, or if the
// tensors do not fill the rest of the file exactly (overlap, hole, too short, too long), or a tensor's length is not
// what its shape and type ask for. On failure no callback was called.
bool midlayer_safetensors_read(const uint8_t* file, size_t size, MidlayerTensorCallback tensor_callback,
                               MidlayerMetadataCallback metadata_callback, void* context, char** error);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLAYER_SERVER_FFI_MIDLAYER_FFI_H_
