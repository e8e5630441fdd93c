// Load of the C++ client with answers that are known beforehand: client.py is the same in Python.
//
//   faults_client TARGET QUESTIONS CALLERS STREAMS ATTEMPTS
//
// QUESTIONS has a JSON object a line: text, layer (null: the selected one), pooling, values. Asks until standard input
// ends, and writes a JSON object a line: {id, begun, kind} when a text is given to the client, as a call of its own or
// in a stream, {id, ended, code, difference, message} when the client has answered for it, {opened} when a stream is
// made. Times are those of the monotonic clock, in seconds; `difference` is the largest to `values`.
#include <midlayer/client.h>
#include <midlayer/words.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <fstream>
#include <iostream>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "nlohmann/json.hpp"

namespace {

using nlohmann::json;

// Between two requests of one caller: so many that they disturb each other are not what is looked at.
constexpr std::chrono::milliseconds kPause(10);

std::atomic<bool> is_over = false;

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

struct Question {
  std::string text;
  midlayer::EmbedOptions options;
  std::vector<float> values;
};

midlayer::Pooling PoolingNamed(const std::string& name) {
  for (const auto pooling : {midlayer::Pooling::kCls, midlayer::Pooling::kMean, midlayer::Pooling::kMax}) {
    if (midlayer::WordOf(pooling) == name) return pooling;
  }
  return midlayer::Pooling::kDefault;
}

std::vector<Question> ReadQuestions(const std::string& path) {
  std::vector<Question> questions;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const json object = json::parse(line);
    Question question = {.text = object.at("text"), .options = {}, .values = object.at("values")};
    if (!object.at("layer").is_null()) question.options.layer = object.at("layer").get<int>();
    question.options.pooling = PoolingNamed(object.at("pooling"));
    questions.push_back(std::move(question));
  }
  return questions;
}

// Writes what happens, a line each. Thread-safe.
class Record {
 public:
  int64_t Begin(const char* kind) {
    const int64_t id = next_id_++;
    Write({{"id", id}, {"begun", Now()}, {"kind", kind}});
    return id;
  }
  void End(int64_t id, const Question& question, std::span<const float> values, const std::string& selection) {
    double difference = values.size() == question.values.size() ? 0 : std::numeric_limits<float>::max();
    for (size_t i = 0; i < std::min(values.size(), question.values.size()); ++i) {
      const double one = std::abs(static_cast<double>(values[i]) - question.values[i]);
      difference = std::isnan(one) ? std::numeric_limits<float>::max() : std::max(difference, one);
    }
    Write({{"id", id}, {"ended", Now()}, {"code", "OK"}, {"difference", difference}, {"selection", selection}});
  }
  void Fail(int64_t id, const absl::Status& status) {
    Write({{"id", id},
           {"ended", Now()},
           {"code", absl::StatusCodeToString(status.code())},
           {"message", std::string(status.message())}});
  }
  void OpenStream() { Write({{"opened", Now()}}); }

 private:
  void Write(const json& event) {
    const std::string line = event.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
    const std::lock_guard lock(mutex_);
    std::cout << line << std::flush;
  }

  std::atomic<int64_t> next_id_ = 0;
  std::mutex mutex_;
};

void Call(midlayer::Client& client, const std::vector<Question>& questions, size_t first, Record& record) {
  for (size_t i = first; !is_over; ++i) {
    const Question& question = questions[i % questions.size()];
    const int64_t id = record.Begin("call");
    const absl::StatusOr<midlayer::Embeddings> result = client.Embed({question.text}, question.options);
    if (result.ok()) {
      record.End(id, question, result->row(0), result->selection_id);
    } else {
      record.Fail(id, result.status());
    }
    std::this_thread::sleep_for(kPause);
  }
}

// One stream after the other, until all is over; mostly there is but one. Its texts are those with the options of
// question `first`.
void Stream(midlayer::Client& client, const std::vector<Question>& questions, size_t first, Record& record) {
  const midlayer::EmbedOptions& options = questions[first % questions.size()].options;
  std::vector<const Question*> texts;
  for (const Question& question : questions) {
    if (question.options.layer == options.layer && question.options.pooling == options.pooling)
      texts.push_back(&question);
  }
  while (!is_over) {
    std::vector<int64_t> ids;  // of the texts of this stream
    size_t answered = 0;
    const auto next_text = [&]() -> std::optional<std::string> {
      std::this_thread::sleep_for(kPause);
      if (is_over) return std::nullopt;
      ids.push_back(record.Begin("stream"));
      return texts[(ids.size() - 1) % texts.size()]->text;
    };
    const auto on_result = [&](const midlayer::Embeddings& result) {
      for (size_t i = 0; i < result.size(); ++i) {
        const size_t place = result.first + i;
        record.End(ids.at(place), *texts[place % texts.size()], result.row(i), result.selection_id);
        answered = std::max(answered, place + 1);
      }
      return absl::OkStatus();
    };
    const auto on_error = [&](const midlayer::StreamError& error) {
      for (size_t place = error.first; place < error.first + error.count; ++place)
        record.Fail(ids.at(place), error.status);
      answered = std::max(answered, error.first + error.count);
    };
    record.OpenStream();
    const absl::Status status =
        client.EmbedStream(next_text, on_result, {.embed = options, .batch_size = 1, .on_error = on_error});
    if (status.ok()) continue;
    for (size_t place = answered; place < ids.size(); ++place) record.Fail(ids[place], status);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::cerr << "faults_client TARGET QUESTIONS CALLERS STREAMS ATTEMPTS\n";
    return 2;
  }
  const std::vector<Question> questions = ReadQuestions(argv[2]);
  const int callers = std::stoi(argv[3]), streams = std::stoi(argv[4]);
  midlayer::Client client({.target = argv[1], .max_attempts = std::stoi(argv[5])});
  Record record;
  std::vector<std::thread> threads;
  for (int i = 0; i < callers + streams; ++i) {
    threads.emplace_back(i < callers ? Call : Stream, std::ref(client), std::cref(questions), i * 7, std::ref(record));
  }
  for (char ignored = 0; std::cin.get(ignored);) {
  }
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  return 0;
}
