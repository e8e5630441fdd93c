// A process that uses a store, for tests that need several or kill one: store_process URL SCOPE MODE NAME.
//
//   write    For ever: puts a record, promotes it, deletes the one before. Before a step it writes the step and the id
//   to
//            its output, "put …", "promote …", "delete …", and after it "done …".
//   compete  For each line of its input, the id that must be promoted: tries to promote a record of its own in its
//            place, and writes "won ID" or "lost ID".
//
// Ends with an error where a step fails for any other reason.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "server/selection/store.h"
#include "tests/selection/records.h"

namespace midlayer {
namespace {

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "store_process: %s\n", status.ToString().c_str());
  std::exit(1);
}

void Say(const std::string& word, const std::string& id) {
  // One write, so that what was said is said whole.
  const std::string line = word + " " + id + "\n";
  if (write(STDOUT_FILENO, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::exit(1);
}

void Write(SelectionStore* store, const std::string& name) {
  std::string previous;
  for (int number = 0;; ++number) {
    const SelectionRecord record = MakeRecord(number, name);
    Say("put", record.id);
    Check(store->Put(record, "report of " + record.id));
    Say("done", record.id);
    Say("promote", record.id);
    Check(store->Promote(record.id, std::nullopt).status());
    Say("done", record.id);
    if (!previous.empty()) {
      Say("delete", previous);
      Check(store->Delete(previous));
      Say("done", previous);
    }
    previous = record.id;
  }
}

void Compete(SelectionStore* store, const std::string& name) {
  int number = 0;
  for (std::string expected; std::getline(std::cin, expected); ++number) {
    const SelectionRecord record = MakeRecord(number, name);
    Check(store->Put(record, ""));
    const absl::Status status = store->Promote(record.id, expected).status();
    if (!absl::IsFailedPrecondition(status)) Check(status);
    Say(status.ok() ? "won" : "lost", record.id);
  }
}

}  // namespace
}  // namespace midlayer

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  midlayer::StoreOptions options;
  options.connect_timeout = options.command_timeout = absl::Seconds(20);
  auto store = midlayer::OpenStore(argv[1], argv[2], options);
  midlayer::Check(store.status());
  const std::string mode = argv[3];
  if (mode == "write") midlayer::Write(store->get(), argv[4]);
  if (mode == "compete") midlayer::Compete(store->get(), argv[4]);
  return 0;
}
