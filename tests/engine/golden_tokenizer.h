// The tokenizer of the golden BERT: one token a word of its small vocabulary.
#ifndef MIDLAYER_TESTS_ENGINE_GOLDEN_TOKENIZER_H_
#define MIDLAYER_TESTS_ENGINE_GOLDEN_TOKENIZER_H_

#include <memory>

#include "server/base/read_file.h"
#include "server/tokenizer/tokenizer.h"

namespace midlayer {

inline const Tokenizer& GoldenTokenizer() {
  static const std::unique_ptr<Tokenizer> tokenizer =
      Tokenizer::Load(ReadFile(MIDLAYER_SOURCE_DIR "/tests/golden/models/bert/tokenizer.json").value(),
                      {.max_tokens = 66})
          .value();
  return *tokenizer;
}

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_ENGINE_GOLDEN_TOKENIZER_H_
