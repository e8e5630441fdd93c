#include "server/engine/admission.h"

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

bool Admits(Admission& admission, Admission::Size size) { return admission.Try(size).ok(); }

TEST(AdmissionTest, TakesUpToEitherLimit) {
  Admission admission({.texts = 10, .bytes = 100});
  const Admission::Permit first = *admission.Try({.texts = 6, .bytes = 50});
  const std::pair<Admission::Size, bool> cases[] = {
      {{4, 50}, true}, {{5, 1}, false}, {{1, 51}, false}, {{1, 1}, true}, {{5, 51}, false}};
  for (const auto& [size, admitted] : cases) {
    EXPECT_EQ(Admits(admission, size), admitted) << size.texts << " texts, " << size.bytes << " bytes";
  }
}

TEST(AdmissionTest, RefusalTellsWhatIsInside) {
  Admission admission({.texts = 4, .bytes = 100});
  const Admission::Permit permit = *admission.Try({.texts = 3, .bytes = 20});
  const absl::Status status = admission.Try({.texts = 2, .bytes = 1}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("3 texts of 20 bytes wait, at most 4 texts and 100 bytes may"));
}

TEST(AdmissionTest, PermitsAreGivenBackWithTheLastCopy) {
  Admission admission({.texts = 4, .bytes = 100});
  Admission::Permit permit = *admission.Try({.texts = 4, .bytes = 10});
  Admission::Permit copy = permit;
  permit.reset();
  EXPECT_FALSE(Admits(admission, {1, 1}));
  EXPECT_EQ(admission.used().texts, 4);
  EXPECT_EQ(admission.used().bytes, 10);
  copy.reset();
  EXPECT_EQ(admission.used().texts, 0);
  EXPECT_EQ(admission.used().bytes, 0);
  EXPECT_TRUE(Admits(admission, {4, 100}));
}

TEST(AdmissionTest, TellsHowManyTextsAreInside) {
  std::vector<int64_t> told;
  Admission admission({.texts = 4, .bytes = 100}, [&told](int64_t texts) { told.push_back(texts); });
  Admission::Permit first = *admission.Try({.texts = 2, .bytes = 10});
  Admission::Permit second;
  admission.Wait({.texts = 3, .bytes = 10}, [&second](Admission::Permit granted) { second = std::move(granted); });
  EXPECT_FALSE(Admits(admission, {3, 1}));
  first.reset();
  second.reset();
  EXPECT_THAT(told, ElementsAre(2, 0, 3, 0));
}

TEST(AdmissionTest, WhatIsLargerThanAllPassesAlone) {
  Admission admission({.texts = 4, .bytes = 100});
  Admission::Permit small = *admission.Try({.texts = 1, .bytes = 1});
  EXPECT_FALSE(Admits(admission, {5, 1}));
  small.reset();
  const Admission::Permit large = *admission.Try({.texts = 5, .bytes = 1000});
  EXPECT_FALSE(Admits(admission, {1, 1}));
}

// Remembers the order in which waiters were let in, and keeps their permits.
struct Waiters {
  void Wait(Admission& admission, Admission::Size size, int name) {
    admission.Wait(size, [this, name](Admission::Permit permit) {
      granted.push_back(name);
      permits.push_back(std::move(permit));
    });
  }
  std::vector<int> granted;
  std::vector<Admission::Permit> permits;
};

TEST(AdmissionTest, WaitersEnterInOrderAsRoomComes) {
  Admission admission({.texts = 4, .bytes = 100});
  Waiters waiters;
  waiters.Wait(admission, {4, 1}, 0);
  EXPECT_THAT(waiters.granted, ElementsAre(0)) << "there was room at once";
  waiters.Wait(admission, {2, 1}, 1);
  waiters.Wait(admission, {1, 1}, 2);
  waiters.Wait(admission, {9, 1}, 3);
  waiters.Wait(admission, {1, 1}, 4);
  EXPECT_THAT(waiters.granted, ElementsAre(0));
  waiters.permits[0].reset();
  EXPECT_THAT(waiters.granted, ElementsAre(0, 1, 2)) << "as many as fit";
  waiters.permits[1].reset();
  EXPECT_THAT(waiters.granted, ElementsAre(0, 1, 2)) << "the large one waits for all, and is not overtaken by 4";
  waiters.permits[2].reset();
  EXPECT_THAT(waiters.granted, ElementsAre(0, 1, 2, 3)) << "it passes alone";
  waiters.permits[3].reset();
  EXPECT_THAT(waiters.granted, ElementsAre(0, 1, 2, 3, 4));
}

TEST(AdmissionTest, NobodyOvertakesAWaiter) {
  Admission admission({.texts = 4, .bytes = 100});
  Admission::Permit inside = *admission.Try({.texts = 3, .bytes = 1});
  Waiters waiters;
  waiters.Wait(admission, {2, 1}, 1);
  EXPECT_FALSE(Admits(admission, {1, 1})) << "would fit, but somebody waits";
  inside.reset();
  EXPECT_THAT(waiters.granted, ElementsAre(1));
  EXPECT_TRUE(Admits(admission, {2, 1}));
}

TEST(AdmissionTest, ThoseThatWaitLeaveAQuarterForThoseThatDoNot) {
  Admission admission({.texts = 8, .bytes = 100});
  Waiters waiters;
  for (int name = 0; name < 4; ++name) waiters.Wait(admission, {2, 1}, name);
  EXPECT_THAT(waiters.granted, ElementsAre(0, 1, 2));
  EXPECT_TRUE(Admits(admission, {2, 1})) << "who waits has its share";
  EXPECT_FALSE(Admits(admission, {3, 1}));
  waiters.permits[0].reset();
  EXPECT_THAT(waiters.granted, ElementsAre(0, 1, 2, 3));
  waiters.Wait(admission, {1, 95}, 4);
  EXPECT_TRUE(Admits(admission, {1, 20})) << "bytes have a share too";
  for (int name = 1; name < 4; ++name) waiters.permits[name].reset();
  EXPECT_THAT(waiters.granted, ElementsAre(0, 1, 2, 3, 4)) << "more than the share alone";
}

// A request that was cancelled while it waited gives its permit back at once.
TEST(AdmissionTest, APermitDroppedAtOnceLetsTheNextIn) {
  Admission admission({.texts = 1, .bytes = 100});
  Admission::Permit inside = *admission.Try({.texts = 1, .bytes = 1});
  int granted = 0;
  for (int i = 0; i < 100; ++i) {
    admission.Wait({1, 1}, [&granted](const Admission::Permit&) { ++granted; });
  }
  inside.reset();
  EXPECT_EQ(granted, 100);
  EXPECT_EQ(admission.used().texts, 0);
}

TEST(AdmissionTest, ConcurrentUseNeverExceedsTheLimitAndLosesNobody) {
  Admission admission({.texts = 3, .bytes = 1000});
  std::atomic<int> inside = 0, most = 0, served = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        admission.Wait({1, 1}, [&](const Admission::Permit&) {
          const int now = ++inside;
          int seen = most;
          while (now > seen && !most.compare_exchange_weak(seen, now)) {
          }
          --inside;
          ++served;
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(served, 2000);
  EXPECT_LE(most, 3);
  EXPECT_EQ(admission.used().texts, 0);
}

}  // namespace
}  // namespace midlayer
