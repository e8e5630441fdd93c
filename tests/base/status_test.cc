#include "server/base/status.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

absl::Status Forward(absl::Status status, bool* reached_end) {
  MIDLAYER_RETURN_IF_ERROR(status);
  *reached_end = true;
  return absl::OkStatus();
}

absl::StatusOr<int> Sum(absl::StatusOr<std::unique_ptr<int>> a, absl::StatusOr<int> b) {
  MIDLAYER_ASSIGN_OR_RETURN(const std::unique_ptr<int> left, std::move(a));
  int right = 0;
  MIDLAYER_ASSIGN_OR_RETURN(right, b);
  return *left + right;
}

TEST(StatusTest, ReturnIfError) {
  bool reached_end = false;
  EXPECT_EQ(Forward(absl::NotFoundError("gone"), &reached_end), absl::NotFoundError("gone"));
  EXPECT_FALSE(reached_end);
  EXPECT_TRUE(Forward(absl::OkStatus(), &reached_end).ok());
  EXPECT_TRUE(reached_end);
}

TEST(StatusTest, AssignOrReturn) {
  EXPECT_EQ(Sum(std::make_unique<int>(2), 3).value(), 5);
  EXPECT_EQ(Sum(absl::InternalError("left"), 3).status(), absl::InternalError("left"));
  EXPECT_EQ(Sum(std::make_unique<int>(2), absl::InternalError("right")).status(), absl::InternalError("right"));
}

TEST(StatusTest, AnnotateKeepsCodeAndPayload) {
  absl::Status status = absl::InvalidArgumentError("expected 1, found 2");
  status.SetPayload("type", absl::Cord("payload"));
  const absl::Status annotated = Annotate(status, "inputs[3]");
  EXPECT_EQ(annotated.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(annotated.message(), "inputs[3]: expected 1, found 2");
  EXPECT_EQ(annotated.GetPayload("type"), absl::Cord("payload"));
}

TEST(StatusTest, AnnotateLeavesOkAlone) { EXPECT_TRUE(Annotate(absl::OkStatus(), "x").ok()); }

}  // namespace
}  // namespace midlayer
