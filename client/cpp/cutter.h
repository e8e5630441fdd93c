// Cuts texts into messages.
#ifndef MIDLAYER_CLIENT_CPP_CUTTER_H_
#define MIDLAYER_CLIENT_CPP_CUTTER_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "midlayer/v1/embedding.pb.h"

namespace midlayer::internal {

inline constexpr size_t kMessageBytes = size_t{1} << 20;  // a message takes no further text from here on

// Of one message: the most texts, and the most bytes of one text.
struct Limits {
  size_t texts = 1;
  size_t text_bytes = 0;
};

Limits LimitsOf(const v1::GetModelResponse& model);

// The texts of one message.
struct Chunk {
  size_t first = 0;  // the place of the first one in the input
  std::vector<std::string> texts;
  size_t bytes = 0;
  std::string fault;  // why the only text cannot be sent; empty where it can
};

// Takes texts one by one, and gives chunks as they are full. A text that cannot be sent gets one of its own.
class Cutter {
 public:
  using Source = std::function<std::optional<std::string>()>;

  // `next_text` gives the texts, nothing at the end, and is then not called again.
  Cutter(Source next_text, const Limits& limits) : next_text_(std::move(next_text)), limits_(limits) {}

  // The next chunk; nothing at the end. Takes as many texts as it needs.
  std::optional<Chunk> Next();

 private:
  void Add(std::string text);
  void CloseChunk();

  const Source next_text_;
  const Limits limits_;
  bool has_more_ = true;
  Chunk open_;
  std::deque<Chunk> ready_;
};

}  // namespace midlayer::internal

#endif  // MIDLAYER_CLIENT_CPP_CUTTER_H_
