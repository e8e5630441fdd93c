#include "server/engine/admission.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace midlayer {

bool Admission::Fits(Size size, Size used, Size limit) {
  if (used.texts == 0) return true;
  return used.texts + size.texts <= limit.texts && used.bytes + size.bytes <= limit.bytes;
}

Admission::Permit Admission::Take(Size size, bool waited) {
  used_.texts += size.texts;
  used_.bytes += size.bytes;
  if (waited) {
    waiting_used_.texts += size.texts;
    waiting_used_.bytes += size.bytes;
  }
  if (on_change_) on_change_(used_.texts);
  return Permit(nullptr, [this, size, waited](void*) { GiveBack(size, waited); });
}

absl::StatusOr<Admission::Permit> Admission::Try(Size size) {
  std::lock_guard lock(mutex_);
  const bool overtakes = !waiters_.empty() && FitsShare(waiters_.front().size);
  if (!overtakes && Fits(size, used_, limit_)) return Take(size, false);
  return absl::ResourceExhaustedError(absl::StrCat("the queue is full: ", used_.texts, " texts of ", used_.bytes,
                                                   " bytes wait, at most ", limit_.texts, " texts and ", limit_.bytes,
                                                   " bytes may; try again later or elsewhere"));
}

void Admission::Wait(Size size, std::function<void(Permit)> granted) {
  std::unique_lock lock(mutex_);
  if (!waiters_.empty() || !FitsShare(size) || !Fits(size, used_, limit_)) {
    waiters_.push_back({size, std::move(granted)});
    return;
  }
  Permit permit = Take(size, true);
  lock.unlock();
  granted(std::move(permit));
}

void Admission::GiveBack(Size size, bool waited) {
  std::vector<std::pair<std::function<void(Permit)>, Permit>> grants;
  {
    std::lock_guard lock(mutex_);
    used_.texts -= size.texts;
    used_.bytes -= size.bytes;
    if (waited) {
      waiting_used_.texts -= size.texts;
      waiting_used_.bytes -= size.bytes;
    }
    if (on_change_) on_change_(used_.texts);
    while (!waiters_.empty() && FitsShare(waiters_.front().size) && Fits(waiters_.front().size, used_, limit_)) {
      Waiter& waiter = waiters_.front();
      grants.emplace_back(std::move(waiter.granted), Take(waiter.size, true));
      waiters_.pop_front();
    }
  }
  for (auto& [granted, permit] : grants) granted(std::move(permit));
}

Admission::Size Admission::used() const {
  std::lock_guard lock(mutex_);
  return used_;
}

}  // namespace midlayer
