// The program itself: exit codes, pipes, signals.
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/cli/fake_server.h"

namespace midlayer::cli {
namespace {

using ::testing::StartsWith;

struct Result {
  int code = -1;  // exit code, as a shell has it
  std::string output;
};

// Runs a line of bash in which $M is the program; standard error goes where standard output goes.
Result Shell(const FakeServer& server, const std::string& line) {
  setenv("M", MIDLAYER_BINARY_DIR "/midlayer", 1);
  setenv("MIDLAYER_TARGET", server.target().c_str(), 1);
  FILE* pipe = popen(absl::StrCat("exec 2>&1; bash -c '", line, "'").c_str(), "r");
  Result result;
  std::array<char, 4096> block;
  while (const size_t bytes = fread(block.data(), 1, block.size(), pipe)) result.output.append(block.data(), bytes);
  result.code = WEXITSTATUS(pclose(pipe));
  return result;
}

TEST(ProgramTest, ExitCodes) {
  const FakeServer server;
  EXPECT_EQ(Shell(server, "$M --version").code, 0);
  EXPECT_EQ(Shell(server, "$M embed 1").code, 0);
  EXPECT_EQ(Shell(server, "$M embed 1 bad").code, 1);
  EXPECT_EQ(Shell(server, "$M embed").code, 2);
  EXPECT_EQ(Shell(server, "$M embed --target=127.0.0.1:1 1").code, 3);
  EXPECT_EQ(Shell(server, "$M health").code, 0);
  EXPECT_EQ(Shell(server, "$M health --service=x").code, 1);
}

TEST(ProgramTest, HttpProxyIsNotAskedForThisMachine) {
  const FakeServer server;
  EXPECT_EQ(Shell(server, "http_proxy=http://127.0.0.1:1 $M health").output, "SERVING\n");
}

TEST(ProgramTest, ClosedPipeEndsQuietly) {
  const FakeServer server;
  const Result result = Shell(server, "seq 200000 | $M embed - | head -n 2");
  EXPECT_EQ(std::ranges::count(result.output, '\n'), 2) << result.output;
}

TEST(ProgramTest, FullDiskIsReported) {
  const FakeServer server;
  const Result result = Shell(server, "$M embed 1 > /dev/full");
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.output,
            "midlayer: cannot write the output: No space left on device (the last one done is text 1)\n");
}

TEST(ProgramTest, NpyToFileToPipeAndAppended) {
  const FakeServer server;
  EXPECT_EQ(Shell(server,
                  "f=$(mktemp -d); cd $f; seq 500 | $M embed --output=npy --batch=3 - > a; "
                  "seq 500 | $M embed --output=npy - | cat > b; "
                  "echo -n before > c; seq 500 | $M embed --output=npy - >> c; "
                  "cmp a b; cat <(echo -n before) a | cmp - c; stat -c %s a; rm -r $f")
                .output,
            absl::StrCat(128 + 500 * 3 * sizeof(float), "\n"));
}

TEST(ProgramTest, AnswersComeWhileTheInputPauses) {
  const FakeServer server;
  // The second line is written only after the answer to the first was read.
  const Result result = Shell(server,
                              "coproc $M embed -; exec 3>&${COPROC[1]}; eval \"exec ${COPROC[1]}>&-\"; echo 1 >&3; "
                              "read -r -t 20 answer <&${COPROC[0]}; echo \"$answer\"; exec 3>&-; cat <&${COPROC[0]}");
  EXPECT_THAT(result.output, StartsWith("{\"text\":\"1\""));
}

TEST(ProgramTest, InterruptWhileItWaits) {
  const FakeServer server;
  const std::string interrupted = "timeout --preserve-status -s INT 0.5 $M ";
  for (const char* what :
       {"embed slow", "similarity slow a", "embed - <&3", "score --dataset=- <&3", "score --dataset=- <<< slow"}) {
    const auto start = std::chrono::steady_clock::now();
    // A pipe that is open and empty.
    const Result result =
        Shell(server, absl::StrCat("f=$(mktemp -u); mkfifo $f; exec 3<>$f; rm $f; ", interrupted, what));
    EXPECT_EQ(result.output, "midlayer: interrupted\n") << what;
    EXPECT_EQ(result.code, 130) << what;
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15)) << what;
  }
}

TEST(ProgramTest, ErrorsAreOneLine) {
  const FakeServer server;
  EXPECT_EQ(Shell(server, "$M embed --target=127.0.0.1:1 1").output,
            "midlayer: cannot reach 127.0.0.1:1 (connection refused): is midlayer-server running? start it with "
            "midlayer-server --model=DIRECTORY, or name another server with --target\n");
  EXPECT_EQ(Shell(server, "$M embed --batch=x 1").code, 2);
}

}  // namespace
}  // namespace midlayer::cli
