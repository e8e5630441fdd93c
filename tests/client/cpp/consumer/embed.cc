#include <midlayer/client.h>

#include <iostream>

int main(int argc, char** argv) {
  midlayer::Client client(argc > 1 ? argv[1] : "127.0.0.1:50051");
  const absl::StatusOr<midlayer::Embeddings> result =
      client.Embed({"A man is eating food.", "A man eats a meal."}, {.layer = 2});
  if (!result.ok()) {
    std::cerr << result.status() << '\n';
    return 1;
  }
  float cosine = 0;  // the vectors are of length 1
  for (size_t i = 0; i < result->dimensions(); ++i) cosine += result->row(0)[i] * result->row(1)[i];
  std::cout << result->size() << " texts, " << result->dimensions() << " dimensions, layer " << result->layer() << ", "
            << midlayer::WordOf(result->pooling()) << ", cosine " << cosine << '\n';
}
